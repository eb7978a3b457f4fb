"""One installation on this machine: its data directory, port, secrets, addresses and commands."""

from __future__ import annotations

import base64
import errno
import fcntl
import ipaddress
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from config.embedded import StartError, Urls
from config.embedded.postgres import explain
from config.environment import KEY_NAMES, read_env_file
from config.processes import WEB_SECONDS, WORKER_SECONDS, Role
from config.progress import Progress

_LOADED = time.time()
ROOT = Path(__file__).resolve().parent.parent
FREE_BYTES = 300 * 1024 * 1024
DEMO_AGENT = ROOT / "examples" / "agents" / "demo_agent.py"
# Trying out means agents on this very machine, without TLS.
EMBEDDED_DEFAULTS = {
    "CELERY_BROKER_URL": "pgmq://",
    "OUTBOUND_ALLOW": "127.0.0.0/8,::1/128",
    "ALLOW_HTTP_TARGETS": "1",
}


@dataclass
class Installation:
    """What the supervisor knows before anything runs; `stored` becomes `switchboard.env`."""

    data_dir: Path
    port: int
    host: str
    environment: dict[str, str]
    embedded: bool
    stored: dict[str, str] = field(default_factory=dict)
    fresh_keys: bool = False
    _lock: int = -1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Installation:
        """Raises `StartError` for values that make no sense."""
        data_dir = Path(environment.get("DATA_DIR") or ROOT / "var").resolve()
        stored = _read_stored(data_dir / "switchboard.env")
        port = environment.get("PORT") or "8000"
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise StartError(f"PORT={port} is not a port: give a number from 1 to 65535.")
        return cls(
            data_dir=data_dir,
            port=int(port),
            host=environment.get("HOST") or "127.0.0.1",
            environment=dict(environment),
            embedded=not environment.get("DATABASE_URL"),
            stored=stored,
        )

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def public_url(self) -> str:
        return self._value("PUBLIC_URL") or f"http://127.0.0.1:{self.port}"

    @property
    def env_file(self) -> Path:
        return self.data_dir / "switchboard.env"

    @property
    def _lock_file(self) -> Path:
        return self.data_dir / "supervisor.lock"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "logs"

    @property
    def data_dir_text(self) -> str:
        inside = self.data_dir.is_relative_to(ROOT)
        return str(self.data_dir.relative_to(ROOT) if inside else self.data_dir)

    def lock(self) -> None:
        """Hold the data directory for as long as this process lives; raises `StartError`."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.log_dir.mkdir(mode=0o700, exist_ok=True)
            # Kept open on purpose: the lock is on the open file, and ends with us.
            self._lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._lock, 0)
            os.write(self._lock, f"{self.url} (process {os.getpid()})".encode())
        except BlockingIOError as error:
            other = self._lock_file.read_text() or "an address unknown"
            raise StartError(
                f"Switchboard already runs on {self.data_dir_text}, at {other}: "
                "stop that one, or set DATA_DIR and PORT for a second one."
            ) from error
        except OSError as error:
            raise StartError(self._unusable(error)) from error

    def check(self) -> None:
        """Room on the disk, a free port, and keys that fit the data; raises `StartError`."""
        try:
            free = shutil.disk_usage(self.data_dir).free
            if free < FREE_BYTES:
                raise StartError(
                    f"The disk under {self.data_dir} is full: {free // 1024**2} MB are free, "
                    f"{FREE_BYTES // 1024**2} MB are needed. Make room, or set DATA_DIR."
                )
            probe = self.data_dir / "probe"
            probe.write_bytes(bytes(4096))
            probe.unlink()
        except OSError as error:
            raise StartError(self._unusable(error)) from error
        self._check_port()
        self._fill_keys()

    def _check_port(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except PermissionError as error:
                raise StartError(
                    f"Port {self.port} needs more rights than this user has: "
                    f"choose one above 1023, for example `make run PORT=8000`."
                ) from error
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise StartError(f"HOST={self.host} cannot be listened on: {error}.") from error
                raise StartError(
                    f"Port {self.port} is taken by another program: stop it, or choose another "
                    f"port, for example `make run PORT={self.port + 1}`."
                ) from error

    def _fill_keys(self) -> None:
        """Generate keys for a new installation, never beside data that was made with others."""
        missing = [name for name in KEY_NAMES if not self._value(name)]
        if not missing:
            return
        cluster = self.data_dir / "postgres" / "data"
        if self.embedded and (cluster.exists() or (self.data_dir / "postgres.location").exists()):
            raise StartError(
                f"{' and '.join(missing)} missing, but {self.data_dir_text} already holds a "
                f"database: put {self.env_file} back, or move the directory away to start afresh."
            )
        self.fresh_keys = True
        generated = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "FIELD_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        self.stored.update({name: generated[name] for name in missing})

    def remember_database(self, urls: Urls) -> None:
        """Put the embedded server's addresses, and what goes with them, among the stored values."""
        self.stored.update(
            DATABASE_URL=urls.app, DATABASE_OWNER_URL=urls.owner, PORT=str(self.port)
        )
        for name, value in EMBEDDED_DEFAULTS.items():
            self.stored.setdefault(name, value)

    def child_environment(self) -> dict[str, str]:
        """For every child: our environment, without what only the supervisor's start needs."""
        kept = {
            name: value
            for name, value in self.environment.items()
            if not name.startswith(("SWITCHBOARD_", "MAKE", "MFLAGS"))
        }
        return kept | {
            "DATA_DIR": str(self.data_dir),
            "PORT": str(self.port),
            "HOST": self.host,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONUNBUFFERED": "1",
        }

    def prepare(self, progress: Progress) -> dict[str, Any]:
        """Run `config.prepare`, reporting its steps; its result. Raises `StartError`."""
        environment = self.child_environment()
        if self.fresh_keys:
            environment["SWITCHBOARD_FRESH_KEYS"] = "1"
        log_file = self.log_dir / "prepare.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "config.prepare"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=ROOT,
            )
        try:
            for line in _json_lines(process.stdout):
                if "step" in line:
                    progress.report(line["step"], line["seconds"], line["text"])
                elif "error" in line:
                    raise StartError(line["error"])
                else:
                    result: dict[str, Any] = line["result"]
                    return result
        finally:
            process.kill() if process.poll() is None and sys.exc_info()[0] else process.wait()
        reason = _last_line(log_file)
        raise StartError(f"The preparation ended early: {reason}. Log: {log_file}")

    def roles(self, demo: Mapping[str, Any]) -> list[Role]:
        """The processes of this installation; the demo agent where it can run."""
        celery = [sys.executable, "-m", "celery", "-A", "config.celery", "worker"]
        roles = [
            Role("web", [sys.executable, "-m", "config.web"], seconds_to_end=WEB_SECONDS),
            Role(
                "worker",
                [*celery, "--loglevel=INFO"],
                seconds_to_end=WORKER_SECONDS,
                makes_work=True,
            ),
            Role("beat", [sys.executable, "-m", "config.beat"], makes_work=True),
        ]
        agent = demo.get("agent", {})
        if DEMO_AGENT.exists() and agent.get("url"):
            port = urlsplit(agent["url"]).port
            extra = {
                "SWITCHBOARD_URL": self.url,
                "AGENT_TOKEN": agent["token"],
                "AGENT_SECRET": agent["secret"],
                "AGENT_PORT": str(port),
            }
            roles.append(Role("demo agent", [sys.executable, str(DEMO_AGENT)], extra))
        return roles

    def answers(self, path: str) -> bool:
        """Whether our own web process answers `path` with 200."""
        host = urlsplit(self.public_url).netloc
        request = urllib.request.Request(f"{self.url}/{path}", headers={"Host": host})  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=3) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    def warnings(self) -> Iterator[str]:
        """What the person who started it should know, one line each."""
        if self._value("OUTBOUND_ALLOW") or self._value("ALLOW_HTTP_TARGETS"):
            yield (
                "for trying out, agents may live on this machine and without TLS "
                "(OUTBOUND_ALLOW, ALLOW_HTTP_TARGETS in switchboard.env)"
            )
        host = urlsplit(self.public_url).hostname or ""
        if _is_private(host):
            yield (
                f"Meta cannot reach {host}: set PUBLIC_URL to a public https address "
                "to connect WhatsApp"
            )
        elif not self._public_url_answers():
            yield f"PUBLIC_URL does not lead here: {self.public_url}/healthz does not answer"
        if not self._value("EMAIL_URL"):
            yield f"no EMAIL_URL: letters are kept at {self.url}/mailbox/"

    def seconds_since_start(self) -> float:
        return time.time() - float(self.environment.get("SWITCHBOARD_STARTED") or _LOADED)

    def _public_url_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.public_url}/healthz", timeout=5) as answer:  # noqa: S310 - the operator's own
                return bool(answer.read(2) == b"ok")
        except (OSError, ValueError):
            return False

    def _value(self, name: str) -> str:
        return self.environment.get(name) or self.stored.get(name, "")

    def _unusable(self, error: OSError) -> str:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"The disk under {self.data_dir} is full: make room, or set DATA_DIR."
        return explain(error, self.data_dir) + " Set DATA_DIR to a directory you may write to."


def _read_stored(path: Path) -> dict[str, str]:
    try:
        return read_env_file(path)
    except OSError as error:
        raise StartError(f"{path} cannot be read ({error.strerror}): whose is it?") from error


def _json_lines(stream: IO[bytes] | None) -> Iterator[dict[str, Any]]:
    for line in stream or ():
        yield json.loads(line)


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "no reason was given"


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith(".local")
