"""Lanes on their way back: with a result, because something broke, or for others to take up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from integrations.courier import breaker, lanes
from integrations.courier.database import DATABASE_ERRORS, Pool
from integrations.courier.work import Claim, Release, Rested

logger = logging.getLogger(__name__)

RELEASE_AGAIN_SECONDS = 0.02
# What broke inside of us is tried again, but not at once.
ABANDONED_WAIT = 5.0
MAX_BACKOFF = 2.0


class Returning:
    """Gives lanes back. `free` is told of each that is not ours any more, `due` in how many seconds one is
    to be looked at again."""

    def __init__(
        self,
        pool: Pool,
        lane_pool: Pool,
        *,
        free: Callable[[Claim], None],
        due: Callable[[float], None],
    ) -> None:
        self._pool, self._lane_pool = pool, lane_pool
        self._free, self._due = free, due
        self._done: list[Release] = []
        self._wake = asyncio.Event()
        # Endpoints, with their accounts, for whose breakers lanes wait since a moment ago.
        self._shut: set[tuple[int, int]] = set()
        self._hold = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        return not self._done and not self._shut

    def give(self, done: Release) -> None:
        """Give this one back with the next ones."""
        self._done.append(done)
        self._wake.set()

    async def give_back(self) -> None:
        """Give back what has ended since the last time, together."""
        await self._wake.wait()
        batch = list(self._done)
        dues, busy = await lanes.release(self._lane_pool, batch)
        again = {one.claim.token for one in busy}
        self._done = [*self._done[len(batch) :], *busy]
        if not self._done:
            self._wake.clear()
        for one in batch:
            if one.claim.token not in again:
                self._free(one.claim)
                self._doubt(one)
        for due_in in dues:
            self._due(due_in)
        if busy:
            await asyncio.sleep(RELEASE_AGAIN_SECONDS)

    async def wake_mended(self) -> None:
        """Wake what was held back while its endpoint mended; see `breaker.wake_if_mended`."""
        await self._hold.wait()
        while self._shut:
            account_id, endpoint_id = one = self._shut.pop()
            try:
                if await breaker.wake_if_mended(self._pool, account_id, endpoint_id):
                    self._due(0.0)
            except BaseException:
                self._shut.add(one)
                raise
        self._hold.clear()

    async def after(self, claim: Claim, work: Awaitable[Release | Rested]) -> None:
        """Give the lane back whatever happens; what broke halfway is handled like a crash of ours."""
        try:
            done = await work
        except Exception as error:
            await self._broke(claim, error)
            return
        if isinstance(done, Release):
            self.give(done)
            return
        self._rested(claim, done.due_in)

    async def rested(self, claim: Claim, work: Awaitable[float | None]) -> None:
        """For work that gives its lane back by itself and says in how many seconds it is due again."""
        try:
            due_in = await work
        except Exception as error:
            await self._broke(claim, error)
            return
        self._rested(claim, due_in)

    async def abandon(self, claims: Sequence[Claim], *, wait: float = ABANDONED_WAIT) -> None:
        """Leave lanes and what was begun on them for later, as the death of a courier would."""
        backoff = 0.1
        while True:
            try:
                await lanes.reclaim(self._pool, abandoned=claims, wait=wait)
            except DATABASE_ERRORS:
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
            else:
                return

    async def drop(self, claims: Sequence[Claim]) -> None:
        """Abandon lanes that have their places. Where not even that is taken, they are held no longer, and
        their leases run out."""
        try:
            await self.abandon(claims)
        except Exception:
            logger.exception("abandoning broke lanes=%d", len(claims))
        for claim in claims:
            self._free(claim)

    def _doubt(self, done: Release) -> None:
        if done.reason == breaker.SHUT:
            self._shut.add((done.claim.account_id, done.claim.destination_id))
            self._hold.set()

    async def _broke(self, claim: Claim, error: Exception) -> None:
        logger.error("lane broke lane=%d kind=%s", claim.lane_id, claim.kind, exc_info=error)
        await self.drop([claim])

    def _rested(self, claim: Claim, due_in: float | None) -> None:
        self._free(claim)
        if due_in is not None:
            self._due(due_in)
