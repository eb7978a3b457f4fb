"""The stub platform's sending side: customers who write in order, and webhooks that come again until
they are answered with 2xx, as Meta's do."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from tests.chaos.houses import House
from tests.chaos.ledgers import Sent, text_of
from tests.fakes.graph import hooks

TRY_SECONDS = 12.0
WAITS = (0.2, 0.4, 0.8, 1.5, 2.0)
GIVE_UP_SECONDS = 120.0


class Customers:
    """Those of one house. Belongs to one event loop."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.sent: list[Sent] = []
        self._numbers = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    def name(self) -> str:
        """A customer who has not written before."""
        return f"407{self.house.number:03d}{next(self._numbers):05d}"

    async def talk(
        self, names: Sequence[str], *, rate: float, seconds: float, first: int = 1
    ) -> None:
        """All of them write by turns, `rate` messages a second together. A customer's next message
        leaves when the one before it has been taken, so that their order is known."""
        began, each = time.monotonic(), max(1, round(rate * seconds / len(names)))

        async def one(place: int, name: str) -> None:
            for turn in range(each):
                due = began + (turn * len(names) + place) / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self.say(name, first + turn)

        await asyncio.gather(*(one(place, name) for place, name in enumerate(names)))

    async def say(self, name: str, n: int, text: str = "") -> Sent:
        """One message, until it is taken or given up."""
        message, contact = hooks.customer_message(
            "text",
            sender=name,
            name=f"Customer {name[-5:]}",
            text={"body": text or text_of(name, n)},
        )
        sent = Sent(name, n, message["id"], time.time())
        self.sent.append(sent)
        body = self.envelope(contacts=[contact], messages=[message])
        for wait in itertools.chain(WAITS, itertools.repeat(WAITS[-1])):
            status = await self.post(body)
            sent.answers.append(status)
            if 200 <= status < 300:
                sent.acked_at = time.time()
                break
            if time.time() - sent.first_at > GIVE_UP_SECONDS:
                break
            await asyncio.sleep(wait)
        return sent

    def envelope(self, **arrays: list[Any]) -> bytes:
        return hooks.envelope(self.house.waba, hooks.value(self.house.number_id, **arrays))

    async def post(self, body: bytes) -> int:
        """One webhook, signed; 0 when there was no answer."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        headers = hooks.signed(body, self.house.app_secret)
        try:
            async with self._session.post(
                self.house.hook_url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=TRY_SECONDS),
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
