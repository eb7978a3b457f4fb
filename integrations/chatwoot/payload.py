"""How Chatwoot's webhooks show accounts, contacts, conversations and messages.

The shapes are those of Chatwoot 4.15, and beside them the keys of its "Agent Bots" page (`message`,
`conversation.assignee_id`, `sender.type`), so that bots written from either find what they read.
Ids are plain integers: a conversation's is its number, everybody else's the primary key.
docs/platforms/chatwoot.md says what is different.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.models import Account, Member
from agents.models import Agent
from conversations.messages import DeliveryStatus
from conversations.models import Address, Contact, Conversation, Inbox, Message
from integrations.chatwoot.attachments import attachments_of
from integrations.chatwoot.shapes import content_attributes, content_type
from integrations.chatwoot.shown import Shown
from integrations.chatwoot.signing import uuid_of
from integrations.payload import time_text

Direction = Message.Direction

OPEN, PENDING, RESOLVED = "open", "pending", "resolved"
INCOMING, OUTGOING, ACTIVITY, TEMPLATE = range(4)
MESSAGE_TYPES = ("incoming", "outgoing", "activity", "template")
# A conversation counts its unread messages so far.
MOST_UNREAD = 10
DELETED = "This message was deleted"

# What a platform of ours is called over there; whatever they do not have is an API channel.
CHANNELS: Mapping[str, str] = {
    "whatsapp": "Channel::Whatsapp",
    "wati": "Channel::Whatsapp",
    "widget": "Channel::WebWidget",
}
# A message of ours is `sent` from the moment it is written.
STATUSES: Mapping[str, str] = {
    DeliveryStatus.QUEUED: "sent",
    DeliveryStatus.SENT: "sent",
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.READ: "read",
    DeliveryStatus.FAILED: "failed",
}


# --- Who -----------------------------------------------------------------------------------------


def account_json(account: Account) -> dict[str, Any]:
    return {"id": account.pk, "name": account.name}


def inbox_json(inbox: Inbox) -> dict[str, Any]:
    return {"id": inbox.pk, "name": inbox.name}


def contact_json(contact: Contact) -> dict[str, Any]:
    """A contact inside a conversation."""
    return {
        "additional_attributes": {},
        "custom_attributes": contact.attributes,
        "email": contact.email or None,
        "id": contact.pk,
        "identifier": contact.identifier or None,
        "name": contact.name or contact.phone,
        "phone_number": phone_number(contact.phone),
        "thumbnail": "",
        "blocked": contact.blocked,
        "type": "contact",
    }


def contact_webhook(contact: Contact, account: Account) -> dict[str, Any]:
    """A contact as the sender of a webhook's message."""
    return {"account": account_json(account), "avatar": "", **contact_json(contact)}


def person_json(person: Member) -> dict[str, Any]:
    return {
        "id": person.pk,
        "name": person.name,
        "available_name": person.name,
        "avatar_url": "",
        "type": "user",
        "availability_status": "online" if person.active else "offline",
        "thumbnail": "",
    }


def bot_json(agent: Agent) -> dict[str, Any]:
    return {"id": agent.pk, "name": agent.name, "avatar_url": "", "type": "agent_bot"}


def member_json(member: Member | None, shown: Shown) -> dict[str, Any] | None:
    """A holder or author: a person, a bot, or nobody."""
    agent = shown.agent_of(member)
    if agent is not None:
        return bot_json(agent)
    return person_json(member) if member is not None else None


def person_id(member: Member | None) -> int | None:
    """The id of a human holder."""
    return member.pk if member is not None and member.is_person else None


def phone_number(phone: str) -> str | None:
    """With its plus, as E.164 wants it."""
    return (f"+{phone}" if phone.isdigit() else phone) or None


# --- Conversations -------------------------------------------------------------------------------


def status_of(conversation: Conversation) -> str:
    """`pending` is ours only in words: open, and held by an AI agent."""
    return status_from(conversation.status, with_agent=conversation.held_by_agent)


def status_from(status: str, *, with_agent: bool) -> str:
    return PENDING if status == Conversation.Status.OPEN and with_agent else str(status)


