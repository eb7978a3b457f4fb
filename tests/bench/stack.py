"""The whole product, started as a user starts it, in a directory of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Stack:
    """`make run` on a free port; `start()` returns the seconds until it is ready."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.port = free_port()
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "MAKELEVEL")},
            "PORT": str(self.port),
            "DATA_DIR": str(data_dir),
            **environment,
        }
        self.data_dir = data_dir
        self.log = data_dir.parent / "run.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, seconds: float = 180) -> float:
        began = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "config.bootstrap", "run"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        while time.perf_counter() - began < seconds:
            if self.process.poll() is not None:
                raise RuntimeError(f"make run ended:\n{self.log.read_text()[-2000:]}")
            if answers(f"{self.url}/readyz"):
                return time.perf_counter() - began
            time.sleep(0.05)
        raise RuntimeError(f"not ready after {seconds} s:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def owner_url(self) -> str:
        """The database, as the owner of its tables."""
        return self._value("DATABASE_OWNER_URL")

    def _value(self, name: str) -> str:
        lines = (self.data_dir / "switchboard.env").read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        return values[name].strip("\"'")

    def demo(self) -> dict[str, Any]:
        return dict(self.run("manage.py", "demo", "--json"))

    def run(self, *arguments: str) -> Any:
        """What a Python program prints in the product's environment, read as JSON."""
        printed = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**self.environment, "DATABASE_URL": self._value("DATABASE_URL")},
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        return json.loads(printed)

    def processes(self) -> dict[int, str]:
        """Pid → command line of everything below the supervisor."""
        assert self.process
        found: dict[int, str] = {}
        parents = [self.process.pid]
        while parents:
            children = _children(parents.pop())
            for pid in children:
                found[pid] = _command(pid)
            parents.extend(children)
        return found

    def pids(self, *words: str) -> list[int]:
        """Processes whose command line holds one of `words`."""
        return [pid for pid, line in self.processes().items() if any(w in line for w in words)]

    def memory_mb(self) -> dict[str, float]:
        """Proportional set size of each of our own processes, PostgreSQL and the demo agent left out."""
        sizes: dict[str, float] = {}
        for pid, line in self.processes().items():
            if "postgres" in line or "demo_agent" in line:
                continue
            role = next(
                (r for r in ("uvicorn", "config.web", "worker", "beat") if r in line), "other"
            )
            sizes[role] = sizes.get(role, 0) + pss_mb(pid)
        return sizes

    @contextmanager
    def standing(self, *words: str) -> Iterator[None]:
        """These processes stand still meanwhile."""
        pids = self.pids(*words)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def more_web(self, settings: str) -> Iterator[str]:
        """One more web process, with settings of its own, at the URL that is given."""
        url = f"http://127.0.0.1:{(port := free_port())}"
        environment = {
            **self.environment,
            "DATABASE_URL": self._value("DATABASE_URL"),
            "DJANGO_SETTINGS_MODULE": settings,
            "PORT": str(port),
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "config.web"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            began = time.monotonic()
            while not answers(f"{url}/healthz"):
                if process.poll() is not None or time.monotonic() - began > 60:
                    raise RuntimeError(f"web did not start:\n{self.log.read_text()[-2000:]}")
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(30)

    def cpu_seconds(self, *words: str) -> float:
        return sum(cpu_seconds(pid) for pid in self.pids(*words))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def call(method: str, url: str, *, token: str, body: Any = None) -> Any:
    """One call of our REST API; raises `urllib.error.HTTPError`."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        text = answer.read()
    return json.loads(text) if text else None


def cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def pss_mb(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return (
        next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
    )


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue  # the thread ended while we looked
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""
