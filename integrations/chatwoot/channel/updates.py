"""What a `message_updated` is about: the event does not say what changed, so it is told from what stands
in the message (contract, 2.2 and 2.3)."""

from __future__ import annotations

from typing import Any

from conversations.channels import InboxConfig
from integrations.chatwoot.channel.naming import REFERENCE
from integrations.wire import Fields

TYPES = {"0": "incoming", "1": "outgoing", "2": "activity", "3": "template"}


def message_type(event: Fields) -> str:
    """In words; some senders write its number."""
    given = event.code("message_type")
    return TYPES.get(given, given)


def submitted(event: Fields) -> list[Any]:
    """What a visitor chose or filled in; a survey's answer is an object and none of it."""
    attributes = event.maybe("content_attributes")
    values = attributes.values.get("submitted_values")
    if isinstance(values, list) and values:
        return values
    email = attributes.text("submitted_email", "").strip()
    return [{"name": "email", "value": email}] if email else []


def is_deleted(event: Fields) -> bool:
    return event.maybe("content_attributes").flag("deleted")


def is_ours(event: Fields, inbox: InboxConfig) -> bool:
    """Whether our bot said it, to the customer."""
    sender, bot = event.maybe("sender"), str(inbox.config.get("bot_id", ""))
    said = message_type(event) == "outgoing" and not event.flag("private")
    return said and sender.text("type", "") == "agent_bot" and sender.code("id") == bot != ""


def reference_of(event: Fields, inbox: InboxConfig) -> str:
    """Our own name of a message that our bot has just said; empty for everything else."""
    return event.maybe("content_attributes").text(REFERENCE, "") if is_ours(event, inbox) else ""


def status_of(event: Fields, inbox: InboxConfig) -> str:
    """How far a message of ours has come; empty where the event does not say. It stands only in the
    conversation's last message, which may be another one by now."""
    if not is_ours(event, inbox):
        return ""
    for message in event.maybe("conversation").each("messages"):
        if message.code("id") == event.code("id"):
            return message.text("status", "")
    return ""
