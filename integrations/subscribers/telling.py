"""Telling subscribers: one delivery per event and subscriber, written with the event (DL-02)."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import prefetch_related_objects
from django.utils import timezone

from accounts.ids import encode as public_id
from accounts.ids import sortable
from accounts.models import Account
from accounts.tenancy import current_account_id
from agents import dialects
from agents.dialects import Notice
from agents.telling import forget_labels
from conversations.models import Conversation, Delivery, Endpoint, Lane, Message
from conversations.services import outbox
from conversations.services.outbox import LaneName
from conversations.signals import ContactChange, Recorded, Typing
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
from integrations.subscribers.catalogue import NATIVE, wants

# It holds the rows as a foreign key does: whoever switches one off or deletes it waits for what is being
# told, and cancels that as well, and whoever tells afterwards does not find it. Nothing is put on the
# queue of an endpoint that is gone.
_SUBSCRIBED = """
SELECT id, event_types, dialect FROM conversations_endpoint
WHERE account_id = %s AND kind = 'subscriber' AND state = 'enabled'
ORDER BY id FOR KEY SHARE
"""


# How long it is worth telling that somebody is typing.
PASSING = timedelta(seconds=30)
_LETTERS = string.ascii_lowercase


class Subscribed(NamedTuple):
    """An endpoint that hears of things, and of which."""

    endpoint_id: int
    event_types: list[str]
    dialect: str


class Telling(NamedTuple):
    """One request that tells one subscriber of one event; another dialect may tell it by several."""

    recorded: Recorded
    to: Subscribed
    name: str
    number: int = 0

    @property
    def wire_id(self) -> str:
        own = wire_id(self.recorded.event.id, self.to.endpoint_id)
        return f"{own}-{_LETTERS[self.number]}" if self.number else own


def wire_id(event_id: str, endpoint_id: int) -> str:
    """The same for every attempt of one event at one endpoint (delivery.md 3)."""
    suffix = public_id(Endpoint.public_id, endpoint_id).partition("_")[2]
    return f"{event_id}-{suffix}"


def on_events(*, recorded: Sequence[Recorded], subscribed: bool = True, **_signal: Any) -> None:
    """Receiver of `event_recorded`, inside the writing transaction."""
    endpoints = _subscribed() if subscribed else []
    tellings = [
        Telling(one, to, name, number)
        for one in recorded
        for to in endpoints
        for number, name in enumerate(_names(one, to))
    ]
    if tellings:
        _tell(tellings)


def _subscribed() -> list[Subscribed]:
    with connection.cursor() as cursor:
        cursor.execute(_SUBSCRIBED, [current_account_id()])
        return [Subscribed(*row) for row in cursor.fetchall()]


def _names(one: Recorded, to: Subscribed) -> list[str]:
    """By which requests a subscriber hears of an event."""
    if to.dialect == NATIVE:
        return [one.event.type] if wants(to.event_types, one.event.type) else []
    dialect = _dialect(to)
    names = dialect.names(one.event, one.conversation) if dialect else ()
    return [name for name in names if name in to.event_types]


def _tell(tellings: Sequence[Telling]) -> None:
    """Put them on their lanes; the bodies are made here, once (DL-36)."""
    account_id = current_account_id()
    body_of_telling = _builder(tellings)
    places = outbox.take_places(
        account_id,
        [
            LaneName(Lane.Kind.SUBSCRIBER, one.to.endpoint_id, one.recorded.conversation.public_id)
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
                event_type=one.name,
                endpoint_id=one.to.endpoint_id,
                conversation=one.recorded.conversation,
                message=one.recorded.message,
                epoch=one.recorded.event.epoch,
                body=body_of_telling(one, place.sequence),
            )
            for one, place in zip(tellings, places, strict=True)
        ]
    )


# --- What is no event of a conversation ----------------------------------------------------------


def on_contacts(*, changes: Sequence[ContactChange], **_signal: Any) -> None:
    """Receiver of `contacts_changed`, inside the writing transaction: told in the words of platforms that
    have such news. Each contact has a lane of its own."""
    subscribed = _otherwise_told()
    if not subscribed:
        return
    account = Account.objects.get(pk=current_account_id())
    _put(
        [
            (to, change.contact.public_id, news, {"contact": change.contact})
            for change in changes
            for to, dialect in subscribed
            if (news := dialect.contact_news(change, account)) and news.name in to.event_types
        ],
        schedule=Delivery.Schedule.DURABLE,
    )


def on_typing(*, typing: Typing, **_signal: Any) -> None:
    """Receiver of `typing_noted`. It is news now or never: nobody is told later."""
    conversation = typing.conversation
    _put(
        [
            (to, conversation.public_id, news, {"conversation": conversation})
            for to, dialect in _otherwise_told()
            if (news := dialect.typing_news(typing)) and news.name in to.event_types
        ],
        schedule=Delivery.Schedule.NOTICE,
        deadline_at=timezone.now() + PASSING,
    )


def _otherwise_told() -> list[tuple[Subscribed, dialects.Dialect]]:
    """Subscribers that are told in another platform's words."""
    found = [(one, _dialect(one)) for one in _subscribed() if one.dialect != NATIVE]
    return [(one, dialect) for one, dialect in found if dialect is not None]


