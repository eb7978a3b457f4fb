"""A conversation as people read it: rows of the database become entries of a page.

Pure translation: `entries` asks the database twice (messages, their files) and nothing after that, so
a template can print what it gets. `/ui/` prints the same entries without any database.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.paging import first_of
from conversations.content import as_content
from conversations.messages import Article, CarouselCard, FieldType, FormField, Kind
from conversations.models import Attachment, Conversation, Message
from conversations.phrasing import map_link
from conversations.services.lines import sentence

PAGE = 60
MOST = 600
TOGETHER = timedelta(minutes=3)
Direction = Message.Direction
WARNINGS = frozenset(
    {"agent_timeout", "agent_unreachable", "agent_rejected", "agent_disabled", "late_message"}
)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a message; without `url` it is still being fetched, or `error` says why it is not here."""

    kind: str
    name: str
    url: str = ""
    size: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    target: str
    author: str
    text: str


@dataclass(frozen=True, slots=True)
class Choices:
    """Buttons (title empty) or one section of a list; `chosen` is the title that was chosen."""

    title: str
    titles: tuple[str, ...]
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A card of a carousel; `chosen` is the id of what was chosen of it."""

    card: CarouselCard
    picture: File | None = None
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the thread. `shape`: message, note, draft, line or day."""

    id: str
    shape: str
    text: str = ""
    at: datetime | None = None
    author: str = ""
    # customer, ai, person, or system (rules, the device)
    by: str = "system"
    joined: bool = False
    kind: str = "text"
    heading: str = ""
    footing: str = ""
    status: str = ""
    error: str = ""
    doubtful: bool = False
    # Of an AI agent that did not hold the conversation any more.
    late: bool = False
    edited: bool = False
    deleted: bool = False
    forwarded: bool = False
    files: tuple[File, ...] = ()
    choices: tuple[Choices, ...] = ()
    offers: tuple[Offer, ...] = ()
    # What a form asks, until it is answered; what an asked value is to be, and what it was.
    questions: tuple[FormField, ...] = ()
    asks: str = ""
    answer: str = ""
    articles: tuple[Article, ...] = ()
    quote: Quote | None = None
    reactions: tuple[str, ...] = ()
    place: str = ""
    place_url: str = ""
    cards: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    code: str = ""
    summary: str = ""
    reason: str = ""
    public_id: str = ""

    @property
    def ours(self) -> bool:
        return self.by != "customer"

    @property
    def warns(self) -> bool:
        """Lines about something that went wrong."""
        return self.code in WARNINGS

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def version(self) -> str:
        """Changes when anything that is shown changes (static/js/patch.js)."""
        return f"{zlib.crc32(repr(self).encode()):x}"


@dataclass(frozen=True, slots=True)
class Thread:
    entries: tuple[Entry, ...]
    # Where the page of earlier messages begins; empty: this is everything.
    earlier: str = ""
    start: str = ""


def read(conversation: Conversation, *, start: int | None = None) -> Thread:
    """The thread from message `start` on, or its newest page."""
    messages = (
        Message.objects.filter(conversation=conversation)
        .select_related("author", "reply_to__author")
        .prefetch_related("attachments")
        .order_by("-id")
    )
    if start is not None:
        messages = messages.filter(pk__gte=start)
    found = list(first_of(messages, MOST if start is not None else PAGE))[::-1]
    earlier = ""
    if found:
        before = Message.objects.filter(conversation=conversation, pk__lt=found[0].pk)
        older = list(before.order_by("-id").only("pk")[:PAGE])
        earlier = older[-1].public_id if older else ""
    customer = str(conversation.contact)
    return Thread(
        entries=tuple(with_days(entries(found, customer=customer))),
        earlier=earlier,
        start=found[0].public_id if start is not None and found else "",
    )


def entries(messages: Sequence[Message], *, customer: str) -> list[Entry]:
    """One entry per message, reactions put on what they react to, drafts that are done left out."""
    reactions = _reactions(messages)
    shown: list[Entry] = []
    known = {message.external_id for message in messages if message.external_id}
    for message in messages:
        if message.kind == Kind.REACTION and message.content.get("target") in known:
            continue
        if message.direction == Direction.DRAFT and message.deleted_at:
            continue
        entry = _entry(message, customer, tuple(reactions.get(message.external_id, {}).values()))
        shown.append(_join(shown[-1], entry) if shown else entry)
    return shown


def with_days(found: Iterable[Entry]) -> Iterable[Entry]:
    """The same with a line before each new day, in the reader's time zone."""
    day = None
    for entry in found:
        local = timezone.localtime(entry.at).date() if entry.at else day
        if local != day and local is not None:
            day = local
            yield Entry(id=f"day-{day.isoformat()}", shape="day", text=_day(day))
            yield replace(entry, joined=False)
        else:
            yield entry


