"""Where a request comes from (SX-62)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

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
    parsed = _parsed(address)
    if parsed is None:
        return "unknown"
    length = 24 if parsed.version == 4 else 64
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether `address` belongs to one of `networks` (CIDR); what cannot be read holds nobody."""
    parsed = _parsed(address)
    return parsed is not None and any(
        parsed in network for network in map(read_network, networks) if network is not None
    )


def read_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """`10.0.0.0/8`, or a single address; None for what is neither."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped
    return parsed
