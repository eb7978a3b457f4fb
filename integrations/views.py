"""The pages of inboxes, a new account's first steps, and what needs attention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import proof
from accounts.auth import MemberRequest, can, member_required
from accounts.pages import done, find, show
from accounts.permissions import Permission
from accounts.sessions import is_fresh
from agents.models import Agent
from conversations.models import Conversation, Endpoint, Inbox
from integrations import attention, reach, registry, removing, routes, services
from integrations.forms import InboxForm
from integrations.models import Receipt

page = require_http_methods(["GET", "HEAD", "POST"])
RECEIPTS = 20
# Whose name people know the callers of a channel by.
CALLERS = {"whatsapp": "Meta", "api": "Your app"}


@dataclass(frozen=True, slots=True)
class Health:
    """How an inbox is, in a word and a sentence. `tone` is `ok`, `warn`, `danger` or empty."""

    tone: str
    word: str
    detail: str = ""


def health_of(inbox: Inbox, failed: int = 0) -> Health:
    """From what the door and the last test saw; the worst comes first."""
    hooks, check = inbox.health.get("hooks", {}), inbox.health.get("check", {})
    if inbox.state == Inbox.State.DISABLED:
        return Health("", _("switched off"))
    if inbox.state == Inbox.State.NEEDS_REAUTH:
        return Health("danger", _("needs new credentials"))
    if hooks.get("refused_in_a_row", 0) >= 3:
        text = (
            _("The last %(n)d calls had a wrong signature. Run the connection test.")
            if inbox.channel.leaves
            else _("The last %(n)d calls had a wrong signature: is the app secret right?")
        )
        return Health("danger", _("refused"), text % {"n": hooks["refused_in_a_row"]})
    if check.get("state") == "failed":
        step: dict[str, Any] = next((s for s in check["steps"] if not s["ok"]), {})
        text = _("The connection test stopped at: %(step)s.")
        return Health("danger", _("test failed"), text % {"step": step.get("title", "")})
    if failed:
        return Health("warn", _("unread items"), _("%(n)d could not be read.") % {"n": failed})
    if hooks.get("received_at") or check.get("state") == "ok" or not inbox.channel.fields:
        return Health("ok", _("works"))
    return Health("warn", _("not tested yet"))


def sandbox_url(inbox: Inbox) -> str:
    """The phone's address; empty for inboxes that are no sandbox."""
    token = routes.route_token(inbox)
    return reverse("sandbox", args=[token]) if inbox.channel.synthetic and token else ""


@member_required(Permission.INBOXES_READ)
@require_safe
def inboxes(request: MemberRequest) -> HttpResponse:
    since = timezone.now() - timedelta(days=1)
    failed = Count(
        "receipts",
        filter=Q(receipts__state=Receipt.State.FAILED, receipts__received_at__gt=since),
        distinct=True,
    )
    present = Inbox.objects.present().select_related("fallback_team")
    rows = present.annotate(failed=failed).order_by("pk")
    held = dict(
        Conversation.objects.visible_to(request.member)
        .open()
        .values_list("inbox")
        .annotate(n=Count("pk"))
        .values_list("inbox", "n")
    )
    listed = [
        {
            "inbox": inbox,
            "health": health_of(inbox, inbox.failed),  # type: ignore[attr-defined]  # annotated
            "open": held.get(inbox.pk, 0),
            "received_at": moment(inbox.health.get("hooks", {}).get("received_at")),
            "phone": sandbox_url(inbox),
        }
        for inbox in rows
    ]
    return show(request, "integrations/inboxes.html", {"rows": listed})


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@member_required(Permission.INBOXES_WRITE)
@require_safe
def choose(request: MemberRequest) -> HttpResponse:
    """Which platform to connect."""
    offered = [p for p in registry.all_platforms() if p.channel is not None and p.connectable]
    return show(request, "integrations/choose.html", {"platforms": offered})


@member_required(Permission.INBOXES_WRITE)
@page
def connect(request: MemberRequest, platform: str) -> HttpResponse:
    """The platform's own fields; then the inbox's page with what to copy to the platform."""
    offered = {p.slug: p for p in registry.all_platforms() if p.channel and p.connectable}
    if platform not in offered:
        raise Http404
    found = offered[platform]
    assert found.channel is not None  # noqa: S101 - chosen for it above
    form = InboxForm(request.POST or None, channel=found.channel)
    if form.is_valid():
        inbox = services.connect_inbox(
            platform=platform,
            name=form.cleaned_data["name"],
            fallback_team=form.cleaned_data["fallback_team"],
            values=form.values(),
            by=request.member,
        )
        if found.channel.fields:
            services.start_check(inbox, by=request.member)
        return done(request, _("The inbox is there."), "inbox_settings", inbox.public_id)
    return show(request, "integrations/connect.html", {"platform": found}, form=form)


def _inbox(public_id: str) -> Inbox:
    return find(Inbox.objects.present().select_related("fallback_team"), "inb", public_id)


@member_required(Permission.INBOXES_READ)
@require_safe
def inbox_settings(request: MemberRequest, public_id: str) -> HttpResponse:
    """One inbox: address, credentials without their values, the test, what came in."""
    inbox = _inbox(public_id)
    receipts = Receipt.objects.filter(inbox=inbox).order_by("-pk")
    failed = receipts.filter(state=Receipt.State.FAILED)
    only = request.GET.get("receipts") == "failed"
    context = _facts(inbox) | {
        "health": health_of(inbox, failed.count()),
        "receipts": list((failed if only else receipts)[:RECEIPTS]),
        "only_failed": only,
        "agents": Agent.objects.filter(inboxes=inbox).select_related("member"),
    }
    if can(request, Permission.INBOXES_WRITE):
        context["prove"] = proof.address(request.path)
        if is_fresh(request.session):  # both are secrets (SX-43)
            context["hook_url"] = routes.hook_url(inbox)
            context["verify_token"] = inbox.credentials.get(services.VERIFY_TOKEN, "")
    return show(request, "integrations/inbox.html", context)


