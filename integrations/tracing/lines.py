"""Lines of a trace: what each row says, in words, without the text of any message.

The reason of an assignment is told as it was given, and may quote; staff do not get it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts import ids
from agents.conditions import quoted
from agents.models import Decision
from agents.views.deliveries import TONES, waiting_because
from conversations.models import (
    Assignment,
    Attempt,
    Conversation,
    Delivery,
    Endpoint,
    Event,
    Lane,
    Message,
)
from conversations.templatetags.desk import assignment_reason, ending_reason
from conversations.thread import kind_label
from integrations.models import Receipt

RECEIPT_TONES = {"done": "ok", "failed": "danger", "new": "info"}
STATUS_TONES = {"delivered": "ok", "read": "ok", "sent": "info", "failed": "danger"}


class Link(NamedTuple):
    """Where a line leads: a kind of page, the row's key (for staff) and its public id."""

    kind: str
    pk: int
    public_id: str


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `tone` is `ok`, `warn`, `danger`, `info` or empty.

    `kind` is `receipt`, `message`, `event`, `rules`, `assignment`, `delivery` or `attempt`; `code` is the
    word that programs know it by; `ids` are the public ids under which it may have been searched.
    """

    at: datetime
    kind: str
    title: str
    code: str = ""
    outcome: str = ""
    tone: str = ""
    detail: str = ""
    ids: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    marked: bool = False


# Within one moment, what causes stands before what follows from it.
RANKS = {
    kind: rank
    for rank, kind in enumerate(
        ("receipt", "message", "event", "rules", "assignment", "delivery", "attempt")
    )
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Everything that hangs on some events of one conversation. Members by their public ids."""

    events: Sequence[Event]
    messages: Mapping[str, Message] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    # By their epoch.
    assignments: Mapping[int, Assignment] = field(default_factory=dict)
    decisions: Sequence[Decision] = ()
    # Public ids of those rules that are still there.
    rules: frozenset[str] = frozenset()
    deliveries: Sequence[Delivery] = ()
    attempts: Sequence[Attempt] = ()
    receipts: Sequence[Receipt] = ()


def lines_of(rows: Rows) -> list[Line]:
    """All lines in order of time."""
    began = _beginnings(rows)
    lines = [*map(receipt_line, rows.receipts), *(_event(event, rows) for event in rows.events)]
    lines += [_decision(decision, rows, began) for decision in rows.decisions]
    lines += delivery_lines(rows.deliveries, rows.attempts, began)
    return sorted(lines, key=lambda line: (line.at, RANKS[line.kind]))


def _beginnings(rows: Rows) -> dict[str, datetime]:
    """When each event happened, by its id and by the message that it says was written.

    What one transaction writes, it does not write in the order of causes: a decision is stored when its
    rules are through, a send a moment before the event of its message.
    """
    began = {event.pk: event.occurred_at for event in rows.events}
    for event in rows.events:
        if event.type == "message.created":
            began[str(event.data.get("message"))] = event.occurred_at
    return began


# --- Ingest --------------------------------------------------------------------------------------


def receipt_line(receipt: Receipt) -> Line:
    """What the platform gave us, and what became of it."""
    return Line(
        at=receipt.received_at,
        kind="receipt",
        title=_("Received from %(name)s") % {"name": receipt.inbox.channel.name},
        code="receipt",
        outcome=receipt.get_state_display(),
        tone=RECEIPT_TONES.get(receipt.state, ""),
        detail=receipt.result,
        ids=(receipt.public_id,),
        links=(
            Link("receipt", receipt.pk, receipt.public_id),
            Link("inbox", receipt.inbox_id, receipt.inbox.public_id),
        ),
    )


# --- Events --------------------------------------------------------------------------------------


def _event(event: Event, rows: Rows) -> Line:
    message = rows.messages.get(str(event.data.get("message", "")))
    if event.type == "message.created" and message is not None:
        return _said(event, message)
    if event.type == "message.status":
        return _status(event)
    if event.type in ("conversation.assigned", "conversation.unassigned"):
        return _assignment(event, rows)
    return _line(event, "event", _title(event), detail=_by(event, rows))


