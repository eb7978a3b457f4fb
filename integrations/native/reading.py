"""Reading an agent's answer: every key and type is checked, and a surprise names its place."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from agents.actions import (
    Action,
    AddLabels,
    Answer,
    Assign,
    HandOff,
    Note,
    RemoveLabels,
    Resolve,
    Say,
    SetAttributes,
    Typing,
)
from agents.dialects import UnreadableAnswerError
from conversations.channels import UnexpectedPayloadError
from conversations.messages import (
    MEDIA_KINDS,
    ActionKind,
    Article,
    Card,
    CardAction,
    CarouselCard,
    Choice,
    Content,
    FieldType,
    FormField,
    Input,
    Kind,
    Location,
    OutboundMedia,
    Section,
)
from integrations.wire import Fields, parse_json, unexpected, unstorable_text

MAX_MESSAGES = 10
MAX_ACTIONS = 20
MAX_TEXT = 20_000
MAX_LINE = 1000
MAX_CHOICES = 50
MAX_CARDS = 10
MAX_ATTRIBUTES = 50
MAX_ATTRIBUTE_SIZE = 4000


def read_answer(status: int, body: bytes) -> Answer:
    """The answer in a response; nothing at all for 204, an empty body, `null` and `{}`.

    Raises `UnreadableAnswerError`.
    """
    if status == 204 or not body.strip():
        return Answer()
    try:
        value = parse_json(body)
        return Answer() if value is None else answer_of(value)
    except UnexpectedPayloadError as error:
        raise UnreadableAnswerError(str(error)) from error


def answer_of(value: object) -> Answer:
    """The same for JSON that is parsed already (REST). Raises `UnexpectedPayloadError`."""
    answer = Fields.of(value)
    _only(answer, ("reply", "messages", "actions"))
    if problem := unstorable_text(value):
        raise UnexpectedPayloadError(problem, key="body")
    said: list[Action] = []
    if answer.has("reply"):
        if answer.has("messages"):
            raise _wrong(answer, "reply", "left out where there are messages")
        said.append(Say(Content(text=_text(answer, "reply"))))
    _at_most(answer, "messages", MAX_MESSAGES)
    _at_most(answer, "actions", MAX_ACTIONS)
    said += [read_message(message) for message in answer.each("messages")]
    said += [read_action(action) for action in answer.each("actions")]
    return Answer(tuple(said))


# --- Messages ------------------------------------------------------------------------------------


def read_message(message: Fields) -> Say:
    """One message to the customer. Raises `UnexpectedPayloadError`."""
    kind = message.text("kind", "text")
    if kind not in _MESSAGES:
        raise _wrong(message, "kind", f"one of {', '.join(_MESSAGES)}")
    keys, read = _MESSAGES[kind]
    _only(message, ("kind", "reply_to", "client_id", *keys))
    return Say(
        content=read(message, Kind(kind)),
        reply_to=_line(message, "reply_to", most=40),
        client_id=_line(message, "client_id", most=100),
    )


def _read_text(message: Fields, kind: Kind) -> Content:
    return Content(text=_text(message, "text"))


def _read_buttons(message: Fields, kind: Kind) -> Content:
    buttons = _choices(message, "buttons")
    return Content(
        kind=kind,
        text=_text(message, "text"),
        buttons=buttons,
        header=_line(message, "header"),
        footer=_line(message, "footer"),
    )


def _read_list(message: Fields, kind: Kind) -> Content:
    _at_most(message, "sections", MAX_CHOICES)
    sections = []
    for section in message.each("sections"):
        _only(section, ("title", "rows"))
        sections.append(Section(_line(section, "title"), _choices(section, "rows")))
    if not sections:
        raise _wrong(message, "sections", "an array with at least one section")
    return Content(
        kind=kind,
        text=_text(message, "text"),
        sections=tuple(sections),
        list_button=_line(message, "button"),
        header=_line(message, "header"),
        footer=_line(message, "footer"),
    )


def _read_media(message: Fields, kind: Kind) -> Content:
    url = _address(message, "url")
    file = OutboundMedia(
        kind=kind,
        mime=_line(message, "mime", most=120),
        filename=_line(message, "filename", most=250),
        url=url,
    )
    return Content(kind=kind, text=_text(message, "text", required=False), media=(file,))


def _read_location(message: Fields, kind: Kind) -> Content:
    latitude, longitude = message.number("latitude"), message.number("longitude")
    if not -90 <= latitude <= 90:
        raise _wrong(message, "latitude", "between -90 and 90")
    if not -180 <= longitude <= 180:
        raise _wrong(message, "longitude", "between -180 and 180")
    place = Location(latitude, longitude, _line(message, "name"), _line(message, "address"))
    return Content(kind=kind, location=place)


def _read_contacts(message: Fields, kind: Kind) -> Content:
    _at_most(message, "contacts", MAX_CHOICES)
    cards = []
    for card in message.each("contacts"):
        _only(card, ("name", "phones"))
        cards.append(Card(_line(card, "name", required=True), _lines(card, "phones")))
    if not cards:
        raise _wrong(message, "contacts", "an array with at least one contact")
    return Content(kind=kind, cards=tuple(cards))


def _read_carousel(message: Fields, kind: Kind) -> Content:
    _at_most(message, "cards", MAX_CARDS)
    cards = []
    for card in message.each("cards"):
        _only(card, ("title", "description", "image_url", "actions"))
        _at_most(card, "actions", MAX_CARDS)
        cards.append(
            CarouselCard(
                _line(card, "title", required=True),
                _line(card, "description"),
                _address(card, "image_url") if card.has("image_url") else "",
                tuple(_action(action) for action in card.each("actions")),
            )
        )
    if not cards:
        raise _wrong(message, "cards", "an array with at least one card")
    return Content(kind=kind, text=_text(message, "text", required=False), carousel=tuple(cards))


def _action(action: Fields) -> CardAction:
    kind = _one_of(action, "kind", ActionKind)
    title = _line(action, "title", most=250, required=True)
    if kind is ActionKind.LINK:
        _only(action, ("kind", "title", "url"))
        return CardAction(kind, title, url=_address(action, "url"))
    _only(action, ("kind", "title", "id"))
    return CardAction(kind, title, id=_line(action, "id", most=256, required=True))


def _read_form(message: Fields, kind: Kind) -> Content:
    _at_most(message, "fields", MAX_CHOICES)
    fields = tuple(_field(field) for field in message.each("fields"))
    if not fields:
        raise _wrong(message, "fields", "an array with at least one field")
    if len({field.name for field in fields}) != len(fields):
        raise _wrong(message, "fields", "an array whose names are different")
    return Content(kind=kind, text=_text(message, "text", required=False), fields=fields)


def _field(field: Fields) -> FormField:
    known = ("name", "label", "type", "placeholder", "default", "required", "pattern", "error")
    _only(field, (*known, "options"))
    type_ = _one_of(field, "type", FieldType, FieldType.TEXT)
    if field.has("required") and not isinstance(field.values["required"], bool):
        raise unexpected(field.at("required"), field.values["required"], "true or false")
    if (type_ is FieldType.SELECT) != field.has("options"):
        raise _wrong(field, "options", "there for a select, and for nothing else")
    return FormField(
        name=_line(field, "name", most=120, required=True),
        label=_line(field, "label"),
        type=type_,
        placeholder=_line(field, "placeholder"),
        default=_line(field, "default"),
        required=field.flag("required"),
        pattern=_line(field, "pattern"),
        error=_line(field, "error"),
        options=_choices(field, "options") if field.has("options") else (),
    )


def _read_input(message: Fields, kind: Kind) -> Content:
    type_ = _one_of(message, "type", FieldType, FieldType.TEXT)
    if type_ is FieldType.SELECT:
        raise _wrong(message, "type", "text, email or text_area; a choice is asked by buttons")
    asked = Input(type_, _line(message, "placeholder"))
    return Content(kind=kind, text=_text(message, "text"), input=asked)


def _read_articles(message: Fields, kind: Kind) -> Content:
    _at_most(message, "articles", MAX_CARDS)
    articles = []
    for article in message.each("articles"):
        _only(article, ("title", "description", "link"))
        articles.append(
            Article(
                _line(article, "title", required=True),
                _address(article, "link"),
                _line(article, "description"),
            )
        )
    if not articles:
        raise _wrong(message, "articles", "an array with at least one article")
    return Content(kind=kind, text=_text(message, "text", required=False), articles=tuple(articles))


MessageReader = Callable[[Fields, Kind], Content]
_MESSAGES: dict[str, tuple[tuple[str, ...], MessageReader]] = {
    "text": (("text",), _read_text),
    "buttons": (("text", "buttons", "header", "footer"), _read_buttons),
    "list": (("text", "button", "sections", "header", "footer"), _read_list),
    **{
        str(kind): (("url", "text", "mime", "filename"), _read_media)
        for kind in sorted(MEDIA_KINDS)
    },
    "location": (("latitude", "longitude", "name", "address"), _read_location),
    "contacts": (("contacts",), _read_contacts),
    "carousel": (("text", "cards"), _read_carousel),
    "form": (("text", "fields"), _read_form),
    "input": (("text", "type", "placeholder"), _read_input),
    "articles": (("text", "articles"), _read_articles),
}


# --- Actions -------------------------------------------------------------------------------------


def read_action(action: Fields) -> Action:
    """One action beyond speaking. Raises `UnexpectedPayloadError`."""
    kind = action.text("type")
    if kind not in _ACTIONS:
        raise _wrong(action, "type", f"one of {', '.join(_ACTIONS)}")
    keys, read = _ACTIONS[kind]
    _only(action, ("type", *keys))
    return read(action)


def _read_attribute(action: Fields) -> SetAttributes:
    on = action.text("on", "contact")
    if on not in ("contact", "conversation"):
        raise _wrong(action, "on", "contact or conversation")
    values = action.fields("values")
    if len(values.values) > MAX_ATTRIBUTES:
        raise _wrong(action, "values", f"an object with at most {MAX_ATTRIBUTES} keys")
    for key, value in values.values.items():
        if not 1 <= len(key) <= 60:
            raise _wrong(action, "values", "an object whose keys have 1 to 60 characters")
        if len(str(value)) > MAX_ATTRIBUTE_SIZE:
            raise _wrong(values, key, f"at most {MAX_ATTRIBUTE_SIZE} characters long")
    return SetAttributes(dict(values.values), on)


def _read_assign(action: Fields) -> Assign:
    if action.has("member") == action.has("team"):
        raise UnexpectedPayloadError(
            f"{action.path} should name either a member or a team", key=action.path
        )
    return Assign(
        member=_line(action, "member", most=120),
        team=_line(action, "team", most=120),
        reason=_line(action, "reason"),
    )


ActionReader = Callable[[Fields], Action]
_ACTIONS: dict[str, tuple[tuple[str, ...], ActionReader]] = {
    "label": (("names",), lambda a: AddLabels(_lines(a, "names", most=60, required=True))),
    "unlabel": (("names",), lambda a: RemoveLabels(_lines(a, "names", most=60, required=True))),
    "attribute": (("on", "values"), _read_attribute),
    "assign": (("member", "team", "reason"), _read_assign),
    "hand_off": (
        ("reason", "summary", "team"),
        lambda a: HandOff(
            reason=_line(a, "reason", most=500),
            summary=_text(a, "summary", required=False),
            team=_line(a, "team", most=120),
        ),
    ),
    "resolve": (("reason",), lambda a: Resolve(_line(a, "reason", most=500))),
    "note": (("text",), lambda a: Note(_text(a, "text"))),
    "typing": ((), lambda a: Typing()),
}


# --- Parts ---------------------------------------------------------------------------------------


def _only(fields: Fields, known: Collection[str]) -> None:
    """An unknown key is a mistake that would otherwise do nothing, silently."""
    for key in fields.values:
        if key not in known:
            raise UnexpectedPayloadError(
                f"{fields.at(key)[:120]} is not known here; known are {', '.join(known)}",
                key=fields.at(key),
            )


def _text(fields: Fields, key: str, *, required: bool = True, most: int = MAX_TEXT) -> str:
    """A text that is not blank."""
    text = fields.text(key, None if required else "")
    if required and not text.strip():
        raise _wrong(fields, key, "a text that is not empty")
    if len(text) > most:
        raise _wrong(fields, key, f"at most {most} characters long")
    return text


def _line(fields: Fields, key: str, *, most: int = MAX_LINE, required: bool = False) -> str:
    return _text(fields, key, required=required, most=most)


def _address(fields: Fields, key: str) -> str:
    address = _line(fields, key, most=2000)
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not address.isprintable():
        raise _wrong(fields, key, "an http or https address")
    return address


W = TypeVar("W", bound=StrEnum)


def _one_of(fields: Fields, key: str, words: type[W], default: W | None = None) -> W:
    word = fields.text(key, default)
    if word not in [*words]:
        raise _wrong(fields, key, f"one of {', '.join(words)}")
    return words(word)


def _lines(
    fields: Fields, key: str, *, most: int = MAX_LINE, required: bool = False
) -> tuple[str, ...]:
    _at_most(fields, key, MAX_CHOICES)
    items = fields.items(key)
    for index, item in enumerate(items):
        place = f"{fields.at(key)}[{index}]"
        if not isinstance(item, str):
            raise unexpected(place, item, "a string")
        if not 1 <= len(item.strip()) <= most:
            raise UnexpectedPayloadError(f"{place} should have 1 to {most} characters", key=place)
    if required and not items:
        raise _wrong(fields, key, "an array with at least one text")
    return tuple(items)


def _choices(fields: Fields, key: str) -> tuple[Choice, ...]:
    _at_most(fields, key, MAX_CHOICES)
    choices = []
    for item in fields.each(key):
        _only(item, ("id", "title", "description"))
        choices.append(
            Choice(
                _line(item, "id", most=256, required=True),
                _line(item, "title", required=True),
                _line(item, "description"),
            )
        )
    if not choices:
        raise _wrong(fields, key, "an array with at least one choice")
    return tuple(choices)


def _at_most(fields: Fields, key: str, most: int) -> None:
    if len(fields.items(key)) > most:
        raise _wrong(fields, key, f"an array of at most {most}")


def _wrong(fields: Fields, key: str, wanted: str) -> UnexpectedPayloadError:
    return UnexpectedPayloadError(f"{fields.at(key)} should be {wanted}", key=fields.at(key))
