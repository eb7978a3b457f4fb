"""What a message becomes on a channel that cannot carry it as it is: one table for all channels.

What a channel can carry keeps its form. Of everything else `TABLE` names the ways to say it, best
first; the first whose parts the channel carries is taken, and where there is none the message is
refused with a sentence (channels.md 10). Then `within` brings the words of each part to the channel's
lengths. Pure functions: a channel with limits of its own hands in what it `carries`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from conversations.channel_errors import UnsupportedMessageError
from conversations.messages import (
    MEDIA_KINDS,
    CarouselCard,
    Choice,
    FormField,
    Kind,
    OutboundMedia,
    OutboundMessage,
    Section,
)
from conversations.phrasing import map_link, numbered, numbered_text, split_text, text_length

if TYPE_CHECKING:
    from conversations.channels import Capabilities

Parts = list[OutboundMessage]
Carries = Callable[[OutboundMessage], bool]

# Kinds that take their text along as a caption; behind the others it follows as a message of its own.
CAPTIONED = frozenset({Kind.IMAGE, Kind.VIDEO, Kind.DOCUMENT})
WITHOUT_WORDS = (MEDIA_KINDS - CAPTIONED) | {Kind.LOCATION, Kind.CONTACTS}
# Kinds whose text stands above what can be tapped or filled in.
WITH_BODY = frozenset(
    {Kind.BUTTONS, Kind.LIST, Kind.CAROUSEL, Kind.FORM, Kind.INPUT, Kind.ARTICLES}
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to say a kind in other kinds. `turn` gives its parts, none when this message would lose
    something in it; `becomes` is for those who read the table."""

    becomes: str
    turn: Callable[[OutboundMessage, Carries], Parts]


def degrade(message: OutboundMessage, carries: Carries, *, channel: str) -> Parts:
    """The parts that say it, each of which the channel carries.

    Raises `UnsupportedMessageError`, also for a message in which something is missing on any channel.
    """
    if problem := missing(message):
        raise UnsupportedMessageError(problem)
    if carries(message):
        return [message]
    for way in TABLE.get(message.kind, ()):
        parts = way.turn(message, carries)
        if parts and all(carries(part) for part in parts):
            return parts
    raise UnsupportedMessageError(
        _("%(channel)s has no way to send a message of the kind “%(kind)s”.")
        % {"channel": channel, "kind": message.kind}
    )


def carried(message: OutboundMessage, capabilities: Capabilities) -> bool:
    """Whether a channel with these capabilities carries it as it is, but for the length of its text."""
    if message.kind not in capabilities.kinds:
        return False
    match message.kind:
        case Kind.BUTTONS:
            if message.media and not capabilities.buttons_with_picture:
                return False
            return len(message.buttons) <= capabilities.max_buttons and all(
                text_length(button.title) <= capabilities.max_button_title
                and not button.description
                for button in message.buttons
            )
        case Kind.LIST:
            rows = rows_of(message.sections)
            return len(rows) <= capabilities.max_rows and all(
                text_length(row.title) <= capabilities.max_row_title for row in rows
            )
    return True


def within(part: OutboundMessage, capabilities: Capabilities) -> Parts:
    """A part that is carried, with its words in as many messages as the channel's lengths need."""
    most = capabilities.max_text
    if part.kind is Kind.TEXT:
        return _texts(part, most)
    if part.kind in CAPTIONED and text_length(part.text) <= capabilities.max_caption:
        return [replace(part, text=part.text.strip())]
    if part.kind in CAPTIONED or part.kind in WITHOUT_WORDS:
        return [replace(part, text=""), *(_texts(part, most) if part.text.strip() else ())]
    if part.kind in WITH_BODY and part.text.strip():
        if part.kind is Kind.BUTTONS:
            most = capabilities.max_button_text or most
        *before, body = split_text(part.text, most)
        plain = only_words(part)
        return [*(replace(plain, text=piece) for piece in before), replace(part, text=body)]
    return [part]


