"""What anybody may bring to an inbox whose address is no secret of a platform's (security.md 6).

The buckets are PostgreSQL's, so several web processes and the inbox's own pages count together
(SX-61). The door asks from its event loop, over one connection of its own: the ORM would need a
thread per request, and the connection that reads routes must not wait behind a flood.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from accounts import limits
from accounts.limits import Limit
from conversations.channels import Guests, HookItem, InboxConfig
from integrations.ledger import COMMIT_SECONDS, CONNECT_SECONDS, StoreError, connect

MAX_REFUSED = 20_000


def wait_for(guests: Guests, *, inbox_id: int, sender: str, caller: str) -> int:
    """Take for one message that came by a page; the seconds to wait, or 0. Outside a transaction."""
    key = f"{inbox_id}:{sender}"
    wanted = [(guests.caller, caller)]
    if not limits.is_known(guests.sender, key):
        wanted.append((guests.newcomers, caller))
    return limits.take_all([*wanted, (guests.sender, key)]).wait


class GuestBook:
    """The limits as the door of one process takes them. Belongs to one event loop; `close` it."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._asking = asyncio.Lock()
        # Until when a bucket is empty: whoever goes on knocking costs no further question.
        self._refused: dict[tuple[str, str], float] = {}

    async def wait_for(
        self, guests: Guests, items: Sequence[HookItem], *, inbox: InboxConfig, caller: str
    ) -> int:
        """Take for a request's items; the seconds to wait, or 0. Raises `StoreError`."""
        costs: dict[str, float] = {}
        for item in items:
            costs[item.lane_key] = costs.get(item.lane_key, 0) + item.cost
        async with self._asking:
            try:
                async with asyncio.timeout(COMMIT_SECONDS):
                    wait = await self._take(guests.caller, caller, sum(costs.values()))
                    for sender, cost in costs.items():
                        if sender and not wait:
                            wait = await self._sender(guests, f"{inbox.id}:{sender}", caller, cost)
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self.close()
                raise StoreError(type(error).__name__) from error
        return wait

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _sender(self, guests: Guests, key: str, caller: str, cost: float) -> int:
        wait = self._remembered(guests.sender, key)
        if not wait and not await limits.is_known_async(
            await self._connected(), guests.sender, key
        ):
            wait = await self._take(guests.newcomers, caller, 1)
        return wait or await self._take(guests.sender, key, cost)

    async def _take(self, limit: Limit, key: str, cost: float) -> int:
        if wait := self._remembered(limit, key):
            return wait
        taken = await limits.take_async(await self._connected(), limit, key, cost=cost)
        if not taken.allowed:
            if len(self._refused) >= MAX_REFUSED:
                self._refused.clear()
            self._refused[limit.name, key] = time.monotonic() + taken.wait
        return taken.wait

    def _remembered(self, limit: Limit, key: str) -> int:
        return max(0, round(self._refused.get((limit.name, key), 0) - time.monotonic()))

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._connection = await connect()
        return self._connection