def _said(event: Event, message: Message) -> Line:
    return _line(
        event,
        "message",
        _who_said(message),
        outcome=kind_label(message.kind) if message.kind != "text" else "",
        detail=_("its id on the platform: %(id)s") % {"id": message.external_id}
        if message.external_id
        else "",
    )


def _who_said(message: Message) -> str:
    author = message.author.name if message.author else _("Switchboard")
    match message.direction:
        case Message.Direction.INBOUND:
            return _("The customer wrote")
        case Message.Direction.NOTE:
            return _("%(name)s left a private note") % {"name": author}
        case Message.Direction.DRAFT:
            return _("An answer of %(name)s was kept as a draft") % {"name": author}
    if message.content.get("device"):
        return _("Somebody answered from the phone itself")
    return _("%(name)s answered") % {"name": author}


def _status(event: Event) -> Line:
    status = str(event.data.get("status", ""))
    words = {
        "sent": pgettext("message status", "sent"),
        "delivered": pgettext("message status", "delivered"),
        "read": pgettext("message status", "read"),
        "failed": pgettext("message status", "failed"),
    }
    return _line(
        event,
        "event",
        _("Word of the channel"),
        outcome=words.get(status, status),
        tone=STATUS_TONES.get(status, ""),
        detail=str(event.data.get("error_code", "")),
    )


def _assignment(event: Event, rows: Rows) -> Line:
    """Who got it and why; a loss names who lost it."""
    assignment = rows.assignments.get(event.epoch)
    holder = (assignment.member or assignment.team) if assignment else None
    previous = rows.members.get(str(event.data.get("previous")), "")
    if event.type == "conversation.assigned":
        name = holder or rows.members.get(str(event.data.get("assignee")), "")
        title = _("Assigned to %(name)s") % {"name": name or _("somebody who is gone")}
    elif previous:
        title = _("Taken from %(name)s") % {"name": previous}
    else:
        title = _("In the queue that everybody sees")
    reason, detail = assignment_reason(str(event.data.get("reason", ""))), event.data.get("detail")
    return _line(
        event, "assignment", title, outcome=reason, detail=str(detail or "") or _by(event, rows)
    )


def _title(event: Event) -> str:
    words = {
        "conversation.created": _("The conversation began"),
        "conversation.updated": _("The conversation was changed"),
        "conversation.resolved": _("Resolved"),
        "conversation.read": _("Somebody read it"),
        "message.created": _("A message"),
        "message.updated": _("A message was changed"),
        "message.draft_kept": _("A draft was kept"),
        "message.draft_discarded": _("A draft was put away"),
        "contact.updated": _("The contact was changed"),
        "contact.merged": _("The contact was merged with another"),
        "contact.erased": _("The contact was erased"),
    }
    return words.get(event.type, event.type)


def _by(event: Event, rows: Rows) -> str:
    name = rows.members.get(str(event.data.get("actor")), "")
    return _("by %(name)s") % {"name": name} if name else ""


def _line(
    event: Event, kind: str, title: str, *, outcome: str = "", tone: str = "", detail: str = ""
) -> Line:
    named = str(event.data.get("message", ""))
    return Line(
        at=event.occurred_at,
        kind=kind,
        title=title,
        code=event.type,
        outcome=outcome,
        tone=tone,
        detail=detail,
        # A message is found under its id on the line that says it was written.
        ids=(event.pk, named) if kind == "message" and named else (event.pk,),
    )


# --- Rules ---------------------------------------------------------------------------------------


