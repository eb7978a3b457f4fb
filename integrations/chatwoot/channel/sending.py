"""The body of `POST /conversations/{id}/messages` (contract, 4.2), and which messages need no other form.

Cards, forms and articles are shown by the website's widget; other inboxes over there send their text
alone, so it says the same in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

import aiohttp

from conversations.channels import Capabilities
from conversations.degrading import carried, degrade, only_words, rows_of, whole_text
from conversations.messages import (
    ActionKind,
    CarouselCard,
    Choice,
    FieldType,
    FormField,
    Kind,
    OutboundMessage,
)
from integrations.chatwoot.channel.naming import REFERENCE, message_number

FIELD_TYPES = {
    FieldType.TEXT: "text",
    FieldType.EMAIL: "email",
    FieldType.TEXT_AREA: "text_area",
    FieldType.SELECT: "select",
}
INPUT_TYPES = {
    FieldType.TEXT: "input_text",
    FieldType.EMAIL: "input_email",
    FieldType.TEXT_AREA: "input_textarea",
}
# Kinds of inboxes over there that show what there is to choose.
SHOW_CHOICES = frozenset({"Channel::WebWidget", "Channel::Api", "Channel::Whatsapp"})


def carries(message: OutboundMessage, can: Capabilities) -> bool:
    """Whether Chatwoot says all of it as it is: its choices have a title and nothing else."""
    if not carried(message, can):
        return False
    match message.kind:
        case Kind.LIST:
            described = any(row.description for row in rows_of(message.sections))
            return not described and not any(one.title for one in message.sections)
        case Kind.CAROUSEL:
            return all(card.actions for card in message.carousel)
        case Kind.INPUT:
            return message.input is not None and message.input.type in INPUT_TYPES
    return True


def body_of(message: OutboundMessage, *, inbox_types: Collection[str]) -> dict[str, Any]:
    """The JSON of a fitted message. `inbox_types`: the kinds of the inboxes that it may go to."""
    form = FORMS.get(message.kind)
    content_type, items = form(message) if form else ("text", [])
    attributes: dict[str, Any] = {"items": items} if items else {}
    if quoted := message_number(message.reply_to_external_id):
        attributes["in_reply_to"] = quoted
    if message.reference:
        attributes[REFERENCE] = message.reference
    return {
        "content": _words(message, frozenset(inbox_types)),
        "message_type": "outgoing",
        "private": False,
        "content_type": content_type,
        "content_attributes": attributes,
        **({"echo_id": message.reference} if message.reference else {}),
    }


def with_file(body: dict[str, Any], message: OutboundMessage, content: bytes) -> aiohttp.FormData:
    """The same as a form with the message's file."""
    form = aiohttp.FormData()
    for name, value in body.items():
        plain = value if isinstance(value, str) else json.dumps(value)
        form.add_field(name, plain)
    if message.kind is Kind.VOICE:
        form.add_field("is_voice_message", "true")
    media = message.media
    form.add_field(
        "attachments[]",
        content,
        content_type=(media.mime if media else "") or "application/octet-stream",
        filename=(media.filename if media else "") or "file",
    )
    return form


def _words(message: OutboundMessage, inbox_types: frozenset[str]) -> str:
    if message.kind in (Kind.CAROUSEL, Kind.FORM, Kind.ARTICLES):
        return _in_words(message)
    if message.kind in (Kind.BUTTONS, Kind.LIST) and not inbox_types <= SHOW_CHOICES:
        titles = [f"- {choice.title.strip()}" for choice in _choices(message)]
        return "\n".join([whole_text(message), "", *titles])
    if message.media and not message.media.path:
        return "\n".join(filter(None, [message.text, message.media.url]))
    return whole_text(message)


def _in_words(message: OutboundMessage) -> str:
    parts = degrade(message, lambda part: part.kind is Kind.TEXT, channel="Chatwoot")
    return "\n\n".join(whole_text(only_words(part)) for part in parts)


def _choices(message: OutboundMessage) -> tuple[Choice, ...]:
    return message.buttons or rows_of(message.sections)


def _select(message: OutboundMessage) -> tuple[str, list[Any]]:
    items = [{"title": one.title.strip(), "value": one.id} for one in _choices(message)]
    return "input_select", items


def _cards(message: OutboundMessage) -> tuple[str, list[Any]]:
    return "cards", [_card(card) for card in message.carousel]


def _card(card: CarouselCard) -> dict[str, Any]:
    return {
        "title": card.title,
        "description": card.description,
        "media_url": card.image_url,
        "actions": [
            {"type": "link", "text": action.title, "uri": action.url}
            if action.kind is ActionKind.LINK
            else {"type": "postback", "text": action.title, "payload": action.id}
            for action in card.actions
        ],
    }


def _form(message: OutboundMessage) -> tuple[str, list[Any]]:
    return "form", [_field(field) for field in message.fields]


def _field(field: FormField) -> dict[str, Any]:
    options = [{"label": one.title, "value": one.id} for one in field.options]
    words = {
        "placeholder": field.placeholder,
        "default": field.default,
        "pattern": field.pattern,
        "pattern_error": field.error,
    }
    return {
        "name": field.name,
        "label": field.label or field.name,
        "type": FIELD_TYPES[field.type],
        "required": field.required,
        **{key: text for key, text in words.items() if text},
        **({"options": options} if options else {}),
    }


def _articles(message: OutboundMessage) -> tuple[str, list[Any]]:
    return "article", [
        {"title": one.title, "description": one.description, "link": one.link}
        for one in message.articles
    ]


def _question(message: OutboundMessage) -> tuple[str, list[Any]]:
    asked = message.input.type if message.input else FieldType.TEXT
    return INPUT_TYPES[asked], []


FORMS: dict[Kind, Callable[[OutboundMessage], tuple[str, list[Any]]]] = {
    Kind.BUTTONS: _select,
    Kind.LIST: _select,
    Kind.CAROUSEL: _cards,
    Kind.FORM: _form,
    Kind.INPUT: _question,
    Kind.ARTICLES: _articles,
}
