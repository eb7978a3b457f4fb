"""Switchboard's own agent protocol: JSON events signed by Standard Webhooks, answers in the response.

docs/agents.md describes it for those who write agents. Ids are opaque; times are ISO 8601 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from agents.actions import Answer
from agents.dialects import Dialect, Occasion
from integrations.native.reading import read_answer
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

# What stands in an update's event beside what has changed.
NOT_CHANGES = frozenset({"actor", "before"})


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

    wants_callback: ClassVar[bool] = True

    def build(self, occasion: Occasion) -> bytes:
        event, conversation, agent = occasion.event, occasion.conversation, occasion.agent
        body: dict[str, Any] = {
            "id": occasion.wire_id,
            "type": event.type,
            "sequence": occasion.sequence,
            "epoch": conversation.assignment_epoch,
            "occurred_at": time_text(event.occurred_at),
            "account": account_json(agent.account),
            "agent": {"id": agent.public_id, "name": agent.name},
            "inbox": inbox_json(conversation.inbox),
            "conversation": conversation_json(conversation),
            "contact": contact_json(conversation),
            **self._particulars(occasion),
        }
        if occasion.reply_url:
            body["reply_url"] = occasion.reply_url
        return encode(body)

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
                return {"changes": {key: data[key] for key in data if key not in NOT_CHANGES}}
            case "conversation.resolved":
                return {"detail": data.get("detail", "")}
        return {"reason": data.get("reason", ""), "detail": data.get("detail", "")}

    def read_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        return read_answer(status, body)
