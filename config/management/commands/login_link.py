"""`manage.py login_link [e-mail]`: print an address that logs in once, within ten minutes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from config.login_link import make_link


class Command(BaseCommand):
    help = (
        "Print a one-time login link (ten minutes) for the given e-mail, or the first user. "
        "Who has a second factor is asked for it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="?", default="")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        users = User.objects.filter(is_active=True).order_by("pk")
        user = (users.filter(email__iexact=email) if email else users).first()
        if user is None:
            raise CommandError(f"No active user {email}".strip() + ". Create one first.")
        self.stdout.write(make_link(user))
