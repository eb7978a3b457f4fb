"""What the webhook of an API inbox gets: `message_created`, as their API inboxes push it."""

from __future__ import annotations

from typing import Any

from conversations.models import Message
from integrations.chatwoot import payload
from integrations.chatwoot.shown import gather


def message_created(message: Message) -> dict[str, Any]:
    """The whole event, in the account's context."""
    conversation = message.conversation
    shown = gather([conversation], [message])
    body = payload.message_json(message, conversation, shown)
    return {**body, "event": "message_created"}
