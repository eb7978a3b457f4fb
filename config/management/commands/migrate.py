"""`migrate` as the owner role, refusing a database that is newer than this code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import environ
from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from config import broker
from config.environment import with_host

ROLE_FIELDS = ("USER", "PASSWORD", "HOST", "PORT")


class Command(migrate.Command):
    help = "Bring the schema up to date, as the owner role of DATABASE_OWNER_URL where it is set."

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        with as_owner(alias) as app_role:
            refuse_newer_schema(alias)
            super().handle(*args, **options)
            if broker.in_use() and not options["check_unapplied"] and not options["plan"]:
                broker.install(connections[alias])
                broker.grant(app_role, connections[alias])


@contextmanager
def as_owner(alias: str = DEFAULT_DB_ALIAS) -> Iterator[str]:
    """Let the connection be the owner's for a while; yields the name of the app role.

    The database stays the one of the settings: an owner's address names a role, not another place.
    """
    connection = connections[alias]
    app_role = connection.settings_dict["USER"]
    if not settings.DATABASE_OWNER_URL or alias != DEFAULT_DB_ALIAS:
        yield app_role
        return
    owner = with_host(environ.Env.db_url_config(settings.DATABASE_OWNER_URL))
    previous = {name: connection.settings_dict[name] for name in ROLE_FIELDS}
    connection.close()
    connection.settings_dict.update({name: owner[name] for name in ROLE_FIELDS})
    try:
        yield app_role
    finally:
        connection.close()
        connection.settings_dict.update(previous)


def refuse_newer_schema(alias: str) -> None:
    """Raise `CommandError` when the database has migrations of ours that this code does not know."""
    applied = set(MigrationRecorder(connections[alias]).applied_migrations())
    known = set(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)
    installed = {app.label for app in apps.get_app_configs()}
    unknown = sorted(f"{app}.{name}" for app, name in applied - known if app in installed)
    if unknown:
        raise CommandError(
            "The database is newer than this code: it has migrations that are not here "
            f"({', '.join(unknown)}). Update the code, or use the database's own version of it."
        )
