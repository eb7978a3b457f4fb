"""The sandbox channel: anybody with the page's address is the customer; kept out of statistics.

Wire shape (ours), one object per request: `visitor` (the page's session), `id` (the client's own,
so that a repeated post has one effect), and one of

    {"text": "…"}                                          something typed; `reply_to` quotes
    {"choice": {"id": "…", "title": "…"}, "from": "list"}  a pressed button, or a row of a list
    {"form": {"<name>": "…"}, "reply_to": "…"}             a filled-in form
    {"upload": "<slip>", "text": "…"}                      a file stored before (uploads.py)
    {"seen": "<external id>"}                              our message was looked at

The route token in the hook's address is the whole proof, so what one visitor and one caller may post
is limited (`GUESTS`), here and on the page alike.
"""

from __future__ import annotations

import hashlib
import re
from typing import ClassVar

from accounts.limits import Limit
from conversations.channels import (
    Capabilities,
    Channel,
    Guests,
    HookItem,
    HookRequest,
    HttpClient,
    InboxConfig,
    Recipient,
    SendResult,
    UnexpectedPayloadError,
)
from conversations.degrading import degrade
from conversations.messages import (
    Choice,
    DeliveryStatus,
    Identifier,
    InboundMessage,
    Kind,
    Media,
    OutboundMessage,
    Reading,
    StatusUpdate,
)
from integrations.sandbox import uploads
from integrations.wire import Fields, parse_json, unstorable_text

MAX_TEXT = 4096
MAX_CHOICE = 250
MAX_FIELDS = 50
MAX_NAME = 120
GUESTS = Guests(
    caller=Limit("sandbox.ip", 60, 60 / 60),
    newcomers=Limit("sandbox.new", 10, 10 / 60),
    sender=Limit("sandbox.visitor", 20, 20 / 60),
)
# The page says by itself what was looked at, often several times for one message.
SEEN_COST = 0.2
_ID = re.compile(r"[\w-]{1,64}\Z", re.ASCII)


class SandboxChannel(Channel):
    slug: ClassVar[str] = "sandbox"
    name: ClassVar[str] = "Sandbox phone"
    synthetic: ClassVar[bool] = True
    guests: ClassVar[Guests] = GUESTS
    capabilities: ClassVar[Capabilities] = Capabilities(
        kinds=frozenset(Kind) - {Kind.UNSUPPORTED, Kind.TEMPLATE},
        max_text=MAX_TEXT,
        max_buttons=10,
        typing=False,
        statuses=True,
    )

    def verify(self, request: HookRequest, inbox: InboxConfig) -> None:
        """Nothing to check beyond the secret address."""

    def split(self, body: bytes, inbox: InboxConfig) -> list[HookItem]:
        try:
            said = Fields.of(parse_json(body))
            visitor, identifier = _id(said, "visitor"), _id(said, "id")
        except UnexpectedPayloadError as error:
            digest = hashlib.sha256(body).hexdigest()
            return [HookItem(f"bad:{digest}", "", body, error=str(error), weak_key=True)]
        seen = said.has("seen")
        cost = SEEN_COST if seen else 1
        return [HookItem(f"m:{visitor}:{identifier}", visitor, body, cost=cost, status=seen)]

    def read(self, payload: bytes, inbox: InboxConfig) -> Reading:
        values = parse_json(payload)
        said = Fields.of(values)
        visitor = _id(said, "visitor")
        if reason := unstorable_text(values):
            raise UnexpectedPayloadError(reason)
        if said.has("seen"):
            return StatusUpdate(said.text("seen"), DeliveryStatus.READ)
        return _message(said, visitor, inbox)

    def prepare(self, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """The page shows the thread's own messages, so each goes whole, however long it is."""
        kinds = self.capabilities.kinds
        return tuple(degrade(message, lambda part: part.kind in kinds, channel=self.name))

    async def send(
        self, message: OutboundMessage, to: Recipient, inbox: InboxConfig, http: HttpClient
    ) -> SendResult:
        """The page reads the thread itself, so a stored message has arrived."""
        return SendResult(external_id=f"sandbox:{message.reference}", delivered=True)


def _message(said: Fields, visitor: str, inbox: InboxConfig) -> InboundMessage:
    kind, choice = Kind.TEXT, None
    media: tuple[Media, ...] = ()
    form: dict[str, str] = {}
    text = _short(said, "text", MAX_TEXT)
    if said.has("upload"):
        file = uploads.read_slip(said.text("upload"), inbox_id=inbox.id)
        kind, media = file.kind, (file,)
    elif said.has("choice"):
        picked = said.fields("choice")
        choice = Choice(_short(picked, "id", MAX_CHOICE), _short(picked, "title", MAX_CHOICE))
        kind = Kind.LIST_REPLY if said.text("from", "") == "list" else Kind.BUTTON_REPLY
        text = choice.title
    elif said.has("form"):
        kind, form = Kind.FORM_REPLY, _answers(said.fields("form"))
    elif not text.strip():
        raise UnexpectedPayloadError("there is nothing in this message", key="text")
    return InboundMessage(
        external_id=f"{visitor}:{_id(said, 'id')}",
        kind=kind,
        identifiers=(Identifier("visitor", visitor),),
        text=text,
        contact_name=_short(said, "name", 120) or f"Visitor {visitor[:4].upper()}",
        media=media,
        choice=choice,
        form=form,
        reply_to_external_id=_short(said, "reply_to", 250),
    )


def _answers(form: Fields) -> dict[str, str]:
    """What was filled in, by the fields' names."""
    if not 1 <= len(form.values) <= MAX_FIELDS or max(map(len, form.values)) > MAX_NAME:
        raise UnexpectedPayloadError(
            f"{form.path} should have 1 to {MAX_FIELDS} fields", key="form"
        )
    return {name: _short(form, name, MAX_TEXT) for name in form.values}


def _id(said: Fields, key: str) -> str:
    value = said.text(key)
    if not _ID.match(value):
        raise UnexpectedPayloadError(
            f"{key} should be 1 to 64 letters, digits, - or _", key=said.at(key)
        )
    return value


def _short(said: Fields, key: str, limit: int) -> str:
    value = said.text(key, "")
    if len(value) > limit:
        raise UnexpectedPayloadError(f"{key} is longer than {limit} characters", key=said.at(key))
    return value
