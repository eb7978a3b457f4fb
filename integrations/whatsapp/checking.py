"""The connection test: every step says what it found, or what to do (channels.md 2.1)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.utils.translation import gettext as _

from conversations.channels import CheckStep, HttpClient, InboxConfig, SendError
from integrations.whatsapp.client import GraphClient

TEMPLATE_PAGE = 1024 * 1024


class StepFailedError(Exception):
    """A step that found something wrong by itself; the sentence says what to do."""


class Check:
    """One run over one inbox."""

    def __init__(self, inbox: InboxConfig, http: HttpClient, *, hook_url: str) -> None:
        self.graph = GraphClient(inbox, http)
        self.inbox = inbox
        self.hook_url = hook_url

    async def run(self) -> AsyncIterator[CheckStep]:
        """Step by step, stopping at the first that fails."""
        steps: tuple[tuple[str, str, Callable[[], Awaitable[str]]], ...] = (
            ("number", _("Access token and phone number"), self.number),
            ("secret", _("App secret"), self.secret),
            ("business_account", _("WhatsApp Business account"), self.business_account),
            ("subscription", _("Messages are sent to our app"), self.subscription),
            ("callback", _("Messages arrive at this inbox"), self.callback),
            ("templates", _("Message templates"), self.templates),
        )
        for name, title, step in steps:
            try:
                yield CheckStep(name, ok=True, title=title, detail=await step())
            except (SendError, StepFailedError) as error:
                advice = f"{error} {self._advice(name)}".strip()
                yield CheckStep(name, ok=False, title=title, detail=advice)
                return

    async def number(self) -> str:
        self._need("phone_number_id", self.graph.number)
        self._need("access_token", self.inbox.credentials.get("access_token", ""))
        found = await self.graph.get(
            self.graph.number, query="fields=display_phone_number,verified_name,quality_rating"
        )
        return f"{_text(found, 'verified_name')} {_text(found, 'display_phone_number')}".strip()

    async def secret(self) -> str:
        """Meta checks a proof made of token and app secret, so a wrong secret shows here already."""
        secret = self.inbox.credentials.get("app_secret", "")
        self._need("app_secret", secret)
        token = self.inbox.credentials.get("access_token", "").strip()
        proof = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        await self.graph.get(
            self.graph.number, query=urlencode({"fields": "id", "appsecret_proof": proof})
        )
        return _("It belongs to the access token.")

    async def business_account(self) -> str:
        self._need("waba_id", self.graph.waba)
        found = await self.graph.get(self.graph.waba, query="fields=id,name")
        return _text(found, "name")

    async def subscription(self) -> str:
        await self.graph.post(self.graph.waba, "subscribed_apps")
        return _("The app is subscribed to this account.")

    async def callback(self) -> str:
        """Point this account at the inbox; Meta calls us back before it answers."""
        if self.graph.is_meta and not _is_public(self.hook_url):
            host = urlsplit(self.hook_url).hostname or ""
            raise StepFailedError(_("Meta cannot reach %(host)s.") % {"host": host})
        await self.graph.post(
            self.graph.waba,
            "subscribed_apps",
            json={
                "override_callback_uri": self.hook_url,
                "verify_token": self.inbox.credentials.get("verify_token", ""),
            },
        )
        return self.hook_url.rpartition("/")[0] + "/…"

    async def templates(self) -> str:
        found = await self.graph.get(
            self.graph.waba,
            "message_templates",
            query="fields=name,language,status&limit=100",
            max_bytes=TEMPLATE_PAGE,
        )
        templates = found.get("data")
        rows = templates if isinstance(templates, list) else []
        approved = [
            row for row in rows if isinstance(row, dict) and row.get("status") == "APPROVED"
        ]
        return _("%(approved)d approved, %(all)d in all.") % {
            "approved": len(approved),
            "all": len(rows),
        }

    def _need(self, name: str, value: str) -> None:
        if not value.strip():
            raise StepFailedError(_("The field %(name)s is empty.") % {"name": name})

    def _advice(self, step: str) -> str:
        return {
            "number": _(
                "Copy the phone number id from WhatsApp, API setup, in the Meta app, and use the "
                "token of a system user who may manage this WhatsApp account."
            ),
            "secret": _(
                "Copy the app secret from App settings, Basic, of the app that made the access "
                "token. With a wrong one every message from WhatsApp is refused."
            ),
            "business_account": _(
                "Copy the WhatsApp Business account id, and give the system user full control of "
                "that account in Business settings."
            ),
            "subscription": _("The token needs whatsapp_business_management for this account."),
            "callback": _(
                "Set PUBLIC_URL to the https address under which this server is reached from the "
                "internet, and run the test again."
            ),
            "templates": _("The token needs whatsapp_business_management to read templates."),
        }[step]


def _text(found: dict[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _is_public(url: str) -> bool:
    """Whether Meta could call this URL: https, and not an address or name of this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" and ipaddress.ip_address(host).is_global
    except ValueError:
        local = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
        return parts.scheme == "https" and "." in host and not local
