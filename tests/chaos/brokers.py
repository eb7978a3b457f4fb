"""The brokers of F-04: PGMQ in the product's own database, and servers of ours where they are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.stack import free_port
from tests.config.test_brokers import listens

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_SECONDS = 90.0


class Broker:
    """PGMQ: it can be emptied; it dies with the database, which is F-05."""

    name = "pgmq"
    url = "pgmq://"

    def start(self) -> None:
        """There is nothing to start."""

    def kill(self) -> bool:
        """kill -9; False where there is no process to kill."""
        return False

    def stop(self) -> None:
        """There is nothing to stop."""

    def empty(self, environment: Mapping[str, str]) -> None:
        """Throw all messages away."""
        command = [sys.executable, "-m", "celery", "-A", "config.celery", "purge", "-f"]
        subprocess.run(command, env=dict(environment), check=True, capture_output=True)


class ServerBroker(Broker):
    """A server of our own on a free port."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory / self.name
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        with (self.directory / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                cwd=self.directory,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not listens(self.port):
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} did not start within {START_SECONDS:.0f} s")
            time.sleep(0.1)

    def kill(self) -> bool:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        return True

    def stop(self) -> None:
        self.kill()


class Redis(ServerBroker):
    name = "redis"

    @property
    def url(self) -> str:  # type: ignore[override]  # only known with the port
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        program = shutil.which("redis-server") or "redis-server"
        return [program, "--port", str(self.port), "--dir", str(self.directory), "--save", ""]


class RabbitMQ(ServerBroker):
    name = "rabbitmq"

    @property
    def url(self) -> str:  # type: ignore[override]  # only known with the port
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self) -> Sequence[str]:
        return [str(RABBITMQ)]

    def environment(self) -> dict[str, str]:
        here = self.directory
        return {
            **os.environ,
            "HOME": str(here),
            "RABBITMQ_NODENAME": f"chaos{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(here / "none"),
        }


def installed() -> list[str]:
    """The names of the brokers that can be played with here."""
    found = [Broker.name]
    if shutil.which("redis-server"):
        found.append(Redis.name)
    if RABBITMQ.exists():
        found.append(RabbitMQ.name)
    return found


def make(name: str, directory: Path) -> Broker:
    """A broker that is not started yet. Raises `LookupError`."""
    match name:
        case "pgmq":
            return Broker()
        case "redis":
            return Redis(directory)
        case "rabbitmq":
            return RabbitMQ(directory)
    raise LookupError(f"there is no broker {name!r}")
