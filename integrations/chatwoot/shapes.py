"""What their API shows of our rows (contract, sections 4.2 and 6). Hand-written: the shape is theirs.

Ids are the rows' own numbers, a conversation's is its number in the account. Times are seconds, but
for the few that they send as text. What they keep and we do not is empty, as theirs is on a new row.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from accounts.models import Account, Member, Team
from accounts.permissions import Role
from agents.models import Agent
from conversations.file_addresses import signed_url
from conversations.messages import DeliveryStatus, Kind
from conversations.models import (
    Address,
    AddressIdentifier,
    Attachment,
    Contact,
    Conversation,
    Inbox,
    Label,
    Message,
)
from conversations.services.addresses import CHANGING_KINDS
from integrations.chatwoot import offers
from integrations.chatwoot.models import BotSettings

Json = dict[str, Any]
Direction = Message.Direction
Status = Conversation.Status

INCOMING, OUTGOING, ACTIVITY, TEMPLATE = range(4)
PENDING = "pending"
# Their name of our platforms' channels; what they do not know is a channel of its own making.
CHANNELS = {
    "whatsapp": "Channel::Whatsapp",
    "wati": "Channel::Whatsapp",
    "widget": "Channel::WebWidget",
    "telegram": "Channel::Telegram",
    "messenger": "Channel::FacebookPage",
    "instagram": "Channel::Instagram",
    "twilio": "Channel::TwilioSms",
    "email": "Channel::Email",
    "line": "Channel::Line",
}
OTHER_CHANNEL = "Channel::Api"
FILE_TYPES = {
    Kind.IMAGE: "image",
    Kind.STICKER: "image",
    Kind.AUDIO: "audio",
    Kind.VOICE: "audio",
    Kind.VIDEO: "video",
}
# Which of an address's names they would call it by: the number first, one that changes last.
_PREFERRED_KINDS = ("phone",)
DELETED = "This message was deleted"
_NAMESPACE = uuid.UUID("6f1d1f0a-9f0e-4a53-8f4e-2b8f5b3a7c11")


# --- Small parts ---------------------------------------------------------------------------------


def seconds(moment: datetime | None) -> int:
    """0 stands for never."""
    return int(moment.timestamp()) if moment else 0


def iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status_of(conversation: Conversation) -> str:
    """Theirs: what an AI agent holds is pending, the rest as ours."""
    if conversation.status == Status.OPEN and conversation.held_by_agent:
        return PENDING
    return str(conversation.status)


def channel_of(inbox: Inbox) -> str:
    return CHANNELS.get(inbox.platform, OTHER_CHANNEL)


def can_reply(conversation: Conversation) -> bool:
    """Whether free text is allowed now."""
    conversation.address.inbox = conversation.inbox
    if conversation.inbox.channel.capabilities.window is None:
        return True
    closes_at = conversation.address.window_closes_at()
    return closes_at is not None and closes_at > timezone.now()


def source_of(address: Address) -> str:
    """The name they would know the address by."""
    names: Sequence[AddressIdentifier] = sorted(
        address.identifiers.all(),
        key=lambda one: (one.kind in CHANGING_KINDS, one.kind not in _PREFERRED_KINDS, one.pk),
    )
    if not names:
        return ""
    return names[0].value.removeprefix("+") if names[0].kind == "phone" else names[0].value


def phone_of(contact: Contact) -> str | None:
    """With the plus that they insist on."""
    phone = contact.phone
    return f"+{phone}" if phone.isdecimal() and not phone.startswith("0") else phone or None


def role_of(member: Member) -> str:
    return "administrator" if member.role in (Role.OWNER, Role.ADMIN) else "agent"


def availability(member: Member) -> str:
    """We do not ask people to say that they are there; who is a member can be given something."""
    return "online" if member.active else "offline"


# --- People and bots -----------------------------------------------------------------------------


def agent_json(member: Member) -> Json:
    """A person of the account: what they call an agent."""
    return {
        "id": member.pk,
        "account_id": member.account_id,
        "availability_status": availability(member),
        "auto_offline": False,
        "confirmed": True,
        "email": member.user.email if member.user else "",
        "provider": "email",
        "available_name": member.name,
        "name": member.name,
        "role": role_of(member),
        "thumbnail": "",
    }


def profile_json(member: Member, account: Account, clear_token: str) -> Json:
    """Who asks. The token is the one that was sent: we keep none that could be told."""
    return {
        "access_token": clear_token,
        "account_id": account.pk,
        "available_name": member.name,
        "avatar_url": "",
        "confirmed": True,
        "display_name": member.name,
        "message_signature": None,
        "email": member.user.email if member.user else "",
        "id": member.pk,
        "inviter_id": None,
        "name": member.name,
        "provider": "email",
        "pubsub_token": None,
        "custom_attributes": {},
        "role": role_of(member),
        "ui_settings": {},
        "uid": member.user.email if member.user else "",
        "type": None,
        "accounts": [
            {
                "id": account.pk,
                "name": account.name,
                "status": "active",
                "active_at": iso(timezone.now()),
                "role": role_of(member),
                "permissions": [role_of(member)],
                "availability": availability(member),
                "availability_status": availability(member),
                "auto_offline": False,
            }
        ],
    }


def user_push(member: Member) -> Json:
    return {
        "id": member.pk,
        "name": member.name,
        "available_name": member.name,
        "avatar_url": "",
        "type": "user",
        "availability_status": availability(member),
        "thumbnail": "",
    }


def bot_push(agent: Agent, name: str) -> Json:
    return {"id": agent.pk, "name": name, "avatar_url": "", "type": "agent_bot"}


def member_push(member: Member) -> Json:
    """A person or a bot, as the author of something; needs `agent` read with it."""
    return bot_push(member.agent, member.name) if member.is_agent else user_push(member)


def bot_json(agent: Agent, **shown_once: str) -> Json:
    """A bot. `access_token` and `secret` are shown where they are made, and never again (SX-31)."""
    return {
        "id": agent.pk,
        "name": agent.name,
        "description": agent.description,
        "thumbnail": "",
        "outgoing_url": agent.endpoint.url,
        "bot_type": "webhook",
        "bot_config": config_of(agent),
        "account_id": agent.account_id,
        "system_bot": False,
        **shown_once,
    }


def config_of(agent: Agent) -> Json:
    kept: BotSettings | None = getattr(agent, "bot_settings", None)
    return dict(kept.config) if kept is not None else {}


def slim_bot(agent: Agent) -> Json:
    """A bot as an assignee."""
    return {
        "id": agent.pk,
        "name": agent.name,
        "description": agent.description,
        "thumbnail": "",
        "outgoing_url": agent.endpoint.url,
        "bot_type": "webhook",
    }


def team_json(team: Team, mine: Collection[int]) -> Json:
    """`mine` are the teams of whoever asks."""
    return {
        "id": team.pk,
        "name": team.name,
        "description": team.description or None,
        "allow_auto_assign": False,
        "account_id": team.account_id,
        "is_member": team.pk in mine,
    }


def raw_team(team: Team) -> Json:
    """A team as the answer to an assignment: its columns."""
    return {
        "id": team.pk,
        "name": team.name,
        "description": team.description or None,
        "allow_auto_assign": False,
        "account_id": team.account_id,
        "created_at": iso(team.created_at),
        "updated_at": iso(team.created_at),
    }


# --- Contacts and inboxes ------------------------------------------------------------------------


def contact_push(contact: Contact) -> Json:
    return {
        "additional_attributes": {},
        "custom_attributes": contact.attributes,
        "email": contact.email or None,
        "id": contact.pk,
        "identifier": contact.identifier or None,
        "name": str(contact),
        "phone_number": phone_of(contact),
        "thumbnail": "",
        "blocked": contact.blocked,
        "type": "contact",
    }


def contact_json(contact: Contact, *, with_inboxes: bool = False) -> Json:
    """With `with_inboxes` its `addresses` are read, with their inboxes and identifiers; of rows that know
    it (`last_activity`), when it was last heard of."""
    shown: Json = {
        "additional_attributes": {},
        "availability_status": "offline",
        "email": contact.email or None,
        "id": contact.pk,
        "name": str(contact),
        "phone_number": phone_of(contact),
        "blocked": contact.blocked,
        "identifier": contact.identifier or None,
        "thumbnail": "",
        "custom_attributes": contact.attributes,
        "created_at": seconds(contact.created_at),
    }
    if last := getattr(contact, "last_activity", None):
        shown["last_activity_at"] = seconds(last)
    if with_inboxes:
        shown["contact_inboxes"] = [contact_inbox(one) for one in contact.addresses.all()]
    return shown


def contact_inbox(address: Address) -> Json:
    return {"source_id": source_of(address), "inbox": slim_inbox(address.inbox)}


def slim_inbox(inbox: Inbox) -> Json:
    return {
        "id": inbox.pk,
        "avatar_url": "",
        "channel_id": inbox.pk,
        "name": inbox.name,
        "channel_type": channel_of(inbox),
        "provider": None,
    }


def inbox_json(inbox: Inbox) -> Json:
    return {
        "id": inbox.pk,
        "avatar_url": "",
        "channel_id": inbox.pk,
        "name": inbox.name,
        "channel_type": channel_of(inbox),
        "greeting_enabled": False,
        "greeting_message": None,
        "working_hours_enabled": False,
        "enable_email_collect": False,
        "csat_survey_enabled": False,
        "csat_config": {},
        "enable_auto_assignment": False,
        "auto_assignment_config": {},
        "out_of_office_message": None,
        "working_hours": [],
        "timezone": inbox.account.time_zone,
        "callback_webhook_url": None,
        "allow_messages_after_resolved": True,
        # A contact has one thread in an inbox; what was resolved opens again.
        "lock_to_single_conversation": True,
        "sender_name_type": "friendly",
        "business_name": None,
        "provider": None,
    }


def label_json(label: Label) -> Json:
    return {
        "id": label.pk,
        "title": label.name,
        "description": label.description or None,
        "color": label.shade,
        "show_on_sidebar": label.in_filters,
    }


# --- Messages ------------------------------------------------------------------------------------


def message_type(message: Message) -> int:
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
    """What waits to be sent is `sent` with them."""
    waits = message.status == DeliveryStatus.QUEUED
    return str(DeliveryStatus.SENT if waits else message.status)


def text_of(message: Message) -> str | None:
    return DELETED if message.deleted_at else message.text or None


def message_json(message: Message, conversation: Conversation, *, echo_id: str = "") -> Json:
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
    if echo_id:
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


def message_push(message: Message, conversation: Conversation) -> Json:
    """A message inside a conversation: the fuller shape of their events."""
    sender = sender_of(message, conversation)
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
        "additional_attributes": {},
        "processed_message_content": text_of(message),
        "sentiment": {},
        "conversation": {
            "assignee_id": _human(conversation),
            "unread_count": conversation.unread_count,
            "last_activity_at": seconds(conversation.last_activity_at),
            "contact_inbox": {"source_id": source_of(conversation.address)},
        },
    }
    if sender:
        shown["sender"] = sender
    if files := attachments_of(message):
        shown["attachments"] = files
    return shown


_SENDERS = {"contact": "Contact", "user": "User", "agent_bot": "AgentBot"}


def _human(conversation: Conversation) -> int | None:
    return None if conversation.held_by_agent else conversation.assignee_id


def attachments_of(message: Message) -> list[Json]:
    if message.deleted_at:
        return []
    shown = [attachment_json(file) for file in message.files]
    place = message.content.get("location")
    if place:
        shown.append(
            {
                "id": message.pk,
                "message_id": message.pk,
                "file_type": "location",
                "account_id": message.account_id,
                "coordinates_lat": place["latitude"],
                "coordinates_long": place["longitude"],
                "fallback_title": place.get("name") or place.get("address") or "",
                "data_url": None,
            }
        )
    for card in message.content.get("cards", ()):
        first, _space, last = card["name"].partition(" ")
        shown.append(
            {
                "id": message.pk,
                "message_id": message.pk,
                "file_type": "contact",
                "account_id": message.account_id,
                "fallback_title": next(iter(card.get("phones", ())), ""),
                "meta": {"firstName": first, "lastName": last},
            }
        )
    return shown


def attachment_json(file: Attachment) -> Json:
    kind = FILE_TYPES.get(Kind(file.kind), "file")
    url = signed_url(file)
    shown: Json = {
        "id": file.pk,
        "message_id": file.message_id,
        "file_type": kind,
        "account_id": file.account_id,
        "extension": file.filename.rpartition(".")[2] if "." in file.filename else None,
        "content_type": file.mime,
        "data_url": url,
        "thumb_url": url if kind == "image" else "",
        "file_size": file.size,
        "width": None,
        "height": None,
    }
    if kind == "audio":
        shown["transcribed_text"] = ""
    return shown


def listed_file(file: Attachment, conversation: Conversation) -> Json:
    """A file in the list of a conversation's files."""
    shown = attachment_json(file)
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


