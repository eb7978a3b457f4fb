"""P6, P8, P10, CW, DL-94: many at once, many answers, much behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable

from tests.bench import seeds, wire
from tests.bench.bench import SECONDS, Bench
from tests.bench.load import percentile, settled
from tests.bench.sinks import Sink

CROWD, CROWD_LINES = 1000, 32
THINKS_SECONDS = 5.0
REPLIES_AT, REPLY_CLIENTS = 200, 16
# So many that no limit of theirs is reached.
REPLIERS = 80
BARE_CLIENTS, BARE_TURNS = 4, 4
ACCEPTED = (200, 201, 202)
CALM = 2000
BEHIND_LANES, BEHIND_EACH = 10_000, 10
CLAIMS = 60
PATIENCE_SECONDS = 60.0
_numbers = itertools.count(1)


async def at_once(bench: Bench) -> None:
    """P6: a thousand conversations in the same moment, with an agent that takes five seconds."""
    with bench.database() as connection:
        first = 100_000 * next(_numbers)
        seeds.conversations(connection, seeds.place(connection), CROWD, first=first, held=True)
        connection.execute("ANALYZE")
    journey = bench.fresh()
    requests = []
    for number in range(CROWD):
        body, headers = bench.customers.webhook(number, customer=f"4073{first + number:07d}")
        requests.append(wire.request(bench.inbox["hook_url"], body, headers))
    bench.peers.thinks = THINKS_SECONDS
    started = time.perf_counter()
    journey.sent = dict.fromkeys(range(CROWD), started)
    stored: list[float] = []
    try:
        await wire.at_rate(
            bench.inbox["hook_url"],
            requests,
            1e9,
            lambda _n, _status, _due, now: stored.append(now),
            lines=CROWD_LINES,
        )
        await settled(journey, journey.at_channel, seconds=PATIENCE_SECONDS)
    finally:
        bench.peers.thinks = 0.0
    at_agents = (max(journey.at_agent.values(), default=0) - started) * 1000
    at_channel = max(journey.at_channel.values(), default=0) - started
    lost = journey.lost()
    bench.report.line(
        "P6",
        f"{CROWD:,} at once, agent takes 5 s: all at agents / channel ({lost} lost)",
        f"{at_agents:.0f} ms / {at_channel:.1f} s",
        aim="≤ 250 ms / 5.6 s",
        floor=f"all stored {(max(stored) - started) * 1000:.0f} ms",
    )


async def replies(bench: Bench) -> None:
    """P8: agents' answers through the REST API: at 200/s, and as many as one core takes; what follows from
    them waits meanwhile."""
    calm: list[float] = []
    refused: Counter[int] = Counter()

    def answered(_n: int, status: int, due: float, now: float) -> None:
        calm.append((now - due) * 1000)
        if status not in ACCEPTED:
            refused[status] += 1

    bench.fresh()
    with bench.stack.standing("worker"):
        repliers = await asyncio.to_thread(
            bench.stack.run, "-m", "tests.bench.repliers", str(REPLIERS)
        )
        bench.analyze()
        made = [_reply(bench, repliers[n % REPLIERS], n) for n in range(int(REPLIES_AT * SECONDS))]
        await wire.at_rate(bench.stack.url, made, REPLIES_AT, answered)
        before = bench.stack.cpu_seconds("config.web", "postgres")
        accepted = await _flood(
            bench.stack.url,
            lambda n: _reply(bench, repliers[n % REPLIERS], n),
            refused,
            clients=REPLY_CLIENTS,
            seconds=SECONDS,
        )
        used = bench.stack.cpu_seconds("config.web", "postgres") - before
    calm.sort()
    words = ", ".join(f"{n} answered {status}" for status, n in sorted(refused.items()))
    bench.report.line(
        "P8",
        f"reply API per core; p99 at {REPLIES_AT}/s ({words or 'all accepted'})",
        f"{accepted / max(used, 0.01):.0f}/s; {percentile(calm, 0.99):.0f} ms",
        aim="≥ 700/s; ≤ 15 ms",
        floor=f"{bench.report.insert_floor}; p50 {percentile(calm, 0.5):.0f} ms",
    )


async def beside_bare(bench: Bench) -> None:
    """Saying something by Chatwoot's API, beside a DRF view of the same server that inserts one row."""
    with bench.stack.standing("worker"), bench.stack.more_web("tests.bench.bare_settings") as url:
        repliers = await asyncio.to_thread(
            bench.stack.run, "-m", "tests.bench.repliers", str(REPLIERS)
        )
        bench.analyze()
        refused: Counter[int] = Counter()
        rates = {"bare": 0.0, "ours": 0.0}
        kinds = {"bare": lambda n: _letter(url, n), "ours": lambda n: _say(url, repliers, n)}
        for turn in range(BARE_TURNS + 1):  # in turns, so that both have the same machine
            for name, made in kinds.items():
                accepted = await _flood(
                    url, made, refused, clients=BARE_CLIENTS, seconds=SECONDS / BARE_TURNS
                )
                if turn:  # the first pays for what is read and made ready once
                    rates[name] += accepted / SECONDS
    words = ", ".join(f"{n} answered {status}" for status, n in sorted(refused.items()))
    bench.report.line(
        "CW",
        f"Chatwoot's messages create, {BARE_CLIENTS} clients ({words or 'all accepted'})",
        f"{rates['ours']:.0f}/s, {rates['ours'] / rates['bare']:.2f} × bare",
        aim="≥ 0.6 × bare",
        floor=f"a bare DRF view that inserts one row {rates['bare']:.0f}/s",
    )


