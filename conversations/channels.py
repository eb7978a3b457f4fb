"""The port to the outside: what a channel must be able to do, and the registry of channels.

A channel is stateless. Reading (`verify`, `split`, `read`) is pure and runs inside the webhook door;
speaking (`send`, `mark_read`, `fetch_media`, `check`) is async, runs in the courier and gets the
HTTP client handed in, so that nothing here ever opens a socket of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from django.utils.translation import gettext as _

from conversations.channel_errors import ChannelError as ChannelError
from conversations.channel_errors import UnsupportedMessageError as UnsupportedMessageError
from conversations.degrading import carried, degrade, quoting_once, within
from conversations.messages import (
    Act,
    Identifier,
    Media,
    OutboundMessage,
    Reading,
)

if TYPE_CHECKING:  # the port is read without Django's models
    from accounts.limits import Limit
    from conversations.models import Message


class UnverifiedRequestError(ChannelError):
    """The request does not prove that the platform sent it: 401, nothing is stored."""


class UnexpectedPayloadError(ChannelError):
    """The payload does not have the platform's shape; `key` names the place."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class ErrorClass(StrEnum):
    """The vocabulary of failed sends (channels.md 1.4); the courier looks at nothing else."""

    THROTTLED = "throttled"
    TRANSIENT = "transient"
    AMBIGUOUS = "ambiguous"
    WINDOW_CLOSED = "window_closed"
    UNREACHABLE = "unreachable"
    REAUTH = "reauth"
    POLICY = "policy"
    INVALID = "invalid"
    PERMANENT = "permanent"


class Scope(StrEnum):
    """Whom a channel slows down: everything that leaves an inbox, or what goes to one contact."""

    INBOX = "inbox"
    CONTACT = "contact"


