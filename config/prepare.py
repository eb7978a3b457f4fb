"""`python -m config.prepare`: the steps between a running database and a running house.

One process for all of them, because starting Django costs more than most. Prints one line of JSON
for each step (`step`, `seconds`, `text`), one for the result, or one with `error`: the supervisor
reads them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection

STATIC_ROOMS = ("accounts", "agents", "conversations", "integrations")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # What the steps print themselves must not mix with our lines.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        django.setup()
        for name, step in (
            ("Safety checks", check),
            ("Database schema", migrate),
            ("Static files", collect_static),
        ):
            started = time.monotonic()
            text = step()
            say(out, step=name, seconds=time.monotonic() - started, text=text)
        started = time.monotonic()
        result = demo()
        text = "one account, ready to try" if result["demo"] else "not made in production"
        say(out, step="Demo account", seconds=time.monotonic() - started, text=text)
        say(out, result=result)
    except (CommandError, ImproperlyConfigured, DatabaseError, OSError) as error:
        traceback.print_exc()  # into the log file; the terminal gets the sentence
        say(out, error=str(error).strip())
        sys.exit(1)


def say(out: Any, **line: Any) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


def check() -> str:
    from config.checks import refuse_to_boot

    refuse_to_boot()
    return ""


def migrate() -> str:
    """Bring the schema up to date; quick when it is."""
    from django.db.migrations.executor import MigrationExecutor

    from config.management.commands.migrate import refuse_newer_schema

    refuse_newer_schema("default")
    executor = MigrationExecutor(connection)
    if os.environ.get("SWITCHBOARD_FRESH_KEYS") and executor.loader.applied_migrations:
        raise CommandError(
            "This database holds data, but SECRET_KEY and FIELD_KEYS are not set: give the keys it "
            "was made with, or what is sealed in it never opens again."
        )
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return "up to date"
    call_command("migrate", interactive=False, verbosity=0)
    return f"{len(plan)} migrations applied"


def collect_static() -> str:
    """Collect and compress when a source changed since the last time."""
    stamp = Path(settings.STATIC_ROOT) / "sources.sha256"
    wanted = _fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        return "unchanged"
    call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    stamp.write_text(wanted)
    return "collected"


def _fingerprint() -> str:
    """Of the lock (packages bring files of their own) and of name, size and time of our files."""
    base = settings.BASE_DIR
    state = hashlib.sha256((base / "requirements.lock").read_bytes())
    folders = [
        base / "static",
        *(f for room in STATIC_ROOMS for f in base.glob(f"{room}/**/static")),
    ]
    for folder in sorted(folders):
        for file in sorted(folder.rglob("*")):
            found = file.stat()
            state.update(f"{file}{found.st_size}{found.st_mtime_ns}".encode())
    return state.hexdigest()


def demo() -> dict[str, Any]:
    """Make the demo account (again a no-op) and a login link to its owner; not in production."""
    from integrations.demo import is_production

    account: dict[str, Any] = {}
    if not is_production():
        text = io.StringIO()
        call_command("demo", json=True, stdout=text)
        account = json.loads(text.getvalue())
    link = io.StringIO()
    if account:
        call_command("login_link", account["owner"]["email"], stdout=link)
    return {"demo": account, "login_link": link.getvalue().strip()}


if __name__ == "__main__":
    main()
