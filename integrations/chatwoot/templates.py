"""`template_params`: a template that the platform has approved, in their words. Both ways.

`processed_params` has what fills it in: by the part of the template, or, as older clients send it, the
body's values alone. Which templates there are knows the platform; what does not fit one fails there.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from conversations.content import template_of
from conversations.messages import (
    ButtonKind,
    Content,
    Kind,
    OutboundMedia,
    Template,
    TemplateButton,
)
from conversations.models import Message
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import missing, unprocessable
from integrations.chatwoot.shapes.parts import Json

NAME = "template_params"
PARTS = frozenset({"header", "body", "footer", "buttons"})
MEDIA = ("media_url", "media_type", "media_name")
MEDIA_TYPES = {"image": Kind.IMAGE, "video": Kind.VIDEO, "document": Kind.DOCUMENT}
MAX_VALUES, MAX_VALUE, MAX_BUTTONS = 50, 1000, 10
MAX_NAME, MAX_LANGUAGE = 512, 20
MAX_URL, MAX_CODE = 2000, 15


# --- From a request ------------------------------------------------------------------------------


def content_of(given: Params, text: str) -> Content | None:
    """The template that a request asks for, with `text` as what it reads like; None without one.

    Raises `ChatwootError` (422).
    """
    if not given.get(NAME):
        return None
    asked = params.mapping(given, NAME)
    name, language = (
        params.text(asked, key, most=most).strip()
        for key, most in (("name", MAX_NAME), ("language", MAX_LANGUAGE))
    )
    if not name or not language:
        raise missing(f"{NAME}.{'language' if name else 'name'}")
    parts = _parts(asked.get("processed_params"))
    header = _object(parts, "header")
    template = Template(
        name=name,
        language=language,
        category=params.text(asked, "category", most=60),
        header=_values({key: value for key, value in header.items() if key not in MEDIA}),
        media=_media(header),
        body=_values(_object(parts, "body")),
        buttons=_buttons(parts.get("buttons")),
    )
    return Content(kind=Kind.TEMPLATE, text=text, template=template)


def _parts(given: Any) -> Json:
    """By the part of the template. A list, or an object without parts, is the body's."""
    if given in (None, ""):
        return {}
    if isinstance(given, list):
        return {"body": {str(n): value for n, value in enumerate(given, start=1)}}
    if not isinstance(given, dict):
        raise unprocessable("processed_params should be an object")
    # An older template may have a value that is called like a part.
    is_by_part = any(isinstance(given[part], dict | list) for part in PARTS & given.keys())
    return given if is_by_part else {"body": given}


def _object(parts: Json, name: str) -> Json:
    value = parts.get(name)
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise unprocessable(f"processed_params.{name} should be an object")
    return value


def _values(given: Json) -> tuple[tuple[str, str], ...]:
    """What is empty fills nothing in, as with them."""
    if len(given) > MAX_VALUES:
        raise unprocessable(_("A template has at most %(most)d values.") % {"most": MAX_VALUES})
    texts = ((str(name)[:MAX_NAME], _value(given, name)) for name in given)
    return tuple((name, value) for name, value in texts if value)


def _value(given: Json, name: str) -> str:
    """A text; of an amount or a date what stands there where it cannot be shown in another way."""
    value = given[name]
    said = value.get("fallback_value") if isinstance(value, dict) else value
    return params.text({name: said}, name, most=MAX_VALUE).strip()


def _media(header: Json) -> OutboundMedia | None:
    url = params.text(header, "media_url", most=MAX_URL).strip()
    if not url:
        return None
    if not url.startswith(("http://", "https://")):
        raise unprocessable("media_url must start with http:// or https://")
    kind = MEDIA_TYPES.get(params.text(header, "media_type").lower())
    if kind is None:
        raise unprocessable(f"media_type should be one of {', '.join(MEDIA_TYPES)}")
    return OutboundMedia(kind, "", filename=params.text(header, "media_name"), url=url)


def _buttons(given: Any) -> tuple[TemplateButton, ...]:
    """The place in the list is the button's; who needs nothing stays out."""
    if given in (None, ""):
        return ()
    if not isinstance(given, list) or len(given) > MAX_BUTTONS:
        raise unprocessable(f"buttons should be a list of at most {MAX_BUTTONS}")
    if not all(one is None or isinstance(one, dict) for one in given):
        raise unprocessable("buttons should be objects")
    return tuple(
        _button(index, one)
        for index, one in enumerate(given)
        if one and params.text(one, "parameter", most=MAX_URL).strip()
    )


def _button(index: int, given: Json) -> TemplateButton:
    kind = ButtonKind(params.choice(given, "type", list(ButtonKind), ButtonKind.URL))
    value = params.text(given, "parameter", most=MAX_URL).strip()
    if kind is ButtonKind.COPY_CODE and len(value) > MAX_CODE:
        raise unprocessable(f"Coupon code cannot exceed {MAX_CODE} characters")
    return TemplateButton(index, kind, value)


# --- Shown ---------------------------------------------------------------------------------------


def additional_attributes(message: Message) -> Json:
    """A message's: the template that it is, in the newer form."""
    data = message.content.get("template")
    if not data or message.deleted_at:
        return {}
    template = template_of(data)
    processed: Json = {
        "header": dict(template.header) | _shown_media(template.media),
        "body": dict(template.body),
        "buttons": _shown_buttons(template.buttons),
    }
    shown = {
        "name": template.name,
        "category": template.category,
        "language": template.language,
        "processed_params": {part: values for part, values in processed.items() if values},
    }
    return {NAME: {key: value for key, value in shown.items() if key != "category" or value}}


def _shown_media(media: OutboundMedia | None) -> Json:
    if media is None:
        return {}
    named = {"media_name": media.filename} if media.filename else {}
    return {"media_url": media.url, "media_type": str(media.kind), **named}


def _shown_buttons(buttons: tuple[TemplateButton, ...]) -> list[Json | None]:
    """Each in its place, with nothing in the places of those that need nothing."""
    places = {button.index: button for button in buttons}
    return [
        {"type": str(places[n].kind), "parameter": places[n].value} if n in places else None
        for n in range(max(places, default=-1) + 1)
    ]
