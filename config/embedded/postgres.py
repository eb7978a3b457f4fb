"""Start and stop the embedded PostgreSQL: one cluster per data directory, on a unix socket only."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from config.embedded import place as places
from config.embedded import roles
from config.embedded.children import Child, Guardian, end, spawn, wait_until
from config.embedded.errors import StartError
from config.embedded.place import MAJOR, Place

SUPERUSER = "postgres"
START_SECONDS = 120.0
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "min_wal_size": "80MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # The planner sees solid state disks; short statements gain nothing from compilation.
    "random_page_cost": "1.1",
    "jit": "off",
    # A table that has just been filled is planned for as if it were empty, until its rows are counted: each
    # message costs PostgreSQL half as much again.
    "autovacuum_naptime": "10s",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
# For tests only: a crash of the machine may lose such a cluster.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Urls:
    """Addresses of one database for its three roles; libpq, psycopg and django-environ read them."""

    app: str
    owner: str
    superuser: str


class EmbeddedPostgres:
    """`EmbeddedPostgres(data_dir).start()` → `Urls`; `stop()` ends it. Dies with this process.

    `durable=False` gives up durability (tests). `notes` holds what the operator should be told.
    """

    def __init__(
        self, data_dir: Path, *, durable: bool = True, guardian: Guardian | None = None
    ) -> None:
        self.data_dir = data_dir
        self.log_file = data_dir / "logs" / "postgres.log"
        self.notes: list[str] = []
        self.child: Child | None = None
        self._durable = durable
        self.guardian = guardian
        self._place: Place | None = None
        self._socket: Path | None = None

    def start(self) -> Urls:
        """Initialise the cluster when there is none, start it, make roles and database.

        Raises `StartError` with one sentence when it cannot.
        """
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self.log_file.parent.mkdir(mode=0o700, exist_ok=True)
            self._place = places.find(self.data_dir, durable=self._durable)
            self.notes = self._place.notes
            self._socket = places.socket_directory(self._place, self.data_dir)
            self._prepare_cluster(self._place)
            self._launch()
        except OSError as error:
            raise StartError(explain(error, self.data_dir)) from error
        self._prepare_database()
        return self.urls()

    def urls(self, database: str = roles.DATABASE) -> Urls:
        """The addresses of `database` on this server."""
        host = quote(str(self._socket), safe="/")
        app, owner, superuser = (
            f"postgres://{role}@/{database}?host={host}"
            for role in (roles.APP, roles.OWNER, SUPERUSER)
        )
        return Urls(app=app, owner=owner, superuser=superuser)

    def stop(self) -> None:
        """A clean shutdown; a harder one when that takes too long."""
        if self.child is None:
            return
        end(self.child, (signal.SIGINT, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5))
        if self.guardian is not None:
            self.guardian.forget(self.child.pid)
        self.child = None

    def discard(self) -> None:
        """Stop, and remove the data too; for a server that lives as long as a test."""
        self.stop()
        places.discard(self.data_dir)
        shutil.rmtree(self.data_dir)

    def relaunch(self) -> None:
        """Start the server again after it died; raises `StartError`."""
        if self.child is not None and self.guardian is not None:
            self.guardian.forget(self.child.pid)
        self._launch()

    def _prepare_cluster(self, place: Place) -> None:
        version = place.cluster / "PG_VERSION"
        if not place.cluster.exists():
            self._initialise(place)
        elif not version.exists() or not version.read_text(errors="replace").strip().isdigit():
            raise StartError(
                f"The database directory {place.cluster} is damaged (no readable PG_VERSION): "
                "restore it from a backup, or move it away to start with an empty one."
            )
        elif version.read_text().strip() != str(MAJOR):
            raise StartError(
                f"The database in {place.cluster} was made by PostgreSQL "
                f"{version.read_text().strip()}, this is {MAJOR}: dump it with the old version "
                "and restore it into a new data directory."
            )
        self._write_access_rules(place)
        self._end_orphan(place)

    def _initialise(self, place: Place) -> None:
        """initdb beside the final place, then one rename: an interrupted one leaves nothing behind."""
        new = place.base / "data.new"
        if new.exists():
            shutil.rmtree(new)
        command = [
            str(place.binaries / "initdb"),
            f"--pgdata={new}",
            f"--username={SUPERUSER}",
            "--auth=peer",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
        ]
        done = subprocess.run(
            command,
            env=_environment(place),
            cwd=place.base,
            capture_output=True,
            text=True,
            **place.identity,
        )
        if done.returncode:
            reason = _last_reason(done.stderr) or f"initdb ended with {done.returncode}"
            shutil.rmtree(new, ignore_errors=True)
            raise StartError(f"The database could not be created in {place.base}: {reason}.")
        new.rename(place.cluster)

    def _write_access_rules(self, place: Place) -> None:
        """Only the operating system user who started us may connect, by the socket, as any role."""
        try:
            me = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError as error:
            raise StartError(
                f"The user id {os.geteuid()} has no name on this system, and PostgreSQL needs one: "
                "add it to /etc/passwd, or set DATABASE_URL."
            ) from error
        rules = {
            "pg_hba.conf": "local all all peer map=house\n",
            "pg_ident.conf": f'house "{me}" all\n',
        }
        for name, text in rules.items():
            path = place.cluster / name
            path.write_text(text)
            if place.user is not None:
                os.chown(path, place.user.pw_uid, place.user.pw_gid)
            path.chmod(0o600)

    def _end_orphan(self, place: Place) -> None:
        """A server of ours that outlived its starter holds the cluster: end it first."""
        pid_file = place.cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        first_line = pid_file.read_text().split("\n", 1)[0].strip()
        pid = int(first_line) if first_line.isdigit() else 0
        if not pid or str(place.cluster) not in _command_line(pid):
            return
        for step, seconds in ((signal.SIGINT, 5), (signal.SIGQUIT, 5)):
            os.kill(pid, step)
            if wait_until(lambda: not pid_file.exists(), seconds):
                return

    def _launch(self) -> None:
        place, directory = self._place, self._socket
        if place is None or directory is None:
            raise RuntimeError("start() comes first")
        settings = {**SETTINGS, **({} if self._durable else NOT_DURABLE)}
        settings["unix_socket_directories"] = str(directory)
        command = [str(place.binaries / "postgres"), "-D", str(place.cluster)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        begin = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self.child = spawn(
                command,
                log=log,
                # A fast shutdown; the guardian follows with an immediate one.
                last_word=signal.SIGINT,
                guardian=self.guardian,
                identity=place.identity,
                env=_environment(place),
                cwd=place.base,
            )
        self._wait(begin)

    def _wait(self, begin: int) -> None:
        child = self.child
        if child is None:
            raise RuntimeError("no server was launched")
        if wait_until(lambda: child.poll() is not None or self._answers(), START_SECONDS):
            if child.poll() is None:
                return
        else:
            end(child, (signal.SIGQUIT, 5), (signal.SIGKILL, 5))
        with self.log_file.open("rb") as log:
            log.seek(begin)
            reason = _last_reason(log.read().decode(errors="replace"))
        where = self._place.cluster if self._place else self.data_dir
        raise StartError(
            f"PostgreSQL did not start on {where}: {reason or 'it gave no reason'}. "
            f"Its log is {self.log_file}; a damaged directory needs a backup, or move it away."
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.urls("postgres").superuser, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _prepare_database(self) -> None:
        try:
            with psycopg.connect(self.urls("postgres").superuser, autocommit=True) as connection:
                roles.ensure_roles(connection)
                roles.ensure_database(connection)
            with psycopg.connect(self.urls().superuser, autocommit=True) as connection:
                roles.grant(connection)
        except psycopg.Error as error:
            self.stop()
            raise StartError(
                f"The embedded database answers, but not as it should: {str(error).strip()}. "
                f"Its log is {self.log_file}."
            ) from error


def explain(error: OSError, path: Path) -> str:
    """One sentence for an operating system error on the way to a running database."""
    where = error.filename or path
    return f"The data directory {path} is not usable: {error.strerror} ({where})."


def _environment(place: Place) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "LC_ALL": "C",
        "HOME": str(place.base),
        # On a shared library the wheel brings along; elsewhere unused.
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
    }


def _last_reason(log: str) -> str:
    """The last FATAL or PANIC (for initdb: error) of a log, without its prefix."""
    found = re.findall(r"(?:FATAL|PANIC|error):\s+(.+)", log)
    return found[-1].strip().rstrip(".") if found else ""


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        asked = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True
        )
        return asked.stdout
