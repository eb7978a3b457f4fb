"""The one way out: foreign HTTP with the address guard, time limits and size limits (delivery.md 13).

Names are resolved once per connection, every address must be allowed, and the socket is opened to
exactly one of the checked addresses; the name stays for SNI, the certificate and `Host`. Redirects
are never followed, cookies never kept, proxies of the environment never used, and answers never read
or inflated beyond their cap. Each account has its own connection pool.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import re
import socket
import ssl
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType, Connection
from django.conf import settings
from yarl import URL

from conversations.channels import ErrorClass, HttpAnswer, SendError
from integrations.addresses import Policy, RefusedUrlError, check_shape, not_public

CONNECT_SECONDS = 3.0
# Below the five seconds after which many servers hang up on an idle connection: a request written
# to a connection that is just being closed may or may not have arrived.
KEEPALIVE_SECONDS = 4.0
MAX_ACCOUNTS = 256
# Of each account: files come from addresses that never come again, and are long.
MAX_TARGETS = 32
RESOLVER_THREADS = 16
READING_METHODS = frozenset({"GET", "HEAD"})
_HEADER_BREAKS = re.compile(r"[\r\n\x00]")

Address = tuple[socket.AddressFamily, str]
Lookup = Callable[[str, int], Awaitable[Sequence[Address]]]


class BlockedAddressError(OSError):
    """The name leads to an address we do not connect to. Never carries the address itself."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What became of one request.

    `outcome` is `ok` (2xx), `http_error`, `timeout_connect`, `timeout_read`, `dns`, `tls`, `refused`,
    `disconnected`, `blocked_address` or `too_large`; `written` says whether the other side may have
    got the request.
    """

    outcome: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    latency_ms: int = 0
    remote_ip: str = ""
    error: str = ""
    written: bool = False

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


@dataclass(slots=True)
class _Trip:
    """What the connector learns about the request that its task is making."""

    host: str
    connected: bool = False
    blocked: bool = False
    remote_ip: str = ""


_trip: ContextVar[_Trip | None] = ContextVar("trip", default=None)


class _GuardedConnector(aiohttp.TCPConnector):
    """Reports to the trip of the calling task; opens sockets to admitted addresses only."""

    def __init__(self, policy: Policy, lookup: Lookup) -> None:
        self._policy = policy
        super().__init__(
            resolver=_GuardedResolver(policy, lookup),
            use_dns_cache=False,
            limit=0,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=_tls_context(),
            socket_factory=self._open_socket,
        )

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        trip = _trip.get()
        if trip is not None:
            trip.connected = True
            peer = connection.transport.get_extra_info("peername") if connection.transport else None
            trip.remote_ip = str(peer[0]) if peer else ""
        return connection

    def _open_socket(self, info: AddrInfoType) -> socket.socket:
        """The last wall: whatever way an address came, it is judged where the socket opens."""
        family, kind, protocol, _name, address = info
        trip = _trip.get()
        if not self._policy.admits(trip.host if trip else "", str(address[0])):
            if trip is not None:
                trip.blocked = True
            raise BlockedAddressError(not_public())
        return socket.socket(family=family, type=kind, proto=protocol)


class _GuardedResolver(AbstractResolver):
    """Every address of a name must be admitted, or none is used (DL-111)."""

    def __init__(self, policy: Policy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        if not found:
            raise OSError(socket.EAI_NONAME, "no address")
        if not all(self._policy.admits(host, address) for _family, address in found):
            trip = _trip.get()
            if trip is not None:
                trip.blocked = True
            raise BlockedAddressError(not_public())
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family_, proto=0, flags=0)
            for family_, address in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""


class GuardedClient:
    """The HTTP client of one account; `async with GuardedClient() as http`.

    Implements `conversations.channels.HttpClient`. `policy` and `lookup` (name → addresses) are for
    tests and tools; without them the settings and the system's resolver decide.
    """

    def __init__(self, *, policy: Policy | None = None, lookup: Lookup | None = None) -> None:
        self.policy = policy or Policy.from_settings()
        self.in_flight = 0
        # What has been looked at and may be called; the same few addresses come again and again.
        self._targets: dict[str, URL] = {}
        self._lookup = lookup or look_up
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
        timeout: float = 20.0,
        max_bytes: int = 65_536,
    ) -> HttpAnswer:
        """The answer, whatever its status. Raises `SendError` when there is none.

        TRANSIENT when the request was surely not written (or only reads), AMBIGUOUS when it may have
        been, PERMANENT when we do not connect there or a download is too large.
        """
        sent = dict(headers or {})
        if json is not None:
            data = jsonlib.dumps(json, ensure_ascii=False).encode()
            sent.setdefault("Content-Type", "application/json")
        exchange = await self.exchange(
            method, url, headers=sent, data=data, timeout=timeout, max_bytes=max_bytes
        )
        if exchange.status is not None and exchange.outcome in ("ok", "http_error"):
            return HttpAnswer(exchange.status, exchange.headers, exchange.body)
        raise _send_error(method, exchange)

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        timeout: float = 20.0,
        max_bytes: int = 65_536,
    ) -> Exchange:
        """Make one request and say what became of it; raises `ValueError` for a broken header."""
        _check_headers(headers or {})
        started = time.perf_counter()
        try:
            target = self._target(url)
        except RefusedUrlError as error:
            return Exchange("blocked_address", error=str(error))
        trip = _Trip(target.raw_host or "")
        token = _trip.set(trip)
        self.in_flight += 1
        try:
            made = await self._make(method, target, headers or {}, data, timeout, max_bytes)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            made = _failure(error, trip)
        finally:
            self.in_flight -= 1
            _trip.reset(token)
        return Exchange(
            made.outcome,
            made.status,
            made.headers,
            made.body,
            latency_ms=int((time.perf_counter() - started) * 1000),
            remote_ip=trip.remote_ip,
            error=made.error,
            written=trip.connected,
        )

    def _target(self, url: str) -> URL:
        target = self._targets.get(url)
        if target is None:
            target = check_shape(url, self.policy)
            if len(self._targets) >= MAX_TARGETS:
                self._targets.clear()
            self._targets[url] = target
        return target

    async def _make(
        self, method: str, url: URL, headers: Mapping[str, str], data: Any, seconds: float, cap: int
    ) -> Exchange:
        connect = min(CONNECT_SECONDS, seconds)
        async with self._open_session().request(
            method,
            url,
            headers=headers,
            data=data,
            allow_redirects=False,
            # Exact: aiohttp would round longer ones up to a whole second of its clock.
            timeout=aiohttp.ClientTimeout(
                total=seconds, connect=connect, sock_connect=connect, ceil_threshold=seconds + 1
            ),
        ) as response:
            answered = {name.lower(): value for name, value in response.headers.items()}
            body = await _read_capped(response, cap)
            if body is None:
                response.close()
                return Exchange("too_large", response.status, answered, error="response too large")
            outcome = "ok" if 200 <= response.status < 300 else "http_error"
            return Exchange(outcome, response.status, answered, body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_GuardedConnector(self.policy, self._lookup),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={
                    "User-Agent": f"Switchboard/{settings.VERSION}",
                    "Accept-Encoding": "identity",
                },
            )
        return self._session


class Clients:
    """One client per account; the one that was quiet longest is closed when there are too many."""

    def __init__(self, *, policy: Policy | None = None, lookup: Lookup | None = None) -> None:
        self._policy = policy or Policy.from_settings()
        self._lookup = lookup
        self._clients: OrderedDict[int, GuardedClient] = OrderedDict()

    async def of(self, account_id: int) -> GuardedClient:
        client = self._clients.get(account_id)
        if client is None:
            await self._make_room()
            client = self._clients[account_id] = GuardedClient(
                policy=self._policy, lookup=self._lookup
            )
        self._clients.move_to_end(account_id)
        return client

    async def close(self) -> None:
        while self._clients:
            _account_id, client = self._clients.popitem()
            await client.close()

    async def _make_room(self) -> None:
        idle = [key for key, client in self._clients.items() if not client.in_flight]
        for key in idle[: max(0, len(self._clients) + 1 - MAX_ACCOUNTS)]:
            await self._clients.pop(key).close()


def check_url(url: str, *, policy: Policy | None = None) -> None:
    """Refuse, with a sentence, an address we would not connect to. For forms; it may block on DNS.

    Raises `RefusedUrlError`. A name that cannot be found now is let through: it may exist tomorrow,
    and the check that counts is made at each attempt.
    """
    policy = policy or Policy.from_settings()
    target = check_shape(url, policy)
    host = target.raw_host or ""
    try:
        found = socket.getaddrinfo(host, target.port, type=socket.SOCK_STREAM)
    except OSError:
        return
    if not all(policy.admits(host, str(entry[4][0])) for entry in found):
        raise RefusedUrlError(not_public())


async def look_up(host: str, port: int) -> Sequence[Address]:
    """The system's resolver on threads of its own; questions asked at once share one answer."""
    loop = asyncio.get_running_loop()
    key = (id(loop), host, port)
    running = _running_lookups.get(key)
    if running is None:
        running = loop.run_in_executor(_resolver_threads(), _getaddrinfo, host, port)
        _running_lookups[key] = running
        running.add_done_callback(lambda done: _forget_lookup(key, done))
    return await asyncio.shield(running)


