"""What a message offers or asks, in their words: `content_type`, and the `items` of
`content_attributes`. Both ways, from a request to our canonical content and from a message back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.serializers import Serializer

from conversations.content import offered_choices
from conversations.messages import (
    ActionKind,
    Article,
    Choice,
    Content,
    FieldType,
    Input,
    Kind,
    Section,
)
from conversations.rich_serializers import (
    ArticleSerializer,
    CarouselCardSerializer,
    FormFieldSerializer,
    carousel_card_of,
    form_field_of,
)
from integrations.chatwoot.compat import params
from integrations.chatwoot.errors import unprocessable
from integrations.chatwoot.shapes.parts import Json

Items = list[Json]

# More choices than this do not fit on buttons (WhatsApp).
MAX_BUTTONS = 3
MOST = {"input_select": 100, "cards": 10, "form": 50, "article": 10}
KEYS: Mapping[str, Collection[str]] = {
    "input_select": ("title", "value"),
    "cards": ("title", "description", "media_url", "actions"),
    "form": (
        "type", "placeholder", "label", "name", "options", "default", "required", "pattern",
        "title", "pattern_error",
    ),
    "article": ("title", "description", "link"),
}  # fmt: skip
ACTION_KEYS = ("text", "type", "payload", "uri")
MAX_ACTIONS, MAX_OPTIONS = 10, 50
# Their samples say `"required": "required"`.
NOT_REQUIRED = (None, False, "false", "0", "")
INPUTS = {
    "input_text": FieldType.TEXT,
    "input_textarea": FieldType.TEXT_AREA,
    "input_email": FieldType.EMAIL,
}
ASKED = {str(asked): name for name, asked in INPUTS.items()}
CONTENT_TYPES: Mapping[str, str] = {
    Kind.BUTTONS: "input_select",
    Kind.LIST: "input_select",
    Kind.CAROUSEL: "cards",
    Kind.FORM: "form",
    Kind.ARTICLES: "article",
}
# Their names of what our own checks call otherwise.
NAMES = {"image_url": "media_url", "url": "uri", "id": "payload", "kind": "type"}


# --- From a request ------------------------------------------------------------------------------


def read(kind: str, text: str, items: Any) -> Content:
    """The content of a message of the type `kind` that has items, or of an asked value.

    Raises `ChatwootError` (422) for items that cannot be, in their words where they have some.
    """
    if kind in INPUTS:
        return Content(kind=Kind.INPUT, text=_needed(text), input=Input(INPUTS[kind]))
    return READERS[kind](text, _checked(kind, items))


def _needed(text: str) -> str:
    if not text.strip():
        raise unprocessable(_("Write something."))
    return text


def _checked(kind: str, items: Any) -> Items:
    """Objects with their keys and no others."""
    if not isinstance(items, list) or not items:
        raise unprocessable("Content attributes At least one item is required.")
    if len(items) > MOST[kind]:
        raise unprocessable(_("A list has at most %(most)d items.") % {"most": MOST[kind]})
    _check_keys(items, KEYS[kind], "items")
    return items


def _check_keys(items: Items, known: Collection[str], of: str) -> None:
    if not all(isinstance(item, dict) for item in items):
        raise unprocessable(f"Content attributes {of} should be a hash")
    unknown = sorted({str(key) for item in items for key in item} - set(known))
    if unknown:
        raise unprocessable(f"Content attributes contains invalid keys for {of} : {unknown[:10]}")


def _choices(text: str, items: Items) -> Content:
    choices = tuple(_choice(item) for item in items)
    text = _needed(text)
    if len(choices) <= MAX_BUTTONS:
        return Content(kind=Kind.BUTTONS, text=text, buttons=choices)
    sections = (Section("", choices),)
    return Content(kind=Kind.LIST, text=text, sections=sections, list_button=_("Choose"))


def _choice(item: Json) -> Choice:
    title, value = params.text(item, "title").strip(), params.text(item, "value")
    if not title:
        raise unprocessable("Content attributes items need a title")
    return Choice(id=value or title, title=title)


def _cards(text: str, items: Items) -> Content:
    cards = _valid(CarouselCardSerializer, [_card(item) for item in items])
    return Content(
        kind=Kind.CAROUSEL, text=text, carousel=tuple(carousel_card_of(card) for card in cards)
    )


def _card(item: Json) -> Json:
    actions = item.get("actions")
    if not isinstance(actions, list) or not actions:
        raise unprocessable("Content attributes contains items missing actions")
    if len(actions) > MAX_ACTIONS:
        raise unprocessable(_("A list has at most %(most)d items.") % {"most": MAX_ACTIONS})
    _check_keys(actions, ACTION_KEYS, "actions")
    return {
        "title": item.get("title"),
        "description": item.get("description") or "",
        "image_url": item.get("media_url") or "",
        "actions": [_action(action) for action in actions],
    }


def _action(action: Json) -> Json:
    """An action has an address or comes back; what its type does not use is passed over."""
    shown = {"kind": action.get("type"), "title": action.get("text")}
    if action.get("type") == ActionKind.LINK:
        return {**shown, "url": action.get("uri") or ""}
    return {**shown, "id": action.get("payload") or ""}


def _form(text: str, items: Items) -> Content:
    fields = _valid(FormFieldSerializer, [_field(item) for item in items])
    if len({field["name"] for field in fields}) != len(fields):
        raise unprocessable(_("Each field needs a name of its own."))
    return Content(kind=Kind.FORM, text=text, fields=tuple(form_field_of(one) for one in fields))


def _field(item: Json) -> Json:
    """Their `title` says what the pattern wants, as `pattern_error` does."""
    field = {
        name: item[name]
        for name in ("name", "label", "type", "placeholder", "default", "pattern")
        if item.get(name) is not None
    }
    field["required"] = item.get("required") not in NOT_REQUIRED
    field["error"] = item.get("pattern_error") or item.get("title") or ""
    options = item.get("options") or []
    if isinstance(options, list) and options:
        if len(options) > MAX_OPTIONS:
            raise unprocessable(_("A list has at most %(most)d items.") % {"most": MAX_OPTIONS})
        field["options"] = [_option(option) for option in options]
    return field


def _option(option: Any) -> Json:
    """`{"label", "value"}`, or a text that is both."""
    if not isinstance(option, dict):
        return {"id": option, "title": option}
    title = option.get("label") or option.get("title")
    return {"id": option.get("value") or title, "title": title}


def _articles(text: str, items: Items) -> Content:
    given = [{**item, "description": item.get("description") or ""} for item in items]
    articles = tuple(Article(**article) for article in _valid(ArticleSerializer, given))
    return Content(kind=Kind.ARTICLES, text=text, articles=articles)


READERS: Mapping[str, Callable[[str, Items], Content]] = {
    "input_select": _choices,
    "cards": _cards,
    "form": _form,
    "article": _articles,
}


def _valid(shape: type[Serializer[Any]], items: Items) -> list[dict[str, Any]]:
    """What the house's own check makes of them. Raises 422 with the first thing that is wrong."""
    checked = shape(data=items, many=True)
    if checked.is_valid():
        found: list[dict[str, Any]] = checked.validated_data
        return found
    wrong = next(iter(_wrong(checked.errors)), "")
    raise unprocessable(f"Content attributes items: {wrong}")


