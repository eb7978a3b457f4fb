"""What every step gets: the running product, the foreign sides, and where to say what was found."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.bench.load import Customers, Journey, Peers, settled
from tests.bench.report import Report
from tests.bench.stack import Stack, call

_BUSY = """
SELECT 1 FROM conversations_lane
WHERE due_at < now() + interval '1 second' OR lease_token IS NOT NULL LIMIT 1
"""
SECONDS = float(os.environ.get("SECONDS", "8"))


@dataclass
class Bench:
    stack: Stack
    report: Report
    demo: dict[str, Any]
    peers: Peers
    customers: Customers

    @property
    def inbox(self) -> dict[str, str]:
        return dict(self.demo["inboxes"]["whatsapp"])

    @property
    def token(self) -> str:
        """The owner's."""
        return str(self.demo["owner"]["api_token"])

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        return call(method, f"{self.stack.url}{path}", token=token or self.token, body=body)

    def fresh(self) -> Journey:
        """A new journey for what is sent from now on."""
        self.customers.journey = self.peers.journey = Journey()
        return self.customers.journey

    async def warm_up(self) -> None:
        """Every contact's conversation exists before anything is measured."""
        await self.customers.at_rate(40, self.customers.contacts / 40)
        await settled(self.peers.journey, self.peers.journey.at_channel, seconds=60)
        self.analyze()

    async def settle(self, *, seconds: float = 60.0) -> None:
        """Wait until nothing of an earlier step is due or under way."""
        end = time.perf_counter() + seconds
        with self.database() as connection:
            while connection.execute(_BUSY).fetchone() and time.perf_counter() < end:
                await asyncio.sleep(0.2)

    def database(self) -> psycopg.Connection[Any]:
        """As the owner of the tables, whom no wall holds back."""
        return psycopg.connect(self.stack.owner_url, autocommit=True)

    def analyze(self) -> None:
        """Plans as after the first minute, when PostgreSQL has looked at its tables by itself; nothing
        is open at this moment, which is the hardest lie a planner can be told about a queue."""
        with self.database() as connection:
            connection.execute("ANALYZE")
