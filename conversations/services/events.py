"""Recording facts."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.ids import sortable
from accounts.models import Member
from conversations.models import Conversation, Event, Message
from conversations.signals import event_recorded

# One round trip for the three things that belong together: the next sequence number, the event,
# and the doorbell for open pages. NOTIFY is delivered at commit, so no page hears of a rollback.
_RECORD = """
WITH numbered AS (
    UPDATE conversations_conversation SET last_sequence = last_sequence + 1
    WHERE id = %(conversation)s RETURNING last_sequence
), recorded AS (
    INSERT INTO conversations_event
        (id, account_id, type, conversation_id, sequence, epoch, occurred_at, data)
    SELECT %(id)s, %(account)s, %(type)s, %(conversation)s, last_sequence, %(epoch)s, %(now)s,
           %(data)s::jsonb
    FROM numbered RETURNING sequence
)
SELECT sequence, pg_notify('switchboard_live', json_build_object(
    'account', %(account)s::bigint, 'conversation', %(public_id)s::text,
    'type', %(type)s::text, 'seq', sequence)::text)
FROM recorded
"""


def record(
    conversation: Conversation,
    type: str,  # noqa: A002 - the field's name on the wire and in the table
    *,
    actor: Member | None = None,
    message: Message | None = None,
    **data: Any,
) -> Event:
    """Write one event of a locked conversation and tell the room above, in this transaction."""
    if actor is not None:
        data["actor"] = actor.public_id
    if message is not None:
        data["message"] = message.public_id
    event = Event(
        id=sortable("evt"),
        account_id=conversation.account_id,
        type=type,
        conversation=conversation,
        epoch=conversation.assignment_epoch,
        occurred_at=timezone.now(),
        data=data,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "id": event.id,
                "account": event.account_id,
                "type": type,
                "conversation": conversation.pk,
                "public_id": conversation.public_id,
                "epoch": event.epoch,
                "now": event.occurred_at,
                "data": json.dumps(data),
            },
        )
        event.sequence = cursor.fetchone()[0]
    conversation.last_sequence = event.sequence
    event._state.adding = False
    event_recorded.send(sender=Event, event=event, conversation=conversation, message=message)
    return event