# --- Conversations -------------------------------------------------------------------------------


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
        "messages": [message_push(newest, conversation)] if newest else [],
        "account_id": conversation.account_id,
        "uuid": str(uuid.uuid5(_NAMESPACE, conversation.public_id)),
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
        "unread_count": conversation.unread_count,
        "last_non_activity_message": message_push(said, conversation) if said else None,
        "last_activity_at": seconds(conversation.last_activity_at),
        "priority": priority_of(conversation),
        "waiting_since": seconds(conversation.waiting_since),
        "sla_policy_id": None,
    }


def _meta(conversation: Conversation, mine: Collection[int]) -> Json:
    """Who talks with whom. What is not set is not there."""
    shown: Json = {
        "sender": contact_json(conversation.contact),
        "channel": channel_of(conversation.inbox),
    }
    assignee = conversation.assignee
    if assignee is not None:
        is_bot = assignee.is_agent
        shown["assignee"] = slim_bot(assignee.agent) if is_bot else agent_json(assignee)
        shown["assignee_type"] = "AgentBot" if is_bot else "User"
    if conversation.team is not None:
        shown["team"] = team_json(conversation.team, mine)
    shown["hmac_verified"] = False
    return shown


def additional_attributes(conversation: Conversation) -> Json:
    language = conversation.language
    return {"conversation_language": language} if language else {}


def labels_of(conversation: Conversation) -> list[str]:
    return sorted(label.name for label in conversation.labels.all())


def priority_of(conversation: Conversation) -> str | None:
    none = conversation.priority == Conversation.Priority.NONE
    return None if none else str(conversation.priority)
