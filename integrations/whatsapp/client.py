"""Calls to the Graph API for one inbox. Built per call; the HTTP client is handed in."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from django.conf import settings
from django.utils.translation import gettext as _

from conversations.channels import ErrorClass, HttpAnswer, HttpClient, InboxConfig, SendError
from integrations.whatsapp import errors

UPLOAD_SECONDS = 60.0
META_HOST = "graph.facebook.com"
# The only hosts that may see the access token, beside the one the inbox itself points at.
TOKEN_HOSTS = frozenset({META_HOST, "lookaside.fbsbx.com"})


class GraphClient:
    """The Graph API as one inbox may use it. Every refusal is a `SendError` with its class."""

    def __init__(self, inbox: InboxConfig, http: HttpClient) -> None:
        self.http = http
        self.base = str(inbox.config.get("api_base") or settings.WHATSAPP_API_BASE).rstrip("/")
        self.version = str(inbox.config.get("api_version") or settings.WHATSAPP_API_VERSION)
        self.number = str(inbox.config.get("phone_number_id", ""))
        self.waba = str(inbox.config.get("waba_id", ""))
        self._token = inbox.credentials.get("access_token", "").strip()

    @property
    def is_meta(self) -> bool:
        """Whether this is Meta's own server, which only reaches public addresses."""
        return urlsplit(self.base).hostname == META_HOST

    async def get(self, *path: str, query: str = "", max_bytes: int = 65_536) -> dict[str, Any]:
        url = self._url(path) + (f"?{query}" if query else "")
        return _object(await self._call("GET", url, max_bytes=max_bytes))

    async def post(self, *path: str, json: dict[str, Any] | None = None) -> dict[str, Any]:
        return _object(await self._call("POST", self._url(path), json=json))

    async def send(self, body: dict[str, Any]) -> HttpAnswer:
        """`POST /{phone_number_id}/messages`; a 2xx."""
        return await self._call("POST", self._url((self.number, "messages")), json=body)

    async def upload(self, content: bytes, *, mime: str, filename: str) -> str:
        """Store a file at Meta and get its media id.

        A lost answer costs nothing but a second upload, so it is never ambiguous.
        """
        form = aiohttp.FormData()
        form.add_field("messaging_product", "whatsapp")
        form.add_field("type", mime)
        form.add_field("file", content, content_type=mime, filename=filename or "file")
        url = self._url((self.number, "media"))
        try:
            answer = _object(await self._call("POST", url, data=form, timeout=UPLOAD_SECONDS))
        except SendError as error:
            if error.error_class is ErrorClass.AMBIGUOUS:
                raise SendError(str(error), error_class=ErrorClass.TRANSIENT) from error
            raise
        media_id = answer.get("id")
        if not isinstance(media_id, str) or not media_id:
            raise _odd_answer("id")
        return media_id

    async def download(self, url: str, *, max_bytes: int) -> HttpAnswer:
        """The bytes behind a media URL, whatever the status. The token goes to known hosts only."""
        self._check_may_see_token(url)
        return await self.http.request(
            "GET", url, headers=self._headers(), timeout=UPLOAD_SECONDS, max_bytes=max_bytes
        )

    def _check_may_see_token(self, url: str) -> None:
        """A URL from an answer or a webhook is not trusted: it could be anybody's."""
        wanted, own = urlsplit(url), urlsplit(self.base)
        is_own = (wanted.scheme, wanted.netloc) == (own.scheme, own.netloc)
        if is_own or (wanted.scheme == "https" and wanted.netloc in TOKEN_HOSTS):
            return
        raise SendError(
            _("The file is at an address that is not WhatsApp's. It was not fetched."),
            error_class=ErrorClass.PERMANENT,
        )

    def _url(self, path: tuple[str, ...]) -> str:
        return "/".join([self.base, self.version, *(quote(part, safe="") for part in path)])

    def _headers(self) -> dict[str, str]:
        if not self._token.isascii() or not self._token.isprintable():
            raise SendError(
                _("The access token holds characters that no token has. Copy it once more."),
                error_class=ErrorClass.REAUTH,
            )
        return {"Authorization": f"Bearer {self._token}"}

    async def _call(self, method: str, url: str, **options: Any) -> HttpAnswer:
        answer = await self.http.request(method, url, headers=self._headers(), **options)
        if not 200 <= answer.status < 300:
            raise errors.error_from(answer)
        return answer


def _object(answer: HttpAnswer) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _odd_answer("body")
    return value


def _odd_answer(key: str) -> SendError:
    return SendError(
        _("WhatsApp's answer could not be read: %(key)s is missing or odd.") % {"key": key},
        error_class=ErrorClass.TRANSIENT,
    )
