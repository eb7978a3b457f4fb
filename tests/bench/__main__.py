"""Measures the aims of the product and prints them with the floor of the same run.

    make bench                           # all of it
    python -m tests.bench P5 P6          # these steps only
    SECONDS=3 python -m tests.bench P1   # shorter steps

Everything runs durable, with account isolation, rules and audit on, load and database on this machine.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from tests.bench import chain, crowds, fairness, kills, lists, statuses
from tests.bench.bench import Bench
from tests.bench.load import Customers, Peers
from tests.bench.report import Report
from tests.bench.stack import Stack, free_port

Step = Callable[[Bench], Awaitable[None]]

# In the order in which they run: those that leave much behind come last.
STEPS: Mapping[str, Step] = {
    "P2": chain.latency,
    "P1": chain.sustained,
    "P6": crowds.at_once,
    "P7": fairness.quiet,
    "DL-92": fairness.noisy_tenant,
    "P8": crowds.replies,
    "CW": crowds.beside_bare,
    "P5": statuses.sustained,
    "P11": kills.any_process,
    "P10": crowds.behind,
    "P9": lists.pages,
    "P4": chain.ingest,
}
ALWAYS = ("P12", "P15")


def main(arguments: list[str]) -> int:
    wanted = {mark.upper() for mark in arguments}
    if unknown := wanted - {*STEPS, *ALWAYS}:
        sys.stderr.write(f"unknown: {' '.join(sorted(unknown))}; there are {' '.join(STEPS)}\n")
        return 2
    directory = Path(tempfile.mkdtemp(prefix="switchboard-bench-"))
    graph_port, agent_port = free_port(), free_port()
    stack = Stack(directory / "data", WHATSAPP_API_BASE=f"http://127.0.0.1:{graph_port}")
    report = Report()
    try:
        start(stack, report, warm=not wanted or "P15" in wanted)
        report.floors(stack)
        asyncio.run(measure(stack, report, wanted, agent_port=agent_port, graph_port=graph_port))
        memory(stack, report)
    finally:
        stack.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def start(stack: Stack, report: Report, *, warm: bool) -> None:
    report.line("P15", "make run, first start (packages installed)", f"{stack.start():.1f} s")
    if warm:
        stack.stop()
        report.line("P15", "make run, warm", f"{stack.start():.1f} s", aim="≤ 5 s")


async def measure(
    stack: Stack, report: Report, wanted: Collection[str], *, agent_port: int, graph_port: int
) -> None:
    demo = stack.demo()
    peers = Peers()
    customers = Customers(demo["inboxes"]["whatsapp"], peers.journey)
    bench = Bench(stack, report, demo, peers, customers)
    await asyncio.to_thread(
        bench.call,
        "PATCH",
        f"/v1/agents/{demo['agent']['id']}/",
        {"url": f"http://127.0.0.1:{agent_port}/"},
    )
    await peers.start(agent_port=agent_port, graph_port=graph_port)
    try:
        for mark, step in STEPS.items():
            if not wanted or mark in wanted:
                await bench.settle()
                await step(bench)
    finally:
        await peers.stop()


def memory(stack: Stack, report: Report) -> None:
    sizes = stack.memory_mb()
    detail = ", ".join(f"{role} {size:.0f}" for role, size in sorted(sizes.items()))
    total = f"{sum(sizes.values()):.0f} MB"
    report.line("P12", f"memory after the load ({detail})", total, aim="≤ 300 MB")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
