"""How Chatwoot's webhooks show accounts, contacts, conversations and messages.

The shapes are those of Chatwoot 4.15, and beside them the keys of its "Agent Bots" page (`message`,
`conversation.assignee_id`, `sender.type`), so that bots written from either find what they read.
Ids are plain integers: a conversation's is its number, everybody else's the primary key.
docs/platforms/chatwoot.md says what is different.
"""

from __future__ import annotations

from accounts.models import Account, Member
from agents.models import Agent
from conversations.models import Address, Contact, Conversation, Inbox, Message
from integrations.chatwoot import templates
from integrations.chatwoot.shapes.attachments import attachments_of
from integrations.chatwoot.shapes.contacts import contact_push, source_of
from integrations.chatwoot.shapes.conversations import (
    additional_attributes,
    can_reply,
    labels_of,
    priority_of,
    status_of,
)
from integrations.chatwoot.shapes.inboxes import channel_of
from integrations.chatwoot.shapes.messages import (
    content_attributes,
    content_type,
    message_push,
    message_type,
    text_of,
    unread_of,
)
from integrations.chatwoot.shapes.parts import Json, iso, seconds
from integrations.chatwoot.shapes.people import (
    assignee_type,
    bot_id,
    bot_push,
    person_id,
    user_push,
)
from integrations.chatwoot.shown import Shown
from integrations.chatwoot.signing import uuid_of

Direction = Message.Direction

MESSAGE_TYPES = ("incoming", "outgoing", "activity", "template")


# --- Who -----------------------------------------------------------------------------------------


def account_json(account: Account) -> Json:
    return {"id": account.pk, "name": account.name}


def inbox_json(inbox: Inbox) -> Json:
    return {"id": inbox.pk, "name": inbox.name}


def contact_webhook(contact: Contact, account: Account) -> Json:
    """A contact as the sender of a webhook's message."""
    return {"account": account_json(account), "avatar": "", **contact_push(contact)}


def member_json(member: Member | None, shown: Shown) -> Json | None:
    """A holder or author: a person, a bot, or nobody."""
    agent = shown.agent_of(member)
    if agent is not None:
        return bot_push(agent, agent.name)
    return user_push(member) if member is not None else None


# --- Conversations -------------------------------------------------------------------------------


def conversation_json(conversation: Conversation, shown: Shown) -> Json:
    """The whole of it, as webhooks show it; `shown.gather` has been asked for it."""
    contact, team, last = conversation.contact, conversation.team, shown.last.get(conversation.pk)
    active = seconds(conversation.last_activity_at)
    return {
        "additional_attributes": additional_attributes(conversation),
        "can_reply": can_reply(conversation),
        "channel": channel_of(conversation.inbox),
        "contact_inbox": contact_inbox_json(conversation.address, contact),
        "id": conversation.number,
        "inbox_id": conversation.inbox_id,
        "messages": [] if last is None else [_said(last, conversation, shown)],
        "labels": labels_of(conversation),
        "meta": {
            "sender": contact_push(contact),
            "assignee": member_json(conversation.assignee, shown),
            "assignee_type": assignee_type(conversation.assignee),
            "team": None if team is None else {"id": team.pk, "name": team.name},
            "hmac_verified": conversation.address.proves(contact),
        },
        "status": status_of(conversation),
        "custom_attributes": conversation.attributes,
        "snoozed_until": iso(conversation.snoozed_until),
        "unread_count": unread_of(conversation),
        "first_reply_created_at": iso(shown.first_replies.get(conversation.pk)),
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


def _said(message: Message, conversation: Conversation, shown: Shown) -> Json:
    """The last thing said in it."""
    by_contact = message.direction == Direction.INBOUND
    by = contact_push(conversation.contact) if by_contact else member_json(message.author, shown)
    return message_push(message, conversation, by)


def brief_conversation(conversation: Conversation) -> Json:
    """The page's `conversation`."""
    return {
        "id": conversation.number,
        "inbox_id": conversation.inbox_id,
        "status": status_of(conversation),
        "assignee_id": person_id(conversation.assignee),
    }


def contact_inbox_json(address: Address, contact: Contact) -> Json:
    return {
        "id": address.pk,
        "contact_id": address.contact_id,
        "inbox_id": address.inbox_id,
        "source_id": source_of(address),
        "created_at": iso(address.created_at),
        "updated_at": iso(address.last_inbound_at or address.created_at),
        "hmac_verified": address.proves(contact),
        "pubsub_token": uuid_of(address.public_id),
    }


# --- Messages ------------------------------------------------------------------------------------


def message_json(message: Message, conversation: Conversation, shown: Shown) -> Json:
    """A message as the top level of its webhook, with the page's `message` beside it."""
    kind = message_type(message)
    body: Json = {
        "account": account_json(conversation.account),
        "additional_attributes": templates.additional_attributes(message),
        "content_attributes": content_attributes(message),
        "content_type": content_type(message),
        "content": content_of(message),
        "conversation": conversation_json(conversation, shown),
        "created_at": iso(message.created_at),
        "id": message.pk,
        "inbox": inbox_json(conversation.inbox),
        "message_type": MESSAGE_TYPES[kind],
        "private": message.direction == Direction.NOTE,
        "sender": sender(message, conversation, shown),
        "source_id": message.external_id or None,
    }
    if files := attachments_of(message):
        body["attachments"] = files
    keys = ("id", "content", "content_type", "content_attributes", "private", "attachments")
    brief = {key: body[key] for key in keys if key in body}
    brief |= {"message_type": kind, "created_at": body["created_at"]}
    return {**body, "message": {**brief, "sender": _brief_sender(body["sender"])}}


def sender(message: Message, conversation: Conversation, shown: Shown) -> Json | None:
    """Who said it, as webhooks show them; nobody for automatic texts."""
    if message.direction == Direction.INBOUND:
        return contact_webhook(conversation.contact, conversation.account)
    author = message.author
    return member_webhook(author, shown.agent_of(author)) if author is not None else None


def member_webhook(member: Member, agent: Agent | None) -> Json:
    """A person, or a bot, at the top level of webhooks."""
    if agent is not None:
        return {"id": bot_id(agent), "name": agent.name, "type": "agent_bot"}
    email = member.user.email if member.user is not None else None
    return {"id": member.pk, "name": member.name, "email": email, "type": "user"}


def _brief_sender(by: Json | None) -> Json | None:
    return None if by is None else {key: by[key] for key in ("id", "name", "type")}


def content_of(message: Message) -> str | None:
    """Its text as webhooks show it; what its customer or the desk took back is not passed on."""
    return (text_of(message) or "").replace("\\\n", "\n").rstrip("\n") or None