def _facts(inbox: Inbox) -> dict[str, Any]:
    """What stands on an inbox's page for everybody who may see it; no secret among it."""
    fields, caller = inbox.channel.fields, CALLERS.get(inbox.platform, str(inbox.channel.name))
    return {
        "inbox": inbox,
        "check": inbox.health.get("check", {}),
        "hooks": inbox.health.get("hooks", {}),
        "received_at": moment(inbox.health.get("hooks", {}).get("received_at")),
        "has_test": bool(fields),
        "facts": [(_(f.label), inbox.config.get(f.name, "")) for f in fields if not f.secret],
        "secrets": [(_(s.label), s) for s in services.stored_secrets(inbox)],
        "unreachable": reach.problem(caller) if fields else "",
        "phone": sandbox_url(inbox),
    }


@member_required(Permission.INBOXES_WRITE)
@page
def change(request: MemberRequest, public_id: str) -> HttpResponse:
    inbox = _inbox(public_id)
    form = InboxForm(request.POST or None, channel=inbox.channel, inbox=inbox)
    if form.is_valid():
        services.change_inbox(
            inbox,
            by=request.member,
            name=form.cleaned_data["name"],
            fallback_team=form.cleaned_data["fallback_team"],
            values=form.values(),
        )
        return done(request, _("Saved."), "inbox_settings", inbox.public_id)
    context = {"inbox": inbox, "secrets": services.stored_secrets(inbox)}
    return show(request, "integrations/inbox_form.html", context, form=form)


@member_required(Permission.INBOXES_WRITE)
@require_POST
def switch(request: MemberRequest, public_id: str) -> HttpResponse:
    inbox = _inbox(public_id)
    on = request.POST.get("on") == "1"
    services.switch(inbox, on=on, by=request.member)
    text = _("The inbox is on.") if on else _("The inbox is off: nothing comes in or goes out.")
    return done(request, text, "inbox_settings", inbox.public_id)


@member_required(Permission.INBOXES_WRITE, fresh=True)
@require_POST
def remove(request: MemberRequest, public_id: str) -> HttpResponse:
    """For good, so who does it is asked first whether it is them."""
    inbox = _inbox(public_id)
    removing.remove_inbox(inbox, by=request.member)
    text = _("%(name)s is removed; what was said in it stays.")
    return done(request, text % {"name": inbox.name}, "inboxes")


@member_required(Permission.INBOXES_WRITE, fresh=True)
@require_POST
def rotate(request: MemberRequest, public_id: str) -> HttpResponse:
    inbox = _inbox(public_id)
    services.rotate_address(inbox, by=request.member)
    text = _("The inbox has a new address; the old one works for another week.")
    return done(request, text, "inbox_settings", inbox.public_id)


@member_required(Permission.INBOXES_WRITE)
@require_POST
def check(request: MemberRequest, public_id: str) -> HttpResponse:
    """Start the connection test; the page (or `check_state`) shows how far it is."""
    inbox = _inbox(public_id)
    services.start_check(inbox, by=request.member)
    if request.htmx:  # type: ignore[attr-defined]  # django-htmx
        return _check_state(request, inbox)
    return redirect("inbox_settings", inbox.public_id)


@member_required(Permission.INBOXES_READ)
@require_safe
def check_state(request: MemberRequest, public_id: str) -> HttpResponse:
    """The test's steps so far; asks for itself again while it runs."""
    return _check_state(request, _inbox(public_id))


def _check_state(request: MemberRequest, inbox: Inbox) -> HttpResponse:
    context = {"inbox": inbox, "check": inbox.health.get("check", {})}
    return render(request, "integrations/_check.html", context)


@member_required(Permission.ACCOUNT_READ)
@require_safe
def setup(request: MemberRequest) -> HttpResponse:
    """The first steps of a new account, each done or with its way in."""
    rows = list(Inbox.objects.present().order_by("pk"))
    context = {
        "phone": next((url for url in map(sandbox_url, rows) if url), ""),
        "tried": Conversation.objects.filter(synthetic=True).exists(),
        "agent": Agent.objects.exclude(state=Agent.State.DELETED).exists(),
        "connected": any(not row.channel.synthetic for row in rows),
        "team": request.account.members.filter(kind="person").count() > 1,
    }
    return show(request, "integrations/setup.html", context)


# --- What needs attention ------------------------------------------------------------------------


@member_required(Permission.DELIVERIES_REPLAY)
@require_safe
def needs_attention(request: MemberRequest) -> HttpResponse:
    """Everything that calls for an owner or admin, with what mends it."""
    return show(request, "integrations/attention.html", {"items": attention.items()})


@member_required(Permission.DELIVERIES_REPLAY)
@require_POST
def dismiss_attention(request: MemberRequest) -> HttpResponse:
    """Put away what has been seen: the dead letters of an address, the failed items of an inbox."""
    kind, public_id = request.POST.get("kind", ""), request.POST.get("subject", "")
    if kind not in attention.DISMISSIBLE:
        raise Http404
    subject: Endpoint | Inbox = (
        find(Endpoint.objects.all(), "end", public_id)
        if kind == "dead_letters"
        else find(Inbox.objects.all(), "inb", public_id)
    )
    attention.dismiss(kind, subject.pk, by=request.member)
    return done(request, _("Put away. What fails from now on is shown again."), "attention")
