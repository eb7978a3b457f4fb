"""Letters on a machine without a mail server: kept in the database, read at /mailbox/."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from accounts.models import LocalLetter

KEPT = timedelta(days=7)


class LocalMailboxBackend(BaseEmailBackend):
    """Django's mail backend that puts every letter into the local mailbox."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """How many letters were kept; letters of last week are thrown away."""
        LocalLetter.objects.filter(sent_at__lt=timezone.now() - KEPT).delete()
        for message in email_messages:
            LocalLetter.objects.create(
                to=", ".join(message.recipients())[:500],
                subject=str(message.subject)[:500],
                body=str(message.body),
            )
        return len(email_messages)