def _letter(url: str, n: int) -> bytes:
    letter = {"to": "ana@example.test", "subject": "Hello", "body": f"answer #{n}"}
    headers = {"Content-Type": "application/json"}
    return wire.request(f"{url}/bare/", json.dumps(letter).encode(), headers)


def _say(url: str, repliers: list[dict[str, str]], n: int) -> bytes:
    replier = repliers[n % len(repliers)]
    account, number = replier["account"], replier["number"]
    return wire.request(
        f"{url}/api/v1/accounts/{account}/conversations/{number}/messages",
        json.dumps({"content": f"answer #{n}"}).encode(),
        {"api_access_token": replier["token"], "Content-Type": "application/json"},
    )


def _reply(bench: Bench, replier: dict[str, str], n: int) -> bytes:
    return wire.request(
        f"{bench.stack.url}/v1/conversations/{replier['conversation']}/messages/",
        json.dumps({"text": f"answer #{n}"}).encode(),
        {"Authorization": f"Bearer {replier['token']}", "Content-Type": "application/json"},
    )


async def _flood(
    url: str,
    made: Callable[[int], bytes],
    refused: Counter[int],
    *,
    clients: int,
    seconds: float,
) -> int:
    """How many were accepted from clients that each wait for their answer; counts what was not."""
    stop, numbers, accepted = time.perf_counter() + seconds, itertools.count(), 0

    async def client() -> None:
        nonlocal accepted
        line = wire.Line(url)
        while time.perf_counter() < stop:
            status = await line.post(made(next(numbers)))
            if status in ACCEPTED:
                accepted += 1
            else:
                refused[status] += 1
        line.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return accepted


async def behind(bench: Bench) -> None:
    """P10, DL-94: a hundred thousand events wait; the claim's time, then the rate of the draining."""
    async with Sink() as sink:
        made = await asyncio.to_thread(bench.stack.run, "-m", "tests.bench.tenant", sink.url)
        account, endpoints = made["account"], made["endpoints"]
        with bench.database() as connection:
            connection.execute("ANALYZE")
            calm = f"calm-{time.time_ns()}-"
            seeds.backlog(connection, account, endpoints, lanes=CALM, each=1, prefix=calm)
            steady = await _rate(sink, most=CALM)
            with bench.stack.standing("worker"):
                seeds.backlog(
                    connection,
                    account,
                    endpoints,
                    lanes=BEHIND_LANES,
                    each=BEHIND_EACH,
                    prefix=f"behind-{time.time_ns()}-",
                )
                samples = await asyncio.to_thread(
                    bench.stack.run, "-m", "tests.bench.claims", str(CLAIMS)
                )
            drained = await _rate(sink, most=BEHIND_LANES * BEHIND_EACH)
            seeds.clear(connection, account)
    n = f"{BEHIND_LANES * BEHIND_EACH:,}"
    bench.report.line(
        "DL-94",
        f"claim with {n} pending on {BEHIND_LANES:,} lanes, p50 / p95",
        f"{percentile(sorted(samples), 0.5):.1f} / {percentile(sorted(samples), 0.95):.1f} ms",
        aim="p95 < 20 ms",
    )
    bench.report.line(
        "P10",
        f"drain rate with {n} behind ({sink.disorder} out of order, {sink.doubled} doubled)",
        f"{drained / steady:.2f} × steady",
        aim="≥ 0.8 × steady",
        floor=f"steady {steady:.0f}/s",
    )


async def _rate(sink: Sink, *, most: int) -> float:
    """Events a second, from the first that comes until `most` have come or the time is over."""
    before, waiting_since = sink.taken, time.perf_counter()
    while sink.taken == before:
        if time.perf_counter() - waiting_since > PATIENCE_SECONDS:
            return float("nan")
        await asyncio.sleep(0.01)
    began, already = time.perf_counter(), sink.taken
    while sink.taken - before < most and time.perf_counter() - began < SECONDS:
        await asyncio.sleep(0.01)
    return (sink.taken - already) / (time.perf_counter() - began)
