"""What WhatsApp can say, and how everything else is made to fit (channels.md 2.11, 2.12, 10)."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterable
from dataclasses import replace

from django.utils.translation import gettext as _

from conversations.channels import UnsupportedMessageError
from conversations.messages import Choice, Kind, OutboundMedia, OutboundMessage, Section
from conversations.phrasing import numbered, numbered_text, split_text, text_length

TEXT = 4096
CAPTION = 1024
BUTTONS_BODY = 1024
HEADER = 60
BUTTON_TITLE, BUTTON_ID, BUTTONS = 20, 256, 3
ROW_TITLE, ROW_ID, ROW_DESCRIPTION, ROWS = 24, 200, 72, 10
SECTION_TITLE, LIST_BUTTON = 24, 20
CARDS = 5

MB = 1024 * 1024
LARGEST = {
    Kind.IMAGE: 5 * MB,
    Kind.AUDIO: 16 * MB,
    Kind.VOICE: 16 * MB,
    Kind.VIDEO: 16 * MB,
    Kind.DOCUMENT: 100 * MB,
    Kind.STICKER: 500 * 1024,
}
OPUS = "audio/ogg; codecs=opus"
AUDIO_TYPES = frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"})
ACCEPTED = {
    Kind.IMAGE: frozenset({"image/jpeg", "image/png"}),
    Kind.AUDIO: AUDIO_TYPES,
    Kind.VOICE: AUDIO_TYPES,
    Kind.VIDEO: frozenset({"video/mp4", "video/3gpp"}),
    Kind.STICKER: frozenset({"image/webp"}),
}
CAPTIONED = frozenset({Kind.IMAGE, Kind.VIDEO, Kind.DOCUMENT})

Parts = list[OutboundMessage]


def fit(message: OutboundMessage) -> tuple[OutboundMessage, ...]:
    """The parts that say this message, in order. Only the first answers the quoted message."""
    fitter = FITTERS.get(message.kind)
    if fitter is None:
        raise UnsupportedMessageError(
            _("WhatsApp has no way to send a message of the kind “%(kind)s”.")
            % {"kind": message.kind}
        )
    first, *others = fitter(message)
    return (first, *(replace(part, reply_to_external_id="") for part in others))


def _fit_text(message: OutboundMessage) -> Parts:
    text = "\n\n".join(filter(None, (message.header, message.text, message.footer)))
    plain = replace(message, kind=Kind.TEXT, header="", footer="", buttons=(), sections=())
    parts = [replace(plain, text=piece) for piece in split_text(text, TEXT)]
    if not parts:
        raise UnsupportedMessageError(_("There is nothing in this message to send."))
    return parts


def _words_after(message: OutboundMessage) -> Parts:
    """The message's text as parts of its own, behind something that cannot carry it."""
    if not message.text.strip():
        return []
    return _fit_text(replace(message, media=None, location=None, cards=()))


# --- Files ----------------------------------------------------------------------------------------


def _fit_media(message: OutboundMessage) -> Parts:
    media = _fit_file(message)
    carrier = replace(message, kind=media.kind, media=media, text="")
    if media.kind in CAPTIONED and text_length(message.text) <= CAPTION:
        return [replace(carrier, text=message.text.strip())]
    return [carrier, *_words_after(message)]


def _fit_file(message: OutboundMessage) -> OutboundMedia:
    """The file under the kind WhatsApp takes it as; what fits no other kind goes as a document."""
    media = message.media
    if media is None or not (media.path or media.url):
        raise UnsupportedMessageError(_("The file of this message is missing."))
    mime = media.mime.split(";")[0].strip().lower()
    if mime == "audio/webm" or (mime == "video/webm" and message.kind in (Kind.AUDIO, Kind.VOICE)):
        raise UnsupportedMessageError(
            _("WhatsApp cannot play WebM recordings. Send the recording as OGG (Opus), MP3 or M4A.")
        )
    if mime in ("audio/opus", "audio/ogg"):
        mime, wire_mime = "audio/ogg", OPUS
    else:
        wire_mime = mime
    kind = message.kind if _taken_as(message.kind, mime, media.size) else Kind.DOCUMENT
    if media.size is not None and media.size > LARGEST[kind]:
        raise UnsupportedMessageError(_("This file is larger than the 100 MB that WhatsApp takes."))
    filename = media.filename or _file_name(mime) if kind is Kind.DOCUMENT else media.filename
    return replace(media, kind=kind, mime=wire_mime, filename=filename)


def _taken_as(kind: Kind, mime: str, size: int | None) -> bool:
    if kind is Kind.DOCUMENT:
        return True
    return (not mime or mime in ACCEPTED[kind]) and (size is None or size <= LARGEST[kind])


def _file_name(mime: str) -> str:
    return _("file") + (mimetypes.guess_extension(mime) or "")


# --- Choices --------------------------------------------------------------------------------------


