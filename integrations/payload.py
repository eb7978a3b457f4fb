"""How our own wire shows conversations, contacts and messages, to agents and to subscribers alike.

Ids are opaque; times are ISO 8601 in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from accounts.models import Account, Member
from conversations.file_addresses import signed_url
from conversations.models import Attachment, Conversation, Inbox, Message


def encode(body: Mapping[str, Any]) -> bytes:
    """As it is sent and signed."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def account_json(account: Account) -> dict[str, Any]:
    return {"id": account.public_id, "name": account.name}


def inbox_json(inbox: Inbox) -> dict[str, Any]:
    return {"id": inbox.public_id, "name": inbox.name, "channel": inbox.platform}


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    conversation.address.inbox = conversation.inbox
    return {
        "id": conversation.public_id,
        "number": conversation.number,
        "status": conversation.status,
        "language": conversation.language or None,
        "labels": conversation.label_names,
        "attributes": conversation.attributes,
        "assignment_epoch": conversation.assignment_epoch,
        "window_closes_at": time_text(conversation.address.window_closes_at()),
    }


def contact_json(conversation: Conversation) -> dict[str, Any]:
    contact = conversation.contact
    return {
        "id": contact.public_id,
        "name": contact.name or None,
        "phone": contact.phone or None,
        "language": contact.language or None,
        "attributes": contact.attributes,
    }


def message_json(message: Message) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": message.public_id,
        "from": speaker(message),
        "kind": message.kind,
        "text": message.text,
        "content": {key: value for key, value in message.content.items() if key in CONTENT_KEYS},
        "attachments": [attachment_json(file) for file in message.files],
        "reply_to": message.reply_to.public_id if message.reply_to else None,
        "sent_at": time_text(message.sent_at or message.created_at),
    }
    if message.direction == Message.Direction.OUTBOUND:
        data["status"] = message.status
        if message.error_code or message.error_text:
            data["error"] = {"code": message.error_code, "text": message.error_text}
    return data


# What an agent can use; what a platform said literally stays with us.
CONTENT_KEYS = frozenset(
    {
        "buttons", "list", "header", "footer", "choice", "location", "cards", "emoji", "form",
        "referral", "forwarded", "carousel", "fields", "input", "articles", "submitted",
        "template",
    }
)  # fmt: skip


def attachment_json(attachment: Attachment) -> dict[str, Any]:
    return {
        "kind": attachment.kind,
        "mime": attachment.mime,
        "filename": attachment.filename,
        "url": signed_url(attachment),
    }


def speaker(message: Message) -> str:
    """`contact`, `agent`, `person`, or `system` for automatic texts."""
    if message.direction == Message.Direction.INBOUND:
        return "contact"
    if message.author is not None:
        return message.author.kind
    return "person" if message.content.get("device") else "system"


def member_json(member: Member | None) -> dict[str, Any] | None:
    if member is None:
        return None
    return {"id": member.public_id, "kind": member.kind, "name": member.name}


def time_text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
