"""Which couriers live: a row, a heartbeat, and a session lock that dies with the process (DL-51)."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Collection
from typing import LiteralString
from uuid import UUID

from conversations.models import Courier
from integrations.courier import lanes
from integrations.courier.claiming import LEASE_SECONDS
from integrations.courier.database import DATABASE_ERRORS, Connection, Pool, connect

logger = logging.getLogger(__name__)

HOST_LENGTH = 120

_ENTER: LiteralString = """
INSERT INTO conversations_courier (host, pid, started_at, last_seen_at, in_flight)
VALUES (%s, %s, now(), now(), 0) RETURNING id, extract(epoch FROM clock_timestamp())::float
"""
_LOCK: LiteralString = "SELECT pg_try_advisory_lock(%s::int, %s::int)"
# Nobody who works at the primary sees a lock that is held at a server that only reads.
_IS_SEEN: LiteralString = "SELECT current_setting('transaction_read_only') = 'off'"
# The row is put back should somebody have taken it away while we could not be seen.
_BEAT: LiteralString = """
INSERT INTO conversations_courier (id, host, pid, started_at, last_seen_at, in_flight)
VALUES (%(id)s, %(host)s, %(pid)s, now(), now(), %(in_flight)s)
ON CONFLICT (id) DO UPDATE SET last_seen_at = now(), in_flight = EXCLUDED.in_flight
RETURNING extract(epoch FROM clock_timestamp())::float
"""
# Only leases that we know of: a claim whose answer never reached us must run out.
_PROLONG: LiteralString = """
UPDATE conversations_lane SET lease_until = now() + %(lease)s * interval '1 second'
WHERE courier_id = %(id)s AND lease_token = ANY(%(held)s)
  AND lease_until < now() + %(lease)s * interval '1 second' / 2 AND lease_until > now()
"""
_SILENT: LiteralString = """
SELECT courier.id FROM conversations_courier courier WHERE NOT EXISTS (
    SELECT 1 FROM pg_locks
    WHERE locktype = 'advisory' AND classid = %s::oid AND objid::bigint = courier.id AND objsubid = 2 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
_COUNT: LiteralString = "SELECT count(*) FROM conversations_courier"
_LEAVE: LiteralString = """
DELETE FROM conversations_courier WHERE id = ANY(%s) AND NOT EXISTS (
    SELECT 1 FROM conversations_lane
    WHERE courier_id = conversations_courier.id AND lease_token IS NOT NULL)
"""
# A courier whose clock is further off than this works for nobody: what it puts on lanes would be due too
# early or too late, and no receiver would believe its signatures (F-30).
CLOCK_SECONDS = 2.0


class Presence:
    """This courier's place among the living, and the eye on the others."""

    def __init__(self, pool: Pool) -> None:
        self.courier_id = 0
        self.clock_is_wrong = False
        self._pool = pool
        self._host, self._pid = socket.gethostname()[:HOST_LENGTH], os.getpid()
        self._lock: Connection | None = None
        # Once unseen may be a moment without a connection; twice in a row is death.
        self._unseen: set[int] = set()
        # How many are alive, with this one.
        self.couriers = 1

    async def enter(self) -> None:
        """Take an id and its lock. Raises the database's errors."""
        async with self._pool.connection() as connection:
            asked = time.time()
            cursor = await connection.execute(_ENTER, [self._host, self._pid])
            self.courier_id, clock = await cursor.fetchone() or (0, asked)
            self._compare(clock, asked)
            [[self.couriers]] = await (await connection.execute(_COUNT)).fetchall()
        await self._hold_lock()

    async def beat(self, held: Collection[UUID]) -> None:
        """Say that we live and prolong the leases `held`; take the lock again when it was lost."""
        await self._hold_lock()
        async with self._pool.connection() as connection:
            asked = time.time()
            cursor = await connection.execute(
                _BEAT,
                {
                    "id": self.courier_id,
                    "host": self._host,
                    "pid": self._pid,
                    "in_flight": len(held),
                },
            )
            (clock,) = await cursor.fetchone() or (asked,)
            self._compare(clock, asked)
            await connection.execute(
                _PROLONG,
                {"id": self.courier_id, "lease": LEASE_SECONDS, "held": list(held)},
            )

    async def watch(self) -> int:
        """Free the lanes of dead couriers and those whose lease ran out; returns how many."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_SILENT, [Courier.ADVISORY_CLASS])
            silent = {row[0] for row in await cursor.fetchall()} - {self.courier_id}
            [[known]] = await (await connection.execute(_COUNT)).fetchall()
        self.couriers = max(1, known - len(silent))
        dead = sorted(silent & self._unseen)
        self._unseen = silent
        freed, lost = await lanes.reclaim(self._pool, dead=dead)
        if freed:
            logger.warning("lanes reclaimed lanes=%d deliveries=%d dead=%s", freed, lost, dead)
        if dead:
            await self._bury(dead)
        return freed

    async def leave(self) -> None:
        try:
            await self._bury([self.courier_id])
        except DATABASE_ERRORS as error:
            logger.warning("courier left without a word error=%s", error)
        if self._lock is not None:
            await self._lock.close()

    def _compare(self, clock: float, asked: float) -> None:
        """Whether our clock is surely wrong, however long the database's answer was on its way."""
        off = max(asked - clock, clock - time.time())
        if (off > CLOCK_SECONDS) != self.clock_is_wrong:
            self.clock_is_wrong = off > CLOCK_SECONDS
            verdict = "wrong: working for nobody" if self.clock_is_wrong else "right again"
            logger.error("clock %s courier=%d off=%.0f s", verdict, self.courier_id, off)

    async def _bury(self, ids: list[int]) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_LEAVE, [ids])

    async def _hold_lock(self) -> None:
        """A session lock on a connection of its own: no statement can fail and drop it."""
        if self._lock is not None and not self._lock.closed:
            if await _is_seen(self._lock):
                return
            await self._lock.close()
        self._lock = await connect("courier lock")
        cursor = await self._lock.execute(_LOCK, [Courier.ADVISORY_CLASS, self.courier_id])
        if await cursor.fetchone() != (True,):
            # The server still keeps our broken session, which shows us alive; ask at the next beat.
            await self._lock.close()


async def _is_seen(lock: Connection) -> bool:
    """Whether a lock that this connection holds is one that the others see."""
    try:
        cursor = await lock.execute(_IS_SEEN)
        return await cursor.fetchone() == (True,)
    except DATABASE_ERRORS:
        return False
