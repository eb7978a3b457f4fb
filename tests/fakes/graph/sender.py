"""Sending webhooks as Meta does: to each account's own callback, again and again until answered."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.fakes.graph import hooks
from tests.fakes.graph.rules import GraphError


@dataclasses.dataclass
class HookSent:
    """One try to deliver a webhook."""

    url: str
    body: bytes
    answer: int = 0
    error: str = ""


class Sender:
    """`numbers` maps phone number ids to account ids; "" among the callbacks is the app's own."""

    def __init__(
        self,
        *,
        app_secret: str,
        callback: str,
        numbers: Mapping[str, str],
        retry_delays: Sequence[float],
    ) -> None:
        self.app_secret = app_secret
        self.callbacks = {"": callback}
        self.numbers = numbers
        self.retry_delays = retry_delays
        self.sent: list[HookSent] = []

    async def open(self) -> None:
        self._session = ClientSession(timeout=ClientTimeout(total=30))

    async def close(self) -> None:
        await self._session.close()

    def callback_of(self, number: str) -> str:
        return self.callbacks.get(self.numbers.get(number, "")) or self.callbacks[""]

    async def deliver(self, number: str, *values: dict[str, Any]) -> int:
        """Send values in one webhook, again after each delay until it is answered with 200."""
        url = self.callback_of(number)
        if not url:
            return 0
        body = hooks.envelope(self.numbers[number], *values)
        for delay in self.retry_delays:
            if await self.post(url, body) == 200:
                return 200
            await asyncio.sleep(delay)
        return await self.post(url, body)

    async def post(self, url: str, body: bytes, secret: str | None = None) -> int:
        """One try; 0 when there was no answer."""
        headers = hooks.signed(body, self.app_secret if secret is None else secret)
        sent = HookSent(url, body)
        self.sent.append(sent)
        try:
            async with self._session.post(url, data=body, headers=headers) as answer:
                sent.answer = answer.status
        except (ClientError, TimeoutError, ValueError) as error:
            sent.error = f"{type(error).__name__}: {error}"
        return sent.answer

    async def probe(self, callback: str, verify_token: str) -> None:
        """Ask a callback for its challenge; refuse it unless it answers rightly."""
        challenge = str(secrets.randbelow(10**10))
        query = {
            "hub.mode": "subscribe",
            "hub.challenge": challenge,
            "hub.verify_token": verify_token,
        }
        try:
            async with self._session.get(callback, params=query) as answer:
                if answer.status == 200 and await answer.text() == challenge:
                    return
                found = f"HTTP {answer.status}"
        except (ClientError, TimeoutError, ValueError) as error:
            found = type(error).__name__
        raise GraphError(2200, "Callback verification failed", found)
