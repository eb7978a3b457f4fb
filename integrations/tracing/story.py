"""What hangs on some events of a conversation, read with a constant number of queries.

Everything is found through the events and by index: deliveries by the ids that they carry, receipts by
the platform's ids, assignments by their epoch. A conversation may be as long as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db import connection

from accounts import ids
from accounts.models import Member
from accounts.tenancy import current_account_id
from agents.models import AssignmentRule, Decision
from conversations.models import (
    Assignment,
    Attempt,
    Conversation,
    Delivery,
    Event,
    Message,
)
from integrations.models import Receipt
from integrations.tracing.finding import Found
from integrations.tracing.lines import Line, Rows, delivery_lines, lines_of, receipt_line

# Events on a page of a whole conversation.
PAGE = 30
# How far around a thing its turn is looked for, in events.
BACK, AHEAD = 60, 240
# A message is written a moment before its event gets its id.
A_MOMENT = timedelta(seconds=2)

# Wire ids begin with their event's id; the bound is above every suffix in any collation. Each event is a
# probe of the index of wire ids: a join would be tempted to read the table instead.
_DELIVERIES = """
SELECT id FROM conversations_delivery
WHERE account_id = %(account)s AND message_id = ANY(%(messages)s) AND kind IN ('send', 'media')
UNION
SELECT told.id FROM unnest(%(events)s::text[]) AS event (id)
CROSS JOIN LATERAL (
    SELECT id FROM conversations_delivery
    WHERE wire_id >= event.id AND wire_id < event.id || 'zzzzzzzzzzzzzzzzzzzz'
    ORDER BY wire_id LIMIT 50) told
