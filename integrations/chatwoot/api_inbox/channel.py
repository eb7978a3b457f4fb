"""The API inbox as a channel: an app of the business brings what its customers say, and gets what is
answered, by a webhook or by asking.

What comes in, comes by the client API (docs/platforms/api-inbox.md), which knows whose words they are;
the hook door is closed to it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from conversations.channels import (
    Capabilities,
    Channel,
    CheckStep,
    ErrorClass,
    Field,
    HookItem,
    HookRequest,
    HttpAnswer,
    HttpClient,
    InboxConfig,
    Learnt,
    Recipient,
    SendError,
    SendResult,
    UnverifiedRequestError,
)
from conversations.degrading import degrade
from conversations.messages import Kind, OutboundMessage, Reading
from conversations.models import Message
from integrations.addresses import shape_problem, unreachable
from integrations.chatwoot.api_inbox import saying
from integrations.chatwoot.api_inbox.pushing import message_created
from integrations.chatwoot.signing import webhook_headers
from integrations.payload import encode

WEBHOOK, SECRET = "webhook_url", "secret"
HMAC_TOKEN, MANDATORY = "hmac_token", "hmac_mandatory"
EXCERPT = 500
# What an app answers that will take the message later; and a proxy that lost the app after asking it.
LATER, LOST = frozenset({408, 425, 500, 503}), frozenset({502, 504})


class ApiChannel(Channel):
    """Everything is carried as it is: the app shows it."""

    slug: ClassVar[str] = "api"
    name: ClassVar[str] = "API inbox"
    door: ClassVar[str] = "/public/api/v1/inboxes"
    capabilities: ClassVar[Capabilities] = Capabilities(
        kinds=frozenset(Kind) - {Kind.UNSUPPORTED}, max_text=150_000, statuses=True
    )
    # Marked for translation here, translated where the form is shown.
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            WEBHOOK,
            gettext_noop("Webhook of your app"),
            required=False,
            judge=shape_problem,
            help=gettext_noop(
                "Gets what is to be said to a customer. Empty: your app asks for it."
            ),
        ),
        Field(
            SECRET,
            gettext_noop("Secret of the webhook"),
            secret=True,
            required=False,
            help=gettext_noop("Signs what your webhook gets. Invent a long one."),
        ),
        Field(
            HMAC_TOKEN,
            gettext_noop("Secret of identities"),
            secret=True,
            required=False,
            help=gettext_noop(
                "Your server proves with it who a customer is. Invent a long one, and never put it "
                "into the app itself."
            ),
        ),
        Field(
            MANDATORY,
            gettext_noop("Only proven identities"),
            required=False,
            choices={
                "0": gettext_noop("no: everybody is let in"),
                "1": gettext_noop("yes: nobody else is let in"),
            },
            help=gettext_noop("Your server proves them with the secret above."),
        ),
    )

    # --- In ---------------------------------------------------------------------------------------

    def verify(self, request: HookRequest, inbox: InboxConfig) -> None:
        raise UnverifiedRequestError("what customers say comes by the client API")

    def split(self, body: bytes, inbox: InboxConfig) -> list[HookItem]:
        return saying.split(body)

    def read(self, payload: bytes, inbox: InboxConfig) -> Reading:
        return saying.read(payload)

    # --- Out --------------------------------------------------------------------------------------

    def prepare(self, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """One push for a file, and one for everything else, however long."""
        kinds = self.capabilities.kinds
        return tuple(degrade(message, lambda part: part.kind in kinds, channel=self.name))

    def context_of(self, message: Message) -> Mapping[str, Any]:
        """Their `message_created`, where somebody is told."""
        return message_created(message) if webhook_of(message.inbox.config) else {}

    async def send(
        self, message: OutboundMessage, to: Recipient, inbox: InboxConfig, http: HttpClient
    ) -> SendResult:
        """Without a webhook the app asks for it, so a stored message has arrived."""
        external_id, url = f"api:{message.reference}", webhook_of(inbox.config)
        if not url or not message.context:
            return SendResult(external_id, delivered=not url)
        answer = await _push(url, message, inbox, http)
        body = answer.body[:EXCERPT].decode(errors="replace")
        if not 200 <= answer.status < 300:
            raise _refusal(answer, body)
        return SendResult(external_id, status=answer.status, body=body)

    # --- Connecting -------------------------------------------------------------------------------

    async def check(
        self, inbox: InboxConfig, http: HttpClient, *, hook_url: str
    ) -> AsyncIterator[CheckStep | Learnt]:
        """Whether anything answers at the webhook's address; nothing is pushed there."""
        url = webhook_of(inbox.config)
        if not url:
            title = _("Your app asks for its messages: there is no webhook to test")
            yield CheckStep("webhook", ok=True, title=title)
            return
        title = _("Your webhook can be reached")
        try:
            await http.request("HEAD", url)
        except SendError:  # in one sentence: the test is no scanner of other people's ports
            yield CheckStep("webhook", ok=False, title=title, detail=unreachable())
            return
        signed = bool(inbox.credentials.get(SECRET))
        detail = "" if signed else _("It has no secret, so what it gets is not signed.")
        yield CheckStep("webhook", ok=True, title=title, detail=detail)


def webhook_of(config: Mapping[str, Any]) -> str:
    """Where an inbox with this `config` pushes to; empty when it does not."""
    return str(config.get(WEBHOOK) or "").strip()


async def _push(
    url: str, message: OutboundMessage, inbox: InboxConfig, http: HttpClient
) -> HttpAnswer:
    body, secret = encode(message.context), inbox.credentials.get(SECRET, "")
    headers = webhook_headers(
        body,
        wire_id=message.reference,
        timestamp=int(time.time()),
        secrets=[secret] if secret else [],
    )
    headers["Content-Type"] = "application/json"
    return await http.request("POST", url, headers=headers, data=body)


def _refusal(answer: HttpAnswer, body: str) -> SendError:
    sentence, error_class = _("Your app refused the message (HTTP %(status)s)."), _class_of(answer)
    return SendError(
        sentence % {"status": answer.status},
        error_class=error_class,
        code=str(answer.status),
        retry_after=_seconds(answer.headers.get("retry-after", "")),
        status=answer.status,
        body=body,
    )


def _class_of(answer: HttpAnswer) -> ErrorClass:
    if answer.status == 429:
        return ErrorClass.THROTTLED
    if answer.status in LOST:
        return ErrorClass.AMBIGUOUS
    return ErrorClass.TRANSIENT if answer.status in LATER else ErrorClass.PERMANENT


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None
