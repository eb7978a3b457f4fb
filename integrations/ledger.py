"""Writing receipts from the event loop: requests that wait together share one commit.

Plain psycopg, because the ORM would need a thread per request. One statement per account writes
lanes and receipts of a whole batch; the doorbell rings with the commit (delivery.md 2).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg

from accounts import metrics
from accounts.tenancy import ENTER
from conversations.channels import HookItem, InboxConfig
from conversations.models import Inbox, InboxRoute, Lane
from integrations.courier.database import DATABASE_ERRORS
from integrations.live import connection_arguments
from integrations.models import Receipt

logger = logging.getLogger(__name__)

WRITERS = 2
BATCH = 500
CONNECT_SECONDS = 2
# A batch that takes longer than this is given up: the platform sends it again, the key is the same.
COMMIT_SECONDS = 10.0
WEAK_KEY_SECONDS = 600
ROUTE_SECONDS = 3.0
MAX_ROUTES = 10_000
MAX_KEY, MAX_LANE_KEY = 300, 120
STATUS_LANES = 4
INGEST = "switchboard_ingest_total"
KEPT_HEADERS = ("content-type", "user-agent", "x-request-id")

# A key that is known already adds nothing, not even a wake-up. The lane row is locked before its
# receipts get their ids, so ids of one lane rise in commit order; lanes are locked in one order
# everywhere, so two batches never wait for each other.
_STORE: LiteralString = """
WITH item AS (
    SELECT * FROM unnest(%(inboxes)s::bigint[], %(keys)s::text[], %(kinds)s::text[],
                         %(lanes)s::text[], %(headers)s::text[], %(bodies)s::bytea[],
                         %(errors)s::text[])
        WITH ORDINALITY AS t (inbox_id, dedupe_key, kind, lane_key, headers, body, error, place)
), fresh AS (
    SELECT DISTINCT ON (inbox_id, dedupe_key) * FROM item
    WHERE NOT EXISTS (
        SELECT 1 FROM integrations_receipt known
        WHERE known.account_id = %(account)s AND known.inbox_id = item.inbox_id
          AND known.dedupe_key = item.dedupe_key)
    ORDER BY inbox_id, dedupe_key, place
), opened AS (
    INSERT INTO conversations_lane AS lane
        (account_id, kind, destination_id, key, due_at, last_sequence, blocked_reason)
    SELECT DISTINCT %(account)s::bigint, kind, inbox_id, lane_key, now(), 1, '' FROM fresh
    ORDER BY kind, inbox_id, lane_key
    ON CONFLICT (kind, destination_id, key) DO UPDATE
        SET last_sequence = lane.last_sequence + 1,
            due_at = LEAST(COALESCE(lane.due_at, EXCLUDED.due_at), EXCLUDED.due_at)
    RETURNING id, kind, destination_id, key
), stored AS (
    INSERT INTO integrations_receipt
        (account_id, inbox_id, lane_id, dedupe_key, headers, body_packed, received_at, state, tries,
         result)
    SELECT %(account)s, inbox_id, opened.id, dedupe_key, headers::jsonb, body, now(),
           CASE WHEN error = '' THEN 'new' ELSE 'failed' END, 0, error
    FROM fresh JOIN opened ON opened.kind = fresh.kind AND destination_id = inbox_id
        AND key = lane_key
    ORDER BY place
    ON CONFLICT DO NOTHING RETURNING inbox_id, state
)
SELECT inbox_id, state, count(*), pg_notify('switchboard_lanes', 'inbound') FROM stored
GROUP BY inbox_id, state
"""

_ROUTE: LiteralString = """
SELECT account_id, inbox_id, platform FROM conversations_inboxroute
WHERE token_sha256 = %s AND (expires_at IS NULL OR expires_at > now())
"""
_INBOX: LiteralString = """
SELECT id, account_id, platform, state, config, credentials_sealed, row_key
FROM conversations_inbox WHERE id = %s
"""


class StoreError(Exception):
    """The database did not take it: answer 503, never 2xx (DL-12)."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a hook address leads: the inbox with its secrets, as it was a moment ago."""

    inbox: InboxConfig
    active: bool


@dataclass(slots=True)
class _Entry:
    """One request's items, waiting for the next commit."""

    inbox: InboxConfig
    items: Sequence[HookItem]
    headers: str
    stored: asyncio.Future[None] = field(default_factory=asyncio.Future)


