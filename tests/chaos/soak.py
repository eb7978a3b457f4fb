"""`make soak MINUTES=10`: a hundred messages a second, or what the machine keeps up with; a fault every 20
seconds, and no role that grows."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.load import percentile
from tests.bench.stack import pss_mb
from tests.chaos.__main__ import Run
from tests.chaos.killer import BELL
from tests.chaos.ledgers import Fault
from tests.chaos.stage import Stage, World

RATE, CONVERSATIONS, FAULT_SECONDS = 100.0, 400, 20.0
# More than any small machine answers, and how much of what it answers it is given: after each fault,
# which takes some three seconds, it has to catch up before the next.
BURST_RATE, BURST_SECONDS, SHARE = 300.0, 6.0, 0.75
# Memory is compared from when everything has been used once.
WARM_MINUTES, MAY_GROW = 2.0, 1.1
ROLES = ("web", "worker", "beat")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak")
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args(arguments).minutes
    world = World()
    with TemporaryDirectory(prefix="switchboard-soak-", ignore_cleanup_errors=True) as directory:
        run = Run(world, Path(directory))
        try:
            with run.product("pgmq"):
                say(world.calibrate())
                capacity = measured(Stage(world, world.house()))
                rate = min(RATE, SHARE * capacity)
                say(f"{capacity:.0f} messages/s were answered in a burst; {rate:.0f}/s from now on")
                return soak(Stage(world, world.house()), minutes, rate)
        finally:
            world.close()


def measured(stage: Stage) -> float:
    """Messages a second that this machine answers when more come than it can take."""
    pace = stage.world.pace
    try:
        with stage.load(conversations=CONVERSATIONS, rate=RATE / pace, seconds=3) as names:
            pass
        stage.settle(120)  # the conversations are begun
        before = len(stage.answered())
        with stage.load(names=names, rate=BURST_RATE / pace, seconds=BURST_SECONDS, first=100):
            began = time.time()
        sent = len(stage.customers.sent)
        stage.wait_for(lambda: len(stage.answered()) == sent, 60, every=0.5)
        answered = sorted(at for at, _acked in stage.answered())[before:]
        stage.settle(120)
        return len(answered) / (answered[-1] - began)
    finally:
        stage.close()


def soak(stage: Stage, minutes: float, rate: float) -> int:
    """Load and faults for so long, then the judge's word; 1 when it is red."""
    warm = min(WARM_MINUTES, minutes / 2) * 60
    began = time.monotonic()
    memory: dict[str, float] = {}
    rate /= stage.world.pace
    with stage.load(conversations=CONVERSATIONS, rate=rate, seconds=minutes * 60):
        turn = 0
        while (passed := time.monotonic() - began) < minutes * 60 - FAULT_SECONDS:
            if passed >= warm and not memory:
                memory = sizes(stage)
                say(f"memory after {passed / 60:.1f} min: {in_words(memory)}")
            waiting = len(stage.customers.sent) - len(stage.answered())
            fault = FAULTS[turn % len(FAULTS)](stage)
            over = (fault.over or 0) - fault.at
            say(f"{passed:5.0f} s  {waiting} waiting; {fault.name}, over after {over:.1f} s")
            turn += 1
            time.sleep(max(0.0, FAULT_SECONDS * turn - (time.monotonic() - began)))
        last = sizes(stage)
    say(f"memory in the end: {in_words(last)}")
    for role in ROLES:
        grown = last[role] / memory[role]
        stage.want(grown <= MAY_GROW, f"{role} grew to {grown:.2f} of what it was")
    stage.want(stage.settle(120), "it did not come to rest")
    verdict = stage.verdict()
    waits = verdict.recovery
    say(
        f"{len(stage.customers.sent)} messages, {turn} faults: {len(verdict.lost)} lost,"
        f" {len(verdict.reordered)} reordered, {len(verdict.doubled_unmarked)} doubled unmarked,"
        f" {len(verdict.doubled_marked)} doubled and marked, {verdict.repeats} again at the agent;"
        f" recovery p50 {percentile(waits, 0.5):.1f} s, max {waits[-1] if waits else 0:.1f} s"
    )
    for reason in verdict.reasons:
        say(f"RED: {reason}")
    stage.close()
    return int(verdict.red)


def _killed(role: str) -> Callable[[Stage], Fault]:
    return lambda stage: stage.killer.healed(stage.killer.kill(role), role)


def _emptied(stage: Stage) -> Fault:
    fault = Fault("broker emptied", time.time())
    stage.killer.faults.append(fault)
    stage.world.broker.empty(stage.world.product.environment)
    fault.over = time.time()
    return fault


# By turns, so that each role has lived for a minute when it dies again.
FAULTS: Sequence[Callable[[Stage], Fault]] = (
    _killed("worker"),
    lambda stage: stage.killer.cut(BELL),
    _killed("web"),
    _emptied,
)


def sizes(stage: Stage) -> dict[str, float]:
    return {role: sum(pss_mb(pid) for pid in stage.killer.pids(role)) for role in ROLES}


def in_words(memory: dict[str, float]) -> str:
    return ", ".join(f"{role} {size:.0f} MB" for role, size in memory.items())


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