def _day(day: Any) -> str:
    today = timezone.localdate()
    if day == today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    return date_format(day, "DATE_FORMAT")


def _join(before: Entry, entry: Entry) -> Entry:
    """Two messages of one author shortly after each other stand under one name."""
    together = (
        before.shape == entry.shape == "message"
        and (before.author, before.by) == (entry.author, entry.by)
        and before.at is not None
        and entry.at is not None
        and entry.at - before.at < TOGETHER
    )
    return replace(entry, joined=together)


def _reactions(messages: Iterable[Message]) -> dict[str, dict[str, str]]:
    """By the message reacted to: the last emoji of each side; an empty one takes it back."""
    found: dict[str, dict[str, str]] = {}
    for message in messages:
        if message.kind == Kind.REACTION:
            on = found.setdefault(message.content.get("target", ""), {})
            emoji = message.content.get("emoji") or message.text
            if emoji:
                on[message.direction] = emoji
            else:
                on.pop(message.direction, None)
    return found


def _entry(message: Message, customer: str, reactions: tuple[str, ...]) -> Entry:
    data = message.content
    if message.direction == Direction.SYSTEM:
        return _line(message)
    author, by = author_of(message, customer)
    return Entry(
        id=f"m-{message.public_id}",
        public_id=message.public_id,
        shape=message.direction
        if message.direction in (Direction.NOTE, Direction.DRAFT)
        else "message",
        text=_text(message),
        at=message.sent_at or message.created_at,
        author=author,
        by=by,
        kind=message.kind,
        heading=data.get("header", ""),
        footing=data.get("footer", ""),
        status=message.status if message.direction == Direction.OUTBOUND else "",
        error=message.error_text or message.error_code,
        doubtful=message.possible_duplicate,
        late=bool(data.get("late")),
        edited=message.edited_at is not None,
        deleted=message.deleted_at is not None,
        forwarded=bool(data.get("forwarded")),
        files=() if data.get("carousel") else tuple(map(file_of, message.attachments.all())),
        choices=_choices(data),
        **_rich(message),
        quote=_quote(message.reply_to, customer) if message.reply_to else None,
        reactions=reactions,
        place=_place(data.get("location")),
        place_url=_map(data.get("location")),
        cards=tuple(
            (card["name"], ", ".join(card.get("phones", ()))) for card in data.get("cards", ())
        ),
        facts=answers_of(message),
        reason=_draft_reason(message.draft_reason),
    )


def author_of(message: Message, customer: str) -> tuple[str, str]:
    """Name and sort of whoever said it: customer, ai, person or system."""
    if message.direction == Direction.INBOUND:
        return customer, "customer"
    if message.author is None:
        return (
            (_("From the phone"), "system")
            if message.content.get("device")
            else (
                _("Automatic"),
                "system",
            )
        )
    return message.author.name, "ai" if message.author.is_agent else "person"


def _line(message: Message) -> Entry:
    data = dict(message.content)
    code = data.get("code", "")
    text = sentence(code, data) if code else message.text
    until = parse_datetime(data.get("until", "")) if code == "snoozed" else None
    if until:
        moment = date_format(timezone.localtime(until), "j M Y, H:i")
        text = _("%(text)s until %(time)s") % {"text": text, "time": moment}
    return Entry(
        id=f"m-{message.public_id}",
        shape="line",
        text=text,
        at=message.sent_at or message.created_at,
        code=data.get("reason") or code,
        summary=data.get("summary", ""),
    )


def _text(message: Message) -> str:
    if message.kind in (Kind.REACTION, Kind.UNSUPPORTED, Kind.ORDER):
        return ""
    template = message.content.get("template")
    if template and not message.text:
        return _("Template “%(name)s”") % {"name": template["name"]}
    return message.text


def file_of(attachment: Attachment) -> File:
    ready = attachment.state == Attachment.State.READY
    return File(
        kind=attachment.kind,
        name=attachment.filename or kind_label(attachment.kind),
        url=reverse("attachment", args=[attachment.public_id]) if ready else "",
        size=attachment.size,
        error=(attachment.error or _("It could not be fetched."))
        if attachment.state == Attachment.State.FAILED
        else "",
    )


def _choices(data: dict[str, Any]) -> tuple[Choices, ...]:
    chosen = chosen_id(data)
    sections = (data.get("list") or {}).get("sections", ())
    buttons = ({"title": "", "rows": data["buttons"]},) if data.get("buttons") else ()
    return tuple(
        Choices(
            section.get("title", ""),
            tuple(row["title"] for row in section["rows"]),
            next((row["title"] for row in section["rows"] if row["id"] == chosen), ""),
        )
        for section in (*buttons, *sections)
    )


