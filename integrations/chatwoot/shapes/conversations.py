"""Conversations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from django.utils import timezone

from conversations.models import Conversation, Message
from integrations.chatwoot.shapes.contacts import contact_json
from integrations.chatwoot.shapes.inboxes import channel_of
from integrations.chatwoot.shapes.messages import message_push, sender_of, unread_of
from integrations.chatwoot.shapes.parts import Json, iso, seconds
from integrations.chatwoot.shapes.people import agent_json, assignee_type, slim_bot, team_json
from integrations.chatwoot.signing import uuid_of

Status = Conversation.Status

OPEN, PENDING, RESOLVED = "open", "pending", "resolved"


@dataclass(frozen=True, slots=True)
class LastWords:
    """The newest messages of some conversations, by the conversation's id: of any kind, and said."""

    any: Mapping[int, Message] = field(default_factory=dict)
    said: Mapping[int, Message] = field(default_factory=dict)


def conversation_json(conversation: Conversation, last: LastWords, mine: Collection[int]) -> Json:
    """A conversation; `mine` are the teams of whoever asks."""
    newest, said = last.any.get(conversation.pk), last.said.get(conversation.pk)
    return {
        "meta": _meta(conversation, mine),
        "id": conversation.number,
        "messages": [_said(newest, conversation)] if newest else [],
        "account_id": conversation.account_id,
        "uuid": uuid_of(conversation.public_id),
        "additional_attributes": additional_attributes(conversation),
        "agent_last_seen_at": 0,
        "assignee_last_seen_at": 0,
        "can_reply": can_reply(conversation),
        "contact_last_seen_at": 0,
        "custom_attributes": conversation.attributes,
        "inbox_id": conversation.inbox_id,
        "labels": labels_of(conversation),
        "muted": conversation.contact.blocked,
        "snoozed_until": iso(conversation.snoozed_until),
        "status": status_of(conversation),
        "created_at": seconds(conversation.created_at),
        "updated_at": conversation.updated_at.timestamp(),
        "timestamp": seconds(conversation.last_activity_at),
        "first_reply_created_at": 0,
        "unread_count": unread_of(conversation),
        "last_non_activity_message": _said(said, conversation) if said else None,
        "last_activity_at": seconds(conversation.last_activity_at),
        "priority": priority_of(conversation.priority),
        "waiting_since": seconds(conversation.waiting_since),
        "sla_policy_id": None,
    }


def _said(message: Message, conversation: Conversation) -> Json:
    return message_push(message, conversation, sender_of(message, conversation))


def _meta(conversation: Conversation, mine: Collection[int]) -> Json:
    """Who talks with whom. What is not set is not there."""
    shown: Json = {
        "sender": contact_json(conversation.contact),
        "channel": channel_of(conversation.inbox),
    }
    assignee = conversation.assignee
    if assignee is not None:
        by_bot = assignee.is_agent
        shown["assignee"] = slim_bot(assignee.agent) if by_bot else agent_json(assignee)
        shown["assignee_type"] = assignee_type(assignee)
    if conversation.team is not None:
        shown["team"] = team_json(conversation.team, mine)
    shown["hmac_verified"] = conversation.address.proves(conversation.contact)
    return shown


def additional_attributes(conversation: Conversation) -> Json:
    language = conversation.language
    return {"conversation_language": language} if language else {}


def status_of(conversation: Conversation) -> str:
    """Theirs: what an AI agent holds is pending, the rest as ours."""
    return status_from(conversation.status, with_agent=conversation.held_by_agent)


def status_from(status: str, *, with_agent: bool) -> str:
    return PENDING if status == Status.OPEN and with_agent else str(status)


def can_reply(conversation: Conversation) -> bool:
    """Whether free text is allowed now."""
    conversation.address.inbox = conversation.inbox
    if conversation.inbox.channel.capabilities.window is None:
        return True
    closes_at = conversation.address.window_closes_at()
    return closes_at is not None and closes_at > timezone.now()


def labels_of(conversation: Conversation) -> list[str]:
    return conversation.label_names


def priority_of(priority: str) -> str | None:
    return None if priority == Conversation.Priority.NONE else str(priority)
