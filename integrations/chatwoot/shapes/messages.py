"""Messages."""

from __future__ import annotations

from conversations.messages import DeliveryStatus, Kind
from conversations.models import Attachment, Conversation, Message
from integrations.chatwoot import offers, templates
from integrations.chatwoot.shapes.attachments import attachments_of, file_json
from integrations.chatwoot.shapes.contacts import contact_push, source_of
from integrations.chatwoot.shapes.parts import Json, iso, seconds
from integrations.chatwoot.shapes.people import member_push, person_id

Direction = Message.Direction

INCOMING, OUTGOING, ACTIVITY, TEMPLATE = range(4)
DELETED = "This message was deleted"
# A conversation counts its unread messages so far.
MOST_UNREAD = 10
_SENDERS = {"contact": "Contact", "user": "User", "agent_bot": "AgentBot"}


def message_type(message: Message) -> int:
    """Automatic texts of ours are their templates; what was typed on the phone itself is not."""
    if message.direction == Direction.INBOUND:
        return INCOMING
    if message.direction == Direction.SYSTEM:
        return ACTIVITY
    by_itself = message.author_id is None and not message.content.get("device")
    return TEMPLATE if by_itself and message.direction == Direction.OUTBOUND else OUTGOING


def content_type(message: Message) -> str:
    """What was taken back is a text, whatever it was."""
    return "text" if message.deleted_at else offers.type_of(message.kind, message.content)


def content_attributes(message: Message) -> Json:
    """What a message has beyond its text, and what its author's own program keeps with it; needs what it
    replies to."""
    if message.deleted_at:
        return {"deleted": True}
    data = message.content
    shown: Json = {**data.get("attributes", {}), **offers.submitted_of(data)}
    if items := offers.items_of(data):
        shown["items"] = items
    if message.reply_to is not None:
        shown["in_reply_to"] = message.reply_to.pk
        shown["in_reply_to_external_id"] = message.reply_to.external_id or None
    if message.status == DeliveryStatus.FAILED:
        shown["external_error"] = message.error_text or message.error_code
    if message.kind == Kind.UNSUPPORTED:
        shown["is_unsupported"] = True
    if data.get("device"):
        shown["external_echo"] = True
    return shown


def delivery_status(message: Message) -> str:
    """What waits to be sent is `sent` with them, and so is what is never sent: notes, activity, what
    customers said."""
    travels = message.direction == Direction.OUTBOUND and message.status != DeliveryStatus.QUEUED
    return str(message.status if travels else DeliveryStatus.SENT)


def text_of(message: Message) -> str | None:
    return DELETED if message.deleted_at else message.text or None


def message_json(message: Message, conversation: Conversation, *, echo_id: str | int = "") -> Json:
    """A message of the API; needs its author with `agent`, and its files."""
    shown: Json = {
        "id": message.pk,
        "content": text_of(message),
        "inbox_id": message.inbox_id,
        "conversation_id": conversation.number,
        "message_type": message_type(message),
        "content_type": content_type(message),
        "status": delivery_status(message),
        "content_attributes": content_attributes(message),
        "created_at": seconds(message.created_at),
        "private": message.direction == Direction.NOTE,
        "source_id": message.external_id or None,
    }
    if echo_id != "":
        shown["echo_id"] = echo_id
    if sender := sender_of(message, conversation):
        shown["sender"] = sender
    if files := attachments_of(message):
        shown["attachments"] = files
    return shown


def sender_of(message: Message, conversation: Conversation) -> Json | None:
    if message.direction == Direction.INBOUND:
        return contact_push(conversation.contact)
    if message.author is None or message.direction == Direction.SYSTEM:
        return None
    return member_push(message.author)


def message_push(message: Message, conversation: Conversation, sender: Json | None) -> Json:
    """A message inside a conversation, said by `sender`: the fuller shape of their events. Types are numbers
    here, times are seconds."""
    shown: Json = {
        "id": message.pk,
        "content": text_of(message),
        "account_id": message.account_id,
        "inbox_id": message.inbox_id,
        "conversation_id": conversation.number,
        "message_type": message_type(message),
        "created_at": seconds(message.created_at),
        "updated_at": iso(message.edited_at or message.deleted_at or message.created_at),
        "private": message.direction == Direction.NOTE,
        "status": delivery_status(message),
        "source_id": message.external_id or None,
        "content_type": content_type(message),
        "content_attributes": content_attributes(message),
        "sender_type": _SENDERS.get(sender["type"]) if sender else None,
        "sender_id": sender["id"] if sender else None,
        "external_source_ids": {},
        "additional_attributes": templates.additional_attributes(message),
        "processed_message_content": text_of(message),
        "sentiment": {},
        "conversation": {
            "assignee_id": person_id(conversation.assignee),
            "unread_count": unread_of(conversation),
            "last_activity_at": seconds(conversation.last_activity_at),
            "contact_inbox": {"source_id": source_of(conversation.address)},
        },
    }
    if sender:
        shown["sender"] = sender
    if files := attachments_of(message):
        shown["attachments"] = files
    return shown


def unread_of(conversation: Conversation) -> int:
    return min(conversation.unread_count, MOST_UNREAD)


def listed_file(file: Attachment, conversation: Conversation) -> Json:
    """A file in the list of a conversation's files."""
    shown = file_json(file, file.message)
    names = (
        "id", "message_id", "thumb_url", "data_url", "file_size", "file_type", "extension", "width",
        "height",
    )  # fmt: skip
    sender = sender_of(file.message, conversation)
    return {
        **{name: shown[name] for name in names},
        "created_at": seconds(file.message.created_at),
        "sender": sender,
    }
