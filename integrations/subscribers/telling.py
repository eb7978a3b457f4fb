"""Telling subscribers: one delivery per event and subscriber, written with the event (DL-02)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import prefetch_related_objects

from accounts.ids import encode as public_id
from accounts.models import Account
from accounts.tenancy import current_account_id
from agents.telling import forget_labels
from conversations.models import Conversation, Delivery, Endpoint, Lane, Message
from conversations.services import outbox
from conversations.services.outbox import LaneName
from conversations.signals import Recorded
from integrations.payload import (
    account_json,
    contact_json,
    conversation_json,
    encode,
    inbox_json,
    member_json,
    message_json,
    time_text,
)
from integrations.subscribers.catalogue import wants

# The one query that every event costs an account without subscribers. It holds the rows as a foreign key
# does: whoever switches one off or deletes it waits for what is being told, and cancels that as well, and
# whoever tells afterwards does not find it. Nothing is put on the queue of an endpoint that is gone.
_SUBSCRIBED = """
SELECT id, event_types FROM conversations_endpoint
WHERE account_id = %s AND kind = 'subscriber' AND state = 'enabled'
ORDER BY id FOR KEY SHARE
"""


class Telling(NamedTuple):
    """One event for one subscriber."""

    recorded: Recorded
    endpoint_id: int

    @property
    def wire_id(self) -> str:
        return wire_id(self.recorded.event.id, self.endpoint_id)


def wire_id(event_id: str, endpoint_id: int) -> str:
    """The same for every attempt of one event at one endpoint (delivery.md 3)."""
    suffix = public_id(Endpoint.public_id, endpoint_id).partition("_")[2]
    return f"{event_id}-{suffix}"


def on_events(*, recorded: Sequence[Recorded], **_signal: Any) -> None:
    """Receiver of `event_recorded`, inside the writing transaction."""
    subscribed = _subscribed()
    tellings = [
        Telling(one, endpoint_id)
        for one in recorded
        for endpoint_id, event_types in subscribed
        if wants(event_types, one.event.type)
    ]
    if tellings:
        _tell(tellings)


def _subscribed() -> list[tuple[int, list[str]]]:
    with connection.cursor() as cursor:
        cursor.execute(_SUBSCRIBED, [current_account_id()])
        return list(cursor.fetchall())


def _tell(tellings: Sequence[Telling]) -> None:
    """Put them on their lanes; the bodies are made here, once (DL-36)."""
    account_id = current_account_id()
    bodies = _bodies([one.recorded for one in tellings], Account.objects.get(pk=account_id))
    places = outbox.take_places(
        account_id,
        [
            LaneName(Lane.Kind.SUBSCRIBER, one.endpoint_id, one.recorded.conversation.public_id)
            for one in tellings
        ],
    )
    outbox.put_many(
        [
            outbox.delivery_at(
                place,
                kind=Lane.Kind.SUBSCRIBER,
                schedule=Delivery.Schedule.DURABLE,
                wire_id=one.wire_id,
                event_id=one.recorded.event.id,
                event_type=one.recorded.event.type,
                endpoint_id=one.endpoint_id,
                conversation=one.recorded.conversation,
                message=one.recorded.message,
                epoch=one.recorded.event.epoch,
                body=encode({**bodies[one.recorded.event.id], "sequence": place.sequence}),
            )
            for one, place in zip(tellings, places, strict=True)
        ]
    )


# --- Bodies --------------------------------------------------------------------------------------


def _bodies(recorded: Sequence[Recorded], account: Account) -> dict[str, dict[str, Any]]:
    """What is said of each event, by its id; in a constant number of queries."""
    conversations = [one.conversation for one in recorded]
    messages = [one.message for one in recorded if one.message is not None]
    prefetch_related_objects(
        conversations, "inbox", "address", "contact", "assignee", "team", "labels"
    )
    prefetch_related_objects(messages, "author", "reply_to", "attachments")
    bodies = {one.event.id: body_of(one, account) for one in recorded}
    for conversation in conversations:
        forget_labels(conversation)  # rules may change them next
    return bodies


def body_of(recorded: Recorded, account: Account) -> dict[str, Any]:
    """Everything but the sequence, which is the subscriber's own."""
    event, conversation, message = recorded
    return {
        "id": event.id,
        "type": event.type,
        "occurred_at": time_text(event.occurred_at),
        "account": account_json(account),
        "conversation": _conversation(conversation),
        "message": _message(message) if message is not None else None,
        "data": {name: value for name, value in event.data.items() if name != "message"},
    }


def _conversation(conversation: Conversation) -> dict[str, Any]:
    team = conversation.team
    return {
        **conversation_json(conversation),
        "inbox": inbox_json(conversation.inbox),
        "contact": contact_json(conversation),
        "assignee": member_json(conversation.assignee),
        "team": {"id": team.public_id, "name": team.name} if team is not None else None,
    }


def _message(message: Message) -> dict[str, Any]:
    """What its customer has taken back is not passed on."""
    shown = {**message_json(message), "direction": message.direction}
    if message.deleted_at is not None:
        shown |= {"text": "", "content": {}, "attachments": []}
    return {
        **shown,
        "edited_at": time_text(message.edited_at),
        "deleted_at": time_text(message.deleted_at),
    }
