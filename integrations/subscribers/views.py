"""Settings, Webhooks: the list, making and changing one, its secret, its test, its deliveries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.auth import MemberRequest, member_required
from accounts.pages import done, find, refused, show
from accounts.permissions import Permission
from agents import addresses, replaying
from agents.views.deliveries import rows
from agents.views.replays import offering_missed, offers_missed
from conversations.errors import DeskError, FieldError
from conversations.models import Attempt, Delivery, Endpoint, Lane
from integrations.subscribers import services
from integrations.subscribers.forms import GraceForm, WebhookForm

page = require_http_methods(["GET", "HEAD", "POST"])
RECENT = 8
# The page asks for the result of a test so long; afterwards it waits among the deliveries.
LOOKING = timedelta(seconds=60)


class Standing(NamedTuple):
    """How a webhook is, in a word. `tone` is `ok`, `warn`, `danger` or empty."""

    tone: str
    word: str


def standing_of(endpoint: Endpoint) -> Standing:
    """The worst comes first."""
    if endpoint.state != Endpoint.State.ENABLED:
        return Standing("danger" if endpoint.disabled_reason else "", _("switched off"))
    if endpoint.breaker != Endpoint.Breaker.CLOSED:
        return Standing("danger", _("waiting"))
    if endpoint.consecutive_failures:
        return Standing("warn", _("failing"))
    if endpoint.last_success_at is None:
        return Standing("", _("nothing sent yet"))
    return Standing("ok", _("works"))


def find_webhook(public_id: str) -> Endpoint:
    """A webhook of the account in context, or 404."""
    return find(services.subscribers(), Endpoint.public_id, public_id)


judges_address = addresses.judged(
    Permission.WEBHOOKS_WRITE, lambda public_id: find_webhook(public_id).url
)


@member_required(Permission.WEBHOOKS_READ)
@require_safe
def webhooks(request: MemberRequest) -> HttpResponse:
    found = services.subscribers().order_by("name", "pk")
    listed = [{"endpoint": one, "standing": standing_of(one)} for one in found]
    return show(request, "subscribers/webhooks.html", {"rows": listed})


@judges_address
@member_required(Permission.WEBHOOKS_WRITE, fresh=True)
@page
def create(request: MemberRequest, *, objection: str) -> HttpResponse:
    """A new webhook; its secret is in this answer."""
    form = WebhookForm(request.POST or None, objection=objection)
    if form.is_valid():
        try:
            made = services.create_subscriber(**form.cleaned_data, by=request.member)
        except FieldError as error:
            form.add_error(error.field, error.message)
        else:
            return _shown(request, made.endpoint, made.secret)
    return show(request, "subscribers/webhook_form.html", {}, form=form)


@member_required(Permission.WEBHOOKS_READ)
@require_safe
def webhook(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_webhook(public_id)
    deliveries = rows(Delivery.objects.filter(endpoint=found)).order_by("-pk")
    context = {
        "endpoint": found,
        "standing": standing_of(found),
        "secrets": _living_secrets(found),
        "grace": GraceForm(),
        "deliveries": list(deliveries[:RECENT]),
        "job": replaying.running(found),
        "missed": offers_missed(request, found),
        **_last_test(found),
    }
    return show(request, "subscribers/webhook.html", context)


def _living_secrets(endpoint: Endpoint) -> QuerySet[Any]:
    return endpoint.secrets.exclude(expires_at__lte=timezone.now()).defer("sealed")


@judges_address
@member_required(Permission.WEBHOOKS_WRITE, fresh=True)
@page
def change(request: MemberRequest, public_id: str, *, objection: str) -> HttpResponse:
    found = find_webhook(public_id)
    form = WebhookForm(request.POST or None, endpoint=found, objection=objection)
    if form.is_valid():
        try:
            services.change_subscriber(found, by=request.member, **form.cleaned_data)
        except FieldError as error:
            form.add_error(error.field, error.message)
        else:
            return done(request, _("Saved."), "webhook", public_id)
    return show(request, "subscribers/webhook_form.html", {"endpoint": found}, form=form)


# --- Secrets -------------------------------------------------------------------------------------


@member_required(Permission.SECRETS_READ, fresh=True)
@require_POST
def secret(request: MemberRequest, public_id: str) -> HttpResponse:
    """The secret once more, for who has just shown that it is them (DL-72)."""
    found = find_webhook(public_id)
    return _shown(request, found, services.show_secret(found, by=request.member))


@member_required(Permission.WEBHOOKS_WRITE, fresh=True)
@require_POST
def rotate(request: MemberRequest, public_id: str) -> HttpResponse:
    found, form = find_webhook(public_id), GraceForm(request.POST)
    if not form.is_valid():
        return refused(request, _("Choose how long the old secret stays."), "webhook", public_id)
    new = services.rotate_secret(found, by=request.member, grace=form.grace)
    return _shown(request, found, new)


def _shown(request: MemberRequest, endpoint: Endpoint, clear: str) -> HttpResponse:
    context = {"endpoint": endpoint, "secret": clear}
    return render(request, "subscribers/secret_shown.html", context)


# --- Testing -------------------------------------------------------------------------------------


@member_required(Permission.WEBHOOKS_WRITE)
@require_POST
def test(request: MemberRequest, public_id: str) -> HttpResponse:
    """Send `webhook.test`; the page (or `test_state`) shows what came back."""
    found = find_webhook(public_id)
    try:
        services.send_test(found, by=request.member)
    except DeskError as error:
        if not request.htmx:  # type: ignore[attr-defined]  # django-htmx
            return refused(request, error.message, "webhook", public_id)
        return _test_state(request, found, refusal=error.message)
    if request.htmx:  # type: ignore[attr-defined]  # django-htmx
        return _test_state(request, found)
    return redirect("webhook", public_id)


@member_required(Permission.WEBHOOKS_READ)
@require_safe
def test_state(request: MemberRequest, public_id: str) -> HttpResponse:
    """What came of the last test so far; asks for itself again while it is under way."""
    return _test_state(request, find_webhook(public_id))


def _test_state(request: MemberRequest, endpoint: Endpoint, *, refusal: str = "") -> HttpResponse:
    context = {"endpoint": endpoint, "refusal": refusal, **_last_test(endpoint)}
    return render(request, "subscribers/_test.html", context)


def _last_test(endpoint: Endpoint) -> dict[str, Any]:
    # By their lane: an endpoint may have very many deliveries.
    lane = Lane.objects.filter(
        kind=Lane.Kind.SUBSCRIBER, destination_id=endpoint.pk, key=services.TEST_LANE
    )
    last = Delivery.objects.filter(lane__in=lane).order_by("-pk").first()
    if last is None:
        return {"test": None}
    running = last.finished_at is None and last.created_at > timezone.now() - LOOKING
    attempt = Attempt.objects.filter(delivery=last).order_by("-n").first()
    return {"test": last, "test_running": running, "test_attempt": attempt}


# --- Switching and deleting ----------------------------------------------------------------------


@member_required(Permission.WEBHOOKS_WRITE)
@require_POST
def switch(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_webhook(public_id)
    if request.POST.get("on") == "1":
        services.switch_on(found, by=request.member)
        return offering_missed(done(request, _("The webhook is on."), "webhook", public_id))
    services.switch_off(found, by=request.member)
    text = _("The webhook is off: nothing is sent there, and what waited is canceled.")
    return done(request, text, "webhook", public_id)


@member_required(Permission.WEBHOOKS_WRITE, fresh=True)
@require_POST
def delete(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_webhook(public_id)
    services.delete_subscriber(found, by=request.member)
    return done(request, _("%(name)s is deleted.") % {"name": found.name}, "webhooks")
