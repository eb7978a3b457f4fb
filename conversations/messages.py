"""Canonical messages: what a channel reads and what it is asked to say.

Frozen dataclasses only: no Django, no I/O. A channel turns wire bytes into `InboundMessage`,
`StatusUpdate` or `Ignored`; services turn them into rows; on the way out a row becomes an
`OutboundMessage` again. Whatever at least two platforms share has a field; the rest stays in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a message is. The last row is used inbound only."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VOICE = "voice"
    VIDEO = "video"
    DOCUMENT = "document"
    STICKER = "sticker"
    LOCATION = "location"
    CONTACTS = "contacts"
    REACTION = "reaction"
    BUTTONS = "buttons"
    LIST = "list"
    CAROUSEL = "carousel"
    FORM = "form"
    INPUT = "input"
    ARTICLES = "articles"
    TEMPLATE = "template"

    BUTTON_REPLY = "button_reply"
    LIST_REPLY = "list_reply"
    FORM_REPLY = "form_reply"
    ORDER = "order"
    SYSTEM = "system"
    EDIT = "edit"
    DELETE = "delete"
    UNSUPPORTED = "unsupported"


MEDIA_KINDS = frozenset(
    {Kind.IMAGE, Kind.AUDIO, Kind.VOICE, Kind.VIDEO, Kind.DOCUMENT, Kind.STICKER}
)


# What a channel takes also after its reply window has closed.
OUTSIDE_WINDOW = frozenset({Kind.TEMPLATE})


class DeliveryStatus(StrEnum):
    """The channel's word on our message; `rank` orders them (channels.md 1.3)."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


STATUS_RANK = {
    DeliveryStatus.QUEUED: 0,
    DeliveryStatus.SENT: 1,
    DeliveryStatus.DELIVERED: 2,
    DeliveryStatus.READ: 3,
}


def status_moves_forward(current: str, new: str) -> bool:
    """Whether `new` may replace `current`: never backwards, `failed` only before delivery."""
    if current == DeliveryStatus.FAILED:
        return new in (DeliveryStatus.DELIVERED, DeliveryStatus.READ)
    rank = STATUS_RANK[DeliveryStatus(current)]
    if new == DeliveryStatus.FAILED:
        return rank <= STATUS_RANK[DeliveryStatus.SENT]
    return STATUS_RANK[DeliveryStatus(new)] > rank


@dataclass(frozen=True, slots=True)
class Identifier:
    """One name a channel knows a contact by: kind `phone`, `bsuid`, `username`, `visitor`, …"""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Media:
    """A file of a message. Inbound: `remote_ref` tells the channel how to fetch it, unless it is in
    our storage already, at `path`."""

    kind: Kind
    mime: str = ""
    size: int | None = None
    filename: str = ""
    caption: str = ""
    remote_ref: str = ""
    sha256: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A button, or a row of a list."""

    id: str
    title: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    rows: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Location:
    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A contact card."""

    name: str
    phones: tuple[str, ...] = ()


class ActionKind(StrEnum):
    """What tapping an action of a carousel card does."""

    LINK = "link"
    POSTBACK = "postback"


