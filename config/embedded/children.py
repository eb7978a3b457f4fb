"""Child processes that cannot outlive us, not even after kill -9.

Two nets: on Linux the kernel sends each child a signal when its parent dies; everywhere a guardian
(guardian.py) holds the other end of a pipe, and ends every registered process group when it closes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

Child = subprocess.Popen[bytes]


class Guardian:
    """Ends the registered process groups when this process is gone, however it went."""

    def __init__(self) -> None:
        reading, self._pipe = os.pipe()
        script = Path(__file__).with_name("guardian.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        os.close(reading)

    def watch(self, pid: int, last_word: signal.Signals) -> None:
        """Called in the new child, between fork and exec, so that no moment is unguarded."""
        os.write(self._pipe, b"+%d %d\n" % (pid, last_word))

    def forget(self, pid: int) -> None:
        os.write(self._pipe, b"-%d\n" % pid)

    def alive(self) -> bool:
        return self._process.poll() is None

    def dismiss(self) -> None:
        """Let the guardian go; whatever is still registered ends now."""
        os.close(self._pipe)
        self._process.wait(10)


def spawn(
    command: Sequence[str],
    *,
    log: IO[bytes] | int,
    last_word: signal.Signals = signal.SIGKILL,
    guardian: Guardian | None = None,
    identity: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start `command` in a session of its own; `last_word` is the signal our death sends it.

    `identity` (user, group, extra_groups) makes it another user's process. Call it from the main
    thread: the kernel watches the thread that forked.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_before_exec(os.getpid(), last_word, guardian),
        env=env,
        cwd=cwd,
        **(identity or {}),
    )


def die_with_parent(last_word: signal.Signals) -> None:
    """Ask the kernel to send this process `last_word` when its parent ends (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(last_word), 0, 0, 0)


def _before_exec(
    parent: int, last_word: signal.Signals, guardian: Guardian | None
) -> Callable[[], None]:
    def before_exec() -> None:
        die_with_parent(last_word)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        if guardian is not None:
            guardian.watch(os.getpid(), last_word)

    return before_exec


def end(child: Child, *steps: tuple[signal.Signals, float]) -> None:
    """Send each signal to the child's group and wait that many seconds, until it is gone."""
    for step, seconds in steps:
        if child.poll() is not None:
            return
        try:
            os.killpg(child.pid, step)
        except (ProcessLookupError, PermissionError):
            child.send_signal(step)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def wait_until(condition: Callable[[], bool], seconds: float, *, pause: float = 0.03) -> bool:
    """Poll `condition`; False when `seconds` passed without it."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
