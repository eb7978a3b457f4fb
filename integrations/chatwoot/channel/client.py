"""Calls to a Chatwoot server for one inbox. Built per call; the HTTP client is handed in."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin

from django.utils.translation import gettext as _

from conversations.channels import ErrorClass, HttpAnswer, HttpClient, InboxConfig, SendError
from integrations.chatwoot.channel import errors

# Lists of inboxes with their settings are large.
LARGEST_ANSWER = 4 * 1024 * 1024
FILE_SECONDS = 60.0
MOST_HOPS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ChatwootClient:
    """The API as one inbox may use it. Every refusal is a `SendError` with its class."""

    def __init__(self, inbox: InboxConfig, http: HttpClient) -> None:
        self.http = http
        self.base = str(inbox.config.get("base_url", "")).strip().rstrip("/")
        self.account = str(inbox.config.get("account_number", "")).strip()
        self._user_token = inbox.credentials.get("user_token", "").strip()
        self._bot_token = inbox.credentials.get("bot_token", "").strip()

    async def profile(self) -> Any:
        """Whom the user token belongs to."""
        return _value(await self._call("GET", f"{self.base}/api/v1/profile", self._user_token))

    async def as_user(self, method: str, path: str, body: Any = None) -> Any:
        """What an administrator may do, below the account; the answer's JSON, None when empty."""
        return _value(await self._call(method, self._url(path), self._user_token, json=body))

    async def as_bot(self, path: str, *, body: Any = None, form: Any = None) -> HttpAnswer:
        """What our bot may do: all it does is a POST. A 2xx."""
        options = {"data": form, "timeout": FILE_SECONDS} if form is not None else {"json": body}
        return await self._call("POST", self._url(path), self._bot_token, **options)

    async def download(self, url: str, *, max_bytes: int) -> HttpAnswer:
        """The bytes behind a signed link, which leads on to where the file is. No token goes along."""
        for _hop in range(MOST_HOPS):
            answer = await self.http.request("GET", url, timeout=FILE_SECONDS, max_bytes=max_bytes)
            if answer.status not in REDIRECTS:
                return answer
            url = urljoin(url, answer.headers.get("location", ""))
        raise SendError(
            _("The link of this file leads from one address to the next without an end."),
            error_class=ErrorClass.PERMANENT,
        )

    def _url(self, path: str) -> str:
        return f"{self.base}/api/v1/accounts/{self.account}/{path}"

    async def _call(self, method: str, url: str, token: str, **options: Any) -> HttpAnswer:
        if not token or not token.isascii() or not token.isprintable():
            raise SendError(
                _("The token is missing, or holds characters that no token has."),
                error_class=ErrorClass.REAUTH,
            )
        answer = await self.http.request(
            # Underscores in names of headers are dropped by many a proxy.
            method, url, headers={"Api-Access-Token": token}, max_bytes=LARGEST_ANSWER, **options
        )  # fmt: skip
        if not 200 <= answer.status < 300:
            raise errors.error_from(answer)
        return answer


def _value(answer: HttpAnswer) -> Any:
    if not answer.body.strip():
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise SendError(
            _("This is no answer of a Chatwoot server. Is the address right?"),
            error_class=ErrorClass.TRANSIENT,
            status=answer.status,
        ) from None
