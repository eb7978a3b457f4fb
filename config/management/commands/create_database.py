"""`manage.py create_database <superuser url>`: roles and database on a server of your own.

Passwords are made up and printed once; with `--from-settings` they are those of `DATABASE_URL` and
`DATABASE_OWNER_URL`, nothing is printed, and running it again changes nothing.
"""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

import environ
import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.embedded import roles


class Command(BaseCommand):
    help = "Create the two roles and the database on a PostgreSQL server; print their addresses."
    # The database that the settings name need not be there yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "url", help="a superuser's address, e.g. postgres://postgres@host/postgres"
        )
        parser.add_argument("--name", default=roles.DATABASE)
        parser.add_argument(
            "--from-settings",
            action="store_true",
            help="take passwords and name from DATABASE_URL and DATABASE_OWNER_URL, print nothing",
        )

    def handle(self, *args: Any, url: str, name: str, from_settings: bool, **options: Any) -> None:
        if from_settings:
            name, passwords = settled()
        else:
            passwords = {role: secrets.token_urlsafe(24) for role in (roles.APP, roles.OWNER)}
        parts = urlsplit(url)
        try:
            with psycopg.connect(url, autocommit=True) as server:
                roles.ensure_roles(server, passwords)
                roles.ensure_database(server, name)
            with psycopg.connect(
                parts._replace(path=f"/{name}").geturl(), autocommit=True
            ) as inside:
                roles.grant(inside, name)
        except psycopg.Error as error:
            raise CommandError(str(error).strip()) from error
        if from_settings:
            return
        place = parts.netloc.rpartition("@")[2]
        for variable, role in (("DATABASE_URL", roles.APP), ("DATABASE_OWNER_URL", roles.OWNER)):
            netloc = f"{role}:{passwords[role]}@{place}"
            address = parts._replace(netloc=netloc, path=f"/{name}").geturl()
            self.stdout.write(f"{variable}={address}")


def settled() -> tuple[str, dict[str, str]]:
    """The database's name and both roles' passwords as the settings have them; or `CommandError`."""
    app = settings.DATABASES["default"]
    owner = environ.Env.db_url_config(settings.DATABASE_OWNER_URL or "postgres://")
    for role, given in ((roles.APP, app), (roles.OWNER, owner)):
        if given["USER"] != role or not given["PASSWORD"]:
            variable = "DATABASE_URL" if role == roles.APP else "DATABASE_OWNER_URL"
            raise CommandError(f"{variable} does not name the role {role} with a password.")
    return app["NAME"], {roles.APP: app["PASSWORD"], roles.OWNER: owner["PASSWORD"]}
