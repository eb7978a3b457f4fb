"""The live stream: server-sent events as a plain ASGI callable beside Django.

One hub per process hears PostgreSQL's NOTIFY on `switchboard_live` over one connection and hands each
fact to the streams that may know of it. A stream costs a coroutine and a bounded queue: no thread, no
database connection, no Django request (a stream inside a Django view costs all three). Opening one
costs a question over a second connection that all streams of the process share.

What the browser gets, ids only:

    data: {"conversation": "cnv_…", "type": "message.created", "seq": 7}
    event: reload       something may have been missed; fetch everything again
    event: closed       this member may not listen any more

What the hub hears: `{"account", "conversation", "type", "seq"}` for a fact, sent by
`conversations.services.events.record`; `{"account", "revoked_member"}` closes that member's streams
at once (SX-24). A process that hears this now may have been started, or without its database, when it
was said, so membership is asked for when a stream opens and whenever hearing begins (again), and once
more each minute, for all streams in one query (SX-73).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
from django.conf import settings
from django.db import connections

from integrations import tickets
from integrations.tickets import Ticket, address, ticket

__all__ = ["address", "app", "ticket"]

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CHANNEL = "switchboard_live"
QUEUE = 100
PING_EVERY = 25.0
CHECK_EVERY = 60.0
MAX_BACKOFF = 15.0
ASK_SECONDS = 5.0

PING = b": ping\n\n"
HELLO = b"retry: 2000\n: welcome\n\n"
RELOAD = b"event: reload\ndata: {}\n\n"
CLOSED = b"event: closed\ndata: {}\n\n"

_ACTIVE = """
SELECT member.id FROM accounts_member member LEFT JOIN accounts_user person ON person.id = member.user_id
WHERE member.id = ANY(%s) AND member.active AND COALESCE(person.is_active, true)
"""


class DatabaseAwayError(Exception):
    """Nobody can say now who is a member."""


class Stream:
    """One open page: a ticket and what still has to be written to it."""

    __slots__ = ("queue", "ticket")

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE)

    def put(self, item: bytes) -> None:
        """Queue an item; a page that cannot keep up is told to fetch everything instead."""
        try:
            self.queue.put_nowait(item)
        except asyncio.QueueFull:
            self._empty()
            self.queue.put_nowait(RELOAD)

    def close(self, last: bytes | None = None) -> None:
        self._empty()
        if last:
            self.queue.put_nowait(last)
        self.queue.put_nowait(None)

    def _empty(self) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()


class Hub:
    """All streams of this process, by what they listen to, and the one connection that feeds them."""

    def __init__(self) -> None:
        self.streams: dict[tuple[int, str], set[Stream]] = defaultdict(set)
        # Members shut out lately, so that a ticket issued before cannot open a stream again.
        self.revoked: dict[int, float] = {}
        self.tasks: list[asyncio.Task[None]] = []
        # For questions; the connection that hears is busy waiting.
        self.connection: psycopg.AsyncConnection[Any] | None = None
        self.asking = asyncio.Lock()

    # --- Streams -----------------------------------------------------------------------------

    async def admits(self, ticket: Ticket) -> bool:
        """Whether its holder may listen; a visitor's ticket is its own proof.

        The database is asked, because a ticket outlives a membership by up to ten minutes and this
        process may not have run when the member was shut out. Raises `DatabaseAwayError`.
        """
        if ticket.member_id is None:
            return True
        if ticket.issued_at <= self.revoked.get(ticket.member_id, 0):
            return False
        async with self.asking:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    if self.connection is not None:
                        # It may have died since the last question; then a new one is tried.
                        with contextlib.suppress(psycopg.Error, OSError):
                            return bool(await active_members(self.connection, {ticket.member_id}))
                        await self.hang_up()
                    self.connection = await connect()
                    return bool(await active_members(self.connection, {ticket.member_id}))
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self.hang_up()
                raise DatabaseAwayError(type(error).__name__) from error

    async def hang_up(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.close()

    def add(self, stream: Stream) -> None:
        self.start()
        for topic in stream.ticket.topics:
            self.streams[stream.ticket.account_id, topic].add(stream)

    def discard(self, stream: Stream) -> None:
        for topic in stream.ticket.topics:
            key = (stream.ticket.account_id, topic)
            self.streams[key].discard(stream)
            if not self.streams[key]:
                del self.streams[key]

    def all(self) -> set[Stream]:
        return set().union(*self.streams.values())

    # --- Facts -------------------------------------------------------------------------------

    def hear(self, payload: str) -> None:
        """One notification, for the streams of its account and topic and for nobody else."""
        try:
            fact = json.loads(payload)
            account_id = int(fact["account"])
            revoked = int(fact.get("revoked_member", 0))
        except (ValueError, KeyError, TypeError):
            logger.warning("live notification unreadable length=%d", len(payload))
            return
        if revoked:
            self.shut_out(account_id, revoked)
            return
        conversation = str(fact.get("conversation", ""))
        shown = {key: fact[key] for key in ("conversation", "type", "seq") if key in fact}
        item = b"data: " + json.dumps(shown, separators=(",", ":")).encode() + b"\n\n"
        for topic in ("account", f"conversation:{conversation}"):
            for stream in self.streams.get((account_id, topic), ()):
                stream.put(item)

    def shut_out(self, account_id: int, member_id: int) -> None:
        now = time.time()
        self.revoked = {m: at for m, at in self.revoked.items() if at > now - tickets.LIFE}
        self.revoked[member_id] = now
        for stream in self.all():
            if (stream.ticket.account_id, stream.ticket.member_id) == (account_id, member_id):
                stream.close(CLOSED)

    def tell(self, streams: Iterable[Stream], item: bytes) -> None:
        for stream in streams:
            stream.put(item)

    # --- Life --------------------------------------------------------------------------------

    def start(self) -> None:
        if not self.tasks or any(task.done() for task in self.tasks):
            self.stop()
            self.tasks = [asyncio.create_task(self.listen()), asyncio.create_task(self.ping())]

    def close_streams(self) -> None:
        """End every stream; browsers come again by themselves."""
        for stream in self.all():
            stream.close()

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.tasks = []

    async def ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY)
            self.tell(self.all(), PING)

    async def listen(self) -> None:
        """Hear for ever; after a lost connection every page fetches once, as facts may be missing."""
        backoff = 0.5
        while True:
            try:
                async with await connect() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    await self.check_members(connection)
                    self.tell(self.all(), RELOAD)
                    backoff = 0.5
                    await self.hear_from(connection)
            except (psycopg.Error, OSError) as error:
                logger.warning("live hub lost the database error=%s again_in=%.1f", error, backoff)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF)

    async def hear_from(self, connection: psycopg.AsyncConnection[Any]) -> None:
        while True:
            async for notification in connection.notifies(timeout=CHECK_EVERY):
                self.hear(notification.payload)
            await self.check_members(connection)

    async def check_members(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Close the streams of everybody who is no member any more; one query for all."""
        streams = self.all()
        members = {s.ticket.member_id for s in streams if s.ticket.member_id is not None}
        if not members:
            return
        active = await active_members(connection, members)
        for stream in streams:
            if stream.ticket.member_id is not None and stream.ticket.member_id not in active:
                stream.close(CLOSED)


