"""The one port's ASGI application: `uvicorn config.asgi:application`, or `python -m config.web`."""

from __future__ import annotations

import os
from typing import Any, cast

from a2wsgi import WSGIMiddleware

from config.router import LazyApp, Router

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

DJANGO_THREADS = 16


def build() -> Router:
    """Django behind WSGI threads, and the two plain ASGI apps, loaded at first use."""
    from config.wsgi import application as django

    bridge: Any = WSGIMiddleware(cast(Any, django), workers=DJANGO_THREADS)
    return Router(bridge, live=LazyApp("integrations.live"), door=LazyApp("integrations.door"))


application = build()