def conversation_json(conversation: Conversation, shown: Shown) -> dict[str, Any]:
    """The whole of it, as webhooks show it; `shown.gather` has been asked for it."""
    contact, team, last = conversation.contact, conversation.team, shown.last.get(conversation.pk)
    active = seconds(conversation.last_activity_at)
    language = {"conversation_language": conversation.language} if conversation.language else {}
    return {
        "additional_attributes": language,
        "can_reply": can_reply(conversation),
        "channel": channel_of(conversation.inbox),
        "contact_inbox": contact_inbox_json(conversation.address),
        "id": conversation.number,
        "inbox_id": conversation.inbox_id,
        "messages": [] if last is None else [nested_message(last, conversation, shown)],
        "labels": labels_of(conversation),
        "meta": {
            "sender": contact_json(contact),
            "assignee": member_json(conversation.assignee, shown),
            "assignee_type": assignee_type(conversation.assignee),
            "team": None if team is None else {"id": team.pk, "name": team.name},
            "hmac_verified": False,
        },
        "status": status_of(conversation),
        "custom_attributes": conversation.attributes,
        "snoozed_until": time_text(conversation.snoozed_until),
        "unread_count": min(conversation.unread_count, MOST_UNREAD),
        "first_reply_created_at": time_text(shown.first_replies.get(conversation.pk)),
        "priority": priority_of(conversation.priority),
        "waiting_since": seconds(conversation.waiting_since),
        "agent_last_seen_at": 0,
        "contact_last_seen_at": 0,
        "last_activity_at": active,
        "timestamp": active,
        "created_at": seconds(conversation.created_at),
        "updated_at": round(conversation.updated_at.timestamp(), 6),
        "account": account_json(conversation.account),
        "assignee_id": person_id(conversation.assignee),
    }


def brief_conversation(conversation: Conversation) -> dict[str, Any]:
    """The page's `conversation`."""
    return {
        "id": conversation.number,
        "inbox_id": conversation.inbox_id,
        "status": status_of(conversation),
        "assignee_id": person_id(conversation.assignee),
    }


def contact_inbox_json(address: Address) -> dict[str, Any]:
    return {
        "id": address.pk,
        "contact_id": address.contact_id,
        "inbox_id": address.inbox_id,
        "source_id": source_id(address),
        "created_at": time_text(address.created_at),
        "updated_at": time_text(address.last_inbound_at or address.created_at),
        "hmac_verified": False,
        "pubsub_token": uuid_of(address.public_id),
    }


def source_id(address: Address) -> str:
    """The contact's name inside one inbox: a phone's digits, else what the channel knows them by."""
    known = sorted(address.identifiers.all(), key=lambda one: (one.kind != "phone", one.pk))
    return known[0].value.removeprefix("+") if known else uuid_of(address.public_id)


def channel_of(inbox: Inbox) -> str:
    return CHANNELS.get(inbox.platform, "Channel::Api")


def can_reply(conversation: Conversation) -> bool:
    """Whether the channel takes free text now."""
    if conversation.inbox.channel.capabilities.window is None:
        return True
    conversation.address.inbox = conversation.inbox
    closes_at = conversation.address.window_closes_at()
    return closes_at is not None and closes_at > timezone.now()


def assignee_type(member: Member | None) -> str | None:
    if member is None:
        return None
    return "AgentBot" if member.is_agent else "User"


def labels_of(conversation: Conversation) -> list[str]:
    return sorted(label.name for label in conversation.labels.all())


def priority_of(priority: str) -> str | None:
    return None if priority == Conversation.Priority.NONE else str(priority)


# --- Messages ------------------------------------------------------------------------------------


