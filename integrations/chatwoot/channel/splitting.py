"""One webhook is one item: what it is called, and whose turn it belongs to."""

from __future__ import annotations

import hashlib

from conversations.channels import HookItem, InboxConfig, UnexpectedPayloadError
from conversations.messages import DeliveryStatus
from integrations.chatwoot.channel import updates
from integrations.chatwoot.channel.naming import (
    UNKNOWN_LANE,
    contact_of,
    digest,
    external_id,
    is_number,
    number_of,
)
from integrations.wire import Fields, parse_json, unstorable_text

MESSAGES = frozenset({"message_created", "message_updated"})


def split(body: bytes, inbox: InboxConfig) -> list[HookItem]:
    """The request's one item. Never raises for odd content."""
    try:
        event = Fields.of(parse_json(body))
        name = event.text("event")
        is_message = name in MESSAGES
        item = _message(event, name, body, inbox) if is_message else _other(event, name, body)
        problem = unstorable_text(event.values)
        if problem:
            raise UnexpectedPayloadError(problem, key="body")
    except UnexpectedPayloadError as error:
        key = f"h:{hashlib.sha256(body).hexdigest()}"
        return [HookItem(key, UNKNOWN_LANE, body, error=str(error), weak_key=True)]
    return [item]


def _message(event: Fields, name: str, body: bytes, inbox: InboxConfig) -> HookItem:
    conversation = event.fields("conversation")
    external = external_id(number_of(conversation), number_of(event))
    lane = _lane(contact_of(conversation))
    if name == "message_created" and updates.reference_of(event, inbox):
        return HookItem(f"s:{external}:{DeliveryStatus.SENT}", lane, body, status=True)
    if name == "message_created":
        letter = "e" if updates.message_type(event) == "outgoing" else "m"
        return HookItem(f"{letter}:{external}", lane, body)
    if values := updates.submitted(event):
        return HookItem(f"m:{external}/{digest(values)}", lane, body)
    if not updates.is_deleted(event) and (status := updates.status_of(event, inbox)):
        return HookItem(f"s:{external}:{status[:40]}", lane, body, status=True)
    changed = digest([event.values.get("content"), event.values.get("content_attributes")])
    return HookItem(f"u:{external}:{changed}", lane, body)


def _other(event: Fields, name: str, body: bytes) -> HookItem:
    """About a conversation, or of a kind that we do not know: the same content is the same event."""
    key = f"c:{name[:60]}:{hashlib.sha256(body).hexdigest()}"
    lane = contact_of(event) or event.maybe("contact").code("id")
    return HookItem(key, _lane(lane), body, weak_key=True)


def _lane(contact: str) -> str:
    return contact if is_number(contact) else UNKNOWN_LANE