@dataclass(frozen=True, slots=True)
class CardAction:
    """Opens `url` (link), or comes back as the choice `id` (postback)."""

    kind: ActionKind
    title: str
    url: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class CarouselCard:
    """One product or offer of a carousel."""

    title: str
    description: str = ""
    image_url: str = ""
    actions: tuple[CardAction, ...] = ()

    @property
    def links(self) -> tuple[CardAction, ...]:
        return tuple(action for action in self.actions if action.kind is ActionKind.LINK)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What can be chosen of it."""
        return tuple(
            Choice(action.id, action.title)
            for action in self.actions
            if action.kind is ActionKind.POSTBACK
        )


class FieldType(StrEnum):
    TEXT = "text"
    EMAIL = "email"
    TEXT_AREA = "text_area"
    SELECT = "select"


@dataclass(frozen=True, slots=True)
class FormField:
    """A question of a form. `pattern` (and `error`, what to say when an answer does not have it) is for
    whoever shows the form."""

    name: str
    label: str = ""
    type: FieldType = FieldType.TEXT
    placeholder: str = ""
    default: str = ""
    required: bool = False
    pattern: str = ""
    error: str = ""
    options: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """One value that is asked for, and what it is to be: no `select`."""

    type: FieldType = FieldType.TEXT
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Article:
    title: str
    link: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """Something the customer said or did. Times are aware UTC."""

    external_id: str
    kind: Kind
    identifiers: tuple[Identifier, ...]
    sent_at: datetime | None = None
    text: str = ""
    contact_name: str = ""
    media: tuple[Media, ...] = ()
    choice: Choice | None = None
    location: Location | None = None
    cards: tuple[Card, ...] = ()
    reply_to_external_id: str = ""
    target_external_id: str = ""
    forwarded: bool = False
    referral: dict[str, Any] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """The channel reports on a message of ours, named by its id or by our own reference."""

    external_id: str
    status: DeliveryStatus
    at: datetime | None = None
    our_reference: str = ""
    error_code: str = ""
    error_text: str = ""
    error_class: str = ""
    identifiers: tuple[Identifier, ...] = ()


@dataclass(frozen=True, slots=True)
class IdentifierChange:
    """A customer got another number or id; the conversation stays."""

    old: tuple[Identifier, ...]
    new: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True)
class DeviceEcho:
    """A human answered from the phone itself; recorded as outbound, no agent is triggered.

    `takes_over`: they have the conversation from now on, so an agent that holds it gives it up.
    """

    message: InboundMessage
    takes_over: bool = False


class Stage(StrEnum):
    """Where a conversation is on a platform that has people of its own."""

    WITH_PEOPLE = "with_people"
    WITH_AGENT = "with_agent"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class StageChange:
    """People of the platform itself have taken a conversation, given it to the agent, or are done with it."""

    identifiers: tuple[Identifier, ...]
    stage: Stage


@dataclass(frozen=True, slots=True)
class Ignored:
    """Understood, but nothing to do; `reason` is shown on the receipt."""

    reason: str


Reading = InboundMessage | StatusUpdate | IdentifierChange | DeviceEcho | StageChange | Ignored


class ActKind(StrEnum):
    """What a platform is told of a conversation; three of them are stages of it."""

    NOTE = "note"
    WITH_PEOPLE = Stage.WITH_PEOPLE.value
    WITH_AGENT = Stage.WITH_AGENT.value
    RESOLVED = Stage.RESOLVED.value
    LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Act:
    """What became of a conversation here, for the people of its platform; its customer sees none of it.

    `text` is a note's, `added` and `removed` are labels, `person` (an e-mail address) or `team` (a name) is who
    has it now, where they are known. `reference` is the same at every try; `again`: it may have been done.
    """

    kind: ActKind
    text: str = ""
    person: str = ""
    team: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    reference: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class OutboundMedia:
    """A file to send: `path` inside our storage, or a public `url` the channel may link to."""

    kind: Kind
    mime: str
    filename: str = ""
    path: str = ""
    url: str = ""
    size: int | None = None


class ButtonKind(StrEnum):
    """What a template's button does: opens an address, comes back as a choice, has a code to copy."""

    URL = "url"
    QUICK_REPLY = "quick_reply"
    COPY_CODE = "copy_code"


@dataclass(frozen=True, slots=True)
class TemplateButton:
    """What fills in one button of a template, counted from 0."""

    index: int
    kind: ButtonKind
    value: str


@dataclass(frozen=True, slots=True)
class Template:
    """A text that the platform has approved, and what fills it in.

    Values have the names of their places: numbers ("1", "2"), or words where the template has those.
    """

    name: str
    language: str
    category: str = ""
    header: tuple[tuple[str, str], ...] = ()
    media: OutboundMedia | None = None
    body: tuple[tuple[str, str], ...] = ()
    buttons: tuple[TemplateButton, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """What somebody wants said to the customer, before it is a row."""

    kind: Kind = Kind.TEXT
    text: str = ""
    media: tuple[OutboundMedia, ...] = ()
    buttons: tuple[Choice, ...] = ()
    sections: tuple[Section, ...] = ()
    list_button: str = ""
    header: str = ""
    footer: str = ""
    location: Location | None = None
    cards: tuple[Card, ...] = ()
    emoji: str = ""
    carousel: tuple[CarouselCard, ...] = ()
    fields: tuple[FormField, ...] = ()
    input: Input | None = None
    articles: tuple[Article, ...] = ()
    # `text` is then what it reads like, as far as its author knows.
    template: Template | None = None
    # What the author's own program keeps with it. No customer sees that, and of the channels only one at
    # whose other end is an app of the business.
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """Something to say to the customer. `reference` is ours; channels echo it where they can."""

    reference: str
    kind: Kind
    text: str = ""
    media: OutboundMedia | None = None
    buttons: tuple[Choice, ...] = ()
    sections: tuple[Section, ...] = ()
    list_button: str = ""
    header: str = ""
    footer: str = ""
    location: Location | None = None
    cards: tuple[Card, ...] = ()
    reply_to_external_id: str = ""
    target_external_id: str = ""
    emoji: str = ""
    carousel: tuple[CarouselCard, ...] = ()
    fields: tuple[FormField, ...] = ()
    input: Input | None = None
    articles: tuple[Article, ...] = ()
    template: Template | None = None
    # Numbered-text fallback: "1" → the choice it stands for (channels.md 10).
    options: tuple[tuple[str, Choice], ...] = ()
    # What the channel asked for beside it (`Channel.context_of`); nothing of it is kept.
    context: Mapping[str, Any] = field(default_factory=dict)
