"""P7, DL-92: what one account's flood does to the next one's customers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.bench import seeds
from tests.bench.bench import SECONDS, Bench
from tests.bench.load import percentile, settled
from tests.bench.report import pair
from tests.bench.sinks import Sink, black_hole

HANGING = 1000
FLOOD = 10_000
ENDPOINTS = 500
RATE = 20
# Longer than a step takes, shorter than the endpoint's timeout (15 s).
HANGS_SECONDS = 12.0
SLEEPS_SECONDS = 10.0
PATIENCE_SECONDS = 30.0


async def quiet(bench: Bench) -> None:
    """P7: p99 to the agent, with and without another account's thousand calls that hang."""
    await bench.warm_up()
    alone = await _to_agent(bench, RATE, SECONDS)
    async with (
        Sink(HANGS_SECONDS) as sink,
        _flood(bench, [sink.url], HANGING, until=lambda: sink.at_once >= HANGING * 0.95),
    ):
        hanging = sink.at_once
        beside = await _to_agent(bench, RATE, min(SECONDS, HANGS_SECONDS / 2))
    ratio = percentile(beside, 0.99) / percentile(alone, 0.99)
    bench.report.line(
        "P7",
        f"p99 at {RATE}/s beside {hanging} hanging calls of another ({pair(beside)})",
        f"{ratio:.2f} × quiet",
        aim="≤ 1.2 × quiet",
        floor=f"quiet {pair(alone)}",
    )


async def noisy_tenant(bench: Bench) -> None:
    """DL-92: ten thousand due events of one account, for an endpoint that takes ten seconds; and for
    five hundred endpoints on a host that does not answer. The other account has one event a second."""
    await bench.warm_up()
    async with (
        Sink(SLEEPS_SECONDS) as sink,
        _flood(bench, [sink.url], FLOOD, until=lambda: sink.at_once > HANGING / 2),
    ):
        await _once_a_second(bench, f"beside {FLOOD:,} events for an endpoint that takes 10 s")
    with black_hole() as url:
        urls = [f"{url}{n}" for n in range(ENDPOINTS)]
        since = time.perf_counter()
        async with _flood(bench, urls, FLOOD, until=lambda: time.perf_counter() > since + 2):
            await _once_a_second(bench, f"beside {FLOOD:,} for {ENDPOINTS} on a dead host")


async def _once_a_second(bench: Bench, beside: str) -> None:
    samples = await _to_agent(bench, 1, max(10.0, 2.5 * SECONDS))
    text = f"{percentile(samples, 0.95):.0f} / {percentile(samples, 0.99):.0f} ms"
    floor = f"NOTIFY {bench.report.notify_ms:.2f} ms"
    aim = "≤ 2,000 / 5,000 ms"
    what = f"one event a second {beside}, p95 / p99"
    bench.report.line("DL-92", what, text, aim=aim, floor=floor)


async def _to_agent(bench: Bench, rate: float, seconds: float) -> list[float]:
    journey = bench.fresh()
    await bench.customers.at_rate(rate, seconds)
    await settled(journey, journey.at_agent, seconds=PATIENCE_SECONDS)
    lost = len(journey.sent) - len(journey.at_agent)
    return sorted([*journey.milliseconds(journey.at_agent), *[float("inf")] * lost])


@asynccontextmanager
async def _flood(
    bench: Bench, urls: Sequence[str], events: int, *, until: Callable[[], bool]
) -> AsyncIterator[None]:
    """Another account's events, each on a lane of its own, for agents at `urls`; entered when they
    are under way."""
    made = await asyncio.to_thread(bench.stack.run, "-m", "tests.bench.tenant", *urls)
    account, prefix = made["account"], f"flood-{time.time_ns()}-"
    with bench.database() as connection:
        seeds.backlog(connection, account, made["endpoints"], lanes=events, each=1, prefix=prefix)
        try:
            end = time.perf_counter() + PATIENCE_SECONDS
            while not until() and time.perf_counter() < end:
                await asyncio.sleep(0.05)
            yield
        finally:
            seeds.clear(connection, account)
