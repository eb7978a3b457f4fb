"""Inboxes."""

from __future__ import annotations

from conversations.models import Inbox
from integrations.chatwoot.shapes.parts import Json

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


def channel_of(inbox: Inbox) -> str:
    return channel_named(inbox.platform)


def channel_named(platform: str) -> str:
    return CHANNELS.get(platform, OTHER_CHANNEL)


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
