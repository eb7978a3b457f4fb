"""`manage.py create_database <superuser url>`: roles and database on a server of your own."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

import psycopg
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

    def handle(self, *args: Any, url: str, name: str, **options: Any) -> None:
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
        place = parts.netloc.rpartition("@")[2]
        for variable, role in (("DATABASE_URL", roles.APP), ("DATABASE_OWNER_URL", roles.OWNER)):
            netloc = f"{role}:{passwords[role]}@{place}"
            address = parts._replace(netloc=netloc, path=f"/{name}").geturl()
            self.stdout.write(f"{variable}={address}")
