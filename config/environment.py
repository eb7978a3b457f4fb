"""`switchboard.env`: what `make run` generates once and keeps (0600). Standard library only, because
the settings and the supervisor read it before anything else is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

KEY_NAMES = ("SECRET_KEY", "FIELD_KEYS")
_HEADER = """\
# Written by `make run`. Keep it: without FIELD_KEYS the stored secrets do not open.
# Values of the environment win over this file.
"""


def with_host(database: dict[str, Any]) -> dict[str, Any]:
    """A parsed database address whose socket directory (`?host=…`) stands where hosts stand.

    Not everybody who connects goes through Django, so the host has one place.
    """
    options = dict(database.get("OPTIONS", {}))
    host = options.pop("host", "")
    return {**database, "HOST": database["HOST"] or host, "OPTIONS": options}


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines of the file; an empty dict when there is none."""
    if not path.exists():
        return {}
    values = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            values[name.strip()] = value.strip()
    return values


def write_env_file(path: Path, values: dict[str, str]) -> None:
    """Replace the file in one step, readable by its owner alone from the first byte on."""
    temporary = path.with_suffix(".env.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_HEADER)
        file.writelines(f"{name}={value}\n" for name, value in values.items())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
