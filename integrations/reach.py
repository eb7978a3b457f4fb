"""Whether the platforms of the internet can call us."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _


def problem(name: str, url: str | None = None) -> str:
    """Why `name` (Meta, …) cannot call `PUBLIC_URL`, in a sentence; empty when it can, as it seems."""
    parts = urlsplit(url if url is not None else settings.PUBLIC_URL)
    host = parts.hostname or ""
    if _is_private(host):
        return _(
            "%(name)s cannot reach %(host)s: set PUBLIC_URL to the https address under which "
            "this server is reached from the internet, and start again."
        ) % {"name": name, "host": host}
    if parts.scheme != "https":
        return _(
            "%(name)s calls https addresses only, and PUBLIC_URL is %(url)s. Set it to the https "
            "address of this server, and start again."
        ) % {"name": name, "url": parts.geturl()}
    return ""


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        local = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
        return local or "." not in host
