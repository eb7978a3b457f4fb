"""What WhatsApp can say, and how everything else is made to fit (channels.md 2.11, 2.12, 10)."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from dataclasses import replace

from django.utils.translation import gettext as _

from conversations.channels import Capabilities, UnsupportedMessageError
from conversations.degrading import degrade, quoting_once, rows_of, within
from conversations.messages import Choice, Kind, OutboundMedia, OutboundMessage
from conversations.phrasing import text_length

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

Parts = list[OutboundMessage]


def fit(message: OutboundMessage, capabilities: Capabilities) -> tuple[OutboundMessage, ...]:
    """The parts that say this message, in order. Only the first answers the quoted message."""
    said = degrade(message, carries, channel="WhatsApp")
    if message.kind in CARRIED and not message.text.strip():
        raise UnsupportedMessageError(_("A message with choices needs a text above them."))
    parts = [fitted for part in said for fitted in FITTERS[part.kind](part)]
    return quoting_once(piece for part in parts for piece in within(part, capabilities))


def carries(message: OutboundMessage) -> bool:
    """Whether WhatsApp takes it in its own form, but for the length of its text."""
    check = CARRIED.get(message.kind)
    return message.kind in FITTERS and (check is None or check(message))


def _as_it_is(message: OutboundMessage) -> Parts:
    return [message]


# --- Files ----------------------------------------------------------------------------------------


def _fit_media(message: OutboundMessage) -> Parts:
    media = _fit_file(message)
    return [replace(message, kind=media.kind, media=media)]


def _fit_file(message: OutboundMessage) -> OutboundMedia:
    """The file under the kind WhatsApp takes it as; what fits no other kind goes as a document."""
    media = message.media
    if media is None:
        raise ValueError("a file that is not there was let through")
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
    return [_with_short_edges(message)]


def _fit_list(message: OutboundMessage) -> Parts:
    button = message.list_button.strip()
    if not button or text_length(button) > LIST_BUTTON:
        button = _("Choose")
    return [_with_short_edges(replace(message, list_button=button))]


def _with_short_edges(message: OutboundMessage) -> OutboundMessage:
    """A header or footer that is too long moves into the text."""
    if text_length(message.header) > HEADER:
        message = replace(message, header="", text=f"{message.header}\n\n{message.text}")
    if text_length(message.footer) > HEADER:
        message = replace(message, footer="", text=f"{message.text}\n\n{message.footer}")
    return message


def _are_buttons(message: OutboundMessage) -> bool:
    choices, picture = message.buttons, message.media
    return (
        (picture is None or _taken_as(Kind.IMAGE, picture.mime, picture.size))
        and len(choices) <= BUTTONS
        and _distinct(choices, title=BUTTON_TITLE, identifier=BUTTON_ID)
        and not any(choice.description for choice in choices)
    )


def _are_sections(message: OutboundMessage) -> bool:
    sections = message.sections
    rows = rows_of(sections)
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


# --- People and reactions --------------------------------------------------------------------------


def _fit_contacts(message: OutboundMessage) -> Parts:
    """So many cards at a time; the words come behind the last ones."""
    starts = range(0, len(message.cards), CARDS)
    *groups, last = [message.cards[start : start + CARDS] for start in starts]
    return [
        *(replace(message, cards=cards, text="") for cards in groups),
        replace(message, cards=last),
    ]


def _fit_reaction(message: OutboundMessage) -> Parts:
    """An empty emoji takes the reaction back."""
    return [replace(message, text="", reply_to_external_id="")]


FITTERS: dict[Kind, Callable[[OutboundMessage], Parts]] = {
    Kind.TEXT: _as_it_is,
    Kind.IMAGE: _fit_media,
    Kind.AUDIO: _fit_media,
    Kind.VOICE: _fit_media,
    Kind.VIDEO: _fit_media,
    Kind.DOCUMENT: _fit_media,
    Kind.STICKER: _fit_media,
    Kind.LOCATION: _as_it_is,
    Kind.CONTACTS: _fit_contacts,
    Kind.REACTION: _fit_reaction,
    Kind.BUTTONS: _fit_buttons,
    Kind.LIST: _fit_list,
    Kind.TEMPLATE: _as_it_is,
}
# Kinds that WhatsApp carries only within its limits.
CARRIED: dict[Kind, Callable[[OutboundMessage], bool]] = {
    Kind.BUTTONS: _are_buttons,
    Kind.LIST: _are_sections,
}
