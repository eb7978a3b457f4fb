"""`manage.py demo [--json]`: the demo account, made when it is not there."""

from __future__ import annotations

import json as jsonlib
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from integrations.demo import NAME, is_production, make_demo


class Command(BaseCommand):
    help = "Make the demo account and print one sentence, or with --json everything a script needs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print ids, tokens and addresses")
        parser.add_argument("--force", action="store_true", help="also in production")

    def handle(self, *args: Any, json: bool, force: bool, **options: Any) -> None:
        if is_production() and not force:
            raise CommandError(
                "This looks like production: the demo account is not made here unless you add --force."
            )
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise CommandError("The database does not answer. Start it first: make run") from error
        facts = make_demo()
        if json:
            self.stdout.write(jsonlib.dumps(facts, indent=2))
            return
        self.stdout.write(
            f"The demo account {NAME} is ready: log in at {facts['base_url']}/ as "
            f"{facts['owner']['email']} with {facts['owner']['password']}"
        )
