"""Chatwoot's webhooks, for bots and account webhooks that were written for it (docs/platforms/chatwoot.md).

A bot answers by calling the API; what it answers to a webhook means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from django.utils.dateparse import parse_datetime

from accounts import ids
from accounts.models import Account
from agents.actions import Answer
from agents.dialects import Builder, Dialect, News, Notice, Occasion
from conversations.models import Contact, Conversation, Event
from conversations.signals import ContactChange, Recorded, Typing
from integrations.chatwoot import payload
from integrations.chatwoot.shapes.contacts import contact_push
from integrations.chatwoot.shapes.conversations import (
    OPEN,
    RESOLVED,
    labels_of,
    priority_of,
    status_from,
    status_of,
)
from integrations.chatwoot.shapes.people import person_id
from integrations.chatwoot.shown import Shown, gather
from integrations.chatwoot.signing import webhook_headers
from integrations.payload import encode, time_text

# Each is told by one event of theirs; what changes a conversation by several (`_names_of_change`).
PLAIN: Mapping[str, str] = {
    "conversation.created": "conversation_created",
    "message.created": "message_created",
    "message.updated": "message_updated",
    "message.status": "message_updated",
}
CHANGES = frozenset(
    {
        "conversation.assigned",
        "conversation.unassigned",
        "conversation.updated",
        "conversation.resolved",
    }
)
# What account webhooks hear, too; and what they may ask for although it never happens here: there is no
# web widget, and over there an inbox's events are sent where a server is set up for them.
TOLD = (
    "conversation_status_changed",
    "conversation_updated",
    "conversation_created",
    "contact_created",
    "contact_updated",
    "message_created",
    "message_updated",
)
TYPING = ("conversation_typing_on", "conversation_typing_off")
NEVER = ("webwidget_triggered", "inbox_created", "inbox_updated")
# Our columns of a contact, and theirs.
CONTACT_COLUMNS: Mapping[str, str] = {
    "name": "name",
    "email": "email",
    "phone": "phone_number",
    "identifier": "identifier",
    "blocked": "blocked",
    "attributes": "custom_attributes",
}
# They say what has changed.
WITH_CHANGES = ("conversation_status_changed", "conversation_updated")


class ChatwootDialect(Dialect):
    slug: ClassVar[str] = "chatwoot"
    name: ClassVar[str] = "Chatwoot"
    event_types: ClassVar[frozenset[str]] = frozenset(PLAIN) | CHANGES
    # Bots answer at once and work afterwards; they were written against this limit.
    default_timeout_s: ClassVar[int] = 5
    follows: ClassVar[bool] = True
    subscriptions: ClassVar[frozenset[str]] = frozenset({*TOLD, *TYPING, *NEVER})
    # Over there a bot may speak whoever has the conversation.
    stale_gate: ClassVar[bool] = False

    def names(self, event: Event, conversation: Conversation) -> Sequence[str]:
        if event.type in PLAIN:
            return (PLAIN[event.type],)
        return tuple(_names_of_change(event, conversation)) if event.type in CHANGES else ()

    def builder(self, told: Sequence[Recorded]) -> Builder:
        shown = _gathered(told)
        return lambda occasion: encode(_body(_of(occasion), occasion.name, shown))

    def news(self, told: Sequence[Recorded]) -> News:
        shown = _gathered(told)
        return lambda recorded, name: encode(_body(recorded, name, shown))

    def contact_news(self, change: ContactChange, account: Account) -> Notice | None:
        changes = _contact_changes(change)
        if change.before is not None and not changes:
            return None  # of what they do not know
        return Notice(
            "contact_created" if change.before is None else "contact_updated",
            lambda: encode(_news_of(change, account, changes)),
        )

    def typing_news(self, typing: Typing) -> Notice | None:
        name = TYPING[0] if typing.on else TYPING[1]
        return Notice(name, lambda: encode({**_typing(typing), "event": name}))

    def build(self, occasion: Occasion) -> bytes | None:
        return self.builder([_of(occasion)])(occasion)

    def headers(
        self, body: bytes, *, wire_id: str, timestamp: int, secrets: Sequence[str]
    ) -> Mapping[str, str]:
        return webhook_headers(body, wire_id=wire_id, timestamp=timestamp, secrets=secrets)

    def read_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        return Answer()


# --- Which events --------------------------------------------------------------------------------


def _names_of_change(event: Event, conversation: Conversation) -> Iterator[str]:
    """What they send when a conversation is saved, in their order. Losing a conversation to somebody is
    told by their getting it, once."""
    data = event.data
    followed = event.type == "conversation.unassigned" and (data["assignee"] or data["team"])
    if followed or not _concerns_conversation(event):
        return
    was, now = _status_before(event, conversation), status_of(conversation)
    if was != now:
        if now == OPEN:
            yield "conversation_opened"
        if now == RESOLVED:
            yield "conversation_resolved"
        yield "conversation_status_changed"
    yield "conversation_updated"


def _concerns_conversation(event: Event) -> bool:
    """A contact's attributes are no news of the conversation."""
    return "conversation" in event.data.get("attributes", {"conversation": ()})


