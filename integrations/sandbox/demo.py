"""The demo account's sandbox phone."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse

from conversations.models import Inbox
from integrations.registry import DemoInbox
from integrations.routes import route_token

# What the demo agent knows an answer to, in both of its languages, and the way out of it.
PHRASES = [
    "Do you ship to Cluj?",
    "Vreau să vorbesc cu un om",
    "Cât costă livrarea?",
    "How do I return a lamp?",
]


def page_url(inbox: Inbox) -> str:
    """Where the phone of a sandbox inbox is."""
    return settings.PUBLIC_URL + reverse("sandbox", args=[route_token(inbox)])


DEMO = DemoInbox(
    name="Sandbox phone",
    values=lambda: {"phrases": PHRASES},
    facts=lambda inbox: {"url": page_url(inbox)},
)