def _decision(decision: Decision, rows: Rows, began: Mapping[str, datetime]) -> Line:
    matched = [row for row in decision.trace if row.get("matched")]
    names = ", ".join(quoted(str(row.get("name", ""))) for row in matched)
    rules = {str(row.get("rule", "")) for row in matched} & rows.rules
    thread = ids.encode("cnv", decision.conversation_id)
    return Line(
        at=began.get(decision.event_id, decision.created_at),
        kind="rules",
        title=_("Rules looked at it"),
        code="decision",
        outcome=_("%(names)s matched") % {"names": names} if names else _("no rule matched"),
        tone="info" if names else "",
        detail=decision.outcome,
        ids=(decision.public_id,),
        links=(
            Link("decision", decision.pk, thread),
            *(Link("rule", ids.decode("rul", rule), rule) for rule in sorted(rules)),
        ),
    )


# --- Deliveries ----------------------------------------------------------------------------------


def delivery_lines(
    deliveries: Sequence[Delivery],
    attempts: Sequence[Attempt],
    began: Mapping[str, datetime] | None = None,
) -> Iterator[Line]:
    """Each delivery, not before its event or message `began`, and every try of it."""
    known = {delivery.pk: delivery for delivery in deliveries}
    for delivery in deliveries:
        cause = delivery.event_id or ids.encode("msg", delivery.message_id or 0)
        yield _delivery(delivery, (began or {}).get(cause, delivery.created_at))
    for attempt in attempts:
        yield _attempt(attempt, known[attempt.delivery_id])


def _delivery(delivery: Delivery, began: datetime) -> Line:
    title = _destination(delivery)
    if delivery.replay_of_id:
        title = _("%(title)s, once more") % {"title": title}
    return Line(
        at=max(began, delivery.created_at),
        kind="delivery",
        title=title,
        code=delivery.wire_id,
        outcome=delivery.get_state_display(),
        tone=TONES.get(delivery.state, ""),
        detail=ending_reason(delivery.dead_reason) or waiting_because(delivery),
        ids=(delivery.public_id, delivery.wire_id),
        links=(Link("delivery", delivery.pk, delivery.public_id),),
    )


def _destination(delivery: Delivery) -> str:
    match delivery.kind:
        case Lane.Kind.SEND if delivery.is_act:
            return _("Tell the people of the platform")
        case Lane.Kind.SEND:
            number = delivery.part + 1
            return _("Send to the customer, part %(n)d") % {"n": number}
        case Lane.Kind.MEDIA:
            return _("Fetching a file")
        case Lane.Kind.SIGNAL:
            return _("Read receipt and typing")
    return _("Event for %(name)s") % {"name": name_of(delivery.endpoint)}


def name_of(endpoint: Endpoint | None) -> str:
    """The agent's name, or the subscriber's, else its host (never the whole address: it may hold a key)."""
    if endpoint is None or endpoint.deleted_at is not None:
        return _("an address that is gone")
    agent = getattr(endpoint, "agent", None)
    if agent is not None:
        return str(agent.member.name)
    return endpoint.name or urlsplit(endpoint.url).hostname or endpoint.public_id


# An answer to a replay that was there already is no failure.
WELL = ("ok", "answered_before")


def _attempt(attempt: Attempt, delivery: Delivery) -> Line:
    result = " ".join(
        str(part) for part in (attempt.status, attempt.outcome.replace("_", " ")) if part
    )
    took = f"{attempt.latency_ms} ms" if attempt.latency_ms is not None else ""
    tone = "ok" if attempt.outcome in WELL else "danger" if attempt.outcome else "info"
    return Line(
        at=attempt.started_at,
        kind="attempt",
        title=_("Try %(n)d") % {"n": attempt.n},
        code=delivery.wire_id,
        outcome=result or _("under way"),
        tone=tone,
        detail=" · ".join(part for part in (took, _(attempt.error)) if part),
        links=(Link("delivery", delivery.pk, delivery.public_id),),
    )


def headline(conversation: Conversation) -> str:
    """`#12 Maria, +40…`: whom it is with."""
    contact = conversation.contact
    phone = contact.phone if contact.phone not in ("", str(contact)) else ""
    return ", ".join(part for part in (f"#{conversation.number} {contact}", phone) if part)