def _status_before(event: Event, conversation: Conversation) -> str:
    before = event.data.get("before", {})
    if "status" not in before:
        return status_of(conversation)
    return status_from(before["status"], with_agent=before["with_agent"])


# --- Bodies --------------------------------------------------------------------------------------


def _of(occasion: Occasion) -> Recorded:
    return Recorded(occasion.event, occasion.conversation, occasion.message)


def _gathered(told: Sequence[Recorded]) -> Shown:
    previous = [_member_id(one.event.data.get("previous")) for one in told]
    return gather(
        [one.conversation for one in told],
        [one.message for one in told if one.message is not None],
        member_ids=[pk for pk in previous if pk is not None],
    )


def _body(told: Recorded, name: str, shown: Shown) -> dict[str, Any]:
    event, conversation, message = told
    if message is not None:
        return {**payload.message_json(message, conversation, shown), "event": name}
    body = payload.conversation_json(conversation, shown)
    body |= {"conversation": payload.brief_conversation(conversation), "event": name}
    if name in WITH_CHANGES:
        changes = list(_changes(event, conversation, shown))
        if name == "conversation_status_changed":
            changes = [change for change in changes if "status" in change]
        body["changed_attributes"] = changes or None
    return body


def _news_of(
    change: ContactChange, account: Account, changes: list[dict[str, Any]]
) -> dict[str, Any]:
    body = payload.contact_webhook(change.contact, account)
    if change.before is None:
        return {**body, "event": "contact_created"}
    return {**body, "event": "contact_updated", "changed_attributes": changes}


def _contact_changes(change: ContactChange) -> list[dict[str, Any]]:
    """One object for each column of theirs that changed of a contact, as they would show it."""
    now = change.contact
    values = {name: getattr(now, name) for name in CONTACT_COLUMNS} | dict(change.before or {})
    before, after = contact_push(Contact(pk=now.pk, **values)), contact_push(now)
    return [
        {column: {"previous_value": before[column], "current_value": after[column]}}
        for column in CONTACT_COLUMNS.values()
        if before[column] != after[column]
    ]


def _typing(typing: Typing) -> dict[str, Any]:
    conversation, by = typing.conversation, typing.by
    shown = gather([conversation], member_ids=[by.pk] if by is not None else [])
    user = (
        payload.contact_webhook(conversation.contact, conversation.account)
        if by is None
        else payload.member_webhook(by, shown.agent_of(by))
    )
    body = payload.conversation_json(conversation, shown)
    return {"user": user, "conversation": body, "is_private": typing.private}


def _changes(event: Event, conversation: Conversation, shown: Shown) -> Iterator[dict[str, Any]]:
    """One object for each column of theirs that changed."""
    for column, was, now in _columns(event, conversation, shown):
        if was != now:
            yield {column: {"previous_value": was, "current_value": now}}


def _columns(
    event: Event, conversation: Conversation, shown: Shown
) -> Iterator[tuple[str, Any, Any]]:
    """The columns that an event is about, as they were and as they are."""
    data, before = event.data, event.data.get("before", {})
    yield "status", _status_before(event, conversation), status_of(conversation)
    if "status" in before:
        until = before["snoozed_until"]
        was = time_text(parse_datetime(until)) if until else None
        yield "snoozed_until", was, time_text(conversation.snoozed_until)
    if "previous" in data:
        yield from _holders(event, conversation, shown)
    if "labels_added" in data or "labels_removed" in data:
        labels = set(labels_of(conversation))
        old = labels - set(data.get("labels_added", ())) | set(data.get("labels_removed", ()))
        yield "label_list", sorted(old), sorted(labels)
    if "conversation" in data.get("attributes", {}):
        yield "custom_attributes", before.get("attributes"), conversation.attributes
    if "priority" in data:
        first = priority_of(before.get("priority", conversation.priority))
        yield "priority", first, priority_of(conversation.priority)


def _holders(
    event: Event, conversation: Conversation, shown: Shown
) -> Iterator[tuple[str, Any, Any]]:
    previous, before = _member_id(event.data["previous"]), event.data["before"]
    had, has = shown.agents.get(previous or 0), shown.agent_of(conversation.assignee)
    person = previous if not before["with_agent"] else None
    yield "assignee_id", person, person_id(conversation.assignee)
    yield "assignee_agent_bot_id", had.pk if had else None, has.pk if has else None
    team = ids.decode("tem", before["team"]) if before["team"] else None
    yield "team_id", team, conversation.team_id


def _member_id(public_id: str | None) -> int | None:
    return ids.decode("mem", public_id) if public_id else None