class Ledger:
    """The receipts of this process's doors. Belongs to one event loop; `close` it at the end."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[_Entry] = asyncio.Queue()
        self._routes: dict[bytes, tuple[float, Route | None]] = {}
        self._reader: psycopg.AsyncConnection[Any] | None = None
        self._reading = asyncio.Lock()
        self._writers: list[asyncio.Task[None]] = []

    async def route(self, token: str) -> Route | None:
        """The inbox behind a route token, remembered for a few seconds. Raises `StoreError`."""
        digest = InboxRoute.digest(token)
        if (known := self._known_route(digest)) is not None:
            return known[1]
        async with self._reading:
            if (known := self._known_route(digest)) is not None:
                return known[1]
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    route = await self._read_route(digest)
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._drop_reader()
                raise StoreError(type(error).__name__) from error
            if len(self._routes) >= MAX_ROUTES:
                self._routes.clear()
            if route is not None:  # strangers' guesses are not remembered: they are endless
                self._routes[digest] = (time.monotonic() + ROUTE_SECONDS, route)
            return route

    async def store(
        self, inbox: InboxConfig, items: Sequence[HookItem], headers: Mapping[str, str]
    ) -> None:
        """Return once `items` are committed (known ones change nothing). Raises `StoreError`."""
        if not items:
            return
        if not self._writers:
            self._writers = [asyncio.create_task(self._write_for_ever()) for _ in range(WRITERS)]
        kept = {name: _clean(headers[name]) for name in KEPT_HEADERS if name in headers}
        entry = _Entry(inbox, items, json.dumps(kept))
        self._waiting.put_nowait(entry)
        await entry.stored

    async def note(self, notes: Mapping[tuple[int, int], Mapping[str, Any]]) -> None:
        """Merge what the door saw into `inbox.health["hooks"]`, by (account, inbox)."""
        async with self._reading:
            try:
                async with asyncio.timeout(COMMIT_SECONDS):
                    connection = await self._connected_reader()
                    for (account_id, inbox_id), seen in sorted(notes.items()):
                        async with connection.transaction():
                            await connection.execute(ENTER, [str(account_id)])
                            await connection.execute(_NOTE, {"inbox": inbox_id, **seen})
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._drop_reader()
                raise StoreError(type(error).__name__) from error

    async def close(self) -> None:
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        self._writers = []
        await self._drop_reader()

    # --- Routes ------------------------------------------------------------------------------

    def _known_route(self, digest: bytes) -> tuple[float, Route | None] | None:
        known = self._routes.get(digest)
        return known if known is not None and known[0] > time.monotonic() else None

    async def _read_route(self, digest: bytes) -> Route | None:
        connection = await self._connected_reader()
        found = await (await connection.execute(_ROUTE, [digest])).fetchone()
        if found is None:
            return None
        account_id, inbox_id, platform = found
        async with connection.transaction():
            await connection.execute(ENTER, [str(account_id)])
            row = await (await connection.execute(_INBOX, [inbox_id])).fetchone()
        if row is None or row[2] != platform:
            return None
        names = ("id", "account_id", "platform", "state", "config", "credentials_sealed", "row_key")
        inbox = Inbox(**dict(zip(names, row, strict=True)))
        return Route(inbox.as_config(), inbox.state != Inbox.State.DISABLED)

    async def _connected_reader(self) -> psycopg.AsyncConnection[Any]:
        if self._reader is None or self._reader.closed:
            self._reader = await connect()
        return self._reader

    async def _drop_reader(self) -> None:
        if self._reader is not None:
            await self._reader.close()
            self._reader = None

    # --- Writers -----------------------------------------------------------------------------

    async def _write_for_ever(self) -> None:
        connection: psycopg.AsyncConnection[Any] | None = None
        try:
            while True:
                batch = await self._next_batch()
                try:
                    if connection is None or connection.closed:
                        async with asyncio.timeout(CONNECT_SECONDS):
                            connection = await connect()
                    await _write_batch(connection, batch)
                except (psycopg.Error, OSError, TimeoutError) as error:
                    logger.warning("receipts not stored batch=%d error=%s", len(batch), error)
                    _settle(batch, StoreError(type(error).__name__))
                    if connection is not None:
                        await connection.close()
                        connection = None
                except asyncio.CancelledError:
                    _settle(batch, StoreError("shutting down"))
                    raise
                else:
                    _settle(batch, None)
        finally:
            if connection is not None:
                await connection.close()

    async def _next_batch(self) -> list[_Entry]:
        batch = [await self._waiting.get()]
        size = len(batch[0].items)
        while size < BATCH and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
            size += len(batch[-1].items)
        return batch


_NOTE: LiteralString = """
UPDATE conversations_inbox SET health = jsonb_set(health, '{hooks}',
    COALESCE(health->'hooks', '{}') || jsonb_strip_nulls(jsonb_build_object(
        'received_at', %(received_at)s::text, 'refused_at', %(refused_at)s::text,
        'refused', COALESCE((health#>>'{hooks,refused}')::bigint, 0) + %(refused)s::bigint,
        'refused_in_a_row', CASE WHEN %(received_at)s::text IS NULL
            THEN COALESCE((health#>>'{hooks,refused_in_a_row}')::bigint, 0) ELSE 0 END
            + %(refused_in_a_row)s::bigint,
        'dropped', COALESCE((health#>>'{hooks,dropped}')::bigint, 0) + %(dropped)s::bigint)))
WHERE id = %(inbox)s
"""


async def connect() -> psycopg.AsyncConnection[Any]:
    arguments = {**connection_arguments(), "application_name": "switchboard door"}
    return await psycopg.AsyncConnection.connect(
        **arguments, autocommit=True, connect_timeout=CONNECT_SECONDS
    )


async def _write_batch(connection: psycopg.AsyncConnection[Any], batch: Sequence[_Entry]) -> None:
    """Commit the batch; where its data offend, each request alone, so that one harms no other.

    Nothing that a channel hands over may end the writer: every hook waits for it.
    """
    try:
        await _write(connection, batch)
    except DATABASE_ERRORS:  # nothing is wrong with what it was asked
        raise
    except Exception:
        for entry in batch:
            try:
                await _write(connection, [entry])
            except DATABASE_ERRORS:
                raise
            except Exception as error:
                logger.warning("receipt refused inbox=%d error=%s", entry.inbox.id, error)
                _settle([entry], StoreError(type(error).__name__))


async def _write(connection: psycopg.AsyncConnection[Any], batch: Sequence[_Entry]) -> None:
    accounts: dict[int, list[_Entry]] = {}
    for entry in batch:
        accounts.setdefault(entry.inbox.account_id, []).append(entry)
    written = []
    async with asyncio.timeout(COMMIT_SECONDS):
        async with connection.pipeline(), connection.transaction():
            for account_id in sorted(accounts):
                await connection.execute(ENTER, [str(account_id)])
                columns = _columns(account_id, accounts[account_id])
                written.append(await connection.execute(_STORE, columns))
        stored = {tuple(row[:2]): row[2] for cursor in written for row in await cursor.fetchall()}
    _count(batch, stored)


def _count(batch: Sequence[_Entry], stored: Mapping[tuple[Any, ...], int]) -> None:
    """Count what a batch brought; `stored` is what was new in it, by (inbox, state)."""
    inboxes = {entry.inbox.id: entry.inbox for entry in batch}
    brought = Counter(dict.fromkeys(inboxes, 0))
    for entry in batch:
        brought[entry.inbox.id] += len(entry.items)
    for pk, inbox in inboxes.items():
        new = stored.get((pk, Receipt.State.NEW), 0)
        failed = stored.get((pk, Receipt.State.FAILED), 0)
        again = brought[pk] - new - failed
        source, account = inbox.platform, inbox.account_id
        for result, n in (("stored", new), ("unreadable", failed), ("duplicate", again)):
            metrics.count(INGEST, n, account=account, source=source, result=result)
        metrics.count("switchboard_duplicates_ignored_total", again, account=account, source=source)


def _columns(account_id: int, entries: Sequence[_Entry]) -> dict[str, Any]:
    rows = [(entry, item) for entry in entries for item in entry.items]
    lanes = [_lane_of(item) for _entry, item in rows]
    return {
        "account": account_id,
        "inboxes": [entry.inbox.id for entry, _item in rows],
        "keys": [_dedupe_key(item) for _entry, item in rows],
        "kinds": [str(kind) for kind, _key in lanes],
        "lanes": [key for _kind, key in lanes],
        "headers": [entry.headers for entry, _item in rows],
        "bodies": [Receipt.pack(item.payload) for _entry, item in rows],
        "errors": [_clean(item.error)[:500] for _entry, item in rows],
    }


def _lane_of(item: HookItem) -> tuple[str, str]:
    """Kind and key of the item's lane. A contact has one for what it says; statuses of many contacts
    share one, because they wait for nobody and are best read together. Those of one contact stay in
    one, so that two readers never want the same conversation."""
    if item.status:
        return Lane.Kind.STATUS, str(zlib.crc32(item.lane_key.encode()) % STATUS_LANES)
    return Lane.Kind.INBOUND, lane_key(item.lane_key)


def _dedupe_key(item: HookItem) -> str:
    """A weak key (no id of the platform) holds for ten minutes only (DL-13)."""
    if not item.weak_key:
        return _fit(item.dedupe_key, MAX_KEY)
    window = f"@{int(time.time() // WEAK_KEY_SECONDS)}"
    return _fit(item.dedupe_key, MAX_KEY - len(window)) + window


def lane_key(name: str) -> str:
    """The key of the lane of whom a platform calls `name`."""
    return _fit(name, MAX_LANE_KEY)


def _fit(key: str, length: int) -> str:
    key = _clean(key)
    if len(key) <= length:
        return key
    return key[: length - 65] + ":" + hashlib.sha256(key.encode()).hexdigest()


def _clean(text: str) -> str:
    """What PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _settle(batch: Sequence[_Entry], error: StoreError | None) -> None:
    for entry in batch:
        if entry.stored.done():
            continue
        with contextlib.suppress(asyncio.InvalidStateError):
            if error is None:
                entry.stored.set_result(None)
            else:
                entry.stored.set_exception(error)