def _wrong(errors: Any, name: str = "") -> Iterable[str]:
    """Every sentence of these errors, with the key that it is about."""
    if isinstance(errors, Mapping):
        for key, inner in errors.items():
            yield from _wrong(inner, NAMES.get(str(key), str(key)))
    elif isinstance(errors, list):
        for inner in errors:
            yield from _wrong(inner, name)
    else:
        yield f"{name}: {errors}" if name else str(errors)


# --- Of a message --------------------------------------------------------------------------------


def type_of(kind: str, data: Mapping[str, Any]) -> str:
    """The `content_type` of a message of this kind with this content."""
    if kind == Kind.INPUT:
        return ASKED.get(data.get("input", {}).get("type", ""), "input_text")
    return CONTENT_TYPES.get(kind, "text")


def items_of(data: Mapping[str, Any]) -> list[Json]:
    """What there is to choose, to fill in or to read."""
    if "carousel" in data:
        return [_shown_card(card) for card in data["carousel"]]
    if "fields" in data:
        return [_shown_field(field) for field in data["fields"]]
    if "articles" in data:
        return [dict(article) for article in data["articles"]]
    return [{"title": one.title, "value": one.id} for one in offered_choices(data)]


def submitted_of(data: Mapping[str, Any]) -> Json:
    """What was answered: to a message that offered or asked, or by the customer's own message."""
    submitted = data.get("submitted")
    if submitted and ASKED.get(data.get("input", {}).get("type", "")) == "input_email":
        return {"submitted_email": submitted[0]["value"]}
    if submitted:
        return {"submitted_values": submitted}
    if choice := data.get("choice"):
        return {"submitted_values": [{"title": choice["title"], "value": choice["id"]}]}
    if form := data.get("form"):
        return {"submitted_values": [{"name": name, "value": form[name]} for name in form]}
    return {}


def _shown_card(card: Mapping[str, Any]) -> Json:
    shown = {"title": card["title"]}
    if card.get("description"):
        shown["description"] = card["description"]
    if card.get("image_url"):
        shown["media_url"] = card["image_url"]
    return {**shown, "actions": [_shown_action(action) for action in card.get("actions", ())]}


def _shown_action(action: Mapping[str, Any]) -> Json:
    shown = {"text": action["title"], "type": action["kind"]}
    if action["kind"] == ActionKind.LINK:
        return {**shown, "uri": action["url"]}
    return {**shown, "payload": action["id"]}


def _shown_field(field: Mapping[str, Any]) -> Json:
    shown = {name: value for name, value in field.items() if name not in ("error", "options")}
    if field.get("error"):
        shown["pattern_error"] = field["error"]
    if field.get("options"):
        shown["options"] = [{"label": one["title"], "value": one["id"]} for one in field["options"]]
    return shown