async def active_members(connection: psycopg.AsyncConnection[Any], members: set[int]) -> set[int]:
    """Those of `members` who still are some."""
    cursor = await connection.execute(_ACTIVE, [list(members)])
    return {row[0] for row in await cursor.fetchall()}


async def connect() -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(**connection_arguments(), autocommit=True)


def connection_arguments() -> dict[str, Any]:
    """Django's default database for a connection of our own, which no Django thread ever sees."""
    database = connections.settings["default"]
    names = {
        "NAME": "dbname",
        "USER": "user",
        "PASSWORD": "password",
        "HOST": "host",
        "PORT": "port",
    }
    arguments = {ours: database[theirs] for theirs, ours in names.items() if database.get(theirs)}
    options = {k: v for k, v in database.get("OPTIONS", {}).items() if k.startswith("ssl")}
    return {**arguments, **options, "application_name": "switchboard live"}


hub = Hub()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """`GET /live/?ticket=…`, and the server's start and end."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    headers = dict(scope["headers"])
    if scope["method"] != "GET":
        await refuse(send, 405)
        return
    if not comes_from_us(headers):
        await refuse(send, 403)
        return
    try:
        query = parse_qs(scope["query_string"].decode("ascii", "replace"))
        card = tickets.read(query.get("ticket", [""])[0])
    except tickets.BadTicketError:
        await refuse(send, 401)
        return
    stream = Stream(card)
    # It is among the streams before anybody is asked, so that whoever is shut out meanwhile is
    # closed like all others; nothing is written to it until the answer is there.
    hub.add(stream)
    try:
        if await hub.admits(card):
            await run(stream, receive, send)
        else:
            await refuse(send, 401)
    except DatabaseAwayError as error:
        logger.warning("live stream refused error=%s", error)
        await refuse(send, 503)
    finally:
        hub.discard(stream)


async def run(stream: Stream, receive: Receive, send: Send) -> None:
    """Write what the hub hears until the browser goes or the hub closes the stream."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
                (b"x-content-type-options", b"nosniff"),
            ],
        }
    )
    gone = asyncio.create_task(watch(stream, receive))
    try:
        await send({"type": "http.response.body", "body": HELLO, "more_body": True})
        while (item := await stream.queue.get()) is not None:
            await send({"type": "http.response.body", "body": item, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()


async def watch(stream: Stream, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    stream.close()


def comes_from_us(headers: dict[bytes, bytes]) -> bool:
    """Browsers name the origin of a foreign page (and need not name our own)."""
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin:
        host = headers.get(b"host", b"").decode("latin-1")
        return urlsplit(origin).netloc == host or origin in settings.CSRF_TRUSTED_ORIGINS
    return headers.get(b"sec-fetch-site", b"same-origin") in (b"same-origin", b"none")


async def refuse(send: Send, status: int) -> None:
    headers = [(b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    hub.close_streams()
    tasks = list(hub.tasks)
    hub.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    await hub.hang_up()
    await send({"type": "lifespan.shutdown.complete"})
