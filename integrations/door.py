"""The hook door: `/hooks/<platform>/<route token>`, where platforms bring their webhooks.

A plain ASGI callable beside Django. The order of work is DL-10's: size, route, signature over the raw
bytes, cut into items, commit, 200. Nothing is interpreted here and nobody else is called; the courier
reads what was stored. Route tokens are secrets: paths never reach a log. A platform's webhooks are
never refused for their number; only a channel that lets anybody in has limits (its `guests`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings

from accounts import metrics
from conversations import channels
from conversations.channels import HookAnswer, HookItem, HookRequest, UnverifiedRequestError
from integrations import measures
from integrations.guests import GuestBook
from integrations.ledger import INGEST, Ledger, Route, StoreError

__all__ = ["Door", "app"]

logger = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

BODY_SECONDS = 30.0
NOTES_EVERY = 3.0
REFUSALS_PER_MINUTE = 60
MAX_CALLERS = 20_000

OK = HookAnswer(200, b"ok")
UNKNOWN = HookAnswer(404, b"not found")
UNVERIFIED = HookAnswer(401, b"unauthorized")
NOT_ALLOWED = HookAnswer(405, b"method not allowed")
TOO_LARGE = HookAnswer(413, b"body too large")
TOO_SLOW = HookAnswer(408, b"body too slow")
COMPRESSED = HookAnswer(415, b"compressed bodies are not accepted")
TOO_MANY = HookAnswer(429, b"too many requests")
TRY_LATER = HookAnswer(503, b"try again")
RETRY_AFTER = {429: 60, 500: 5, 503: 5}
# How refused requests are counted, by the status that they are answered with.
REFUSALS = {
    401: "bad_signature",
    403: "bad_challenge",
    404: "unknown_address",
    408: "too_slow",
    413: "too_large",
    415: "compressed",
    429: "too_many",
}


class RefusedError(Exception):
    """The request ends here, with this answer, and perhaps a time to come again (seconds).

    `route` is where it led, when it led anywhere.
    """

    def __init__(self, answer: HookAnswer, *, wait: int = 0, route: Route | None = None) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.wait = wait
        self.route = route


class Door:
    """One process's door: its ledger, who knocked wrongly, and what inboxes' health will say."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.refusals = Refusals()
        self.guest_book = GuestBook()
        self.notes = Notes(self.ledger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait = 0
        try:
            answer = await self.answer(scope, receive)
        except RefusedError as refused:
            answer, wait = refused.answer, refused.wait
            count(REFUSALS[answer.status], refused.route)
            if answer.status in (401, 403, 404) and self.refusals.too_many(caller(scope)):
                answer = TOO_MANY
        except StoreError:
            answer = try_later(scope["path"])
        await write(send, answer, with_body=scope["method"] != "HEAD", wait=wait)

    async def answer(self, scope: Scope, receive: Receive) -> HookAnswer:
        """The answer to one request. Raises `RefusedError`, `StoreError`."""
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        body = await read_body(headers, receive)
        started = time.perf_counter()
        route = await self.find(scope["path"])
        channel = route_channel(route)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        request = HookRequest(scope["method"], query, headers, body)
        if request.method in ("GET", "HEAD"):
            answer = channel.challenge(request, route.inbox)
            if answer.status in (401, 403):
                raise RefusedError(answer, route=route)
            return answer
        if request.method != "POST":
            return NOT_ALLOWED
        try:
            channel.verify(request, route.inbox)
        except UnverifiedRequestError as error:
            logger.info("hook refused inbox=%d reason=%s", route.inbox.id, error)
            self.notes.refused(route)
            raise RefusedError(UNVERIFIED, route=route) from error
        if not route.active:
            self.notes.dropped(route)
            count("inbox_disabled", route)
            return OK
        items = split(channel, body, route)
        if channel.guests is not None:
            wait = await self.guest_book.wait_for(
                channel.guests, items, inbox=route.inbox, caller=caller(scope)
            )
            if wait:
                raise RefusedError(TOO_MANY, wait=wait, route=route)
        try:
            await self.ledger.store(route.inbox, items, headers)
        except StoreError:
            count("not_stored", route, len(items))
            raise
        metrics.observe("switchboard_ingest_seconds", time.perf_counter() - started)
        self.notes.received(route)
        return OK

    async def find(self, path: str) -> Route:
        """The route of `/hooks/<platform>/<token>`, with or without a slash at the end."""
        match path.strip("/").split("/"):
            case ["hooks", platform, token] if token:
                route = await self.ledger.route(token)
                if route is not None and route.inbox.platform == platform:
                    return route
        raise RefusedError(UNKNOWN)

    async def close(self) -> None:
        await self.notes.close()
        await self.guest_book.close()
        await self.ledger.close()


class Refusals:
    """Wrong knocks per caller and minute. Right ones pass always, so nobody can lock a platform out."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[str, int] = {}

    def too_many(self, address: str) -> bool:
        """Count one more wrong knock of `address`; whether it is beyond the limit (security.md 6)."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute or len(self._counts) > MAX_CALLERS:
            self._minute, self._counts = minute, {}
        self._counts[address] = self._counts.get(address, 0) + 1
        return self._counts[address] > REFUSALS_PER_MINUTE


class Notes:
    """What the inboxes' health should say, written together every few seconds."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._notes: dict[tuple[int, int], dict[str, Any]] = {}
        self._writer: asyncio.Task[None] | None = None

    def received(self, route: Route) -> None:
        self._of(route).update(received_at=_now(), refused_in_a_row=0)

    def refused(self, route: Route) -> None:
        note = self._of(route)
        note["refused"] += 1
        note["refused_in_a_row"] += 1
        note["refused_at"] = _now()

    def dropped(self, route: Route) -> None:
        self._of(route)["dropped"] += 1

    async def flush(self) -> None:
        """Write now; what the database does not take is kept for the next time."""
        notes, self._notes = self._notes, {}
        try:
            await self._ledger.note(notes)
        except StoreError as error:
            logger.warning("hook health not written error=%s", error)
            self._notes = {**notes, **self._notes}

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        if self._notes:
            await self.flush()

    def _of(self, route: Route) -> dict[str, Any]:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_later())
        empty = {
            "received_at": None,
            "refused_at": None,
            "refused": 0,
            "refused_in_a_row": 0,
            "dropped": 0,
        }
        return self._notes.setdefault((route.inbox.account_id, route.inbox.id), empty)

    async def _write_later(self) -> None:
        while True:
            await asyncio.sleep(NOTES_EVERY)
            await self.flush()
            if not self._notes:
                return


async def read_body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """The raw bytes, at most `MAX_HOOK_BYTES`. Raises `RefusedError`."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(COMPRESSED)
    limit = settings.MAX_HOOK_BYTES
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > limit:
        raise RefusedError(TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > limit:
                    raise RefusedError(TOO_LARGE)
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise RefusedError(TOO_SLOW) from error


def route_channel(route: Route) -> channels.Channel:
    """The channel of the route; a platform that was uninstalled has no door (404)."""
    try:
        return channels.get(route.inbox.platform)
    except KeyError as error:
        raise RefusedError(UNKNOWN) from error


def try_later(path: str) -> HookAnswer:
    """What brings the platform of this address back; 503 where that is not known (DL-12)."""
    _hooks, _slash, rest = path.strip("/").partition("/")
    try:
        channel = channels.get(rest.partition("/")[0])
    except KeyError:
        return TRY_LATER
    return HookAnswer(channel.not_stored_status, TRY_LATER.body)


def split(channel: channels.Channel, body: bytes, route: Route) -> list[HookItem]:
    """The request's items; a body that breaks the channel's reader is kept whole as a failed one."""
    try:
        return channel.split(body, route.inbox)
    except Exception as error:
        logger.exception("hook not split inbox=%d platform=%s", route.inbox.id, channel.slug)
        key = f"unread:{hashlib.sha256(body).hexdigest()}"
        return [HookItem(key, "", body, f"not readable: {type(error).__name__}", weak_key=True)]


def count(result: str, route: Route | None, n: int = 1) -> None:
    """Count what was not stored. Where no inbox is known, nothing that the caller wrote is a label."""
    account = route.inbox.account_id if route else None
    source = route.inbox.platform if route else "unknown"
    metrics.count(INGEST, n, account=account, source=source, result=result)


def caller(scope: Scope) -> str:
    """The caller's address: what the last trusted proxies say, else the socket's peer (SX-62)."""
    peer = str((scope.get("client") or ("",))[0])
    trusted: int = settings.TRUSTED_PROXIES
    if not trusted:
        return peer
    said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    chain = [part.strip() for part in said.decode("latin-1").split(",") if part.strip()]
    return [*chain, peer][max(0, len(chain) - trusted)]


async def write(send: Send, answer: HookAnswer, *, with_body: bool = True, wait: int = 0) -> None:
    headers = [
        (b"content-type", answer.content_type.encode("latin-1")),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if answer.status in RETRY_AFTER:
        headers.append((b"retry-after", b"%d" % (wait or RETRY_AFTER[answer.status])))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


_doors: dict[asyncio.AbstractEventLoop, Door] = {}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI app: requests, and the server's start and end."""
    loop = asyncio.get_running_loop()
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        # What any part of this web process counts is written from here.
        writer = asyncio.create_task(measures.write_for_ever())
        await receive()
        if door := _doors.pop(loop, None):
            await door.close()
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    door = _doors.get(loop)
    if door is None:
        door = _doors[loop] = Door()
    await door(scope, receive, send)
