"""The shapes of the contract, and a checker that says where an answer differs from one.

A shape is a type, a tuple of types (any of them), a list with the shape of each element, or a dict of
keys; a key that ends in `?` may be missing. What a shape does not name may not be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Null = type(None)
text, number = str, int
STATUS = ("open", "resolved", "pending", "snoozed")


def differences(value: Any, shape: Any, path: str = "$") -> Iterator[str]:
    if shape is Any:
        return
    if isinstance(shape, dict):
        yield from _in_object(value, shape, path)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for n, item in enumerate(value):
            yield from differences(item, shape[0], f"{path}[{n}]")
    elif isinstance(shape, tuple):
        if all(list(differences(value, one, path)) for one in shape):
            yield f"{path} is {value!r}"
    elif type(value) is not shape:
        yield f"{path} is {value!r}, not {shape.__name__}"


def _in_object(value: Any, shape: dict[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is {value!r}, no object"
        return
    known = {name.removesuffix("?"): (name.endswith("?"), each) for name, each in shape.items()}
    for name in value.keys() - known.keys():
        yield f"{path}.{name} is not theirs"
    for name, (optional, each) in known.items():
        if name in value:
            yield from differences(value[name], each, f"{path}.{name}")
        elif not optional:
            yield f"{path}.{name} is missing"


def check(value: Any, shape: Any) -> None:
    assert not list(differences(value, shape))


CONTACT_PUSH = {
    "additional_attributes": dict, "custom_attributes": dict, "email": (str, Null), "id": int,
    "identifier": (str, Null), "name": str, "phone_number": (str, Null), "thumbnail": str,
    "blocked": bool, "type": str,
}  # fmt: skip
USER_PUSH = {
    "id": int, "name": str, "available_name": str, "avatar_url": str, "type": str,
    "availability_status": str, "thumbnail": str,
}  # fmt: skip
BOT_PUSH = {"id": int, "name": str, "avatar_url": str, "type": str}
SENDER = (CONTACT_PUSH, USER_PUSH, BOT_PUSH)
ATTACHMENT = {
    "id": int, "message_id": int, "file_type": str, "account_id": int, "extension?": (str, Null),
    "content_type?": (str, Null), "data_url?": (str, Null), "thumb_url?": str, "file_size?": (int, Null),
    "width?": (int, Null), "height?": (int, Null), "transcribed_text?": str,
    "coordinates_lat?": float, "coordinates_long?": float, "fallback_title?": str, "meta?": dict,
}  # fmt: skip
# 6.2
LISTED_FILE = {
    "id": int, "message_id": int, "thumb_url": str, "data_url": str, "file_size": (int, Null),
    "file_type": str, "extension": (str, Null), "width": (int, Null), "height": (int, Null),
    "created_at": int, "sender": (*SENDER, Null),
}  # fmt: skip
# 4.2
MESSAGE = {
    "id": int, "content": (str, Null), "inbox_id": int, "echo_id?": str, "conversation_id": int,
    "message_type": int, "content_type": str, "status": str, "content_attributes": dict,
    "created_at": int, "private": bool, "source_id": (str, Null), "sender?": SENDER,
    "attachments?": [ATTACHMENT],
}  # fmt: skip
# 2.3
MESSAGE_PUSH = {
    "id": int, "content": (str, Null), "account_id": int, "inbox_id": int, "conversation_id": int,
    "message_type": int, "created_at": int, "updated_at": str, "private": bool, "status": str,
    "source_id": (str, Null), "content_type": str, "content_attributes": dict,
    "sender_type": (str, Null), "sender_id": (int, Null), "external_source_ids": dict,
    "additional_attributes": dict, "processed_message_content": (str, Null), "sentiment": dict,
    "conversation": {
        "assignee_id": (int, Null), "unread_count": int, "last_activity_at": int,
        "contact_inbox": {"source_id": str},
    },
    "sender?": SENDER, "attachments?": [ATTACHMENT],
}  # fmt: skip
# 6.5
SLIM_INBOX = {
    "id": int, "avatar_url": str, "channel_id": int, "name": str, "channel_type": str,
    "provider": (str, Null),
}  # fmt: skip
CONTACT_INBOX = {"source_id": str, "inbox": SLIM_INBOX}
CONTACT = {
    "additional_attributes": dict, "availability_status": str, "email": (str, Null), "id": int,
    "name": str, "phone_number": (str, Null), "blocked": bool, "identifier": (str, Null),
    "thumbnail": str, "custom_attributes": dict, "last_activity_at?": int, "created_at": int,
    "contact_inboxes?": [CONTACT_INBOX],
}  # fmt: skip
# 6.6
AGENT = {
    "id": int, "account_id": int, "availability_status": str, "auto_offline": bool,
    "confirmed": bool, "email": str, "provider": str, "available_name": str, "name": str,
    "role": str, "thumbnail": str,
}  # fmt: skip
SLIM_BOT = {
    "id": int, "name": str, "description": str, "thumbnail": str, "outgoing_url": str,
    "bot_type": str,
}  # fmt: skip
# A system bot's address is its app's.
SLIM_SYSTEM_BOT = {name: kind for name, kind in SLIM_BOT.items() if name != "outgoing_url"}
TEAM = {
    "id": int, "name": str, "description": (str, Null), "allow_auto_assign": bool,
    "account_id": int, "is_member": bool,
}  # fmt: skip
RAW_TEAM = {
    "id": int, "name": str, "description": (str, Null), "allow_auto_assign": bool,
    "account_id": int, "created_at": str, "updated_at": str,
}  # fmt: skip
# 6.1
CONVERSATION = {
    "meta": {
        "sender": CONTACT, "channel": str, "assignee?": (AGENT, SLIM_BOT, SLIM_SYSTEM_BOT), "assignee_type?": str,
        "team?": TEAM, "hmac_verified": bool,
    },
    "id": int, "messages": [MESSAGE_PUSH], "account_id": int, "uuid": str,
    "additional_attributes": dict, "agent_last_seen_at": int, "assignee_last_seen_at": int,
    "can_reply": bool, "contact_last_seen_at": int, "custom_attributes": dict, "inbox_id": int,
    "labels": [str], "muted": bool, "snoozed_until": (str, Null), "status": str, "created_at": int,
    "updated_at": float, "timestamp": int, "first_reply_created_at": int, "unread_count": int,
    "last_non_activity_message": (MESSAGE_PUSH, Null), "last_activity_at": int,
    "priority": (str, Null), "waiting_since": int, "sla_policy_id": (int, Null),
}  # fmt: skip
COUNTS = {"mine_count": int, "assigned_count": int, "unassigned_count": int, "all_count": int}
DRAFT = {"has_draft": bool, "message?": str}
# 6.3
MESSAGES = {
    "meta": {
        "labels": [str], "additional_attributes": dict, "contact": CONTACT_PUSH,
        "assignee?": (USER_PUSH, BOT_PUSH), "agent_last_seen_at": (str, Null),
        "assignee_last_seen_at": (str, Null),
    },
    "payload": [MESSAGE],
}  # fmt: skip
# 4.3
TOGGLED = {
    "meta": {},
    "payload": {
        "success": bool, "conversation_id": int, "current_status": str,
        "snoozed_until": (str, Null),
    },
}  # fmt: skip
# 6.4
BOT = {
    "id": int, "name": str, "description": str, "thumbnail": str, "outgoing_url": str,
    "bot_type": str, "bot_config": dict, "account_id": int, "access_token?": str, "secret?": str,
    "system_bot": bool,
}  # fmt: skip
SYSTEM_BOT = {
    "id": int, "name": str, "description": str, "thumbnail": str, "bot_type": str,
    "bot_config": dict, "account_id": Null, "system_bot": bool,
}  # fmt: skip
# As the app that made it sees it.
PLATFORM_BOT = {
    **SYSTEM_BOT, "outgoing_url": str, "account_id": (int, Null), "access_token?": str,
    "secret?": str,
}  # fmt: skip
INBOX = {
    **SLIM_INBOX, "greeting_enabled": bool, "greeting_message": (str, Null),
    "working_hours_enabled": bool, "enable_email_collect": bool, "csat_survey_enabled": bool,
    "csat_config": dict, "enable_auto_assignment": bool, "auto_assignment_config": dict,
    "out_of_office_message": (str, Null), "working_hours": [dict], "timezone": str,
    "callback_webhook_url": (str, Null), "allow_messages_after_resolved": bool,
    "lock_to_single_conversation": bool, "sender_name_type": str, "business_name": (str, Null),
}  # fmt: skip
LABEL = {
    "id": int, "title": str, "description": (str, Null), "color": str, "show_on_sidebar": bool,
}  # fmt: skip
CANNED_RESPONSE = {
    "id": int, "account_id": int, "short_code": str, "content": str, "created_at": str,
    "updated_at": str,
}  # fmt: skip
ATTRIBUTE_DEFINITION = {
    "id": int, "attribute_display_name": str, "attribute_display_type": str,
    "attribute_description": (str, Null), "attribute_key": str, "regex_pattern": (str, Null),
    "regex_cue": (str, Null), "attribute_values": [str], "attribute_model": str,
    "default_value": (str, Null), "created_at": str, "updated_at": str,
}  # fmt: skip
# 6.5
NOTE = {
    "id": int, "content": str, "account_id": int, "contact_id": int, "user?": AGENT,
    "created_at": int, "updated_at": int,
}  # fmt: skip
# 6.7
AUTOMATION_RULE = {
    "id": int, "account_id": int, "name": str, "description": (str, Null), "event_name": str,
    "conditions": [dict], "actions": [dict], "created_on": int, "active": bool, "files?": list,
}  # fmt: skip
# 6.8
WEBHOOK = {
    "id": int, "name": str, "url": str, "account_id": int, "subscriptions": [str], "secret?": str,
    "inbox?": {"id": int, "name": str},
}  # fmt: skip
# Of their source: the contract has no section about it.
CUSTOM_FILTER = {
    "id": int, "name": str, "filter_type": str, "query": {"payload": [dict]}, "created_at": str,
    "updated_at": str,
}  # fmt: skip
# Of their source: the contract has no section about reports. A mean of nothing is null in a summary, and 0
# in a series.
_MEAN = (float, Null)
_SUMMARY = {
    "conversations_count": int, "incoming_messages_count": int, "outgoing_messages_count": int,
    "resolutions_count": int, "avg_first_response_time": _MEAN, "avg_resolution_time": _MEAN,
    "reply_time": _MEAN,
}  # fmt: skip
SUMMARY = {**_SUMMARY, "previous": _SUMMARY}
SERIES = [{"value": (int, float), "timestamp": int, "count?": int}]
SUMMARY_ROWS = [
    {
        "id": int, "conversations_count": int, "resolved_conversations_count": int,
        "avg_resolution_time": _MEAN, "avg_first_response_time": _MEAN, "avg_reply_time": _MEAN,
    }
]  # fmt: skip
LABEL_ROWS = [{**SUMMARY_ROWS[0], "name": str}]
BOT_METRICS = {
    "conversation_count": int, "message_count": int, "resolution_rate": int, "handoff_rate": int,
}  # fmt: skip
CHANNEL_COUNTS = {"open": int, "resolved": int, "pending": int, "snoozed": int, "total": int}
STANDING = {"open": int, "unattended": int, "unassigned": int, "pending": int}
STANDINGS = [
    {
        "id": int, "name": str, "email": str, "thumbnail": str, "availability": str,
        "metric": {"open": int, "unattended": int},
    }
]  # fmt: skip