def _put(told: Sequence[tuple[Subscribed, str, Notice, dict[str, Any]]], **fields: Any) -> None:
    """Put news on the lanes of these keys; each says whom or what it is about."""
    if not told:
        return
    lanes = [LaneName(Lane.Kind.SUBSCRIBER, to.endpoint_id, key) for to, key, _news, _about in told]
    places = outbox.take_places(current_account_id(), lanes)
    deliveries = []
    for place, (to, _key, news, about) in zip(places, told, strict=True):
        event_id = sortable("evt")
        deliveries.append(
            outbox.delivery_at(
                place,
                kind=Lane.Kind.SUBSCRIBER,
                wire_id=wire_id(event_id, to.endpoint_id),
                event_id=event_id,
                event_type=news.name,
                endpoint_id=to.endpoint_id,
                body=news.build(),
                **about,
                **fields,
            )
        )
    outbox.put_many(deliveries)


def _dialect(to: Subscribed) -> dialects.Dialect | None:
    try:
        return dialects.get(to.dialect)
    except KeyError:  # the platform is not installed any more
        return None


# --- Bodies --------------------------------------------------------------------------------------


def _builder(tellings: Sequence[Telling]) -> Callable[[Telling, int], bytes]:
    """What makes the body of a telling with its sequence; what the bodies show has been fetched."""
    ours = [one.recorded for one in tellings if one.to.dialect == NATIVE]
    bodies = _bodies(ours, Account.objects.get(pk=current_account_id())) if ours else {}
    news = _news([one for one in tellings if one.to.dialect != NATIVE])

    def body(one: Telling, sequence: int) -> bytes:
        event_id = one.recorded.event.id
        if one.to.dialect == NATIVE:
            return encode({**bodies[event_id], "sequence": sequence})
        return news[one.to.dialect, event_id, one.name]

    return body


def _news(tellings: Sequence[Telling]) -> dict[tuple[str, str, str], bytes]:
    """The bodies of other dialects, by dialect, event and name; each is made once for all who get it."""
    made: dict[tuple[str, str, str], bytes] = {}
    for slug in {one.to.dialect for one in tellings}:
        told = [one for one in tellings if one.to.dialect == slug]
        events = {one.recorded.event.id: one.recorded for one in told}
        build = dialects.get(slug).news(list(events.values()))
        for event_id, name in dict.fromkeys((one.recorded.event.id, one.name) for one in told):
            made[slug, event_id, name] = build(events[event_id], name)
    for one in tellings:
        forget_labels(one.recorded.conversation)  # rules may change them next
    return made


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
