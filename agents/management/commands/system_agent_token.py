"""`manage.py system_agent_token NUMBER [--reason TEXT]`: a new token of a system agent, shown once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents import system

LONGEST = 250


class Command(BaseCommand):
    help = (
        "Give an AI agent of the installation a new token and print it; the old one ends at once, in every "
        "account, and each account's audit log says so."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=int, help="its number, as accounts see it as well")
        parser.add_argument("--reason", default="", help="for the audit logs of the accounts")

    def handle(self, *args: Any, number: int, reason: str, **options: Any) -> None:
        found = system.living().filter(pk=number).first()
        if found is None:
            raise CommandError(f"There is no system agent {number}.")
        self.stdout.write(system.replace_token(found, reason=reason[:LONGEST]))
