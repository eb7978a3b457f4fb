"""`manage.py platform_token NAME [--account SLUG]…`: a platform app's token, shown once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Account
from integrations.chatwoot.platform.apps import give_token

LONGEST = 120


class Command(BaseCommand):
    help = (
        "Give the platform app of this name a new token for /platform/api/v1/ and print it; the app is made "
        "where there is none, and its old token ends."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--account",
            action="append",
            default=[],
            metavar="SLUG",
            help="an account that it may make bots in, beside system bots; may be given again",
        )

    def handle(self, *args: Any, name: str, account: list[str], **options: Any) -> None:
        if not 0 < len(name.strip()) <= LONGEST:
            raise CommandError(f"A name has 1 to {LONGEST} characters.")
        found = {one.slug: one for one in Account.objects.filter(slug__in=account)}
        if unknown := sorted(set(account) - found.keys()):
            raise CommandError(f"There is no account {', '.join(unknown)}.")
        _app, clear = give_token(name.strip(), found.values())
        self.stdout.write(clear)
