"""What a channel says about messages of ours: sent, delivered, read, failed (channels.md 1.3, F-23)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts import ids
from accounts.prepared import KEY, KEYS, WORDS, prepared
from conversations.messages import DeliveryStatus, StatusUpdate, status_moves_forward
from conversations.models import Conversation, Delivery, Inbox, Lane, Message
from conversations.services import events, outbox
from conversations.services.events import Fact
from conversations.services.locking import lock_bare

State = Delivery.State
# Sends that a status may say something new about.
UNSETTLED = (State.IN_FLIGHT, State.UNCERTAIN, State.HELD, State.RETRY_WAIT)

# The id of an echo that has come in as a message of its own stays with that one.
EXTERNAL_ID = """
CASE WHEN message.external_id = '' AND said.external_id <> '' AND NOT EXISTS (
    SELECT 1 FROM conversations_message other
    WHERE other.account_id = message.account_id AND other.inbox_id = message.inbox_id
      AND other.external_id = said.external_id AND other.external_id <> '')
THEN said.external_id ELSE message.external_id END
"""
# One round trip for all that moved; a full-speed number's statuses are thousands a second.
_MOVE = f"""
UPDATE conversations_message message
SET status = said.status, external_id = {EXTERNAL_ID},
    error_code = CASE said.status WHEN 'failed' THEN said.code ELSE message.error_code END,
    error_text = CASE said.status WHEN 'failed' THEN said.text ELSE message.error_text END
FROM unnest(%(messages)s::bigint[], %(statuses)s::text[], %(externals)s::text[], %(codes)s::text[],
            %(texts)s::text[]) AS said (id, status, external_id, code, text)
WHERE message.id = said.id RETURNING message.id, message.external_id
"""  # noqa: S608 - fixed text only
# What is under way keeps its state, and the channel's id in case the channel's answer is lost.
_PROVE = """
UPDATE conversations_delivery delivery
SET provider_message_id = said.external_id,
    state = CASE delivery.state WHEN 'in_flight' THEN 'in_flight' ELSE 'delivered' END,
    finished_at = CASE delivery.state WHEN 'in_flight' THEN NULL ELSE now() END
FROM unnest(%s::bigint[], %s::text[], %s::bool[]) AS said (id, external_id, names_part)
WHERE delivery.id = said.id AND (
    delivery.state IN ('uncertain', 'held')
    OR delivery.state = 'retry_wait' AND delivery.possible_duplicate
    OR delivery.state = 'in_flight' AND said.names_part)
RETURNING delivery.lane_id, delivery.state
"""


class Found(NamedTuple):
    """A message that a status is about, before it is locked."""

    message_id: int
    conversation_id: int


def receive_statuses(inbox: Inbox, updates: Sequence[StatusUpdate]) -> list[str | None]:
    """Apply what the channel says about messages of an inbox, in one transaction and with as many
    statements as for one.

    Returns a line for each, None where the message is not here (or not yet: a status may overtake the
    answer to its own send). A message only moves forward, and what is said of one several times here
    is recorded as one event, the furthest.
    """
    found = _find(inbox, updates)
    known = set(found.values())
    conversations = lock_bare({one.conversation_id for one in known})
    messages = {message.pk: message for message in _messages([one.message_id for one in known])}
    about: list[tuple[Message, StatusUpdate]] = []
    lines: list[str | None] = []
    moved: dict[int, StatusUpdate] = {}
    for place, update in enumerate(updates):
        message = messages.get(found[place].message_id) if place in found else None
        if message is None:
            lines.append(None)
            continue
        about.append((message, update))
        if status_moves_forward(message.status, update.status):
            message.status = update.status
            moved[message.pk] = update
            lines.append(f"{message.public_id} is {update.status}")
        else:
            lines.append(f"ignored: already {message.status}")
    _settle_uncertain(conversations, about)
    _move([(messages[pk], update) for pk, update in moved.items()])
    events.record_many(list(_facts(conversations, [messages[pk] for pk in moved])))
    return lines


def missing(update: StatusUpdate) -> str:
    """What stands on a status whose message is not here."""
    return f"no message {update.external_id or update.our_reference}"


def _facts(conversations: dict[int, Conversation], messages: Sequence[Message]) -> Iterator[Fact]:
    for message in messages:
        conversation = conversations[message.conversation_id]
        data = {"status": str(message.status)}
        yield Fact("message.status", conversation, message, data=data)


def _move(moved: Sequence[tuple[Message, StatusUpdate]]) -> None:
    """Write the statuses that stand on locked messages, with what came with them."""
    if not moved:
        return
    for message, update in moved:
        if update.status == DeliveryStatus.FAILED:
            message.error_code = update.error_code[:40]
            message.error_text = update.error_text[:500]
    with connection.cursor() as cursor:
        cursor.execute(
            _MOVE,
            {
                "messages": [message.pk for message, _update in moved],
                "statuses": [str(message.status) for message, _update in moved],
                "externals": [_own_id(update) for _message, update in moved],
                "codes": [message.error_code for message, _update in moved],
                "texts": [message.error_text for message, _update in moved],
            },
        )
        externals = dict(cursor.fetchall())
    for message, _update in moved:
        message.external_id = externals[message.pk]


def _own_id(update: StatusUpdate) -> str:
    """The id that a message gets from a status: that of its first part."""
    return "" if part_of(update.our_reference) else update.external_id


# --- Which message -------------------------------------------------------------------------------


def _find(inbox: Inbox, updates: Sequence[StatusUpdate]) -> dict[int, Found]:
    """The messages that statuses are about, by the statuses' places: by our own reference, by the
    channel's id, by the channel's id of a later part. Each way is asked for what is still missing."""
    found: dict[int, Found] = {}
    keys = {place: _message_id(update.our_reference) for place, update in enumerate(updates)}
    by_pk = {
        pk: Found(pk, at) for pk, at in _by_id(inbox.pk, {key for key in keys.values() if key})
    }
    found.update({place: by_pk[key] for place, key in keys.items() if key in by_pk})
    for by_external_id in (_by_external_id, _by_later_part):
        wanted = {
            place: update.external_id
            for place, update in enumerate(updates)
            if place not in found and update.external_id
        }
        if not wanted:
            break
        known = by_external_id(inbox, set(wanted.values()))
        found.update({place: known[key] for place, key in wanted.items() if key in known})
    return found


def _by_external_id(inbox: Inbox, wanted: Collection[str]) -> dict[str, Found]:
    return {key: Found(pk, at) for key, pk, at in _with_external_ids(inbox.pk, wanted)}


@prepared(KEY, WORDS)
def _with_external_ids(
    inbox: int, wanted: Collection[str]
) -> QuerySet[Message, tuple[str, int, int]]:
    rows = Message.objects.filter(inbox_id=inbox, external_id__among=wanted)
    return rows.values_list("external_id", "pk", "conversation_id")


def _by_later_part(inbox: Inbox, wanted: Collection[str]) -> dict[str, Found]:
    rows = Delivery.objects.filter(
        part__gt=0,
        provider_message_id__among=wanted,
        kind=Lane.Kind.SEND,
        lane__destination_id=inbox.pk,
    )
    columns = ("provider_message_id", "message_id", "message__conversation_id")
    return {
        key: Found(pk, conversation_id)
        for key, pk, conversation_id in rows.values_list(*columns)
        if pk is not None
    }


@prepared(KEY, KEYS)
def _by_id(inbox: int, pks: Collection[int]) -> QuerySet[Message, tuple[int, int]]:
    rows = Message.objects.filter(inbox_id=inbox, pk__among=pks)
    return rows.values_list("pk", "conversation_id")


@prepared(KEYS)
def _messages(pks: Collection[int]) -> QuerySet[Message]:
    return Message.objects.filter(pk__among=pks)


def _message_id(reference: str) -> int:
    """`msg_…-2` → the message's id; 0 when the reference is not one of ours."""
    try:
        return ids.decode("msg", reference.rpartition("-")[0])
    except ValueError:
        return 0


