"""An API inbox as their API makes, changes and shows it."""

from __future__ import annotations

import secrets

from conversations.models import Inbox
from integrations import routes
from integrations.chatwoot.api_inbox.channel import (
    HMAC_TOKEN,
    MANDATORY,
    SECRET,
    WEBHOOK,
    webhook_of,
)
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import invalid
from integrations.chatwoot.shapes.parts import Json

PLATFORM = "api"
MAX_URL = 2048


def is_api(inbox: Inbox) -> bool:
    return inbox.platform == PLATFORM


def given_webhook(given: Params) -> str:
    """The `webhook_url` of a request's `channel`. Raises `ChatwootError` (422)."""
    url = params.text(given, WEBHOOK, most=MAX_URL).strip()
    if url and not url.startswith(("http://", "https://")):
        raise invalid(WEBHOOK, "Webhook url must start with http:// or https://")
    return url


def values_of(given: Params) -> dict[str, str]:
    """What a request's `channel` says, as answers to the channel's fields."""
    said: dict[str, str] = {}
    if WEBHOOK in given:
        said[WEBHOOK] = given_webhook(given)
    if MANDATORY in given:
        said[MANDATORY] = "1" if params.flag(given, MANDATORY) else "0"
    return said


def new_secrets() -> dict[str, str]:
    return {name: secrets.token_urlsafe(24) for name in (SECRET, HMAC_TOKEN)}


def identity_is_mandatory(inbox: Inbox) -> bool:
    return str(inbox.config.get(MANDATORY) or "").strip() == "1"


def settings_json(inbox: Inbox) -> Json:
    """For those who may set it up; no secret among it."""
    return {
        "webhook_url": webhook_of(inbox.config) or None,
        "hmac_mandatory": identity_is_mandatory(inbox),
        "additional_attributes": {},
    }


def secrets_json(inbox: Inbox) -> Json:
    """Shown where they are made, and never again (SX-31)."""
    return {
        "inbox_identifier": routes.route_token(inbox),
        "hmac_token": inbox.credentials.get(HMAC_TOKEN, ""),
        "secret": inbox.credentials.get(SECRET, ""),
    }