def _rich(message: Message) -> dict[str, Any]:
    """What there is of offers, questions and articles."""
    if message.kind not in RICH:
        return {}
    content, submitted = as_content(message), message.content.get("submitted", ())
    if content.input:
        answer = next((str(one["value"]) for one in submitted), "")
        return {"asks": input_label(content.input.type), "answer": answer}
    return {
        "offers": offers_of(message, content.carousel),
        "questions": () if submitted else content.fields,
        "articles": content.articles,
    }


RICH = frozenset({Kind.CAROUSEL, Kind.FORM, Kind.INPUT, Kind.ARTICLES})


def offers_of(message: Message, cards: Iterable[CarouselCard]) -> tuple[Offer, ...]:
    """Its cards with the pictures that were fetched for them."""
    pictures = {one.remote_ref: one for one in message.attachments.all()}
    chosen = chosen_id(message.content)
    return tuple(
        Offer(
            card,
            file_of(pictures[card.image_url]) if card.image_url in pictures else None,
            chosen if chosen in [choice.id for choice in card.choices] else "",
        )
        for card in cards
    )


def chosen_id(data: dict[str, Any]) -> str:
    """The id that was chosen of what a message offered; empty while nothing was."""
    first: dict[str, Any] = next(iter(data.get("submitted", ())), {})
    return str(first.get("value", "")) if "name" not in first else ""


def answers_of(message: Message) -> tuple[tuple[str, str], ...]:
    """What was filled in, in the words of the form; on the form itself what was answered to it."""
    form: Message | None = message
    if message.kind == Kind.FORM:
        given = {one["name"]: one["value"] for one in message.content.get("submitted", ())}
    else:
        form = message.reply_to if message.content.get("form") else None
        given = message.content.get("form") or {}
    fields = {field["name"]: field for field in form.content.get("fields", ())} if form else {}
    names = [
        *(name for name in fields if name in given),
        *(name for name in given if name not in fields),
    ]
    return tuple(_answered(fields.get(name, {}), name, given[name]) for name in names)


def _answered(field: dict[str, Any], name: str, value: Any) -> tuple[str, str]:
    """Label and answer; of a select the title of what was picked."""
    titles = {option["id"]: option["title"] for option in field.get("options", ())}
    said = titles.get(value, value) if isinstance(value, str) else value
    return field.get("label") or str(name), str(said)


def input_label(asked: str) -> str:
    labels = {
        FieldType.EMAIL: _("Asks for an e-mail address"),
        FieldType.TEXT_AREA: _("Asks for a longer text"),
    }
    return labels.get(FieldType(asked), _("Asks for a text"))


def _quote(target: Message, customer: str) -> Quote:
    author, _by = author_of(target, customer)
    text = target.text[:140] or kind_label(target.kind)
    return Quote(f"m-{target.public_id}", author, text)


def _place(location: dict[str, Any] | None) -> str:
    if not location:
        return ""
    words = [location.get("name", ""), location.get("address", "")]
    return ", ".join(word for word in words if word) or (
        f"{location['latitude']:.5f}, {location['longitude']:.5f}"
    )


def _map(location: dict[str, Any] | None) -> str:
    if not location:
        return ""
    return map_link(location["latitude"], location["longitude"])


def _draft_reason(reason: str) -> str:
    sentences = {
        "stale_epoch": _(
            "This answer came after somebody else had taken over, so it was not sent."
        ),
        "late": _("This answer came too late, so it was not sent."),
    }
    return sentences.get(reason, _("This answer was not sent.")) if reason else ""


def kind_label(kind: str) -> str:
    """What a message without words is called, in lists and quotes."""
    labels = {
        Kind.IMAGE: _("Photo"),
        Kind.AUDIO: _("Audio"),
        Kind.VOICE: _("Voice note"),
        Kind.VIDEO: _("Video"),
        Kind.DOCUMENT: _("Document"),
        Kind.STICKER: _("Sticker"),
        Kind.LOCATION: _("Location"),
        Kind.CONTACTS: _("Contact card"),
        Kind.REACTION: _("Reaction"),
        Kind.BUTTONS: _("Buttons"),
        Kind.LIST: _("List"),
        Kind.CAROUSEL: _("Offers"),
        Kind.FORM: _("Form"),
        Kind.INPUT: _("Question"),
        Kind.ARTICLES: _("Articles"),
        Kind.TEMPLATE: _("Template"),
        Kind.ORDER: _("Order"),
        Kind.FORM_REPLY: _("Filled-in form"),
        Kind.UNSUPPORTED: _("Message of a kind we cannot show"),
    }
    return labels.get(Kind(kind), _("Message")) if kind in Kind.__members__.values() else kind
