"""The one port's ASGI application: `uvicorn config.asgi:application`, or `python -m config.web`."""

from __future__ import annotations

import os

from config.bridge import Bridge
from config.router import LazyApp, Router

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

DJANGO_THREADS = 16


def build() -> Router:
    """Django behind WSGI threads, and the two plain ASGI apps, loaded at first use."""
    from config.wsgi import application as django

    return Router(
        Bridge(django, threads=DJANGO_THREADS),
        live=LazyApp("integrations.live"),
        door=LazyApp("integrations.door"),
    )


application = build()
