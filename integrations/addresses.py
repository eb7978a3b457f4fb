"""Where we may connect to: the judgement alone, without a socket (delivery.md 13).

`ipaddress.is_global` is not enough: on some versions it calls 64:ff9b::7f00:1, 2002:7f00:1::,
192.0.0.8 and 224.0.0.1 global. Hence our own table, which a test reads line by line (DL-112).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Self

from django.conf import settings
from django.utils.translation import gettext as _
from yarl import URL

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; clouds keep their metadata service here
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Only 2000::/3 is given out; loopback, link-local, unique local, multicast, 64:ff9b::/96 and 5f00::/16
# lie outside it. Inside it these carry or stand for other addresses.
GLOBAL_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo, benchmarking, ORCHID and other special assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
DENIED_PORTS = frozenset({22, 25, 2375, 3306, 5432, 5672, 6379, 9200, 10250, 11211, 15672})
_UNCLEAN = re.compile(r"[\x00-\x20\x7f\\]")
_USER_PART = re.compile(r"[^/?#]*//[^/?#]*@")
# What the C library would read as an IPv4 address: parts in decimal, octal or hex, one to four of them.
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)


class RefusedUrlError(ValueError):
    """We do not connect there; the text is a sentence for whoever typed the address."""


def is_public(address: IPAddress) -> bool:
    """Whether `address` belongs to the public internet. IPv4-mapped IPv6 is judged as IPv4."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        return address in GLOBAL_V6 and not any(address in net for net in NOT_PUBLIC_V6)
    return not any(address in network for network in NOT_PUBLIC_V4)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows beyond public https addresses."""

    allow_http: bool = False
    hosts: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def of(cls, *, allow_http: bool, allow: Iterable[str]) -> Self:
        """`allow` as in OUTBOUND_ALLOW: networks, addresses and host names."""
        hosts, networks = set(), []
        for entry in allow:
            try:
                networks.append(ip_network(entry, strict=False))
            except ValueError:
                hosts.add(entry.lower().rstrip("."))
        return cls(allow_http, frozenset(hosts), tuple(networks))

    @classmethod
    def from_settings(cls) -> Self:
        return cls.of(allow_http=settings.ALLOW_HTTP_TARGETS, allow=settings.OUTBOUND_ALLOW)

    def admits(self, host: str, address: str) -> bool:
        """Whether a connection for `host` may go to `address` (as a resolver gave it)."""
        if host.lower().rstrip(".") in self.hosts:
            return True
        try:
            number = ip_address(address)
        except ValueError:
            return False
        if isinstance(number, IPv6Address) and number.ipv4_mapped is not None:
            number = number.ipv4_mapped
        return is_public(number) or any(number in network for network in self.networks)


def check_shape(url: str, policy: Policy) -> URL:
    """The parsed `url` when scheme, port, host and form are allowed. Raises `RefusedUrlError`.

    Looks no name up: a host that is written as an address is judged here, a name by the resolver.
    """
    parsed = _parse(url)
    if parsed.scheme not in ("https", "http"):
        raise RefusedUrlError(_("Use an address that begins with https://."))
    if parsed.scheme == "http" and not policy.allow_http:
        raise RefusedUrlError(_("Use https:// instead of http://, so that nobody can read along."))
    if _USER_PART.match(url):
        raise RefusedUrlError(_("Leave out the user name and password in front of the @."))
    if "#" in url:
        raise RefusedUrlError(_("Leave out the # and what follows it."))
    _check_port(parsed.port)
    host = parsed.raw_host or ""
    if _NUMERIC_HOST.fullmatch(host.rstrip(".")) and not _is_plain_ipv4(host):
        raise RefusedUrlError(_("Write the address as a name, for example agent.example.com."))
    if _is_address(host) and not policy.admits(host, host):
        raise RefusedUrlError(not_public())
    if host.lower().rstrip(".") in ("localhost", "") and not _localhost_allowed(host, policy):
        raise RefusedUrlError(not_public())
    return parsed


def shape_problem(url: str) -> str:
    """What `check_shape` says against an address, by the settings; empty when it is fine."""
    try:
        check_shape(url, Policy.from_settings())
    except RefusedUrlError as error:
        return str(error)
    return ""


def unreachable() -> str:
    """The one sentence for whatever is closed, filtered, refused by us or without a valid certificate."""
    return _(
        "The address could not be reached. Look at its spelling, whether the server runs and"
        " may be called from the internet, and at its certificate."
    )


def not_public() -> str:
    return _("This address is not on the public internet, so we do not connect to it.")


def _parse(url: str) -> URL:
    if _UNCLEAN.search(url):
        raise RefusedUrlError(_("The address contains a space or a sign that cannot stand there."))
    try:
        parsed = URL(url)
    except (ValueError, TypeError) as error:
        raise RefusedUrlError(_unreadable()) from error
    if not parsed.raw_host:
        raise RefusedUrlError(_unreadable())
    return parsed


def _unreadable() -> str:
    return _("This is not a web address. It looks like https://agent.example.com/events.")


def _check_port(port: int | None) -> None:
    if port is None or port in (80, 443):
        return
    if port < 1024 or port in DENIED_PORTS:
        raise RefusedUrlError(_("Port %(port)d is not allowed. Use 443.") % {"port": port})


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_plain_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def _localhost_allowed(host: str, policy: Policy) -> bool:
    return policy.admits(host, "127.0.0.1")