def part_of(reference: str) -> int | None:
    """`msg_…-2` → 2; None when the reference is not one of ours."""
    _, _, number = reference.rpartition("-")
    return int(number) if number.isdecimal() else None


# --- Sends that may have arrived -----------------------------------------------------------------


class Unsettled(NamedTuple):
    """A send whose end is not known."""

    pk: int
    message_id: int | None
    part: int
    external_id: str


@prepared(KEYS)
def _unsettled(
    conversations: Collection[int],
) -> QuerySet[Delivery, tuple[int, int | None, int, str]]:
    sends = Delivery.objects.filter(
        conversation__among=conversations, kind=Lane.Kind.SEND, state__in=UNSETTLED
    )
    return sends.values_list("pk", "message_id", "part", "provider_message_id")


def _settle_uncertain(
    conversations: Collection[int], about: Sequence[tuple[Message, StatusUpdate]]
) -> None:
    """Statuses prove that ambiguous sends arrived (DL-42), however late they come; `conversations` are
    locked. One that overtakes the channel's answer leaves its id, in case that answer is lost."""
    if not about:
        return
    sends: dict[int | None, list[Unsettled]] = {}
    for one in map(Unsettled._make, _unsettled(conversations)):
        sends.setdefault(one.message_id, []).append(one)
    proven: dict[int, tuple[str, bool]] = {}
    for message, update in about:
        names_part = part_of(update.our_reference) is not None
        for one in _proven_by(update, sends.get(message.pk, ())):
            if names_part or one.pk not in proven:
                proven[one.pk] = update.external_id, names_part
    if proven:
        _prove(proven)


def _proven_by(update: StatusUpdate, sends: Sequence[Unsettled]) -> list[Unsettled]:
    """Which of a message's sends a status is about. One without our reference is about the part that has
    the channel's id; where none has it, about the first, whose id is the message's."""
    part = part_of(update.our_reference)
    if part is not None:
        return [one for one in sends if one.part == part]
    known = [one for one in sends if one.external_id == update.external_id]
    return known or [one for one in sends if one.part == 0]


def _prove(proven: Mapping[int, tuple[str, bool]]) -> None:
    """Write what is proven of sends, by their ids: the channel's id, and whether the proof names the part."""
    externals, names_part = zip(*proven.values(), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_PROVE, [list(proven), list(externals), list(names_part)])
        settled = [lane for lane, state in cursor.fetchall() if state == State.DELIVERED]
    if settled:
        schedule, delivered = Delivery.Schedule.SEND, State.DELIVERED
        outbox.count_ended(len(settled), Lane.Kind.SEND, schedule, outcome=delivered)
        Lane.objects.filter(pk__in=settled).update(due_at=Now())
        outbox.ring(Lane.Kind.SEND)
