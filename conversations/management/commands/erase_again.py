"""`manage.py erase_again < web.log`: after a restore, erase whoever had been erased by then."""

from __future__ import annotations

import re
import sys
from typing import Any

from django.core.management.base import BaseCommand

from accounts import ids
from accounts.models import Account
from accounts.tenancy import account_context
from conversations.models import Contact
from conversations.services.erasing import LOGGED, erase_contact

_LINE = re.compile(LOGGED.replace("%s", r"(\w+)"))


class Command(BaseCommand):
    help = (
        "Reads logs from its standard input and erases the contacts that were erased by then, "
        "for a backup brings them back."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        found = {match.groups() for line in sys.stdin for match in _LINE.finditer(line)}
        erased = sum(_erase(account, contact) for account, contact in sorted(found))
        self.stdout.write(f"{erased} contacts erased again, {len(found) - erased} had been before")


def _erase(account_id: str, contact_id: str) -> bool:
    with account_context(ids.decode(Account.public_id, account_id)):
        pk = ids.decode(Contact.public_id, contact_id)
        contact = Contact.objects.filter(pk=pk, erased_at__isnull=True).first()
        if contact is not None:
            erase_contact(contact, by=None)
    return contact is not None