"""


def page(conversation: Conversation, *, before: int = 0) -> tuple[list[Line], int]:
    """A page of the whole conversation, newest first, and where the next one begins (0: nowhere)."""
    events = Event.objects.filter(conversation=conversation)
    if before:
        events = events.filter(sequence__lt=before)
    found = list(events.order_by("-sequence")[: PAGE + 1])
    shown = found[:PAGE]
    lines = lines_of(_rows(conversation, shown, _messages(shown)))
    return lines[::-1], shown[-1].sequence if len(found) > PAGE else 0


def turn(conversation: Conversation, found: Found) -> list[Line]:
    """One turn of a conversation, oldest first: from the customer's words that led to what was found,
    until the customer spoke again; and what became later of what was said in it."""
    event = found.event or (_event_of(found.message) if found.message else None)
    if event is None:
        return alone(found)
    around = Event.objects.filter(conversation=conversation)
    before = list(around.filter(sequence__lte=event.sequence).order_by("-sequence")[:BACK])
    after = list(around.filter(sequence__gt=event.sequence).order_by("sequence")[:AHEAD])
    events = before[::-1] + after
    messages = _messages(events)
    chosen = _turn_of(events, messages, len(before) - 1)
    return lines_of(_rows(conversation, chosen, messages, found))


def alone(found: Found) -> list[Line]:
    """What hangs on no event: a receipt that became nothing, a delivery by itself."""
    if found.receipt is not None:
        return [receipt_line(found.receipt)]
    if found.delivery is not None:
        deliveries, attempts = _deliveries([], [], found)
        return sorted(delivery_lines(deliveries, attempts), key=lambda line: line.at)
    return []


def _turn_of(events: Sequence[Event], messages: dict[str, Message], place: int) -> list[Event]:
    speaks = [n for n, event in enumerate(events) if _is_customers(event, messages)]
    begin = max((n for n in speaks if n <= place), default=place)
    end = min((n for n in speaks if n > place), default=len(events))
    chosen = list(events[begin:end])
    said = {event.data["message"] for event in chosen if event.data.get("message")}
    return chosen + [event for event in events[end:] if event.data.get("message") in said]


def _is_customers(event: Event, messages: dict[str, Message]) -> bool:
    message = messages.get(event.data.get("message", ""))
    return (
        event.type == "message.created"
        and message is not None
        and message.direction == Message.Direction.INBOUND
    )


def _event_of(message: Message) -> Event | None:
    """The event that says it was written. Ids of events are times, so that few are looked at."""
    events = Event.objects.filter(conversation=message.conversation_id)
    since = ids.sortable_since("evt", message.created_at - A_MOMENT)
    first = events.filter(pk__gte=since).order_by("pk").values_list("sequence", flat=True).first()
    about = events.filter(data__message=message.public_id).order_by("sequence")
    near = about.filter(sequence__gte=first, sequence__lt=first + AHEAD).first() if first else None
    return near or about.first()


def _messages(events: Iterable[Event]) -> dict[str, Message]:
    named = _named((event.data.get("message") for event in events), "msg")
    rows = Message.objects.filter(pk__among=list(named.values())).select_related("author")
    return {message.public_id: message for message in rows.defer("text")}


def _rows(
    conversation: Conversation,
    events: Sequence[Event],
    messages: dict[str, Message],
    found: Found | None = None,
) -> Rows:
    written = {
        event.data["message"]: messages[event.data["message"]]
        for event in events
        if event.type == "message.created" and event.data.get("message") in messages
    }
    deliveries, attempts = _deliveries(events, list(written.values()), found)
    decisions = list(
        Decision.objects.filter(
            conversation=conversation, event_id__among=[event.pk for event in events]
        )
        .defer("facts")
        .order_by("pk")
    )
    return Rows(
        events=events,
        messages=messages,
        members=_names(events),
        assignments=_assignments(conversation, events),
        decisions=decisions,
        rules=_living_rules(decisions),
        deliveries=deliveries,
        attempts=attempts,
        receipts=_receipts(conversation, events, messages, deliveries, found),
    )


def _deliveries(
    events: Sequence[Event], messages: Sequence[Message], found: Found | None
) -> tuple[list[Delivery], list[Attempt]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _DELIVERIES,
            {
                "account": current_account_id(),
                "messages": [message.pk for message in messages],
                "events": [event.pk for event in events],
            },
        )
        keys = {row[0] for row in cursor.fetchall()}
    if found is not None and found.delivery is not None:
        keys.add(found.delivery.pk)
    deliveries = Delivery.objects.filter(pk__among=keys).defer("body_sealed").order_by("pk")
    attempts = Attempt.objects.filter(delivery__among=keys).order_by("pk")
    return (
        list(deliveries.select_related("lane", "endpoint__agent__member")),
        list(attempts.defer("request_headers", "response_headers", "response_body")),
    )


def _assignments(conversation: Conversation, events: Sequence[Event]) -> dict[int, Assignment]:
    epochs = {event.epoch for event in events if event.type == "conversation.assigned"}
    rows = Assignment.objects.filter(conversation=conversation, epoch__in=epochs)
    return {row.epoch: row for row in rows.select_related("member", "team")}


def _living_rules(decisions: Sequence[Decision]) -> frozenset[str]:
    matched = (
        row.get("rule") for decision in decisions for row in decision.trace if row.get("matched")
    )
    named = _named(matched, "rul")
    known = set(
        AssignmentRule.objects.filter(pk__among=list(named.values())).values_list("pk", flat=True)
    )
    return frozenset(public_id for public_id, pk in named.items() if pk in known)


def _names(events: Sequence[Event]) -> dict[str, str]:
    """The names of everybody whom the events name."""
    named = _named(
        (event.data.get(role) for event in events for role in ("actor", "assignee", "previous")),
        "mem",
    )
    members = Member.objects.filter(
        account=current_account_id(), pk__among=list(named.values())
    ).values_list("pk", "name")
    names = dict(members)
    return {public_id: names[pk] for public_id, pk in named.items() if pk in names}


def _receipts(
    conversation: Conversation,
    events: Sequence[Event],
    messages: dict[str, Message],
    deliveries: Sequence[Delivery],
    found: Found | None,
) -> list[Receipt]:
    """What the platform gave us of these messages: their words, and word of what became of them."""
    named = {event.data.get("message") for event in events}
    external = {messages[name].external_id for name in named if name in messages}
    external |= {delivery.provider_message_id for delivery in deliveries}
    rows = Receipt.objects.filter(
        inbox=conversation.inbox_id, dedupe_key__among=Receipt.keys_of(sorted(external - {""}))
    )
    receipts = list(rows.defer("body_packed", "headers").select_related("inbox").order_by("pk"))
    if found is not None and found.receipt is not None and found.receipt not in receipts:
        receipts.append(found.receipt)
    return receipts


def _named(public_ids: Iterable[object], prefix: str) -> dict[str, int]:
    """The integers behind those ids that are some."""
    named = {}
    for public_id in {str(one) for one in public_ids if one}:
        try:
            named[public_id] = ids.decode(prefix, public_id)
        except ValueError:
            continue  # written by a version that named it otherwise: then it stays without a name
    return named
