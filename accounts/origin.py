"""Where a request comes from (SX-62)."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str:
    """The caller's address: what the last `TRUSTED_PROXIES` proxies say, else the socket's peer.

    Everything further left in `X-Forwarded-For` was written by the caller and is not believed.
    """
    peer: str = request.META.get("REMOTE_ADDR", "")
    if not settings.TRUSTED_PROXIES:
        return peer
    forwarded: str = request.META.get("HTTP_X_FORWARDED_FOR", "")
    chain = [part.strip() for part in forwarded.split(",") if part.strip()] + [peer]
    trusted: int = settings.TRUSTED_PROXIES
    return chain[max(0, len(chain) - 1 - trusted)]


def ip_prefix(address: str) -> str:
    """The network an address belongs to: /24 of IPv4, /64 of IPv6; one household or office."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    length = 24 if parsed.version == 4 else 64
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))