def quoting_once(parts: Iterable[OutboundMessage]) -> tuple[OutboundMessage, ...]:
    """Only the first part answers the quoted message."""
    first, *others = parts
    return (first, *(replace(part, reply_to_external_id="") for part in others))


def _texts(message: OutboundMessage, most: int) -> Parts:
    plain = only_words(message)
    parts = [replace(plain, text=piece) for piece in split_text(whole_text(message), most)]
    if not parts:
        raise UnsupportedMessageError(_("There is nothing in this message to send."))
    return parts


def whole_text(message: OutboundMessage) -> str:
    """Its text between its header and its footer."""
    return _blocks(message.header, message.text, message.footer)


def only_words(message: OutboundMessage, text: str | None = None) -> OutboundMessage:
    """The message as plain text, with what else it has left out."""
    return replace(
        message,
        kind=Kind.TEXT,
        text=message.text if text is None else text,
        media=None,
        buttons=(),
        sections=(),
        list_button="",
        header="",
        footer="",
        location=None,
        cards=(),
        carousel=(),
        fields=(),
        input=None,
        articles=(),
        template=None,
    )


# --- What every channel needs ---------------------------------------------------------------------


def missing(message: OutboundMessage) -> str:
    """What must be there on any channel and is not, as a sentence; empty when all is."""
    check = NEEDED.get(message.kind)
    return check(message) if check else ""


def _without_titles(choices: Sequence[Choice]) -> str:
    titled = bool(choices) and all(choice.title.strip() for choice in choices)
    return "" if titled else _("Every choice needs a title.")


def _without_file(message: OutboundMessage) -> str:
    media = message.media
    there = media is not None and bool(media.path or media.url)
    return "" if there else _("The file of this message is missing.")


def _without_place(message: OutboundMessage) -> str:
    place = message.location
    there = place is not None and -90 <= place.latitude <= 90 and -180 <= place.longitude <= 180
    return "" if there else _("This message needs a place on earth to send.")


def _without_names(message: OutboundMessage) -> str:
    named = bool(message.cards) and all(card.name.strip() for card in message.cards)
    return "" if named else _("Every contact card needs a name.")


def _without_offers(message: OutboundMessage) -> str:
    if not message.carousel or not all(card.title.strip() for card in message.carousel):
        return _("Every card needs a title.")
    actions = [action for card in message.carousel for action in card.actions]
    if not all(action.title.strip() and (action.url or action.id) for action in actions):
        return _("Every action of a card needs a title, and an address or an id.")
    return ""


def _without_questions(message: OutboundMessage) -> str:
    asked = bool(message.fields) and all(field.name.strip() for field in message.fields)
    return "" if asked else _("Every field of a form needs a name.")


def _without_question(message: OutboundMessage) -> str:
    asked = message.input is not None and bool(message.text.strip())
    return "" if asked else _("Ask for the value in words.")


def _without_articles(message: OutboundMessage) -> str:
    whole = bool(message.articles) and all(
        article.title.strip() and article.link for article in message.articles
    )
    return "" if whole else _("Every article needs a title and a link.")


def _without_template(message: OutboundMessage) -> str:
    template = message.template
    named = template is not None and bool(template.name.strip() and template.language.strip())
    return "" if named else _("A template needs its name and its language.")


def _without_target(message: OutboundMessage) -> str:
    return "" if message.target_external_id else _("A reaction needs the message it is about.")


NEEDED: Mapping[Kind, Callable[[OutboundMessage], str]] = {
    **dict.fromkeys(sorted(MEDIA_KINDS), _without_file),
    Kind.BUTTONS: lambda message: _without_titles(message.buttons),
    Kind.LIST: lambda message: _without_titles(rows_of(message.sections)),
    Kind.CAROUSEL: _without_offers,
    Kind.FORM: _without_questions,
    Kind.INPUT: _without_question,
    Kind.ARTICLES: _without_articles,
    Kind.TEMPLATE: _without_template,
    Kind.LOCATION: _without_place,
    Kind.CONTACTS: _without_names,
    Kind.REACTION: _without_target,
}


