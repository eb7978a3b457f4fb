"""P5: the statuses of one number that sends at full speed, one webhook each."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from tests.bench import seeds, wire
from tests.bench.bench import SECONDS, Bench
from tests.bench.load import percentile
from tests.bench.report import pair
from tests.bench.seeds import Told

RATES = (200, 400, 700, 1000, 1500, 2000, 2600, 3300)
MAX_P99_MS = 150
CONVERSATIONS = 3000
# Messages whose three statuses follow each other; the next ones begin behind them.
BLOCK = 500
WORDS = ("sent", "delivered", "read")
EVERY = 20
LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 20.0

_LOOK = "SELECT external_id, status FROM conversations_message WHERE id = ANY(%s)"
_BEHIND = """
SELECT count(*) FROM conversations_message WHERE id = ANY(%s) AND status <> 'read'
"""
_DOUBLED = """
SELECT count(*) FROM (
    SELECT 1 FROM conversations_event WHERE account_id = %s AND type = 'message.status'
    GROUP BY data->>'message', data->>'status' HAVING count(*) > 1) twice
"""


async def sustained(bench: Bench) -> None:
    """P5: the highest rate at which the rows follow their webhooks."""
    with bench.database() as connection:
        at = seeds.place(connection)
        among = seeds.conversations(connection, at, CONVERSATIONS, first=0)
        connection.execute("ANALYZE")
        best, at_best = 0, "–"
        for rate in RATES:
            n = max(BLOCK, int(rate * SECONDS / len(WORDS)))
            prefix = f"wamid.P5.{time.time_ns()}."
            messages = seeds.told(connection, at, among, n, prefix=prefix)
            shown = await _Run(bench, messages, rate).measure()
            behind = await _behind(connection, messages)
            bench.report.note(f"      statuses at {rate}/s: {shown}, {behind} behind")
            if behind or shown.p99 > MAX_P99_MS or not shown.on_time:
                break
            best, at_best = rate, pair(shown.samples)
        [[doubled]] = connection.execute(_DOUBLED, [at.account_id]).fetchall()
    bench.report.line(
        "P5",
        f"status webhooks, p99 ≤ 150 ms to the row ({doubled} events doubled)",
        f"{best}/s, {at_best}",
        aim="3,300/s, p99 ≤ 150 ms",
        floor=bench.report.insert_floor,
    )


async def _behind(connection: psycopg.Connection[Any], messages: Sequence[Told]) -> int:
    """How many messages have not come to their end, after some patience."""
    end = time.perf_counter() + PATIENCE_SECONDS
    while True:
        [[behind]] = connection.execute(_BEHIND, [[one.pk for one in messages]]).fetchall()
        if not behind or time.perf_counter() > end:
            return int(behind)
        await asyncio.sleep(0.1)


class Shown:
    """How long after its webhook's 200 a status stood in its message's row."""

    def __init__(self, samples: list[float], door: list[float], refused: int, late: float) -> None:
        self.samples, self.door, self.refused, self.late = samples, door, refused, late

    @property
    def p99(self) -> float:
        return percentile(self.samples, 0.99)

    @property
    def on_time(self) -> bool:
        return not self.refused and self.late < 1

    def __str__(self) -> str:
        return (
            f"row after {pair(self.samples)}, 200 after {pair(self.door)},"
            f" {self.refused} refused, {self.late:.1f} s late"
        )


class _Run:
    """One rate: the requests made beforehand, and an eye on the rows of every twentieth message."""

    def __init__(self, bench: Bench, messages: Sequence[Told], rate: int) -> None:
        self.bench, self.rate = bench, rate
        self.order = _order(messages)
        self.watched = {one.external_id: one.pk for one in messages[::EVERY]}
        self.accepted: dict[tuple[str, str], float] = {}
        self.seen: dict[tuple[str, str], float] = {}
        self.door: list[float] = []
        self.refused = 0
        self.late = 0.0
        self.done = False

    async def measure(self) -> Shown:
        inbox = self.bench.inbox
        requests = [_webhook(inbox, one, word) for one, word in self.order]
        looking = asyncio.create_task(self._look())
        await wire.at_rate(inbox["hook_url"], requests, self.rate, self._answered)
        self.done = True
        await looking
        samples = [
            max(0.0, self.seen.get(key, float("inf")) - at) * 1000
            for key, at in self.accepted.items()
        ]
        return Shown(sorted(samples), sorted(self.door), self.refused, self.late)

    def _answered(self, n: int, status: int, due: float, now: float) -> None:
        self.door.append((now - due) * 1000)
        self.late = max(self.late, now - due)
        if status != 200:
            self.refused += 1
        one, word = self.order[n]
        if one.external_id in self.watched:
            self.accepted[one.external_id, word] = now

    async def _look(self) -> None:
        url = self.bench.stack.owner_url
        end = None
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while True:
                waiting = self.accepted.keys() - self.seen.keys()
                if waiting:
                    await self._note(connection, {external_id for external_id, _word in waiting})
                elif self.done:
                    return
                if self.done:
                    end = end or time.perf_counter() + PATIENCE_SECONDS
                    if time.perf_counter() > end:
                        return
                await asyncio.sleep(LOOK_SECONDS)

    async def _note(self, connection: psycopg.AsyncConnection[Any], of: set[str]) -> None:
        cursor = await connection.execute(_LOOK, [[self.watched[one] for one in of]])
        now = time.perf_counter()
        for external_id, status in await cursor.fetchall():
            if status in WORDS:
                for word in WORDS[: WORDS.index(status) + 1]:
                    self.seen.setdefault((external_id, word), now)


def _order(messages: Sequence[Told]) -> list[tuple[Told, str]]:
    return [
        (one, word)
        for start in range(0, len(messages), BLOCK)
        for word in WORDS
        for one in messages[start : start + BLOCK]
    ]


def _webhook(inbox: dict[str, str], one: Told, word: str) -> bytes:
    """What Meta posts, the day's price and all."""
    status = {
        "id": one.external_id,
        "status": word,
        "timestamp": str(int(time.time())),
        "recipient_id": f"4072{one.conversation_id:07d}",
        "biz_opaque_callback_data": one.reference,
        "pricing": {"billable": True, "pricing_model": "PMP", "category": "service"},
    }
    value = {
        "messaging_product": "whatsapp",
        "metadata": {
            "display_phone_number": "40312345678",
            "phone_number_id": inbox["phone_number_id"],
        },
        "statuses": [status],
    }
    body = json.dumps(
        {
            "object": "whatsapp_business_account",
            "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
        }
    ).encode()
    digest = hmac.new(inbox["app_secret"].encode(), body, hashlib.sha256).hexdigest()
    return wire.request(
        inbox["hook_url"],
        body,
        {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"},
    )
