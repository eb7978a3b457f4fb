"""Recording facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.ids import sortable
from accounts.inserting import as_rows
from accounts.models import Member
from accounts.tenancy import current_account_id
from conversations.models import Conversation, Event, Message
from conversations.services import acting, activity
from conversations.signals import Recorded, event_recorded

# One round trip for the things that belong together: the next sequence numbers, what lists show of the
# conversations, the events, and the doorbell for open pages. NOTIFY is delivered at commit, so no page
# hears of a rollback. Which agents follow the account's inboxes, and whether anybody subscribes, is asked
# along with it: where nobody does, nobody pays for that.
_RECORD = """
WITH fact AS (
    SELECT * FROM ROWS FROM (json_to_recordset(%(facts)s::json) AS (
            id text, type text, conversation_id bigint, public_id text, epoch int, data jsonb))
        WITH ORDINALITY AS t (id, type, conversation_id, public_id, epoch, data, place)
), counted AS (
    SELECT conversation_id, count(*) AS n FROM fact GROUP BY conversation_id
), numbered AS (
    {numbered}
    RETURNING conversation.id, last_sequence - n AS before
), recorded AS (
    INSERT INTO conversations_event
        (id, account_id, type, conversation_id, sequence, epoch, occurred_at, data)
    SELECT fact.id, %(account)s, type, conversation_id,
           before + row_number() OVER (PARTITION BY conversation_id ORDER BY place),
           epoch, %(now)s, data
    FROM fact JOIN numbered ON numbered.id = conversation_id RETURNING id, sequence
)
SELECT id, sequence, pg_notify('switchboard_live', json_build_object(
    'account', %(account)s::bigint, 'conversation', public_id, 'type', type,
    'seq', sequence)::text), ARRAY(
        SELECT endpoint.id FROM conversations_endpoint endpoint
        WHERE endpoint.account_id = %(account)s AND endpoint.follows AND endpoint.state = 'enabled'
        ORDER BY endpoint.id), EXISTS (
        SELECT FROM conversations_endpoint endpoint
        WHERE endpoint.account_id = %(account)s AND endpoint.kind = 'subscriber'
          AND endpoint.state = 'enabled')
FROM recorded JOIN fact USING (id)
"""
_PLAINLY = _RECORD.replace(
    "{numbered}",
    """UPDATE conversations_conversation conversation SET last_sequence = last_sequence + n
    FROM counted WHERE conversation.id = counted.conversation_id""",
)
_SHOWING = _RECORD.replace(
    "{numbered}",
    f"""UPDATE conversations_conversation conversation SET last_sequence = last_sequence + n,
        {", ".join(f"{name} = shown.{name}" for name in activity.SHOWN)}
    FROM counted JOIN json_to_recordset(%(shown)s::json) AS shown (
        id bigint, {", ".join(f"{name} {kind}" for name, kind in activity.SHOWN.items())})
        ON shown.id = counted.conversation_id
    WHERE conversation.id = counted.conversation_id""",  # noqa: S608 - columns' names
)


@dataclass(frozen=True, slots=True)
class Fact:
    """What is to be recorded of a locked conversation."""

    type: str
    conversation: Conversation
    message: Message | None = None
    actor: Member | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def record(
    conversation: Conversation,
    type: str,  # noqa: A002 - the field's name on the wire and in the table
    *,
    actor: Member | None = None,
    message: Message | None = None,
    **data: Any,
) -> Event:
    """Write one event of a locked conversation and tell the room above, in this transaction."""
    return record_many([Fact(type, conversation, message, actor, data)])[0]


def record_many(facts: Sequence[Fact], *, showing: bool = False) -> list[Event]:
    """Write events of locked conversations of the account in context, in this order, and tell the
    room above of all of them at once. `showing`: what lists show of the conversations has changed
    (`activity`), and is written with them."""
    if not facts:
        return []
    now = timezone.now()
    events = [_event(fact, now) for fact in facts]
    values: dict[str, Any] = {
        "account": current_account_id(),
        "now": now,
        "facts": as_rows([_row(event) for event in events]),
    }
    if showing:
        conversations = {fact.conversation.pk: fact.conversation for fact in facts}
        values["shown"] = as_rows([activity.shown_row(one) for one in conversations.values()])
    with connection.cursor() as cursor:
        cursor.execute(_SHOWING if showing else _PLAINLY, values)
        rows = cursor.fetchall()
    sequences = {row[0]: row[1] for row in rows}
    for event in events:
        event.sequence = sequences[event.id]
        event.conversation.last_sequence = event.sequence
        event._state.adding = False
    recorded = [
        Recorded(event, fact.conversation, fact.message)
        for event, fact in zip(events, facts, strict=True)
    ]
    acting.tell(recorded)
    _id, _sequence, _rung, followers, subscribed = rows[0]
    event_recorded.send(sender=Event, recorded=recorded, followers=followers, subscribed=subscribed)
    return events


def _row(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "conversation_id": event.conversation_id,
        "public_id": event.conversation.public_id,
        "epoch": event.epoch,
        "data": event.data,
    }


def _event(fact: Fact, now: datetime) -> Event:
    data = dict(fact.data)
    if fact.actor is not None:
        data["actor"] = fact.actor.public_id
    if fact.message is not None:
        data["message"] = fact.message.public_id
    return Event(
        id=sortable("evt"),
        account_id=fact.conversation.account_id,
        type=fact.type,
        conversation=fact.conversation,
        epoch=fact.conversation.assignment_epoch,
        occurred_at=now,
        data=data,
    )