# --- Choices --------------------------------------------------------------------------------------


def rows_of(sections: Iterable[Section]) -> tuple[Choice, ...]:
    return tuple(row for section in sections for row in section.rows)


def _as_list(message: OutboundMessage, carries: Carries) -> Parts:
    section = Section(title="", rows=message.buttons)
    button = message.list_button or _("Choose")
    rows = replace(message, kind=Kind.LIST, buttons=(), sections=(section,), list_button=button)
    return [rows]


def _as_buttons(message: OutboundMessage, carries: Carries) -> Parts:
    """A list without headings and descriptions loses nothing as buttons."""
    rows = rows_of(message.sections)
    if any(section.title for section in message.sections) or any(row.description for row in rows):
        return []
    plain = replace(message, kind=Kind.BUTTONS, sections=(), list_button="")
    return [replace(plain, buttons=rows)]


def _as_numbered_lines(message: OutboundMessage, carries: Carries) -> Parts:
    sections = message.sections or (Section(title="", rows=message.buttons),)
    text = _blocks(message.header, numbered_text(message.text, sections), message.footer)
    return [replace(only_words(message, text), options=numbered(rows_of(sections)))]


# --- Cards of a carousel --------------------------------------------------------------------------


def _as_cards(message: OutboundMessage, carries: Carries) -> Parts:
    """Each card for itself: its picture with its words, and what can be chosen of it to tap."""
    parts = _introduction(message)
    for card in message.carousel:
        parts += _card(card, only_words(message, ""), carries)
        if card.choices and parts[-1].kind is Kind.TEXT:
            return []
    return parts


def _card(card: CarouselCard, plain: OutboundMessage, carries: Carries) -> Parts:
    words = _blocks(_lines(card.title, card.description), _links(card))
    parts = [_pictured(card, plain, words)] if card.image_url else []
    if not card.choices:
        return parts or [replace(plain, text=words)]
    if parts and carries(whole := replace(parts[0], kind=Kind.BUTTONS, buttons=card.choices)):
        return [whole]
    buttons = replace(
        plain, kind=Kind.BUTTONS, text=card.title if parts else words, buttons=card.choices
    )
    tapped = (buttons, *_as_list(buttons, carries))
    return [*parts, next((one for one in tapped if carries(one)), replace(plain, text=words))]


def _as_pictures(message: OutboundMessage, carries: Carries) -> Parts:
    """Each card's picture with its words, and what can be chosen numbered through all of them."""
    plain = replace(only_words(message, ""), options=_options(message))
    parts = _introduction(message)
    for card, words in zip(message.carousel, _numbered_cards(message), strict=True):
        said = replace(plain, text=words)
        parts.append(_pictured(card, said, words) if card.image_url else said)
    return parts


def _as_one_text(message: OutboundMessage, carries: Carries) -> Parts:
    """All cards in one text, pictures as links."""
    cards = [
        _lines(words, card.image_url)
        for card, words in zip(message.carousel, _numbered_cards(message), strict=True)
    ]
    text = _blocks(message.header, message.text, *cards, message.footer)
    return [replace(only_words(message, text), options=_options(message))]


def _introduction(message: OutboundMessage) -> Parts:
    text = whole_text(message)
    return [only_words(message, text)] if text else []


def _pictured(card: CarouselCard, plain: OutboundMessage, words: str) -> OutboundMessage:
    picture = OutboundMedia(Kind.IMAGE, "", url=card.image_url)
    return replace(plain, kind=Kind.IMAGE, media=picture, text=words)


def _options(message: OutboundMessage) -> tuple[tuple[str, Choice], ...]:
    return numbered([choice for card in message.carousel for choice in card.choices])


