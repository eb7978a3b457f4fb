"""Sending again what has ended, from the pages of deliveries and agents."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.auth import MemberRequest, member_required
from accounts.pages import done, find, refused
from accounts.permissions import Permission
from agents import replaying
from agents.views.deliveries import rows
from conversations.errors import DeskError
from conversations.models import Delivery, Endpoint, Replay, in_sight
from conversations.services.replaying import missed

# The page of an address that was just switched on again, which offers what it missed (DL-68).
SWITCHED_ON = "enabled"


def offering_missed(response: HttpResponse) -> HttpResponse:
    """The way back to an address's page after it was switched on, which makes that offer."""
    response["Location"] += f"?{SWITCHED_ON}"
    return response


def offers_missed(request: MemberRequest, endpoint: Endpoint) -> int:
    """How many events its page offers to send again; none when nobody has just switched it on."""
    return missed(endpoint.pk).count() if SWITCHED_ON in request.GET else 0


@member_required(Permission.DELIVERIES_REPLAY)
@require_POST
def replay_delivery(request: MemberRequest, public_id: str) -> HttpResponse:
    seen = in_sight(Delivery.objects.all(), request.member, or_none=True)
    found = find(rows(seen), "dlv", public_id)
    confirm = request.POST.get("confirm") == "1"
    try:
        again = replaying.replay(found, by=request.member, confirm=confirm)
    except DeskError as error:
        return refused(request, error.message, "delivery", public_id)
    return done(request, _("It is on its way again."), "delivery", again.public_id)


@member_required(Permission.DELIVERIES_REPLAY)
@require_POST
def replay_many(request: MemberRequest) -> HttpResponse:
    """What an address missed, or what ended otherwise, once more."""
    endpoint = find(Endpoint.objects.all(), "end", request.POST.get("endpoint", ""))
    state = request.POST.get("state", "")
    if state not in Delivery.ENDED_STATES:
        state = replaying.MISSED
    try:
        job = replaying.start(endpoint, by=request.member, state=state)
    except DeskError as error:
        return refused(request, error.message, _log_of(endpoint, state))
    if not job.total:
        return done(request, _("There is nothing to send again."), _log_of(endpoint, state))
    return done(request, _("They are being sent again."), _log_of(endpoint, state, job))


def _log_of(endpoint: Endpoint, state: str, job: Replay | None = None) -> str:
    """Its deliveries, filtered as they were when the replay was asked for, with how far that is."""
    query = {"endpoint": endpoint.public_id}
    if state in Delivery.ENDED_STATES:
        query["state"] = state
    if job is not None:
        query["replay"] = job.public_id
    return f"{reverse('deliveries')}?{urlencode(query)}"


@member_required(Permission.DELIVERIES_READ)
@require_safe
def progress(request: MemberRequest, public_id: str) -> HttpResponse:
    """How far a bulk replay is: a line for the page that shows it."""
    job = find(Replay.objects.select_related("endpoint"), "rpl", public_id)
    if not request.htmx:  # type: ignore[attr-defined]  # django-htmx
        return redirect(_log_of(job.endpoint, job.filters.get("state", ""), job))
    return render(request, "agents/_replay_progress.html", {"job": job})


@member_required(Permission.DELIVERIES_REPLAY)
@require_POST
def cancel(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find(Replay.objects.select_related("endpoint"), "rpl", public_id)
    job = replaying.cancel(found, by=request.member)
    log = _log_of(found.endpoint, job.filters.get("state", ""), job)
    return done(request, _("Nothing more is sent again."), log)
