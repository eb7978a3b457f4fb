"""What was delivered, or not yet, and why: to agents and through channels (delivery.md 15)."""

from __future__ import annotations

import json
import shlex
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import ids
from accounts.auth import MemberRequest, can, member_required
from accounts.pages import find, show
from accounts.paging import first_of
from accounts.permissions import Permission
from accounts.redaction import HIDDEN, hide_callbacks
from agents import replaying
from agents.models import Agent
from conversations.models import Attempt, Delivery, Endpoint, Lane, Replay, in_sight
from conversations.services.replaying import ended_as, is_doubtful, replays_of, why_not

PAGE = 50
# What people look for here; read receipts, typing and downloads only with `kind=all`.
MAIN_KINDS = (Lane.Kind.AGENT, Lane.Kind.SEND, Lane.Kind.SUBSCRIBER)
TONES = {
    "delivered": "ok",
    "dead": "danger",
    "held": "danger",
    "retry_wait": "warn",
    "uncertain": "warn",
    "in_flight": "info",
    "pending": "info",
}


def waiting_because(delivery: Delivery) -> str:
    """Why a delivery is not under way, in a sentence; empty when it does not wait."""
    if delivery.state == Delivery.State.HELD:
        return _("It waits for a person to decide.")
    if delivery.state not in (Delivery.State.PENDING, Delivery.State.RETRY_WAIT):
        return ""
    reasons = {
        "breaker": _("The address failed too often; a probe goes out now and then."),
        "breaker_open": _("The address failed too often; a probe goes out now and then."),
        "paused": _("The agent is paused."),
        "disabled": _("The address is switched off."),
        "rate": _("The limit of calls per second is used up for the moment."),
        "in_flight": _("As many calls as allowed are under way to this address."),
        "uncertain": _("The item before it may or may not have arrived."),
        "held": _("The item before it waits for a person to decide."),
    }
    blocked = delivery.lane.blocked_reason
    if blocked:
        return reasons.get(blocked, blocked.replace("_", " "))
    if delivery.parked:
        return _(
            "It failed several times and is tried alone; later events of its conversation go ahead."
        )
    if delivery.state == Delivery.State.RETRY_WAIT:
        return _("The last try failed; the next one has its time.")
    return _("It waits for its turn in its conversation.")


