"""The product under test: whole, as `make run` starts it, or its two roles alone on a given database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.bench.stack import Stack, answers, free_port

ROOT = Path(__file__).resolve().parents[2]
WORDS = {
    "web": "config.web",
    "worker": "celery -A config.celery worker",
    "beat": "config.beat",
    "postmaster": "/bin/postgres -D",
}
COURIER = [sys.executable, "manage.py", "courier"]


class Product(Protocol):
    """What the killer and the stage need of it."""

    @property
    def url(self) -> str: ...
    @property
    def environment(self) -> Mapping[str, str]: ...
    @property
    def owner_url(self) -> str: ...
    @property
    def app_url(self) -> str: ...
    def pids(self, role: str) -> list[int]: ...


class Whole:
    """`make run` in a directory of its own."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.stack = Stack(directory / "data", **environment)

    def start(self) -> float:
        return self.stack.start()

    def stop(self) -> None:
        self.stack.stop()

    @property
    def url(self) -> str:
        return self.stack.url

    @property
    def environment(self) -> dict[str, str]:
        return self.stack.environment

    @property
    def supervisor(self) -> int:
        assert self.stack.process
        return self.stack.process.pid

    def pids(self, role: str) -> list[int]:
        return self.stack.pids(WORDS[role])

    @property
    def owner_url(self) -> str:
        return self._stored("DATABASE_OWNER_URL")

    @property
    def app_url(self) -> str:
        return self._stored("DATABASE_URL")

    def _stored(self, name: str) -> str:
        for line in (self.stack.data_dir / "switchboard.env").read_text().splitlines():
            key, _equals, value = line.partition("=")
            if key == name:
                return value.strip("\"'")
        raise LookupError(name)


class Pair:
    """Web and courier alone on a database that stands already; whoever dies is started again."""

    def __init__(
        self, directory: Path, *, app_url: str, owner_url: str, **environment: str
    ) -> None:
        port = free_port()
        self.url, self.app_url, self.owner_url = f"http://127.0.0.1:{port}", app_url, owner_url
        self.environment = {
            **os.environ,
            "DATABASE_URL": app_url,
            "SWITCHBOARD_TESTING": "1",
            "PORT": str(port),
            "PUBLIC_URL": self.url,
            "MEDIA_ROOT": str(directory / "media"),
            "DATA_DIR": str(directory),
            "ALLOW_HTTP_TARGETS": "1",
            "OUTBOUND_ALLOW": "127.0.0.0/8",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self._log = directory / "pair.log"
        commands = {"web": [sys.executable, "-m", "config.web"], "worker": COURIER}
        self._crews = {
            role: Crew(command, self.environment, self._log) for role, command in commands.items()
        }

    def start(self) -> None:
        for crew in self._crews.values():
            crew.start()
        end = time.monotonic() + 40
        while not answers(f"{self.url}/healthz"):
            if time.monotonic() > end:
                raise RuntimeError(f"web did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        for crew in self._crews.values():
            crew.stop()

    def pids(self, role: str) -> list[int]:
        return self._crews[role].pids()


class Crew:
    """Processes of one command that are started again as soon as they end, until `stop()`."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, *, count: int = 1
    ) -> None:
        self._command, self._environment, self._log = list(command), dict(environment), log
        self._count = count
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="crew", daemon=True)

    def start(self) -> None:
        self._running = [self._spawn() for _ in range(self._count)]
        self._watcher.start()

    def stop(self) -> None:
        """End them as a deploy does; who does not end within 20 s is killed."""
        self._stopped.set()
        self._watcher.join()
        for process in self._running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pids(self) -> list[int]:
        return [process.pid for process in self._running if process.poll() is None]

    def _watch(self) -> None:
        while not self._stopped.wait(0.05):
            self._running = [
                process if process.poll() is None else self._spawn() for process in self._running
            ]

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
