"""A real server of ours as a process of its own, on the test's database."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from django.db import connections

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Served:
    url: str
    pid: int


@contextmanager
def serve(directory: Path, *, port: int = 0, **environment: str) -> Iterator[Served]:
    """Start the web role, wait until it answers, and stop it at the end; its output goes to `directory`."""
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    log = directory / "web.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.web"],
            cwd=ROOT,
            env=os.environ | _environment(directory, port) | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, log)
        yield Served(url, process.pid)
    finally:
        process.terminate()
        process.wait(15)


def _environment(directory: Path, port: int) -> dict[str, str]:
    database = connections["default"].settings_dict
    place = f"{database['HOST']}:{database['PORT'] or 5432}"
    if database["HOST"].startswith("/"):
        place = ""
    url = f"postgres://{database['USER']}@{place}/{database['NAME']}"
    if not place:
        url += f"?host={database['HOST']}&port={database['PORT'] or 5432}"
    return {
        "DATABASE_URL": url,
        "SWITCHBOARD_TESTING": "1",
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "MEDIA_ROOT": str(directory / "media"),
        "DATA_DIR": str(directory),
        "PYTHONUNBUFFERED": "1",
    }


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=2):  # noqa: S310 - our own server
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