def _fit_buttons(message: OutboundMessage) -> Parts:
    message = _checked(message, message.buttons)
    if _are_buttons(message.buttons):
        return _with_body(message, BUTTONS_BODY)
    section = Section(title="", rows=message.buttons)
    return _fit_sections(replace(message, kind=Kind.LIST, buttons=(), sections=(section,)))


def _fit_list(message: OutboundMessage) -> Parts:
    message = _checked(message, _rows(message.sections))
    return _fit_sections(message)


def _fit_sections(message: OutboundMessage) -> Parts:
    """A list where WhatsApp can show it whole, else numbered lines with the full titles."""
    if not _are_sections(message.sections):
        options = numbered(_rows(message.sections))
        text = numbered_text(message.text, message.sections)
        return [replace(part, options=options) for part in _fit_text(replace(message, text=text))]
    button = message.list_button.strip()
    if not button or text_length(button) > LIST_BUTTON:
        button = _("Choose")
    return _with_body(replace(message, list_button=button), TEXT)


def _checked(message: OutboundMessage, choices: Iterable[Choice]) -> OutboundMessage:
    """Refuse choices without words; a header or footer that is too long moves into the text."""
    titles = [choice.title.strip() for choice in choices]
    if not titles or not all(titles):
        raise UnsupportedMessageError(_("Every choice needs a title."))
    if not message.text.strip():
        raise UnsupportedMessageError(_("A message with choices needs a text above them."))
    if text_length(message.header) > HEADER:
        message = replace(message, header="", text=f"{message.header}\n\n{message.text}")
    if text_length(message.footer) > HEADER:
        message = replace(message, footer="", text=f"{message.text}\n\n{message.footer}")
    return message


def _with_body(message: OutboundMessage, limit: int) -> Parts:
    """The choices under the last piece of a long text; the pieces before it are plain texts."""
    *before, body = split_text(message.text, limit)
    plain = replace(
        message, kind=Kind.TEXT, buttons=(), sections=(), header="", footer="", list_button=""
    )
    return [*(replace(plain, text=piece) for piece in before), replace(message, text=body)]


def _rows(sections: Iterable[Section]) -> tuple[Choice, ...]:
    return tuple(row for section in sections for row in section.rows)


def _are_buttons(choices: tuple[Choice, ...]) -> bool:
    return (
        len(choices) <= BUTTONS
        and _distinct(choices, title=BUTTON_TITLE, identifier=BUTTON_ID)
        and not any(choice.description for choice in choices)
    )


def _are_sections(sections: tuple[Section, ...]) -> bool:
    rows = _rows(sections)
    titles = [section.title for section in sections]
    return (
        len(rows) <= ROWS
        and all(section.rows for section in sections)
        and _distinct(rows, title=ROW_TITLE, identifier=ROW_ID)
        and all(text_length(row.description) <= ROW_DESCRIPTION for row in rows)
        and all(text_length(title) <= SECTION_TITLE for title in titles)
        and (len(titles) == 1 or all(title.strip() for title in titles))
    )


def _distinct(choices: tuple[Choice, ...], *, title: int, identifier: int) -> bool:
    """Whether titles and ids are short enough and each stands there once."""
    titles = {choice.title.strip() for choice in choices}
    identifiers = {choice.id for choice in choices}
    return (
        len(titles) == len(identifiers) == len(choices)
        and all(text_length(text) <= title for text in titles)
        and all(text and text == text.strip() for text in identifiers)
        and all(text_length(text) <= identifier for text in identifiers)
    )


# --- Places, people, reactions --------------------------------------------------------------------


def _fit_location(message: OutboundMessage) -> Parts:
    place = message.location
    if place is None or not (-90 <= place.latitude <= 90 and -180 <= place.longitude <= 180):
        raise UnsupportedMessageError(_("This message needs a place on earth to send."))
    return [replace(message, text=""), *_words_after(message)]


def _fit_contacts(message: OutboundMessage) -> Parts:
    if not message.cards or not all(card.name.strip() for card in message.cards):
        raise UnsupportedMessageError(_("Every contact card needs a name."))
    starts = range(0, len(message.cards), CARDS)
    groups = [message.cards[start : start + CARDS] for start in starts]
    return [*(replace(message, cards=cards, text="") for cards in groups), *_words_after(message)]


def _fit_reaction(message: OutboundMessage) -> Parts:
    """An empty emoji takes the reaction back."""
    if not message.target_external_id:
        raise UnsupportedMessageError(_("A reaction needs the message it is about."))
    return [replace(message, text="", reply_to_external_id="")]


FITTERS: dict[Kind, Callable[[OutboundMessage], Parts]] = {
    Kind.TEXT: _fit_text,
    Kind.IMAGE: _fit_media,
    Kind.AUDIO: _fit_media,
    Kind.VOICE: _fit_media,
    Kind.VIDEO: _fit_media,
    Kind.DOCUMENT: _fit_media,
    Kind.STICKER: _fit_media,
    Kind.LOCATION: _fit_location,
    Kind.CONTACTS: _fit_contacts,
    Kind.REACTION: _fit_reaction,
    Kind.BUTTONS: _fit_buttons,
    Kind.LIST: _fit_list,
}
