"""The demo account's WhatsApp number: invented credentials, good for signed webhooks and a fake
Graph server (`WHATSAPP_API_BASE`), never for Meta."""

from __future__ import annotations

import secrets

from conversations.models import Inbox
from integrations.registry import DemoInbox
from integrations.routes import hook_url


def invented_values() -> dict[str, str]:
    return {
        "phone_number_id": "420000000000017",
        "waba_id": "420000000000099",
        "access_token": f"demo-{secrets.token_urlsafe(24)}",
        "app_secret": secrets.token_hex(16),
        # The fake server behind it has no limit of its own.
        "messages_per_second": "1000",
    }


def facts(inbox: Inbox) -> dict[str, str]:
    credentials = inbox.credentials
    return {
        "hook_url": hook_url(inbox),
        "app_secret": credentials["app_secret"],
        "verify_token": credentials["verify_token"],
        "phone_number_id": inbox.config["phone_number_id"],
    }


DEMO = DemoInbox(name="WhatsApp", values=invented_values, facts=facts)
