"""What the person at the terminal sees: one line for each step, with its time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

WIDTH = 24


class Progress:
    """Prints to a terminal with colour and a waiting line, to a pipe or file without."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.colour = self.live and "NO_COLOR" not in os.environ
        unicode = (self.stream.encoding or "").lower().replace("-", "") == "utf8"
        self.done_mark, self.wait_mark, self.warn_mark, self.fail_mark = (
            ("✓", "…", "!", "✗") if unicode else ("+", ".", "!", "x")
        )

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step; its line appears when it is over, whether it failed or not."""
        step = Step()
        started = time.monotonic()
        if self.live:
            self.stream.write(f"  {self._paint('2', self.wait_mark)} {name}\r")
            self.stream.flush()
        try:
            yield step
        except BaseException:
            self._finish("31", self.fail_mark, name, started, "")
            raise
        self._finish("32", self.done_mark, name, started, step.text)

    def report(self, name: str, seconds: float, text: str) -> None:
        """A step that somebody else timed."""
        self._finish("32", self.done_mark, name, time.monotonic() - seconds, text)

    def warn(self, text: str) -> None:
        self.line(f"  {self._paint('33', self.warn_mark)} {text}")

    def fail(self, text: str) -> None:
        self.line(f"\n{self._paint('1;31', 'Switchboard did not start.')} {text}\n")

    def title(self, text: str, rest: str = "") -> None:
        self.line(f"\n  {self._paint('1', text)}{rest}\n")

    def fact(self, name: str, value: str, note: str = "") -> None:
        tail = "  " + self._paint("2", note) if note else ""
        self.line(f"  {name:<11} {self._paint('36', value)}{tail}")

    def event(self, text: str) -> None:
        """Something that happened while running, with the time of day."""
        self.line(f"  {self._paint('2', time.strftime('%H:%M:%S'))} {text}")

    def line(self, text: str = "") -> None:
        if self.live:
            self.stream.write("\r\033[K")
        self.stream.write(text + "\n")
        self.stream.flush()

    def _finish(self, colour: str, mark: str, name: str, started: float, text: str) -> None:
        took = f"{time.monotonic() - started:6.1f} s"
        tail = "   " + self._paint("2", text) if text else ""
        self.line(f"  {self._paint(colour, mark)} {name:<{WIDTH}}{took}{tail}")

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text


class Step:
    """What a step wants to say about itself when it is done."""

    text = ""