def _numbered_cards(message: OutboundMessage) -> list[str]:
    """Title, description, choices with their numbers, links."""
    texts = []
    number = 0
    for card in message.carousel:
        lines = []
        for choice in card.choices:
            number += 1
            lines.append(f"{number}. {choice.title}")
        texts.append(_lines(card.title, card.description, *lines, _links(card)))
    return texts


def _links(card: CarouselCard) -> str:
    return _lines(*(f"{action.title}: {action.url}" for action in card.links))


# --- Questions, articles, places, people ----------------------------------------------------------


def _as_questions(message: OutboundMessage, carries: Carries) -> Parts:
    questions = [f"{n}. {_question(field)}" for n, field in enumerate(message.fields, start=1)]
    text = _blocks(message.header, message.text, _lines(*questions), message.footer)
    return [only_words(message, text)]


def _question(field: FormField) -> str:
    """The label, and in brackets what may be answered."""
    answers = " / ".join(option.title for option in field.options) or field.placeholder
    label = field.label.strip() or field.name
    return f"{label} ({answers})" if answers else label


def _as_question(message: OutboundMessage, carries: Carries) -> Parts:
    return [only_words(message, whole_text(message))]


def _as_linked_titles(message: OutboundMessage, carries: Carries) -> Parts:
    articles = [_lines(one.title, one.description, one.link) for one in message.articles]
    text = _blocks(message.header, message.text, *articles, message.footer)
    return [only_words(message, text)]


def _as_map_link(message: OutboundMessage, carries: Carries) -> Parts:
    place = message.location
    if place is None:
        return []
    link = map_link(place.latitude, place.longitude)
    return [only_words(message, _blocks(_lines(place.name, place.address, link), message.text))]


def _as_names(message: OutboundMessage, carries: Carries) -> Parts:
    people = [
        f"{card.name}: {', '.join(card.phones)}" if card.phones else card.name
        for card in message.cards
    ]
    return [only_words(message, _blocks(_lines(*people), message.text))]


# --- Files ----------------------------------------------------------------------------------------


def _as_file(kind: Kind) -> Callable[[OutboundMessage, Carries], Parts]:
    def turn(message: OutboundMessage, carries: Carries) -> Parts:
        media = message.media
        return [replace(message, kind=kind, media=replace(media, kind=kind))] if media else []

    return turn


def _blocks(*texts: str) -> str:
    """Texts that are not empty, as paragraphs."""
    return "\n\n".join(text.strip() for text in texts if text.strip())


def _lines(*texts: str) -> str:
    return "\n".join(text.strip() for text in texts if text.strip())


_DOCUMENT = Way("a document", _as_file(Kind.DOCUMENT))
_NUMBERED = Way("text with numbered lines", _as_numbered_lines)

TABLE: Mapping[Kind, tuple[Way, ...]] = {
    Kind.BUTTONS: (Way("a list", _as_list), _NUMBERED),
    Kind.LIST: (Way("buttons", _as_buttons), _NUMBERED),
    Kind.CAROUSEL: (
        Way("per card a picture with its words, and buttons or a list", _as_cards),
        Way("pictures with numbered lines", _as_pictures),
        Way("text with numbered lines and links", _as_one_text),
    ),
    Kind.FORM: (Way("text with its questions as numbered lines", _as_questions),),
    Kind.INPUT: (Way("the question as text", _as_question),),
    Kind.ARTICLES: (Way("text with links", _as_linked_titles),),
    Kind.LOCATION: (Way("text with a map link", _as_map_link),),
    Kind.CONTACTS: (Way("names and numbers as text", _as_names),),
    Kind.STICKER: (Way("a picture", _as_file(Kind.IMAGE)), _DOCUMENT),
    Kind.IMAGE: (_DOCUMENT,),
    Kind.VIDEO: (_DOCUMENT,),
    Kind.VOICE: (Way("an audio file", _as_file(Kind.AUDIO)), _DOCUMENT),
    Kind.AUDIO: (_DOCUMENT,),
}
