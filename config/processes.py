"""The supervisor's view of one role: start it, restart it with back-off, end it."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from config.embedded.children import Child, Guardian, end, spawn

# How long a role may take to end after SIGTERM. Web answers what was asked (config/web.py); the worker
# ends what is under way, at most one attempt of 60 s (integrations/courier), and its jobs.
WEB_SECONDS = 30.0
WORKER_SECONDS = 90.0
LONG_ENOUGH = 60.0
LONGEST_PAUSE = 30.0
LOG_BYTES = 20 * 1024 * 1024


class Home(Protocol):
    """What a role needs to know about the installation."""

    @property
    def log_dir(self) -> Path: ...
    def child_environment(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Role:
    """One kind of process, by name and command.

    `seconds_to_end` is its time after SIGTERM. One that `makes_work` ends before the others: what it
    has under way may still need them.
    """

    name: str
    command: list[str]
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    seconds_to_end: float = 5.0
    makes_work: bool = False


class Watched:
    """A running role. `tend()` is called often and says what happened since."""

    def __init__(self, role: Role, home: Home, guardian: Guardian) -> None:
        self.role, self.home, self.guardian = role, home, guardian
        self.log_file = home.log_dir / f"{role.name.replace(' ', '-')}.log"
        self.child: Child = self._start()
        self._pause = 0.0
        self._restart_at: float | None = None

    def tend(self) -> Iterator[str]:
        """Notice a death, start again when its pause is over; yields a line for each."""
        if self._restart_at is None:
            code = self.child.poll()
            if code is None:
                return
            self.guardian.forget(self.child.pid)
            lived = time.monotonic() - self._started
            self._pause = 0.5 if lived > LONG_ENOUGH else min(self._pause * 2 or 0.5, LONGEST_PAUSE)
            self._restart_at = time.monotonic() + self._pause
            yield f"{self.role.name} ended ({_how(code)}); starting it again in {self._pause:g} s"
        elif time.monotonic() >= self._restart_at:
            self._restart_at = None
            self.child = self._start()

    def ask_to_end(self) -> None:
        end(self.child, (signal.SIGTERM, 0))

    def end_now(self) -> None:
        end(self.child, (signal.SIGKILL, 5))
        self.guardian.forget(self.child.pid)

    def last_line(self) -> str:
        """The last line of its log, which is usually the reason of its death."""
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def _start(self) -> Child:
        self._started = time.monotonic()
        with self.log_file.open("ab") as log:
            return spawn(
                self.role.command,
                log=log,
                guardian=self.guardian,
                env={**self.home.child_environment(), **self.role.extra_environment},
                cwd=Path(__file__).resolve().parent.parent,
            )


def rotate_logs(directory: Path) -> None:
    """Keep one older copy of a log that grew large; writers go on in the same (emptied) file."""
    for log in directory.glob("*.log"):
        if log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            with log.open("r+b") as file:
                file.truncate(0)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
