"""P1 to P4: the whole chain, and the door alone."""

from __future__ import annotations

from tests.bench.bench import SECONDS, Bench
from tests.bench.load import percentile, settled
from tests.bench.report import journey_words, pair

RATES = (10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1000)
MAX_P99_MS, BEHIND_MS = 100, 1000


async def latency(bench: Bench) -> None:
    """P2, P3: a calm 100/s."""
    await bench.warm_up()
    journey, report = bench.fresh(), bench.report
    await bench.customers.at_rate(100, SECONDS)
    await settled(journey, journey.at_channel, seconds=30)
    to_agent = journey.milliseconds(journey.at_agent)
    to_channel = journey.milliseconds(journey.at_channel)
    floor = f"NOTIFY {report.notify_ms:.2f} ms"
    aim = "≤ 4.5 / 10 ms"
    report.line("P2", "customer → agent at 100/s, p50 / p99", pair(to_agent), aim=aim, floor=floor)
    what, aim = "customer → agent → channel at 100/s, p50 / p99", "≤ 8 / 20 ms"
    report.line("P3", what, pair(to_channel), aim=aim, floor=floor)
    report.count(journey)


async def sustained(bench: Bench) -> None:
    """P1: the highest rates of the ladder, without loss, doubles or disorder, that hold p99 and that
    the chain keeps up with at all."""
    await bench.warm_up()
    prompt = kept_up = 0
    for rate in RATES:
        journey = bench.fresh()
        await bench.customers.at_rate(rate, SECONDS)
        arrived = await settled(journey, journey.at_channel, seconds=60)
        samples = journey.milliseconds(journey.at_agent)
        bench.report.note(
            f"      chain at {rate}/s: {pair(samples)} to the agent, {journey_words(journey)}"
        )
        clean = arrived and not (journey.duplicates or journey.disorder or journey.refused)
        if not clean or percentile(samples, 0.99) > BEHIND_MS:
            break
        kept_up = rate
        prompt = rate if percentile(samples, 0.99) <= MAX_P99_MS else prompt
    floor = bench.report.insert_floor
    aim = "≥ 1,000/s"
    bench.report.line(
        "P1", "whole chain sustained, p99 ≤ 100 ms", f"{prompt}/s", aim=aim, floor=floor
    )
    bench.report.line("", "whole chain kept up with, p99 ≤ 1 s", f"{kept_up}/s")


async def ingest(bench: Bench) -> None:
    """P4: the webhook door alone; the workers stand still meanwhile."""
    bench.fresh()
    with bench.stack.standing("worker"):
        before = bench.stack.cpu_seconds("uvicorn", "config.web", "postgres")
        stored = await bench.customers.flood(clients=32, seconds=SECONDS)
        used = bench.stack.cpu_seconds("uvicorn", "config.web", "postgres") - before
    text = f"{stored / used:.0f}/s per core ({stored / SECONDS:.0f}/s here)" if used else "?"
    floor = bench.report.insert_floor
    bench.report.line("P4", "ingest alone", text, aim="≥ 3,000/s per core", floor=floor)