_running_lookups: dict[tuple[int, str, int], asyncio.Future[Sequence[Address]]] = {}


def _forget_lookup(key: tuple[int, str, int], lookup: asyncio.Future[Sequence[Address]]) -> None:
    del _running_lookups[key]
    if not lookup.cancelled():
        lookup.exception()  # looked at, even when everybody who asked has gone


@lru_cache(maxsize=1)
def _resolver_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")


def _getaddrinfo(host: str, port: int) -> Sequence[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [(family, str(address[0])) for family, _kind, _protocol, _name, address in found]


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    """Built once: reading the certificate store costs 20 ms."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if _HEADER_BREAKS.search(name) or _HEADER_BREAKS.search(value):
            raise ValueError(f"line break in header {name!r}")


async def _read_capped(response: aiohttp.ClientResponse, cap: int) -> bytes | None:
    """The body, inflated where it is compressed; None when it is larger than `cap`."""
    if response.content_length is not None and response.content_length > cap:
        return None
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > cap:
            return None
    if response.headers.get("Content-Encoding", "").strip().lower() not in ("gzip", "deflate"):
        return bytes(body)
    return _inflate(bytes(body), cap)


def _inflate(packed: bytes, cap: int) -> bytes | None:
    """We ask for no compression; who compresses nevertheless is read up to the cap."""
    machine = zlib.decompressobj(wbits=47)
    try:
        plain = machine.decompress(packed, cap + 1)
    except zlib.error as error:
        raise ValueError("the response is not compressed as it says") from error
    return plain if len(plain) <= cap else None


def _failure(error: Exception, trip: _Trip) -> Exchange:
    if trip.blocked:
        return Exchange("blocked_address", error=not_public())
    return Exchange(_outcome(error, trip), error=_sentence(error))


def _outcome(error: Exception, trip: _Trip) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "tls"
        case aiohttp.ClientConnectorError():
            return "refused"
        case TimeoutError():
            return "timeout_read" if trip.connected else "timeout_connect"
        case aiohttp.ClientResponseError() | ValueError():
            return "http_error"
        case _:
            return "disconnected" if trip.connected else "refused"


def _sentence(error: Exception) -> str:
    """The kind of failure without addresses: the tenant must not learn what a name leads to."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return f"{type(error).__name__}: {error.os_error.strerror.partition('[')[0].strip()}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{type(error).__name__}: {error.message}"[:300]
    return type(error).__name__


def _send_error(method: str, exchange: Exchange) -> SendError:
    reads = method.upper() in READING_METHODS
    if exchange.outcome == "blocked_address" or (reads and exchange.outcome == "too_large"):
        error_class = ErrorClass.PERMANENT
    elif exchange.written and not reads:
        error_class = ErrorClass.AMBIGUOUS
    else:
        error_class = ErrorClass.TRANSIENT
    return SendError(
        exchange.error or exchange.outcome,
        error_class=error_class,
        code=exchange.outcome,
        status=exchange.status,
    )
