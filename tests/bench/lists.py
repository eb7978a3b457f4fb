"""P9: a page of the list in an account that has many conversations, through the API."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Sequence

from tests.bench import seeds
from tests.bench.bench import Bench
from tests.bench.report import pair

CONVERSATIONS = 200_000
FIRST = 5_000_000
# Together fewer than a token may ask for at once.
ASKED = 16
LISTS = {
    "/v1": (
        "/v1/conversations/?limit=25",
        "/v1/conversations/?limit=25&status=open",
        "/v1/conversations/?limit=25&inbox={inbox}",
    ),
    "Chatwoot's API, with its counts": ("/api/v1/accounts/{account}/conversations?page=40",),
}


async def pages(bench: Bench) -> None:
    """P9: the first page, by status, by inbox; Chatwoot's fortieth."""
    with bench.database() as connection:
        at = seeds.place(connection)
        seeds.conversations(connection, at, CONVERSATIONS, first=FIRST)
        connection.execute("ANALYZE")
    places = {"inbox": bench.inbox["id"], "account": bench.demo["account"]["number"]}
    for name, addresses in LISTS.items():
        asked = [f"{bench.stack.url}{one.format(**places)}" for one in addresses]
        samples = await asyncio.to_thread(_ask, bench, asked)
        bench.report.line(
            "P9",
            f"25 of {CONVERSATIONS:,} conversations by {name}, p50 / p99",
            pair(samples),
            aim="≤ 4 / 12 ms",
        )


def _ask(bench: Bench, addresses: Sequence[str]) -> list[float]:
    """Milliseconds, sorted, one call after the other."""
    samples = []
    for turn in range(ASKED + 1):
        for address in addresses:
            request = urllib.request.Request(  # noqa: S310 - our own address
                address, headers={"Authorization": f"Bearer {bench.token}"}
            )
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                answer.read()
            if turn:  # the first of each finds nothing in memory
                samples.append((time.perf_counter() - began) * 1000)
    return sorted(samples)