class SendError(ChannelError):
    """A send failed. `retry_after` in seconds where the platform gave one; `scope` says what a
    THROTTLED one slows down."""

    def __init__(
        self,
        message: str,
        *,
        error_class: ErrorClass,
        code: str = "",
        retry_after: float | None = None,
        status: int | None = None,
        body: str = "",
        scope: Scope = Scope.INBOX,
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.scope = scope
        self.code = code
        self.retry_after = retry_after
        self.status = status
        self.body = body

    @property
    def permanent(self) -> bool:
        return self.error_class not in (
            ErrorClass.THROTTLED,
            ErrorClass.TRANSIENT,
            ErrorClass.AMBIGUOUS,
        )


@dataclass(frozen=True, slots=True)
class HookRequest:
    """An inbound webhook call as it came in; header names are lower case, body is raw."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HookAnswer:
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class InboxConfig:
    """One connected channel account, decrypted. `credentials` are secret, `config` is not."""

    id: int
    account_id: int
    platform: str
    credentials: Mapping[str, str]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HookItem:
    """One message or status out of a request, stored as one receipt.

    `dedupe_key` is unique per inbox for ever, or for ten minutes when `weak_key` (DL-13);
    `lane_key` names the contact, so that one customer's items are read in order; `error` is set when
    this item alone could not be split off cleanly (kept as a failed receipt); `cost` is what it takes
    from the limits of a channel that has some; a `status` says what became of a message of ours, and
    may overtake what the contact says (DL-24).
    """

    dedupe_key: str
    lane_key: str
    payload: bytes
    error: str = ""
    weak_key: bool = False
    cost: float = 1
    status: bool = False


@dataclass(frozen=True, slots=True)
class Guests:
    """The limits of a channel whose address anybody may hold, a script too (security.md 6).

    `caller` and `newcomers` are counted by the caller's address, `sender` by the item's `lane_key`;
    a newcomer is a sender of whom nothing was heard since yesterday.
    """

    caller: Limit
    newcomers: Limit
    sender: Limit


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a platform lets us send (DL-95): out of one inbox, and to one contact of it.

    None: as fast as we can.
    """

    inbox: Limit | None = None
    contact: Limit | None = None

    def of(self, scope: Scope) -> Limit | None:
        return self.inbox if scope == Scope.INBOX else self.contact


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom to send to: every identifier we know of this contact in this inbox, oldest first, and the
    channel's id of the newest thing they said, for channels that answer into a thread."""

    identifiers: tuple[Identifier, ...]
    last_external_id: str = ""

    def get(self, kind: str) -> str:
        return next((i.value for i in self.identifiers if i.kind == kind), "")


@dataclass(frozen=True, slots=True)
class SendResult:
    """What the channel answered to a send. `identifiers` are new names of the contact, if any."""

    external_id: str
    identifiers: tuple[Identifier, ...] = ()
    status: int = 200
    body: str = ""
    # Channels without delivery reports (the sandbox) know at once that the message arrived.
    delivered: bool = False


@dataclass(frozen=True, slots=True)
class FetchedMedia:
    content: bytes
    mime: str
    filename: str = ""


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One step of a connection test: `ok`, a title, and a sentence that says what to do."""

    name: str
    ok: bool
    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the platform gave us while we connected or left, to be kept with the inbox: `credentials`
    are sealed, `config` is not. An empty credential is forgotten. Never shown, and in no log."""

    credentials: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a channel's connect form."""

    name: str
    label: str
    secret: bool = False
    required: bool = True
    help: str = ""
    # A whole number of this range, where it is one.
    whole: range | None = None
    # What there is to choose from, and how people call it; the first is meant where nothing is chosen.
    choices: Mapping[str, str] = field(default_factory=dict)
    # Says in a sentence why a value is refused; empty when it is not. It asks nobody.
    judge: Callable[[str], str] | None = None

    def refusal(self, value: str) -> str:
        """Why a value does not fit, as a sentence; empty when it does."""
        if not value.strip():
            return ""
        if self.choices and value not in self.choices:
            return _("Choose one of: %(values)s.") % {"values": ", ".join(self.choices)}
        if self.judge is not None and (sentence := self.judge(value.strip())):
            return sentence
        if self.whole is None:
            return ""
        fits = value.strip().isascii() and value.strip().isdigit() and int(value) in self.whole
        least, most = self.whole[0], self.whole[-1]
        sentence = _("Give a whole number from %(least)d to %(most)d.")
        return "" if fits else sentence % {"least": least, "most": most}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel carries as it is; all else becomes what the table of `degrading` says.

    Lengths are in UTF-16 code units. A button or row that is longer, or one too many of them, is said in
    another way with its whole title; a text that is longer, in parts.
    """

    kinds: frozenset[str]
    max_text: int = 4096
    max_caption: int = 1024
    # Of the text above buttons; None: as long as any text.
    max_button_text: int | None = None
    max_buttons: int = 3
    max_button_title: int = 20
    # Whether a picture stands above buttons, in one message.
    buttons_with_picture: bool = False
    max_rows: int = 10
    max_row_title: int = 24
    typing: bool = False
    read_receipts: bool = False
    statuses: bool = False
    # How long after the customer's last message free text may be sent; None: always.
    window: timedelta | None = None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient(Protocol):
    """What `integrations.http` gives to channels: guarded, bounded, no redirects.

    Raises `conversations.channels.SendError` TRANSIENT when the request was surely not written, and
    AMBIGUOUS when it may have been.
    """

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
        timeout: float = 20.0,
        max_bytes: int = 65_536,
    ) -> HttpAnswer: ...


class Channel:
    """Base class; a platform overrides what it has. Everything is a pure function of its input."""

    slug: ClassVar[str]
    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    fields: ClassVar[tuple[Field, ...]] = ()
    # Test traffic, kept out of statistics.
    synthetic: ClassVar[bool] = False
    # None: the platform proves itself, and its webhooks are never refused for their number.
    guests: ClassVar[Guests | None] = None
    # What a webhook that could not be stored is answered: with what makes the platform come again (DL-12).
    not_stored_status: ClassVar[int] = 503
    # Where the other end calls us, before the inbox's secret token; empty: at the hook door.
    door: ClassVar[str] = ""
    # Whether connecting puts something into the platform that is taken back while the inbox is off:
    # switching off calls `leave`; switching on, a change and a new address run the connection test.
    leaves: ClassVar[bool] = False
    # Whether the platform has people of its own, who are told what becomes of a conversation here (`act`).
    acts: ClassVar[bool] = False

    def challenge(self, request: HookRequest, inbox: InboxConfig) -> HookAnswer:
        """Answer the platform's GET probe."""
        return HookAnswer(status=405, body=b"method not allowed")

    def verify(self, request: HookRequest, inbox: InboxConfig) -> None:
        """Raise `UnverifiedRequestError` unless the platform sent exactly these bytes."""
        raise NotImplementedError

    def split(self, body: bytes, inbox: InboxConfig) -> list[HookItem]:
        """Cut one request into items. Never raises for odd content: an item with `error` instead."""
        raise NotImplementedError

    def read(self, payload: bytes, inbox: InboxConfig) -> Reading:
        """Read one item. Raises `UnexpectedPayloadError` naming the key."""
        raise NotImplementedError

    def prepare(self, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """Fit a message to what this channel can say: one or more parts, sent strictly in order.

        Deterministic, because the parts are made again at every attempt. Degraded choices carry
        their numbering in `options`. A platform with limits that capabilities do not name overrides it,
        with the same table. Raises `UnsupportedMessageError`.
        """
        can = self.capabilities
        said = degrade(message, lambda part: carried(part, can), channel=self.name)
        return quoting_once(piece for part in said for piece in within(part, can))

    def context_of(self, message: Message) -> Mapping[str, Any]:
        """What the other end is told beside the message itself (`OutboundMessage.context`): read in the
        account's context, each time that the message is about to be sent."""
        return {}

    def pace(self, inbox: InboxConfig) -> Pace:
        """How fast this inbox may send."""
        return Pace()

    async def send(
        self, message: OutboundMessage, to: Recipient, inbox: InboxConfig, http: HttpClient
    ) -> SendResult:
        """Send one message. Raises `SendError`."""
        raise NotImplementedError

    def wants(self, act: Act, config: Mapping[str, Any]) -> bool:
        """Whether the platform is told of this in an inbox of this `config`."""
        return False

    async def act(
        self, act: Act, to: Recipient, inbox: InboxConfig, http: HttpClient
    ) -> SendResult:
        """Tell the platform what became of a conversation. Done twice it is as done once, for every end that
        is not known is followed by another try. Raises `SendError`."""
        raise NotImplementedError

    async def mark_read(
        self, external_id: str, inbox: InboxConfig, http: HttpClient, *, typing: bool = False
    ) -> None:
        """Tell the customer that the message was read, and that somebody is typing."""

    async def fetch_media(self, media: Media, inbox: InboxConfig, http: HttpClient) -> FetchedMedia:
        """Download one inbound file. Raises `SendError`."""
        raise NotImplementedError

    def check(
        self, inbox: InboxConfig, http: HttpClient, *, hook_url: str
    ) -> AsyncIterator[CheckStep | Learnt]:
        """Test the connection step by step, stopping at the first step that fails.

        What it learns is kept before the next step begins.
        """
        raise NotImplementedError

    async def leave(self, inbox: InboxConfig, http: HttpClient) -> Learnt:
        """Take back at the platform what `check` put there; what to keep of it. Raises `SendError`."""
        return Learnt()


_channels: dict[str, Channel] = {}


def register(channel: Channel) -> None:
    _channels[channel.slug] = channel


def get(slug: str) -> Channel:
    """The channel of a platform; raises `KeyError` for one that is not installed."""
    return _channels[slug]


def all_channels() -> list[Channel]:
    return list(_channels.values())
