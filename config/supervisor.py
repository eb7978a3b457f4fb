"""`make run`: everything of Switchboard on this machine, started, watched and ended together."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from config.embedded import EmbeddedPostgres, StartError
from config.embedded.children import Guardian, wait_until
from config.environment import write_env_file
from config.install import Installation
from config.processes import Watched, rotate_logs
from config.progress import Progress

WEB_SECONDS = 60.0
WORKER_SECONDS = 15.0
TICK = 0.2
POLL = 0.1
LOG_CHECK_SECONDS = 60.0
SAME_REQUEST_SECONDS = 0.5
HURRY_SECONDS = 2.0
# A wait that is longer than this is explained.
SILENT_SECONDS = 2.0


class Stopped(BaseException):
    """A signal asked us to end."""


class Supervisor:
    """Starts the database and the roles, restarts what dies, and ends all of it together."""

    def __init__(self, installation: Installation, progress: Progress) -> None:
        self.installation = installation
        self.progress = progress
        self.guardian = Guardian()
        self.postgres: EmbeddedPostgres | None = None
        self.watched: list[Watched] = []
        self.result: dict[str, Any] = {}
        self.parent = os.getppid() if "MAKELEVEL" in os.environ else 0
        self.logs_checked = time.monotonic()

    def start(self) -> None:
        """Raises `StartError` with one sentence when something is in the way."""
        installation, progress = self.installation, self.progress
        with progress.step("Data directory and port") as step:
            installation.check()
            step.text = f"{installation.data_dir_text}, port {installation.port}"
        if installation.embedded:
            self._start_postgres()
        write_env_file(installation.env_file, installation.stored)
        self.result = installation.prepare(progress)
        self._start_roles()

    def _start_postgres(self) -> None:
        self.postgres = EmbeddedPostgres(self.installation.data_dir, guardian=self.guardian)
        with self.progress.step("PostgreSQL") as step:
            urls = self.postgres.start()
            step.text = "embedded, version 18, unix socket only"
        for note in self.postgres.notes:
            self.progress.warn(note)
        self.installation.remember_database(urls)

    def _start_roles(self) -> None:
        roles = self.installation.roles(self.result["demo"])
        with self.progress.step("Web, worker, beat") as step:
            for role in roles:
                self.watched.append(Watched(role, self.installation, self.guardian))
            self._await("healthz", WEB_SECONDS, "web")
            # Without the backlog: what waited while we were away is for later.
            ready = wait_until(
                lambda: self.installation.answers("readyz?exclude=backlog"),
                WORKER_SECONDS,
                pause=POLL,
            )
            step.text = ", ".join(role.name for role in roles) + " started"
        if not ready:
            self.progress.warn(f"not everything is ready yet: see {self.installation.url}/readyz")

    def _await(self, path: str, seconds: float, name: str) -> None:
        watched = next(w for w in self.watched if w.role.name == name)
        done = wait_until(
            lambda: self.installation.answers(path) or watched.child.poll() is not None,
            seconds,
            pause=POLL,
        )
        if not done or watched.child.poll() is not None:
            reason = watched.last_line() or "it gave no reason"
            raise StartError(f"The {name} process did not start: {reason}. Log: {watched.log_file}")

    def watch(self) -> None:
        """Restart what dies, until a signal or the death of the `make` that started us."""
        while True:
            time.sleep(TICK)
            if self.parent and os.getppid() != self.parent:
                raise Stopped
            if not self.guardian.alive():
                self._replace_guardian()
            self._revive_postgres()
            for watched in self.watched:
                for line in watched.tend():
                    self.progress.event(line)
            if time.monotonic() - self.logs_checked > LOG_CHECK_SECONDS:
                rotate_logs(self.installation.log_dir)
                self.logs_checked = time.monotonic()

    def _revive_postgres(self) -> None:
        if self.postgres is None or self.postgres.child is None:
            return
        if self.postgres.child.poll() is not None:
            self.progress.event("the database ended; starting it again")
            try:
                self.postgres.relaunch()
            except StartError as error:
                self.progress.event(str(error))
                time.sleep(2)

    def _replace_guardian(self) -> None:
        self.guardian = Guardian()
        groups = [(w.child.pid, signal.SIGKILL) for w in self.watched]
        if self.postgres is not None and self.postgres.child is not None:
            groups.append((self.postgres.child.pid, signal.SIGINT))
            self.postgres.guardian = self.guardian
        for pid, last_word in groups:
            self.guardian.watch(pid, last_word)
        for watched in self.watched:
            watched.guardian = self.guardian

    def stop(self, *, hurry: bool) -> None:
        """End the roles, then the database.

        The worker and beat go first and may end what is under way, for agents answer it through the
        web process; what comes in meanwhile is stored for the next start. `hurry` ends all of them
        together, within two seconds.
        """
        if hurry:
            self._end(self.watched, HURRY_SECONDS)
        else:
            for makes_work in (True, False):
                wave = [w for w in self.watched if w.role.makes_work is makes_work]
                self._end(wave, max((w.role.seconds_to_end for w in wave), default=0.0))
        if self.postgres is not None:
            self.postgres.stop()
        self.guardian.dismiss()

    def _end(self, wave: list[Watched], seconds: float) -> None:
        """SIGTERM, so many seconds, then SIGKILL; whoever waits at the terminal is told what for."""
        for watched in wave:
            watched.ask_to_end()
        started = time.monotonic()
        if not self._ended(wave, min(seconds, SILENT_SECONDS)) and seconds > SILENT_SECONDS:
            names = " and ".join(w.role.name for w in wave if w.child.poll() is None)
            self.progress.event(
                f"waiting for {names}: what is under way ends first, {seconds:g} s at most; "
                "Ctrl-C again cuts it off"
            )
            self._ended(wave, seconds - (time.monotonic() - started))
        for watched in wave:
            watched.end_now()

    def _ended(self, wave: list[Watched], seconds: float) -> bool:
        return wait_until(lambda: all(w.child.poll() is not None for w in wave), seconds)


def main() -> None:
    progress = Progress()
    on_signal = _Signals()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    _die_with_make()
    supervisor: Supervisor | None = None
    code = 0
    try:
        installation = Installation.from_environment(os.environ)
        installation.lock()
        supervisor = Supervisor(installation, progress)
        supervisor.start()
        announce(progress, installation, supervisor.result)
        supervisor.watch()
    except Stopped:
        progress.line()
    except StartError as error:
        progress.fail(str(error))
        code = 1
    finally:
        if supervisor is not None:
            _end(supervisor, progress, quiet=bool(code))
    sys.exit(code)


def _end(supervisor: Supervisor, progress: Progress, *, quiet: bool) -> None:
    """Stop everything; a second Ctrl-C makes it hurry."""
    orphaned = bool(supervisor.parent) and os.getppid() != supervisor.parent
    try:
        if quiet or orphaned:
            supervisor.stop(hurry=True)
            return
        with progress.step("Stopping"):
            supervisor.stop(hurry=False)
    except Stopped:
        supervisor.stop(hurry=True)


def announce(progress: Progress, installation: Installation, result: Mapping[str, Any]) -> None:
    """The end of the start: where it is, how to get in, and what to know."""
    progress.title("Ready", f" in {installation.seconds_since_start():.1f} s")
    progress.fact("Open", installation.url + "/")
    if result["login_link"]:
        progress.fact("Log in", result["login_link"], "once, within 10 minutes")
    owner = result["demo"].get("owner")
    if owner:
        progress.fact("or as", f"{owner['email']}  {owner['password']}")
    sandbox = result["demo"].get("inboxes", {}).get("sandbox", {}).get("url")
    if sandbox:
        progress.fact("Try it", sandbox, "a phone where you are the customer")
    progress.fact("Logs", str(installation.log_dir))
    progress.line()
    for warning in installation.warnings():
        progress.warn(warning)
    progress.line("\n  Ctrl-C stops everything.\n")


class _Signals:
    """Turns a signal into `Stopped`; `make` and a process group deliver one request twice."""

    def __init__(self) -> None:
        self.last = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        repeated = time.monotonic() - self.last < SAME_REQUEST_SECONDS
        self.last = time.monotonic()
        if not repeated:
            raise Stopped


def _die_with_make() -> None:
    """kill -9 of `make` ends us like a SIGTERM would (Linux at once, elsewhere at the next tick)."""
    from config.embedded import children

    if "MAKELEVEL" in os.environ:
        children.die_with_parent(signal.SIGTERM)


if __name__ == "__main__":
    main()