def rows(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """With all that a row of the table shows, in a constant number of queries."""
    attempts = Attempt.objects.order_by("-n").only("delivery_id", "n", "latency_ms", "status")
    related = ("conversation__contact", "endpoint", "lane")
    return deliveries.select_related(*related).prefetch_related(
        Prefetch("attempt_log", queryset=attempts)
    )


@member_required(Permission.DELIVERIES_READ)
@require_safe
def deliveries(request: MemberRequest) -> HttpResponse:
    """The account's log, newest first; filters stand in the address."""
    found = in_sight(_narrowed(request.GET.dict()), request.member, or_none=True)
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        found = found.filter(pk__lt=int(before))
    listed = list(first_of(rows(found.order_by("-pk")), PAGE + 1))
    agents = Agent.objects.select_related("member", "endpoint").order_by("member__name")
    webhooks = Endpoint.objects.filter(kind=Endpoint.Kind.SUBSCRIBER).order_by("name")
    context = {
        "deliveries": listed[:PAGE],
        "tones": TONES,
        "more": listed[PAGE - 1].pk if len(listed) > PAGE else 0,
        "query": {
            name: request.GET.get(name, "") for name in ("state", "endpoint", "conversation")
        },
        "narrowed": any(request.GET.get(n) for n in ("state", "endpoint", "conversation")),
        "states": [("waiting", _("waiting")), *Delivery.State.choices],
        "agents": agents,
        "webhooks": webhooks,
        **_again(request),
    }
    return show(request, "agents/deliveries.html", context)


def _again(request: MemberRequest) -> dict[str, Any]:
    """Beside one address: the bulk replay that was just asked for or is under way, or how many given up
    could be sent again."""
    endpoint = Endpoint.objects.filter(pk=_decoded("end", request.GET.get("endpoint", ""))).first()
    if endpoint is None:
        return {}
    asked_for = Replay.objects.filter(pk=_decoded("rpl", request.GET.get("replay", "")))
    job = asked_for.filter(endpoint=endpoint).first() or replaying.running(endpoint)
    if job is not None or not can(request, Permission.DELIVERIES_REPLAY):
        return {"job": job}
    asked = (request.GET.get("state"), request.GET.get("conversation", ""))
    dead = ended_as(endpoint.pk, Delivery.State.DEAD)
    return {
        "endpoint": endpoint,
        "again": dead.count() if asked == (Delivery.State.DEAD, "") else 0,
    }


def _narrowed(query: dict[str, str]) -> QuerySet[Delivery]:
    found = Delivery.objects.all()
    if query.get("kind") != "all":
        found = found.filter(kind__in=MAIN_KINDS)
    state = query.get("state", "")
    if state == "waiting":
        found = found.filter(state__in=Delivery.OPEN_STATES)
    elif state in Delivery.State.values:
        found = found.filter(state=state)
    if query.get("endpoint"):
        found = found.filter(endpoint_id=_decoded("end", query["endpoint"]))
    if query.get("conversation"):
        text = query["conversation"].strip().lstrip("#")
        if text.isdecimal() and len(text) < 10:
            return found.filter(conversation__number=int(text))
        found = found.filter(conversation_id=_decoded("cnv", text))
    return found


def _decoded(prefix: str, public_id: str) -> int:
    """The row's number; an unknown one finds nothing."""
    try:
        return ids.decode(prefix, public_id)
    except ValueError:
        return -1


@member_required(Permission.DELIVERIES_READ)
@require_safe
def delivery(request: MemberRequest, public_id: str) -> HttpResponse:
    seen = in_sight(Delivery.objects.all(), request.member, or_none=True)
    found = find(rows(seen).select_related("replay_of", "message"), "dlv", public_id)
    attempts = list(Attempt.objects.filter(delivery=found).order_by("n"))
    # The log is for supervisors too; what was said in it is for those who may send it again.
    reads = can(request, Permission.DELIVERIES_REPLAY)
    context = {
        "delivery": found,
        "tone": TONES.get(found.state, ""),
        "attempts": attempts,
        "reads": reads,
        "body": hide_callbacks(_readable(found.body)) if reads else "",
        "waiting": waiting_because(found),
        "curl": curl(found, attempts[-1] if attempts else None) if reads else "",
        "agent": Agent.objects.select_related("member").filter(endpoint=found.endpoint).first()
        if found.endpoint_id
        else None,
        "replays": list(replays_of(found)),
        "replayable": reads and not why_not(found),
        "doubtful": found.kind == Lane.Kind.SEND and is_doubtful(found),
    }
    return show(request, "agents/delivery.html", context)


def _readable(body: bytes) -> str:
    """JSON with its indents, else the text itself."""
    if not body:
        return ""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def curl(delivery: Delivery, attempt: Attempt | None) -> str:
    """The same request for a terminal, with what is secret left out."""
    if delivery.endpoint is None or delivery.endpoint.hidden or not delivery.body:
        return ""
    headers: dict[str, Any] = dict(attempt.request_headers) if attempt else {}
    headers.setdefault("Content-Type", delivery.content_type)
    lines = [f"curl -X POST {shlex.quote(delivery.endpoint.url)}"]
    lines += [
        f"  -H {shlex.quote(f'{name}: {value}')}"
        for name, value in headers.items()
        if str(value) != HIDDEN and name.lower() not in ("host", "content-length")
    ]
    body = hide_callbacks(delivery.body.decode(errors="replace"))
    lines.append(f"  --data-binary {shlex.quote(body)}")
    return " \\\n".join(lines)
