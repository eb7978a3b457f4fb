"""F-29 and F-30: the machine itself fails: its disk is full, its clock is wrong."""

from __future__ import annotations

import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path

from tests.chaos.agent import NOTHING, Event, Reaction, echo
from tests.chaos.playing import CannotPlayError, scenario
from tests.chaos.scenarios.agents import JITTER, SCHEDULE, pushes, talk_once
from tests.chaos.stage import Stage

HOUR = 3600
CLOCK = Path(__file__).parents[1] / "clock.c"


@scenario("F-29", "the database's disk is full, and has room again", settles=90)
def disk_full(stage: Stage) -> None:
    disk = stage.world.small_disk
    if disk is None:
        raise CannotPlayError("needs root and a small file system of its own (tmpfs)")
    talk_once(stage, 2)
    stage.settle()
    asked = len(stage.calls())
    filler = disk / "filler"
    with stage.load(conversations=6, rate=6, seconds=12):
        time.sleep(2)
        _fill(filler)
        refused = stage.wait_for(lambda: _refusals(stage) > 0, 20)
        stage.want(refused, "nothing was refused on a full disk")
        before = len(stage.calls())
        time.sleep(5)
        sent = len(stage.calls()) - before
        filler.unlink()
    stage.note(f"{_refusals(stage)} webhooks refused, {sent} sends while the disk was full")
    stage.want(sent == 0, f"{sent} sends were made that could not be recorded")
    stage.want(stage.settle(90), "it did not recover by itself")
    stage.want(len(stage.calls()) > asked, "nothing was sent after the disk had room again")
    answers = {status for one in stage.customers.sent for status in one.answers}
    stage.want(answers <= {200, 503, 0}, f"webhooks were answered {sorted(answers)}")


def _refusals(stage: Stage) -> int:
    return sum(status != 200 for one in stage.customers.sent for status in one.answers)


def _fill(path: Path) -> None:
    """Take all the room there is, and what becomes free for a moment."""
    with path.open("wb", buffering=0) as file:
        chunk = bytes(1 << 20)
        while chunk:
            try:
                file.write(chunk)
            except OSError:
                chunk = chunk[: len(chunk) // 2]


@scenario("F-30", "one of two workers has a clock an hour behind, then an hour ahead", settles=60)
def wrong_clock(stage: Stage) -> None:
    """Due times are the database's: nothing goes early or late, and what is signed can be verified."""
    library = _clock_library(stage.world.directory)
    stage.agent.behave = _fails_twice
    for hours in (-1, 1):
        environment = {"LD_PRELOAD": str(library), "CHAOS_CLOCK_SHIFT": str(hours * HOUR)}
        with stage.more_couriers(1, **environment):
            talk_once(stage, 6)
            stage.want(stage.settle(60), f"nothing comes to an end beside a clock at {hours:+d} h")
    allowed = 1 + stage.world.slack
    for tries in pushes(stage).values():
        for (before, after), wait in zip(pairwise(tries), SCHEDULE, strict=False):
            gap = after.started_at - (before.ended_at or 0)
            fits = wait * (1 - JITTER) - 1 <= gap <= wait * (1 + JITTER) + allowed
            stage.want(fits, f"a retry came after {gap:.1f} s, the schedule says {wait:g}")


def _fails_twice(event: Event) -> Reaction:
    if not event.is_question:
        return NOTHING
    return Reaction(500) if event.seen.attempt <= 2 else echo(event)


def _clock_library(directory: Path) -> Path:
    compiler, library = shutil.which("cc"), directory / "clock.so"
    if compiler is None:
        raise CannotPlayError("needs a C compiler for a clock that is wrong in one process only")
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(CLOCK), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library
