"""Jobs of the desk that nobody waits for."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import DatabaseError

from accounts.models import Account
from accounts.tenancy import account_context
from conversations.models import Conversation
from conversations.services.erasing import erase_latecomers
from conversations.services.merging import move_latecomers
from conversations.services.tallies import add_up

logger = logging.getLogger(__name__)


@shared_task
def wipe_latecomers() -> int:
    """What was under way when a contact was merged or erased; beat starts it every few minutes."""
    wiped = 0
    for account_id in Account.objects.order_by("pk").values_list("pk", flat=True).iterator():
        try:
            with account_context(account_id):
                move_latecomers()
                wiped += erase_latecomers()
        except DatabaseError:  # the next run does it; the other accounts do not wait for it
            logger.exception("latecomers not wiped account=%d", account_id)
    return wiped


@shared_task
def add_up_tallies() -> None:
    """What was counted since the last time becomes one number again; beat starts it every few minutes."""
    for account_id in Account.objects.order_by("pk").values_list("pk", flat=True).iterator():
        try:
            with account_context(account_id):
                add_up()
        except DatabaseError:  # the sum is the same, only longer to read
            logger.exception("tallies not added up account=%d", account_id)


@shared_task
def send_transcript(account_id: int, conversation_id: int, to: str, language: str) -> None:
    """A conversation as a letter (conversations/transcripts.py). No transaction is open while a mail
    server takes it."""
    from conversations import transcripts

    with account_context(account_id):
        related = Conversation.objects.select_related("account", "contact")
        letter = transcripts.letter(related.get(pk=conversation_id), to=to, language=language)
    letter.send()
