"""What the visitor's phone shows: their own words, what has arrived for them, and who answers.

Never a note, a draft or a system line, but for one: that a person has joined.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from conversations.content import as_content
from conversations.file_addresses import signed_url
from conversations.messages import (
    Article,
    CarouselCard,
    DeliveryStatus,
    FormField,
    Input,
    Kind,
)
from conversations.models import AddressIdentifier, Attachment, Conversation, Inbox, Message
from conversations.services import Reason
from conversations.thread import RICH, answers_of

SHOWN = 200
JOINED = (Reason.TAKEOVER, Reason.ANSWERED)
ARRIVED = (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.READ)
MEDIA_HOURS = 1


@dataclass(frozen=True, slots=True)
class File:
    kind: str
    name: str
    url: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Option:
    """Something to tap, and what tapping it says."""

    id: str
    title: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Menu:
    title: str
    options: list[Option]


@dataclass(frozen=True, slots=True)
class Offer:
    """A card of a carousel, with the picture that was fetched for it."""

    card: CarouselCard
    picture: File | None


@dataclass(frozen=True, slots=True)
class Line:
    """One bubble, or the notice that a person has joined."""

    id: str
    own: bool = False
    notice: str = ""
    kind: str = "text"
    text: str = ""
    header: str = ""
    footer: str = ""
    quote: str = ""
    by_agent: bool = False
    at: datetime | None = None
    status: str = ""
    # The visitor's own id of the message, to settle what the page showed in advance.
    client_id: str = ""
    external_id: str = ""
    files: list[File] = field(default_factory=list)
    buttons: list[Option] = field(default_factory=list)
    menus: list[Menu] = field(default_factory=list)
    menu_button: str = ""
    offers: tuple[Offer, ...] = ()
    fields: tuple[FormField, ...] = ()
    # What is asked for, until it is answered.
    asked: Input | None = None
    articles: tuple[Article, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    place: dict[str, Any] = field(default_factory=dict)
    cards: list[dict[str, Any]] = field(default_factory=list)

    @property
    def version(self) -> str:
        """Changes when anything that is shown changes, a file's signature apart (static/js/patch.js)."""
        signed = [file.url for file in self.files] + [
            offer.picture.url for offer in self.offers if offer.picture
        ]
        seen = repr(self)
        for url in filter(None, signed):
            seen = seen.replace(url, "ready")
        return f"{zlib.crc32(seen.encode()):x}"

    @property
    def big_emoji(self) -> bool:
        """A message of one to three emoji and nothing else is shown large, as phones do."""
        letters = self.text.replace("️", "").replace("‍", "").strip()
        return 0 < len(letters) <= 3 and all(ord(letter) > 0x2190 for letter in letters)


@dataclass(frozen=True, slots=True)
class Phone:
    """The screen."""

    conversation_id: str
    # ai, person, team, nobody or closed
    holder: str
    answering: str
    lines: list[Line]
    typing: bool = False


def conversation_of(inbox: Inbox, visitor: str) -> Conversation | None:
    """The visitor's thread, once they have said something; in the account's context."""
    identifier = (
        AddressIdentifier.objects.filter(inbox=inbox, kind="visitor", value=visitor)
        .values_list("address_id", flat=True)
        .first()
    )
    if identifier is None:
        return None
    return (
        Conversation.objects.select_related("assignee", "team")
        .filter(address_id=identifier)
        .first()
    )


def show(inbox: Inbox, visitor: str) -> Phone:
    """The visitor's screen as it is now, in the account's context."""
    conversation = conversation_of(inbox, visitor)
    if conversation is None:
        return Phone("", "nobody", _("Say something: the rules decide who answers"), [])
    holder, answering = _answering(conversation)
    messages = _messages(conversation)
    # The customer's ticks: read up to the last answer, and all of it once a person has looked.
    outbound = [m.pk for m in messages if m.direction == Message.Direction.OUTBOUND]
    looked = bool(messages) and not conversation.unread_count
    read_until = messages[-1].pk if looked else max(outbound, default=0)
    return Phone(
        conversation_id=conversation.public_id,
        holder=holder,
        answering=answering,
        lines=[_line(message, read=message.pk <= read_until) for message in messages],
        typing=holder == "ai" and conversation.waiting_since is not None,
    )


