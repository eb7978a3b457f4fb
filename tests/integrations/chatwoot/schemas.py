"""JSON schemas of what Chatwoot 4.15 sends to a bot, with the keys of its "Agent Bots" page beside them.

Written from Chatwoot's published behaviour, not from our code: every key that it sends has to be there,
with its type, and nothing that neither of the two has.
"""

from __future__ import annotations

from typing import Any

import jsonschema

INT = {"type": "integer"}
TEXT = {"type": "string"}
YES_NO = {"type": "boolean"}
ANY_OBJECT = {"type": "object"}
# Raw times are ISO 8601 with milliseconds and Z.
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}


def maybe(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def shape(optional: dict[str, Any] | None = None, /, **keys: dict[str, Any]) -> dict[str, Any]:
    """An object with exactly these keys, and perhaps the `optional` ones."""
    return {
        "type": "object",
        "properties": {**keys, **(optional or {})},
        "required": list(keys),
        "additionalProperties": False,
    }


NAMED = shape(id=INT, name=TEXT)
PUSHED_CONTACT: dict[str, Any] = {
    "additional_attributes": ANY_OBJECT,
    "custom_attributes": ANY_OBJECT,
    "email": maybe(TEXT),
    "id": INT,
    "identifier": maybe(TEXT),
    "name": TEXT,
    "phone_number": maybe({"type": "string", "pattern": r"^\+\d+$"}),
    "thumbnail": TEXT,
    "blocked": YES_NO,
    "type": {"const": "contact"},
}
CONTACT = shape(**PUSHED_CONTACT)
WEBHOOK_CONTACT = shape(account=NAMED, avatar=TEXT, **PUSHED_CONTACT)
USER = shape(
    id=INT,
    name=TEXT,
    available_name=TEXT,
    avatar_url=TEXT,
    type={"const": "user"},
    availability_status={"enum": ["online", "busy", "offline"]},
    thumbnail=TEXT,
)
BOT = shape(id=INT, name=TEXT, avatar_url=TEXT, type={"const": "agent_bot"})
WEBHOOK_USER = shape(id=INT, name=TEXT, email=maybe(TEXT), type={"const": "user"})
WEBHOOK_BOT = shape(id=INT, name=TEXT, type={"const": "agent_bot"})

_ATTACHED = {"id": INT, "message_id": INT, "account_id": INT}
_FILE: dict[str, Any] = {
    "extension": maybe(TEXT),
    "content_type": maybe(TEXT),
    "data_url": {"type": "string", "pattern": "^https?://"},
    "thumb_url": TEXT,
    "file_size": INT,
    "width": maybe(INT),
    "height": maybe(INT),
}
ATTACHMENT = {
    "oneOf": [
        shape(**_ATTACHED, **_FILE, file_type={"enum": ["image", "video", "file"]}),
        shape(**_ATTACHED, **_FILE, file_type={"const": "audio"}, transcribed_text=TEXT),
        shape(
            **_ATTACHED,
            file_type={"const": "location"},
            coordinates_lat={"type": "number"},
            coordinates_long={"type": "number"},
            fallback_title=TEXT,
            data_url=maybe(TEXT),
        ),
        shape(
            **_ATTACHED,
            file_type={"const": "contact"},
            fallback_title=TEXT,
            meta=shape(firstName=TEXT, lastName=TEXT),
        ),
    ]
}
ATTACHMENTS = {"attachments": {"type": "array", "items": ATTACHMENT, "minItems": 1}}
_ACTION: dict[str, Any] = {"text": TEXT, "type": {"enum": ["link", "postback"]}}
ACTION = {"oneOf": [shape(**_ACTION, uri=TEXT), shape(**_ACTION, payload=TEXT)]}
_FORM_FIELD: dict[str, Any] = {
    **dict.fromkeys(("placeholder", "label", "default", "pattern", "pattern_error"), TEXT),
    "required": YES_NO,
    "options": {"type": "array", "items": shape(label=TEXT, value=TEXT)},
}
ITEM: dict[str, Any] = {
    "oneOf": [
        shape(title=TEXT, value=TEXT),
        shape(
            {"description": TEXT, "media_url": TEXT},
            title=TEXT,
            actions={"type": "array", "items": ACTION, "minItems": 1},
        ),
        shape(
            _FORM_FIELD,
            name=TEXT,
            type={"enum": ["email", "text", "text_area", "select"]},
        ),
        shape({"description": TEXT}, title=TEXT, link=TEXT),
    ]
}
SUBMITTED = shape({"name": TEXT, "title": TEXT}, value={})
CONTENT_ATTRIBUTES = {
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": ITEM, "minItems": 1},
        "submitted_values": {"type": "array", "items": SUBMITTED, "minItems": 1},
        "submitted_email": TEXT,
        "in_reply_to": INT,
        "in_reply_to_external_id": maybe(TEXT),
        "deleted": {"const": True},
        "external_error": TEXT,
        "external_echo": {"const": True},
        "is_unsupported": {"const": True},
    },
    "additionalProperties": False,
}
CONTENT_TYPE = {
    "enum": [
        "text", "input_select", "cards", "form", "article", "input_text", "input_textarea",
        "input_email",
    ]
}  # fmt: skip