def message_json(message: Message, conversation: Conversation, shown: Shown) -> dict[str, Any]:
    """A message as the top level of its webhook, with the page's `message` beside it."""
    kind = message_type(message)
    body: dict[str, Any] = {
        "account": account_json(conversation.account),
        "additional_attributes": {},
        "content_attributes": content_attributes(message),
        "content_type": content_type(message),
        "content": content_of(message),
        "conversation": conversation_json(conversation, shown),
        "created_at": time_text(message.created_at),
        "id": message.pk,
        "inbox": inbox_json(conversation.inbox),
        "message_type": MESSAGE_TYPES[kind],
        "private": message.direction == Direction.NOTE,
        "sender": sender(message, conversation, shown),
        "source_id": message.external_id or None,
        **_attachments(message),
    }
    keys = ("id", "content", "content_type", "content_attributes", "private", "attachments")
    brief = {key: body[key] for key in keys if key in body}
    brief |= {"message_type": kind, "created_at": body["created_at"]}
    return {**body, "message": {**brief, "sender": _brief_sender(body["sender"])}}


def nested_message(message: Message, conversation: Conversation, shown: Shown) -> dict[str, Any]:
    """A message inside its conversation: types are numbers here, times are seconds."""
    said_by_contact = message.direction == Direction.INBOUND
    by = contact_json(conversation.contact) if said_by_contact else _author(message, shown)
    return {
        "id": message.pk,
        "content": content_of(message),
        "account_id": message.account_id,
        "inbox_id": message.inbox_id,
        "conversation_id": conversation.number,
        "message_type": message_type(message),
        "created_at": seconds(message.created_at),
        "updated_at": time_text(message.deleted_at or message.edited_at or message.created_at),
        "private": message.direction == Direction.NOTE,
        "status": status_word(message),
        "source_id": message.external_id or None,
        "content_type": content_type(message),
        "content_attributes": content_attributes(message),
        "sender_type": "Contact" if said_by_contact else assignee_type(message.author),
        "sender_id": by["id"] if by is not None else None,
        "external_source_ids": {},
        "additional_attributes": {},
        "processed_message_content": content_of(message),
        "sentiment": {},
        **_attachments(message),
        "conversation": {
            "assignee_id": person_id(conversation.assignee),
            "unread_count": min(conversation.unread_count, MOST_UNREAD),
            "last_activity_at": seconds(conversation.last_activity_at),
            "contact_inbox": {"source_id": source_id(conversation.address)},
        },
        **({"sender": by} if by is not None else {}),
    }


def message_type(message: Message) -> int:
    """Automatic texts of ours are their templates; what was typed on the phone itself is not."""
    match message.direction:
        case Direction.INBOUND:
            return INCOMING
        case Direction.SYSTEM:
            return ACTIVITY
        case Direction.OUTBOUND if message.author_id is None and not message.content.get("device"):
            return TEMPLATE
    return OUTGOING


def sender(message: Message, conversation: Conversation, shown: Shown) -> dict[str, Any] | None:
    """Who said it, as webhooks show them; nobody for automatic texts."""
    if message.direction == Direction.INBOUND:
        return contact_webhook(conversation.contact, conversation.account)
    author, agent = message.author, shown.agent_of(message.author)
    if agent is not None:
        return {"id": agent.pk, "name": agent.name, "type": "agent_bot"}
    if author is None:
        return None
    email = author.user.email if author.user is not None else None
    return {"id": author.pk, "name": author.name, "email": email, "type": "user"}


def _author(message: Message, shown: Shown) -> dict[str, Any] | None:
    return member_json(message.author, shown)


def _brief_sender(by: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if by is None else {key: by[key] for key in ("id", "name", "type")}


def content_of(message: Message) -> str | None:
    """Its text; what its customer or the desk took back is not passed on."""
    if message.deleted_at is not None:
        return DELETED
    return message.text.replace("\\\n", "\n").rstrip("\n") or None


def status_word(message: Message) -> str:
    return "sent" if message.direction == Direction.INBOUND else STATUSES[message.status]


def _attachments(message: Message) -> dict[str, Any]:
    """The key is there only when there are some."""
    found = [] if message.deleted_at is not None else attachments_of(message)
    return {"attachments": found} if found else {}


def seconds(moment: datetime | None) -> int:
    """Since the epoch; 0 for never."""
    return int(moment.timestamp()) if moment is not None else 0
