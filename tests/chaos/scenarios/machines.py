"""F-29 and F-30: the machine itself fails: its disk is full, its clock is wrong."""

from __future__ import annotations

import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from secrets import token_hex

from tests.chaos.agent import NOTHING, Event, Reaction, echo
from tests.chaos.ledgers import Sent, text_of
from tests.chaos.playing import CannotPlayError, scenario
from tests.chaos.scenarios.agents import JITTER, SCHEDULE, pushes, talk_once
from tests.chaos.scenarios.crashes import MAY_FAIL
from tests.chaos.stage import Stage
from tests.fakes.graph import hooks

HOUR = 3600
PRESSING_SECONDS, JUNK = 60, 20_000
CLOCK = Path(__file__).parents[1] / "clock.c"


@scenario("F-29", "the database's disk is full, and has room again", settles=180)
def disk_full(stage: Stage) -> None:
    disk = stage.world.small_disk
    if disk is None:
        raise CannotPlayError("needs root and a small file system of its own (tmpfs)")
    talk_once(stage, 2)
    stage.settle()
    filler = disk / "filler"
    with stage.load(conversations=6, rate=6, seconds=20):
        time.sleep(2)
        _fill(filler)
        pressed = _press(stage)
        stage.want(pressed, "nothing was refused on a full disk")
        time.sleep(5)
        filler.unlink()
        freed = time.time()
    stage.want(stage.settle(180), "it did not recover by itself")
    stage.note(f"all done {time.time() - freed:.0f} s after there was room again")
    answers = {status for one in stage.customers.sent for status in one.answers}
    stage.want(answers <= {200, 503, 0}, f"webhooks were answered {sorted(answers)}")
    marked = len(stage.verdict().doubled_marked)
    stage.want(not marked, f"{marked} messages were sent twice, because the first was not recorded")


def _press(stage: Stage) -> bool:
    """Bring large webhooks until one is refused: the server lives for a while on room it has set aside."""
    end = time.monotonic() + PRESSING_SECONDS
    while time.monotonic() < end:
        names = [stage.customers.name() for _ in range(20)]
        pairs = [
            hooks.customer_message(
                "text",
                sender=name,
                name="Ana",
                text={"body": text_of(name, 1)},
                junk=token_hex(JUNK),
            )
            for name in names
        ]
        body = stage.customers.envelope(
            contacts=[contact for _message, contact in pairs],
            messages=[message for message, _contact in pairs],
        )
        status, now = stage.world.loop.run(stage.customers.post(body)), time.time()
        if status != 200:
            stage.note(f"refused with {status}")
            return True
        stage.customers.sent += [
            Sent(message["from"], 1, message["id"], now, now, [status]) for message, _ in pairs
        ]
    return False


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
    stage.agent.behave = _fails_once
    for hours in (-1, 1):
        environment = {"LD_PRELOAD": str(library), "CHAOS_CLOCK_SHIFT": str(hours * HOUR)}
        with stage.more_couriers(1, **environment):
            talk_once(stage, MAY_FAIL)
            stage.want(stage.settle(60), f"nothing comes to an end beside a clock at {hours:+d} h")
    allowed = 1 + stage.world.slack
    for tries in pushes(stage).values():
        for (before, after), wait in zip(pairwise(tries), SCHEDULE, strict=False):
            gap = after.started_at - (before.ended_at or 0)
            fits = wait * (1 - JITTER) - 1 <= gap <= wait * (1 + JITTER) + allowed
            stage.want(fits, f"a retry came after {gap:.1f} s, the schedule says {wait:g}")


def _fails_once(event: Event) -> Reaction:
    if not event.is_question:
        return NOTHING
    return Reaction(500) if event.seen.attempt == 1 else echo(event)


def _clock_library(directory: Path) -> Path:
    compiler, library = shutil.which("cc"), directory / "clock.so"
    if compiler is None:
        raise CannotPlayError("needs a C compiler for a clock that is wrong in one process only")
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(CLOCK), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library
