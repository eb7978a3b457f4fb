"""Switchboard's own agent protocol: JSON events signed by Standard Webhooks, answers in the response.

docs/agents.md describes it for those who write agents. Ids are opaque; times are ISO 8601 in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from accounts.models import Member
from agents.actions import Answer
from agents.dialects import Dialect, Occasion
from conversations.file_addresses import signed_url
from conversations.models import Attachment, Conversation, Message
from integrations.native.reading import read_answer


class NativeDialect(Dialect):
    slug: ClassVar[str] = "native"
    name: ClassVar[str] = "Switchboard"
    event_types: ClassVar[frozenset[str]] = frozenset(
        {
            "conversation.assigned",
            "message.created",
            "message.status",
            "conversation.updated",
            "conversation.unassigned",
            "conversation.resolved",
            "contact.erased",
        }
    )

    def build(self, occasion: Occasion) -> bytes:
        event, conversation, agent = occasion.event, occasion.conversation, occasion.agent
        body: dict[str, Any] = {
            "id": occasion.wire_id,
            "type": event.type,
            "sequence": occasion.sequence,
            "epoch": conversation.assignment_epoch,
            "occurred_at": time_text(event.occurred_at),
            "account": {"id": agent.account.public_id, "name": agent.account.name},
            "agent": {"id": agent.public_id, "name": agent.name},
            "inbox": {
                "id": conversation.inbox.public_id,
                "name": conversation.inbox.name,
                "channel": conversation.inbox.platform,
            },
            "conversation": conversation_json(conversation),
            "contact": contact_json(conversation),
            **self._particulars(occasion),
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def _particulars(self, occasion: Occasion) -> dict[str, Any]:
        """What this type of event has beyond the common part."""
        data = occasion.event.data
        match occasion.event.type:
            case "message.created" | "message.status" if occasion.message is not None:
                return {"message": message_json(occasion.message)}
            case "conversation.assigned":
                return {
                    "handoff": {
                        "reason": data.get("reason", ""),
                        "detail": data.get("detail", ""),
                        "summary": data.get("summary", ""),
                        "from": member_json(occasion.previous),
                    },
                    "history": [message_json(message) for message in occasion.history],
                }
            case "conversation.updated":
                return {"changes": {key: value for key, value in data.items() if key != "actor"}}
            case "conversation.resolved":
                return {"detail": data.get("detail", "")}
        return {"reason": data.get("reason", ""), "detail": data.get("detail", "")}

    def read_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        return read_answer(status, body)


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    conversation.address.inbox = conversation.inbox
    return {
        "id": conversation.public_id,
        "number": conversation.number,
        "status": conversation.status,
        "language": conversation.language or None,
        "labels": sorted(label.name for label in conversation.labels.all()),
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
        "referral", "forwarded",
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
