"""Timers: whatever is due fires here, whoever set it (patience, snooze, uncertain sends)."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import LiteralString

from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now

from accounts.tenancy import account_context
from conversations import timers
from conversations.models import Timer
from conversations.services.locking import lock
from integrations.courier.database import Pool

logger = logging.getLogger(__name__)

BATCH = 100
# A timer whose handler breaks is tried again; it must not be lost, nor hold the others up.
BROKEN_WAIT = timedelta(seconds=10)

_DUE: LiteralString = """
SELECT id, account_id, conversation_id, GREATEST(extract(epoch FROM due_at - now()), 0)::float
FROM conversations_timer ORDER BY due_at LIMIT %s
"""


async def find_due(pool: Pool) -> tuple[list[tuple[int, int, int]], float | None]:
    """(id, account, conversation) of due timers, and the seconds until the next one after them."""
    async with pool.connection() as connection:
        rows = await (await connection.execute(_DUE, [BATCH])).fetchall()
    due = [(pk, account, conversation) for pk, account, conversation, wait in rows if wait == 0]
    upcoming = next((wait for *_ids, wait in rows if wait > 0), None)
    return due, upcoming


def fire(timer_id: int, account_id: int, conversation_id: int) -> None:
    """Fire one timer and delete it in the same transaction.

    The conversation is locked first, as by everybody who clears a timer; whoever comes second finds
    the row gone or moved.
    """
    try:
        with account_context(account_id):
            lock(conversation_id)
            timer = Timer.objects.select_for_update().filter(pk=timer_id, due_at__lte=Now()).first()
            if timer is None:
                return
            # Deleted first: the handler may start the next one, which is the same row.
            Timer.objects.filter(pk=timer_id).delete()
            timers.fire(timer)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("timer broke timer=%d conversation=%d", timer_id, conversation_id)
        with account_context(account_id):
            Timer.objects.filter(pk=timer_id).update(due_at=Now() + BROKEN_WAIT)
