"""P11: `kill -9` of any one process while customers write, at a rate that the machine sustains."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import aiohttp

from tests.bench.bench import SECONDS, Bench
from tests.bench.load import Journey, settled

RATE = float(os.environ.get("KILL_RATE", "20"))
VICTIMS = {
    "web": "config.web",
    "worker": "worker",
    "beat": "config.beat",
    "database": "bin/postgres",
}
# Long enough for something to be said behind the kill.
LASTS_SECONDS = max(6.0, SECONDS)
AGAIN_SECONDS = 0.2
PATIENCE_SECONDS = 90.0


async def any_process(bench: Bench) -> None:
    """Each of ours once; a platform that gets no 200 brings its webhook again, as Meta does."""
    await bench.warm_up()
    for name, word in VICTIMS.items():
        journey = bench.fresh()
        sending = asyncio.create_task(_write(bench, journey))
        await asyncio.sleep(LASTS_SECONDS / 3)
        killed = time.perf_counter()
        for pid in bench.stack.pids(word)[:1]:
            os.kill(pid, signal.SIGKILL)
        await sending
        await settled(journey, journey.at_channel, seconds=PATIENCE_SECONDS)
        lost = journey.lost()
        bench.report.line(
            "P11",
            f"kill -9 {name} at {RATE:.0f}/s: lost / seen twice / out of order; back after",
            f"{lost} / {journey.seen_twice} / {journey.disorder}; {_back(journey, killed):.1f} s",
            aim="0 / 0 / 0; ≤ 3 s",
        )


def _back(journey: Journey, killed: float) -> float:
    """Seconds from the kill until something that was said after it was answered."""
    answered = [
        journey.at_channel[number]
        for number, said in journey.sent.items()
        if said > killed and number in journey.at_channel
    ]
    return min(answered, default=float("inf")) - killed


async def _write(bench: Bench, journey: Journey) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began, tasks = time.perf_counter(), []
        for n in range(int(RATE * LASTS_SECONDS)):
            await asyncio.sleep(max(0.0, began + n / RATE - time.perf_counter()))
            tasks.append(asyncio.create_task(_bring(bench, journey, session)))
        await asyncio.gather(*tasks)


async def _bring(bench: Bench, journey: Journey, session: aiohttp.ClientSession) -> None:
    number = next(bench.customers.numbers)
    body, headers = bench.customers.webhook(number)
    journey.sent[number] = time.perf_counter()
    while True:
        try:
            timeout = aiohttp.ClientTimeout(total=10)
            async with session.post(
                bench.inbox["hook_url"], data=body, headers=headers, timeout=timeout
            ) as answer:
                if answer.status == 200:
                    journey.stored[number] = time.perf_counter()
                    return
        except (aiohttp.ClientError, TimeoutError):
            journey.refused += 1
        await asyncio.sleep(AGAIN_SECONDS)