NESTED_MESSAGE = shape(
    {**ATTACHMENTS, "sender": {"oneOf": [CONTACT, USER, BOT]}},
    id=INT,
    content=maybe(TEXT),
    account_id=INT,
    inbox_id=INT,
    conversation_id=INT,
    message_type={"enum": [0, 1, 3]},
    created_at=INT,
    updated_at=TIME,
    private={"const": False},
    status={"enum": ["sent", "delivered", "read", "failed"]},
    source_id=maybe(TEXT),
    content_type=CONTENT_TYPE,
    content_attributes=CONTENT_ATTRIBUTES,
    sender_type={"enum": ["Contact", "User", "AgentBot", None]},
    sender_id=maybe(INT),
    external_source_ids=ANY_OBJECT,
    additional_attributes=ANY_OBJECT,
    processed_message_content=maybe(TEXT),
    sentiment=ANY_OBJECT,
    conversation=shape(
        assignee_id=maybe(INT),
        unread_count=INT,
        last_activity_at=INT,
        contact_inbox=shape(source_id=TEXT),
    ),
)
_CONVERSATION: dict[str, Any] = {
    "additional_attributes": ANY_OBJECT,
    "can_reply": YES_NO,
    "channel": {"type": "string", "pattern": "^Channel::"},
    "contact_inbox": shape(
        id=INT,
        contact_id=INT,
        inbox_id=INT,
        source_id=TEXT,
        created_at=TIME,
        updated_at=TIME,
        hmac_verified=YES_NO,
        pubsub_token=TEXT,
    ),
    "id": INT,
    "inbox_id": INT,
    "messages": {"type": "array", "items": NESTED_MESSAGE, "maxItems": 1},
    "labels": {"type": "array", "items": TEXT},
    "meta": shape(
        sender=CONTACT,
        assignee=maybe({"oneOf": [USER, BOT]}),
        assignee_type={"enum": ["User", "AgentBot", None]},
        team=maybe(NAMED),
        hmac_verified=YES_NO,
    ),
    "status": {"enum": ["open", "resolved", "pending", "snoozed"]},
    "custom_attributes": ANY_OBJECT,
    "snoozed_until": maybe(TIME),
    "unread_count": {"type": "integer", "maximum": 10},
    "first_reply_created_at": maybe(TIME),
    "priority": {"enum": ["low", "medium", "high", "urgent", None]},
    "waiting_since": INT,
    "agent_last_seen_at": INT,
    "contact_last_seen_at": INT,
    "last_activity_at": INT,
    "timestamp": INT,
    "created_at": INT,
    "updated_at": {"type": "number"},
    "account": NAMED,
    # The page's.
    "assignee_id": maybe(INT),
}
CONVERSATION = shape(**_CONVERSATION)
BRIEF_CONVERSATION = shape(
    id=INT, inbox_id=INT, status=_CONVERSATION["status"], assignee_id=maybe(INT)
)
CHANGES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": shape(previous_value={}, current_value={}),
    },
}

MESSAGE_EVENT = shape(
    ATTACHMENTS,
    account=NAMED,
    additional_attributes=ANY_OBJECT,
    content_attributes=CONTENT_ATTRIBUTES,
    content_type=CONTENT_TYPE,
    content=maybe(TEXT),
    conversation=CONVERSATION,
    created_at=TIME,
    id=INT,
    inbox=NAMED,
    message_type={"enum": ["incoming", "outgoing", "template"]},
    private=YES_NO,
    sender=maybe({"oneOf": [WEBHOOK_CONTACT, WEBHOOK_USER, WEBHOOK_BOT]}),
    source_id=maybe(TEXT),
    message=shape(
        ATTACHMENTS,
        id=INT,
        content=maybe(TEXT),
        content_type=CONTENT_TYPE,
        content_attributes=CONTENT_ATTRIBUTES,
        private=YES_NO,
        message_type={"enum": [0, 1, 3]},
        created_at=TIME,
        sender=maybe(shape(id=INT, name=TEXT, type={"enum": ["contact", "user", "agent_bot"]})),
    ),
    event={"enum": ["message_created", "message_updated"]},
)
CONVERSATION_EVENT = shape(
    **_CONVERSATION,
    conversation=BRIEF_CONVERSATION,
    event={"enum": ["conversation_created", "conversation_opened", "conversation_resolved"]},
)
CHANGE_EVENT = shape(
    **_CONVERSATION,
    conversation=BRIEF_CONVERSATION,
    event={"enum": ["conversation_updated", "conversation_status_changed"]},
    changed_attributes=maybe(CHANGES),
)
_NEWS_OF_CONTACT: dict[str, Any] = {"account": NAMED, "avatar": TEXT, **PUSHED_CONTACT}
TYPING_EVENT = shape(
    user={"oneOf": [WEBHOOK_CONTACT, WEBHOOK_USER, WEBHOOK_BOT]},
    conversation=CONVERSATION,
    is_private=YES_NO,
    event={"enum": ["conversation_typing_on", "conversation_typing_off"]},
)
EVENTS = {
    "contact_created": shape(**_NEWS_OF_CONTACT, event={"const": "contact_created"}),
    "contact_updated": shape(
        **_NEWS_OF_CONTACT, event={"const": "contact_updated"}, changed_attributes=CHANGES
    ),
    "conversation_typing_on": TYPING_EVENT,
    "conversation_typing_off": TYPING_EVENT,
    "message_created": MESSAGE_EVENT,
    "message_updated": MESSAGE_EVENT,
    "conversation_created": CONVERSATION_EVENT,
    "conversation_opened": CONVERSATION_EVENT,
    "conversation_resolved": CONVERSATION_EVENT,
    "conversation_updated": CHANGE_EVENT,
    "conversation_status_changed": CHANGE_EVENT,
}


def check(body: dict[str, Any]) -> None:
    """Fails unless the body has the shape of its event."""
    jsonschema.validate(body, EVENTS[body["event"]])
