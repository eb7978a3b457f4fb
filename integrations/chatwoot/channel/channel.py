"""A Chatwoot account as a channel: its customers write there, and we answer as its agent bot.

What it can and cannot do: docs/platforms/chatwoot-channel.md.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from django.core.files.storage import default_storage
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.limits import Limit
from conversations.channels import (
    Capabilities,
    Channel,
    CheckStep,
    ErrorClass,
    FetchedMedia,
    Field,
    HookItem,
    HookRequest,
    HttpAnswer,
    HttpClient,
    InboxConfig,
    Learnt,
    Pace,
    Recipient,
    SendError,
    SendResult,
    UnverifiedRequestError,
)
from conversations.degrading import degrade, quoting_once, within
from conversations.messages import Act, Kind, Media, OutboundMessage, Reading
from integrations.addresses import shape_problem
from integrations.chatwoot.channel import acting, errors, naming, reading, sending, splitting
from integrations.chatwoot.channel.checking import Check, leave
from integrations.chatwoot.channel.client import ChatwootClient
from integrations.chatwoot.signing import sign

logger = logging.getLogger(__name__)

OLDEST_SECONDS = 300
# Chatwoot's own limit for a file.
LARGEST_FILE = 40 * 1024 * 1024
_TIMESTAMP = re.compile(r"\d{1,12}\Z", re.ASCII)
# 200 messages a minute for one conversation, whoever writes them; the burst is part of it. Its server
# takes 3000 requests a minute from one address, and courtesies are some of them.
PER_CONTACT = Limit("send.contact", capacity=20, per_second=2.5)
PER_INBOX = Limit("send.inbox", capacity=40, per_second=40)


class ChatwootChannel(Channel):
    """Some or all inboxes of one Chatwoot account, by an agent bot of ours."""

    slug: ClassVar[str] = "chatwoot"
    name: ClassVar[str] = "Chatwoot"
    # It asks again only after these (contract, 3).
    not_stored_status: ClassVar[int] = 500
    leaves: ClassVar[bool] = True
    acts: ClassVar[bool] = True
    # The lengths of WhatsApp, which is the strictest of what may stand behind one of its inboxes.
    capabilities: ClassVar[Capabilities] = Capabilities(
        kinds=frozenset(
            {
                Kind.TEXT, Kind.IMAGE, Kind.AUDIO, Kind.VOICE, Kind.VIDEO, Kind.DOCUMENT,
                Kind.BUTTONS, Kind.LIST, Kind.CAROUSEL, Kind.FORM, Kind.INPUT, Kind.ARTICLES,
            }
        ),
        max_button_text=1024,
        typing=True,
        statuses=True,
    )  # fmt: skip
    # Marked for translation here, translated where the form is shown.
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "base_url",
            gettext_noop("Address of Chatwoot"),
            help=gettext_noop("For example https://app.chatwoot.com"),
            judge=shape_problem,
        ),
        Field(
            "account_number",
            gettext_noop("Account number"),
            whole=range(1, 2**31),
            help=gettext_noop("The number after /accounts/ in the address of your Chatwoot."),
        ),
        Field(
            "user_token",
            gettext_noop("Access token of an administrator"),
            secret=True,
            help=gettext_noop(
                "From Profile settings in Chatwoot. It sets up our bot, finds the people, teams and "
                "labels of a conversation that is handed over, and does nothing else."
            ),
        ),
        Field(
            "inboxes",
            gettext_noop("Inboxes"),
            required=False,
            help=gettext_noop(
                "Their numbers in Chatwoot, separated by commas. Leave it empty at first: the "
                "connection test names them all."
            ),
        ),
        Field(
            acting.PEOPLE,
            gettext_noop("People who answer"),
            required=False,
            choices={
                acting.IN_CHATWOOT: gettext_noop("work in Chatwoot"),
                acting.AT_THIS_DESK: gettext_noop("work at this desk"),
            },
            help=gettext_noop(
                "In Chatwoot: what an AI agent hands to people is opened there, with a note. "
                "At this desk: it stays pending there, and your people answer from here."
            ),
        ),
    )

    # --- In ---------------------------------------------------------------------------------------

    def verify(self, request: HookRequest, inbox: InboxConfig) -> None:
        """HMAC-SHA256 with the bot's secret over `<timestamp>.<body>`, at most five minutes old.

        Servers before 4.13 sign nothing; there the secret address is the only proof. Before there is
        a bot nobody has anything to say.
        """
        secret = inbox.credentials.get("bot_secret", "")
        if not secret and inbox.config.get("bot_id"):
            return
        timestamp = request.headers.get("x-chatwoot-timestamp", "")
        if not secret or not _TIMESTAMP.match(timestamp):
            raise UnverifiedRequestError("no usable signature")
        if abs(time.time() - int(timestamp)) > OLDEST_SECONDS:
            raise UnverifiedRequestError("signature of another time")
        given = request.headers.get("x-chatwoot-signature", "").encode(errors="replace")
        expected = sign(request.body, timestamp=int(timestamp), secret=secret).encode()
        if not hmac.compare_digest(given, expected):
            raise UnverifiedRequestError("wrong signature")

    def split(self, body: bytes, inbox: InboxConfig) -> list[HookItem]:
        return splitting.split(body, inbox)

    def read(self, payload: bytes, inbox: InboxConfig) -> Reading:
        return reading.read(payload, inbox)

    # --- Out --------------------------------------------------------------------------------------

    def pace(self, inbox: InboxConfig) -> Pace:
        return Pace(inbox=PER_INBOX, contact=PER_CONTACT)

    def prepare(self, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """Texts stay Markdown, which Chatwoot turns into what each of its inboxes shows."""
        can = self.capabilities
        said = degrade(message, lambda part: sending.carries(part, can), channel=self.name)
        return quoting_once(piece for part in said for piece in within(part, can))

    async def send(
        self, message: OutboundMessage, to: Recipient, inbox: InboxConfig, http: HttpClient
    ) -> SendResult:
        conversation = _conversation(to)
        body = sending.body_of(message, inbox_types=inbox.config.get("inbox_types", ()))
        path, client = f"conversations/{conversation}/messages", ChatwootClient(inbox, http)
        if message.media and message.media.path:
            content = await asyncio.to_thread(_stored, message.media.path)
            form = sending.with_file(body, message, content)
            return _result(await client.as_bot(path, form=form), conversation)
        return _result(await client.as_bot(path, body=body), conversation)

    def wants(self, act: Act, config: Mapping[str, Any]) -> bool:
        return acting.wants(act, config)

    async def act(
        self, act: Act, to: Recipient, inbox: InboxConfig, http: HttpClient
    ) -> SendResult:
        answer = await acting.do(act, _conversation(to), ChatwootClient(inbox, http))
        return (
            SendResult("", status=answer.status, body=_excerpt(answer))
            if answer
            else SendResult("")
        )

    async def mark_read(
        self, external_id: str, inbox: InboxConfig, http: HttpClient, *, typing: bool = False
    ) -> None:
        """Only that somebody is typing can be said; a failure is written to the log and goes no further."""
        conversation = external_id.partition("/")[0]
        if not typing or not naming.is_number(conversation):
            return
        said = {"typing_status": "on", "is_private": False}
        try:
            await ChatwootClient(inbox, http).as_bot(
                f"conversations/{conversation}/toggle_typing_status", body=said
            )
        except SendError as error:
            logger.info("chatwoot.typing inbox=%s failed=%s", inbox.id, error.error_class)

    async def fetch_media(self, media: Media, inbox: InboxConfig, http: HttpClient) -> FetchedMedia:
        answer = await ChatwootClient(inbox, http).download(
            media.remote_ref, max_bytes=LARGEST_FILE
        )
        if answer.status != 200:
            raise errors.error_from(answer)
        mime = answer.headers.get("content-type", "").partition(";")[0].strip()
        return FetchedMedia(answer.body, mime=media.mime or mime, filename=media.filename)

    # --- Connecting -------------------------------------------------------------------------------

    def check(
        self, inbox: InboxConfig, http: HttpClient, *, hook_url: str
    ) -> AsyncIterator[CheckStep | Learnt]:
        return Check(inbox, http, hook_url=hook_url).run()

    async def leave(self, inbox: InboxConfig, http: HttpClient) -> Learnt:
        return await leave(inbox, http)


def _conversation(to: Recipient) -> str:
    """The number of the conversation that the customer is in. Raises `SendError`."""
    if number := naming.conversation_for(to):
        return number
    raise SendError(
        _("This customer has no conversation in Chatwoot."), error_class=ErrorClass.UNREACHABLE
    )


def _excerpt(answer: HttpAnswer) -> str:
    return answer.body[: errors.EXCERPT].decode(errors="replace")


def _stored(path: str) -> bytes:
    try:
        with default_storage.open(path) as file:
            return bytes(file.read())
    except FileNotFoundError:
        raise SendError(
            _("The file of this message is no longer in our storage."),
            error_class=ErrorClass.PERMANENT,
        ) from None


def _result(answer: HttpAnswer, conversation: str) -> SendResult:
    """The message's number over there."""
    body = _excerpt(answer)
    try:
        found: Any = json.loads(answer.body)
        number = str(found["id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        number = ""
    if not naming.is_number(number):
        raise SendError(
            _("Chatwoot took the message, but its answer names no number."),
            error_class=ErrorClass.AMBIGUOUS,
            status=answer.status,
            body=body,
        )
    return SendResult(naming.external_id(conversation, number), status=answer.status, body=body)
