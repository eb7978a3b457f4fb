"""What happens on an event: rules first, then whoever holds the conversation is told."""

from __future__ import annotations

from typing import Any

from conversations.models import Conversation, Event, Message


def on_event(
    *, event: Event, conversation: Conversation, message: Message | None, **_signal: Any
) -> None:
    """Receiver of `event_recorded`, inside the writing transaction."""
