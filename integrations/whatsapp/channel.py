"""The WhatsApp Cloud API as a channel. What it can and cannot do: docs/platforms/whatsapp.md."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

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
    HookAnswer,
    HookItem,
    HookRequest,
    HttpAnswer,
    HttpClient,
    InboxConfig,
    Pace,
    Recipient,
    SendError,
    SendResult,
    UnverifiedRequestError,
)
from conversations.messages import Identifier, Media, OutboundMedia, OutboundMessage, Reading
from integrations.whatsapp import errors, identities, reading, sending, splitting
from integrations.whatsapp.checking import Check
from integrations.whatsapp.client import GraphClient
from integrations.whatsapp.fitting import BUTTONS_BODY, CAPTION, FITTERS, LARGEST, OPUS, TEXT, fit

logger = logging.getLogger(__name__)

SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")
# Below what Meta takes from a new number (80), in and out together. To one customer it takes about one
# message in six seconds and lends 45 in advance: an answer of several parts goes out at once, a flood
# does not (channels.md 2.9).
MESSAGES_PER_SECOND = 60
PER_CONTACT = Limit("send.contact", capacity=8, per_second=1 / 1.5)
# The URL of a file lives five minutes; these answers mean that it is over.
URL_IS_OVER = (401, 404)


class WhatsAppChannel(Channel):
    """One WhatsApp Business number of a tenant, connected with the tenant's own Meta app."""

    slug = "whatsapp"
    name = "WhatsApp"
    capabilities = Capabilities(
        kinds=frozenset(FITTERS),
        max_text=TEXT,
        max_caption=CAPTION,
        max_button_text=BUTTONS_BODY,
        buttons_with_picture=True,
        typing=True,
        read_receipts=True,
        statuses=True,
        window=timedelta(hours=24),
    )
    # Marked for translation here, translated where the form is shown.
    fields = (
        Field(
            "phone_number_id",
            gettext_noop("Phone number id"),
            help=gettext_noop("From WhatsApp, API setup, in your Meta app. Not the number itself."),
        ),
        Field(
            "waba_id",
            gettext_noop("WhatsApp Business account id"),
            help=gettext_noop("Stands beside the phone number id."),
        ),
        Field(
            "access_token",
            gettext_noop("Access token"),
            secret=True,
            help=gettext_noop(
                "Of a system user, with whatsapp_business_messaging and "
                "whatsapp_business_management. Temporary tokens end after a day."
            ),
        ),
        Field(
            "app_secret",
            gettext_noop("App secret"),
            secret=True,
            help=gettext_noop("From App settings, Basic. It proves that messages come from Meta."),
        ),
        Field(
            "messages_per_second",
            gettext_noop("Messages per second"),
            required=False,
            whole=range(1, 1001),
            help=gettext_noop(
                "At most so many are sent; 60 when empty. Meta takes 80 from a new number, 20 from one "
                "that is used in the app too, and up to 1000 from a large one."
            ),
        ),
    )

    # --- In ---------------------------------------------------------------------------------------

    def challenge(self, request: HookRequest, inbox: InboxConfig) -> HookAnswer:
        """Echo Meta's challenge when it knows our verify token, else 403."""
        ours = inbox.credentials.get("verify_token", "")
        theirs = request.query.get("hub.verify_token", "")
        knows = bool(ours) and hmac.compare_digest(_bytes(theirs), _bytes(ours))
        if not knows or request.query.get("hub.mode") != "subscribe":
            return HookAnswer(status=403, body=b"forbidden")
        return HookAnswer(status=200, body=_bytes(request.query.get("hub.challenge", "")))

    def verify(self, request: HookRequest, inbox: InboxConfig) -> None:
        """HMAC-SHA256 with the app secret over the raw bytes, in lower-case hex."""
        secret = inbox.credentials.get("app_secret", "")
        signature = SIGNATURE.fullmatch(request.headers.get("x-hub-signature-256", ""))
        if not secret or not signature:
            raise UnverifiedRequestError("no usable signature")
        expected = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature.group(1), expected):
            raise UnverifiedRequestError("wrong signature")

    def split(self, body: bytes, inbox: InboxConfig) -> list[HookItem]:
        return splitting.split(body)

    def read(self, payload: bytes, inbox: InboxConfig) -> Reading:
        return reading.read(payload, inbox)

    # --- Out --------------------------------------------------------------------------------------

    def pace(self, inbox: InboxConfig) -> Pace:
        rate = float(inbox.config.get("messages_per_second") or MESSAGES_PER_SECOND)
        return Pace(inbox=Limit("send.inbox", rate, rate), contact=PER_CONTACT)

    def prepare(self, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """Texts stay Markdown; `send` puts WhatsApp's marks, which never make them longer."""
        return fit(message, self.capabilities)

    async def send(
        self, message: OutboundMessage, to: Recipient, inbox: InboxConfig, http: HttpClient
    ) -> SendResult:
        address = identities.address_fields(to)
        if not address:
            raise SendError(
                _("This customer has neither a phone number nor a WhatsApp user id."),
                error_class=ErrorClass.UNREACHABLE,
            )
        graph = GraphClient(inbox, http)
        file = await _file_of(message.media, graph) if message.media else {}
        return _result(await graph.send(sending.body_of(message, address, file)))

    async def mark_read(
        self, external_id: str, inbox: InboxConfig, http: HttpClient, *, typing: bool = False
    ) -> None:
        """A courtesy: a failure is written to the log and goes no further (channels.md 2.8)."""
        try:
            await GraphClient(inbox, http).send(sending.read_receipt(external_id, typing=typing))
        except SendError as error:
            logger.info("whatsapp.read_receipt inbox=%s failed=%s", inbox.id, error.error_class)

    async def fetch_media(self, media: Media, inbox: InboxConfig, http: HttpClient) -> FetchedMedia:
        """Ask for the file's URL, then for its bytes; once more when the URL is over already."""
        graph = GraphClient(inbox, http)
        limit = LARGEST[media.kind]
        for _attempt in range(2):
            url, mime = await _media_url(media, graph, limit)
            answer = await graph.download(url, max_bytes=limit)
            if answer.status == 200:
                return FetchedMedia(answer.body, mime=mime or media.mime, filename=media.filename)
            if answer.status not in URL_IS_OVER:
                raise errors.error_from(answer)
        raise SendError(
            _("WhatsApp no longer has this file. Ask the customer to send it again."),
            error_class=ErrorClass.PERMANENT,
            status=answer.status,
        )

    def check(
        self, inbox: InboxConfig, http: HttpClient, *, hook_url: str
    ) -> AsyncIterator[CheckStep]:
        return Check(inbox, http, hook_url=hook_url).run()


async def _file_of(media: OutboundMedia, graph: GraphClient) -> dict[str, str]:
    """How the message names its file: uploaded from our storage, else by its public link."""
    if not media.path:
        return {"link": media.url}
    content = await asyncio.to_thread(_stored, media.path)
    if media.mime == OPUS and not content.startswith(b"OggS"):
        raise SendError(
            _(
                "This recording is not an OGG file, whatever its name says. WhatsApp cannot play it."
            ),
            error_class=ErrorClass.INVALID,
        )
    return {"id": await graph.upload(content, mime=media.mime, filename=media.filename)}


def _stored(path: str) -> bytes:
    try:
        with default_storage.open(path) as file:
            return bytes(file.read())
    except FileNotFoundError:
        raise SendError(
            _("The file of this message is no longer in our storage."),
            error_class=ErrorClass.PERMANENT,
        ) from None


async def _media_url(media: Media, graph: GraphClient, limit: int) -> tuple[str, str]:
    """Where the file is now, and its type. Only a reference without an id is a URL itself."""
    if media.remote_ref.startswith("https://"):
        return media.remote_ref, ""
    found = await graph.get(media.remote_ref, query=f"phone_number_id={graph.number}")
    url, mime, size = found.get("url"), found.get("mime_type"), found.get("file_size")
    if isinstance(size, int | str) and str(size).isdigit() and int(size) > limit:
        raise SendError(
            _("This file is too large: %(size)s bytes.") % {"size": size},
            error_class=ErrorClass.PERMANENT,
        )
    if not isinstance(url, str):
        raise SendError(
            _("WhatsApp named no address for this file."), error_class=ErrorClass.TRANSIENT
        )
    return url, mime if isinstance(mime, str) else ""


def _result(answer: HttpAnswer) -> SendResult:
    """The id of the accepted message, and the wa_id it really went to."""
    try:
        found: Any = json.loads(answer.body)
        external_id = found["messages"][0]["id"]
        names = [contact.get("wa_id") for contact in found.get("contacts") or []]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        external_id, names = "", []
    if not isinstance(external_id, str) or not external_id:
        # Accepted, but under which name? A status with our reference will tell.
        raise SendError(
            _("WhatsApp took the message, but its answer names no id."),
            error_class=ErrorClass.AMBIGUOUS,
            status=answer.status,
            body=answer.body[: errors.EXCERPT].decode(errors="replace"),
        )
    identifiers: tuple[Identifier, ...] = tuple(
        identities.phone_identifier(name) for name in names if isinstance(name, str) and name
    )
    return SendResult(
        external_id,
        identifiers=identifiers,
        status=answer.status,
        body=answer.body[: errors.EXCERPT].decode(errors="replace"),
    )


def _bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")