def _answering(conversation: Conversation) -> tuple[str, str]:
    if conversation.status == Conversation.Status.RESOLVED:
        return "closed", _("Closed. Write to open it again")
    if conversation.assignee is not None and conversation.assignee.is_agent:
        return "ai", _("AI agent %(name)s answers") % {"name": conversation.assignee.name}
    if conversation.assignee is not None:
        return "person", _("A person answers")
    if conversation.team is not None or conversation.last_agent_id is not None:
        return "team", _("Waiting for a person")
    return "nobody", _("Nobody has it yet")


def _messages(conversation: Conversation) -> list[Message]:
    shown = (
        Q(direction=Message.Direction.INBOUND)
        | Q(direction=Message.Direction.OUTBOUND, status__in=ARRIVED)
        | Q(
            direction=Message.Direction.SYSTEM,
            content__code="assigned",
            content__reason__in=JOINED,
        )
    )
    newest = (
        Message.objects.filter(shown, conversation=conversation)
        .select_related("author", "reply_to")
        .prefetch_related("attachments")
        .order_by("-id")[:SHOWN]
    )
    return list(reversed(newest))


def _line(message: Message, *, read: bool) -> Line:
    if message.direction == Message.Direction.SYSTEM:
        return Line(id=message.public_id, notice=_("A person joined"), at=message.sent_at)
    own = message.direction == Message.Direction.INBOUND
    if message.deleted_at:
        return Line(id=message.public_id, own=own, kind="deleted", at=message.sent_at)
    content = message.content
    menu = content.get("list") or {}
    return Line(
        id=message.public_id,
        own=own,
        kind=message.kind,
        text=content.get("emoji") or message.text,
        header=content.get("header", ""),
        footer=content.get("footer", ""),
        quote=_quote(message),
        by_agent=message.author is not None and message.author.is_agent,
        at=message.sent_at,
        status=(DeliveryStatus.READ if read else DeliveryStatus.DELIVERED)
        if own
        else message.status,
        client_id=message.external_id.rpartition(":")[2] if own else "",
        external_id=message.external_id,
        files=[]
        if content.get("carousel")
        else [_file(attachment) for attachment in message.attachments.all()],
        facts=answers_of(message),
        **_rich(message),
        buttons=[_option(button) for button in content.get("buttons", ())],
        menus=[
            Menu(section.get("title", ""), [_option(row) for row in section["rows"]])
            for section in menu.get("sections", ())
        ],
        menu_button=menu.get("button", "") or _("Choose"),
        place=content.get("location") or {},
        cards=content.get("cards", []),
    )


def _rich(message: Message) -> dict[str, Any]:
    """Offers, articles, and what there is to fill in as long as it is not."""
    if message.kind not in RICH:
        return {}
    content, answered = as_content(message), bool(message.content.get("submitted"))
    pictures = {one.remote_ref: _file(one) for one in message.attachments.all()}
    return {
        "offers": tuple(Offer(card, pictures.get(card.image_url)) for card in content.carousel),
        "fields": () if answered else content.fields,
        "asked": None if answered else content.input,
        "articles": content.articles,
    }


def _quote(message: Message) -> str:
    quoted = message.reply_to
    # A pressed button, or a form, says by itself what it answers; a note or draft is never shown.
    if quoted is None or not quoted.visible_to_customer or message.kind in _CHOSEN:
        return ""
    return quoted.text[:160] or str(quoted.kind)


_CHOSEN = (Kind.BUTTON_REPLY, Kind.LIST_REPLY, Kind.FORM_REPLY)


def _option(data: dict[str, str]) -> Option:
    return Option(data["id"], data["title"], data.get("description", ""))


def _file(attachment: Attachment) -> File:
    ready = attachment.state == Attachment.State.READY
    return File(
        kind=attachment.kind,
        name=attachment.filename or attachment.kind,
        url=signed_url(attachment, absolute=False, hours=MEDIA_HOURS) if ready else "",
        size=attachment.size,
    )
