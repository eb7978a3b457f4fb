"""The JSON of `POST /{phone_number_id}/messages` (channels.md 2.7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from conversations.messages import (
    ButtonKind,
    Choice,
    Kind,
    OutboundMessage,
    Section,
    Template,
    TemplateButton,
)
from integrations.whatsapp.markup import to_whatsapp

WIRE_MEDIA = {
    Kind.IMAGE: "image",
    Kind.AUDIO: "audio",
    Kind.VOICE: "audio",
    Kind.VIDEO: "video",
    Kind.DOCUMENT: "document",
    Kind.STICKER: "sticker",
}


def body_of(
    message: OutboundMessage, address: dict[str, str], file: dict[str, str]
) -> dict[str, Any]:
    """The whole request of a fitted message. `file` is `{"id": …}` or `{"link": …}` of its media."""
    saying = SAYING.get(message.kind)
    kind, content = saying(message) if saying else _media(message, file)
    if message.kind is Kind.BUTTONS and message.media:
        content["header"] = {"type": "image", "image": file}
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **address,
        "type": kind,
        kind: content,
    }
    if message.reply_to_external_id:
        body["context"] = {"message_id": message.reply_to_external_id}
    if message.reference:
        # WhatsApp has no idempotency key; this comes back in every status (channels.md 2.13).
        body["biz_opaque_callback_data"] = message.reference
    return body


def read_receipt(external_id: str, *, typing: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": external_id,
    }
    if typing:
        body["typing_indicator"] = {"type": "text"}
    return body


def _text(message: OutboundMessage) -> tuple[str, Any]:
    text = to_whatsapp(message.text)
    return "text", {"body": text, "preview_url": "https://" in text or "http://" in text}


def _media(message: OutboundMessage, file: dict[str, str]) -> tuple[str, Any]:
    content: dict[str, Any] = dict(file)
    if message.text:
        content["caption"] = to_whatsapp(message.text)
    media = message.media
    if message.kind is Kind.DOCUMENT and media and media.filename:
        content["filename"] = media.filename
    if message.kind is Kind.VOICE and media and media.mime.startswith("audio/ogg"):
        content["voice"] = True
    return WIRE_MEDIA[message.kind], content


def _buttons(message: OutboundMessage) -> tuple[str, Any]:
    buttons = [
        {"type": "reply", "reply": {"id": button.id, "title": button.title.strip()}}
        for button in message.buttons
    ]
    return "interactive", _interactive(message, "button", {"buttons": buttons})


def _list(message: OutboundMessage) -> tuple[str, Any]:
    sections = [_section(section) for section in message.sections]
    action = {"button": message.list_button, "sections": sections}
    return "interactive", _interactive(message, "list", action)


def _interactive(message: OutboundMessage, kind: str, action: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"type": kind, "body": {"text": to_whatsapp(message.text)}}
    if message.header:
        content["header"] = {"type": "text", "text": message.header}
    if message.footer:
        content["footer"] = {"text": message.footer}
    return {**content, "action": action}


def _section(section: Section) -> dict[str, Any]:
    rows = [_row(row) for row in section.rows]
    return {"title": section.title, "rows": rows} if section.title else {"rows": rows}


def _row(row: Choice) -> dict[str, str]:
    described = {"description": row.description} if row.description else {}
    return {"id": row.id, "title": row.title.strip(), **described}


def _location(message: OutboundMessage) -> tuple[str, Any]:
    place = message.location
    if place is None:
        raise ValueError("a location message without a location was not fitted")
    words = {"name": place.name, "address": place.address}
    return "location", {
        "latitude": place.latitude,
        "longitude": place.longitude,
        **{key: text for key, text in words.items() if text},
    }


def _contacts(message: OutboundMessage) -> tuple[str, Any]:
    return "contacts", [
        {
            "name": {"formatted_name": card.name, "first_name": card.name.split()[0]},
            "phones": [{"phone": phone, "type": "CELL"} for phone in card.phones],
        }
        for card in message.cards
    ]


def _reaction(message: OutboundMessage) -> tuple[str, Any]:
    return "reaction", {"message_id": message.target_external_id, "emoji": message.emoji}


def _template(message: OutboundMessage) -> tuple[str, Any]:
    template = message.template
    if template is None:
        raise ValueError("a template message without a template was not fitted")
    content: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    if components := _components(template):
        content["components"] = components
    return "template", content


def _components(template: Template) -> list[dict[str, Any]]:
    header = _values(template.header)
    if media := template.media:
        wire = WIRE_MEDIA[media.kind]
        named = {"filename": media.filename} if media.filename else {}
        header.append({"type": wire, wire: {"link": media.url, **named}})
    parts = [("header", header), ("body", _values(template.body))]
    return [
        *({"type": place, "parameters": values} for place, values in parts if values),
        *(_template_button(button) for button in template.buttons),
    ]


def _values(values: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Texts in the order of their places; by name, where the places are no numbers."""
    if all(name.isdecimal() for name, _value in values):
        ordered = sorted(values, key=lambda pair: int(pair[0]))
        return [{"type": "text", "text": _in_a_line(value)} for _name, value in ordered]
    return [
        {"type": "text", "parameter_name": name, "text": _in_a_line(value)}
        for name, value in values
    ]


def _in_a_line(value: str) -> str:
    """Meta refuses values with line ends, tabs, or more than four spaces in a row."""
    return re.sub(r" {4,}", "   ", re.sub(r"[\r\n\t]+", " ", value)).strip()


def _template_button(button: TemplateButton) -> dict[str, Any]:
    kind, key = BUTTON_VALUES[button.kind]
    return {
        "type": "button",
        "sub_type": str(button.kind),
        "index": str(button.index),
        "parameters": [{"type": kind, key: button.value}],
    }


# The type of a button's value, and the key it stands under.
BUTTON_VALUES = {
    ButtonKind.URL: ("text", "text"),
    ButtonKind.QUICK_REPLY: ("payload", "payload"),
    ButtonKind.COPY_CODE: ("coupon_code", "coupon_code"),
}
SAYING: dict[Kind, Callable[[OutboundMessage], tuple[str, Any]]] = {
    Kind.TEXT: _text,
    Kind.BUTTONS: _buttons,
    Kind.LIST: _list,
    Kind.LOCATION: _location,
    Kind.CONTACTS: _contacts,
    Kind.REACTION: _reaction,
    Kind.TEMPLATE: _template,
}
