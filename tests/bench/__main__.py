"""Measures P1 to P4, P12 and P15 of the aims and prints them with the floor of the same run.

    make bench            # all of it, about three minutes
    make bench SECONDS=3  # shorter steps

Everything runs durable, with account isolation, rules and audit on, load and database on this machine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.floors import insert_rate, notify_latency
from tests.bench.load import Customers, Journey, Peers, percentile, settled
from tests.bench.stack import Stack, call, free_port

SECONDS = float(os.environ.get("SECONDS", "8"))
RATES = (10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1000)
MAX_P99_MS, BEHIND_MS = 100, 1000


def main() -> int:
    directory = Path(tempfile.mkdtemp(prefix="switchboard-bench-"))
    graph_port, agent_port = free_port(), free_port()
    stack = Stack(directory / "data", WHATSAPP_API_BASE=f"http://127.0.0.1:{graph_port}")
    report = Report()
    try:
        report.line("P15", "make run, first start (packages installed)", f"{stack.start():.1f} s")
        stack.stop()
        report.line("P15", "make run, warm", f"{stack.start():.1f} s", aim="≤ 5 s")
        report.floors(stack)
        asyncio.run(measure(stack, report, agent_port=agent_port, graph_port=graph_port))
        sizes = stack.memory_mb()
        detail = ", ".join(f"{role} {size:.0f}" for role, size in sorted(sizes.items()))
        total = f"{sum(sizes.values()):.0f} MB"
        report.line("P12", f"memory after the load ({detail})", total, aim="≤ 300 MB")
    finally:
        stack.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


async def measure(stack: Stack, report: Report, *, agent_port: int, graph_port: int) -> None:
    demo = stack.demo()
    token = demo["owner"]["api_token"]
    agent = f"{stack.url}/v1/agents/{demo['agent']['id']}/"
    call("PATCH", agent, token=token, body={"url": f"http://127.0.0.1:{agent_port}/"})
    peers = Peers()
    await peers.start(agent_port=agent_port, graph_port=graph_port)
    customers = Customers(demo["inboxes"]["whatsapp"], peers.journey)
    try:
        await warm_up(customers, peers)
        analyze(owner_url(stack))
        await latency(customers, peers, report)
        await sustained(customers, peers, report)
        await ingest(stack, customers, peers, report)
    finally:
        await peers.stop()


async def warm_up(customers: Customers, peers: Peers) -> None:
    """Every contact's conversation exists before anything is measured."""
    await customers.at_rate(40, customers.contacts / 40)
    await settled(peers.journey, peers.journey.at_channel, seconds=60)


def analyze(url: str) -> None:
    """Plans as after the first minute, when PostgreSQL has looked at its tables by itself; nothing is
    open at this moment, which is the hardest lie a planner can be told about a queue."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")


async def latency(customers: Customers, peers: Peers, report: Report) -> None:
    journey = fresh(customers, peers)
    await customers.at_rate(100, SECONDS)
    await settled(journey, journey.at_channel, seconds=30)
    to_agent = journey.milliseconds(journey.at_agent)
    to_channel = journey.milliseconds(journey.at_channel)
    report.line("P2", "customer → agent at 100/s, p50 / p99", pair(to_agent), aim="≤ 4.5 / 10 ms")
    aim = "≤ 8 / 20 ms"
    report.line("P3", "customer → agent → channel at 100/s, p50 / p99", pair(to_channel), aim=aim)
    report.count(journey)


async def sustained(customers: Customers, peers: Peers, report: Report) -> None:
    """The highest rates of the ladder, without loss, doubles or disorder, that hold p99 and that the
    chain keeps up with at all."""
    prompt = kept_up = 0
    for rate in RATES:
        journey = fresh(customers, peers)
        await customers.at_rate(rate, SECONDS)
        arrived = await settled(journey, journey.at_channel, seconds=60)
        samples = journey.milliseconds(journey.at_agent)
        report.note(f"chain at {rate}/s: {pair(samples)} to the agent, {journey_words(journey)}")
        clean = arrived and not (journey.duplicates or journey.disorder or journey.refused)
        if not clean or percentile(samples, 0.99) > BEHIND_MS:
            break
        kept_up = rate
        prompt = rate if percentile(samples, 0.99) <= MAX_P99_MS else prompt
    report.line("P1", "whole chain sustained, p99 ≤ 100 ms", f"{prompt}/s", aim="≥ 1,000/s")
    report.line("", "whole chain kept up with, p99 ≤ 1 s", f"{kept_up}/s")


async def ingest(stack: Stack, customers: Customers, peers: Peers, report: Report) -> None:
    """The webhook door alone: the workers stand still meanwhile."""
    fresh(customers, peers)
    workers = stack.pids("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        before = stack.cpu_seconds("uvicorn", "config.web", "postgres")
        stored = await customers.flood(clients=32, seconds=SECONDS)
        used = stack.cpu_seconds("uvicorn", "config.web", "postgres") - before
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    text = f"{stored / used:.0f}/s per core ({stored / SECONDS:.0f}/s here)" if used else "?"
    report.line("P4", "ingest alone", text, aim="≥ 3,000/s per core")


def fresh(customers: Customers, peers: Peers) -> Journey:
    customers.journey = peers.journey = Journey()
    return customers.journey


def pair(samples: list[float]) -> str:
    return f"{percentile(samples, 0.5):.1f} / {percentile(samples, 0.99):.1f} ms"


def journey_words(journey: Journey) -> str:
    lost = len(journey.sent) - len(journey.at_channel)
    return (
        f"{len(journey.sent)} sent, {lost} lost, {journey.duplicates} doubled,"
        f" {journey.disorder} out of order, {journey.refused} refused"
    )


class Report:
    """Prints as it goes, so that a long run shows where it is."""

    def line(self, mark: str, what: str, figure: str, *, aim: str = "") -> None:
        beside = f"   (aim {aim})" if aim else ""
        self.note(f"{mark:<4} {what:<62} {figure:>26}{beside}")

    def note(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def count(self, journey: Journey) -> None:
        self.note(f"     {journey_words(journey)}")

    def floors(self, stack: Stack) -> None:
        url = owner_url(stack)
        rates = [insert_rate(url, clients=n) for n in (1, 4, 16)]
        text = " / ".join(f"{rate:,.0f}" for rate in rates)
        self.line("", "floor: durable 1 KB inserts, 1 / 4 / 16 clients", f"{text} per s")
        self.line("", "floor: NOTIFY → LISTEN, median", f"{notify_latency(url):.2f} ms")


def owner_url(stack: Stack) -> str:
    lines = (stack.data_dir / "switchboard.env").read_text().splitlines()
    values: dict[str, Any] = dict(line.split("=", 1) for line in lines if "=" in line)
    return str(values["DATABASE_OWNER_URL"]).strip("\"'")


if __name__ == "__main__":
    sys.exit(main())
