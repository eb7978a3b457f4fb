"""Timers: rows that must fire whoever is alive then; rooms register what firing means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models.functions import Now

from accounts.tenancy import current_account_id
from conversations.models import Conversation, Delivery, Timer

Handler = Callable[[Timer], None]
_handlers: dict[str, Handler] = {}


def register(kind: str, handler: Handler) -> None:
    """Called from `AppConfig.ready`; the handler runs in the account's context and transaction."""
    _handlers[kind] = handler


def fire(timer: Timer) -> None:
    """Run the handler of a due timer; the caller has locked and deleted its row."""
    _handlers[timer.kind](timer)


# A wait counts from now by the database's clock, which also decides when it is over (F-30).
_START = """
INSERT INTO conversations_timer (account_id, kind, conversation_id, epoch, due_at, extended)
SELECT %(account)s, %(kind)s, conversation_id, epoch,
    COALESCE(%(due)s::timestamptz, statement_timestamp() + wait), false
FROM unnest(%(conversations)s::bigint[], %(epochs)s::int[], %(waits)s::interval[])
    AS wanted (conversation_id, epoch, wait)
ON CONFLICT (conversation_id, kind) WHERE kind IN ('patience', 'snooze') DO UPDATE
    SET due_at = CASE WHEN conversations_timer.epoch = EXCLUDED.epoch AND NOT %(replace)s
                      THEN conversations_timer.due_at ELSE EXCLUDED.due_at END,
        extended = conversations_timer.extended
                   AND conversations_timer.epoch = EXCLUDED.epoch AND NOT %(replace)s,
        epoch = EXCLUDED.epoch
"""


def move(kind: str, conversation: Conversation, *, due_at: datetime) -> None:
    """Let the conversation's timer of this kind fire at that time, whether one runs or not."""
    _start(kind, [(conversation, None)], due_at=due_at, replace=True)


def start(kind: str, wanted: Sequence[tuple[Conversation, timedelta]]) -> None:
    """Start timers of locked conversations of the account in context, each once, to fire after so long;
    one of this epoch that runs already goes on (DL-60)."""
    if wanted:
        _start(kind, wanted, due_at=None, replace=False)


def _start(
    kind: str,
    wanted: Sequence[tuple[Conversation, timedelta | None]],
    *,
    due_at: datetime | None,
    replace: bool,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _START,
            {
                "account": current_account_id(),
                "kind": kind,
                "conversations": [conversation.pk for conversation, _wait in wanted],
                "epochs": [conversation.assignment_epoch for conversation, _wait in wanted],
                "waits": [wait for _conversation, wait in wanted],
                "due": due_at,
                "replace": replace,
            },
        )


def start_for_delivery(
    kind: str, delivery: Delivery, conversation: Conversation, *, wait: timedelta
) -> None:
    """A timer about one delivery (reconciling an uncertain send)."""
    Timer.objects.create(
        kind=kind,
        conversation=conversation,
        delivery=delivery,
        epoch=delivery.epoch,
        due_at=Now() + wait,
    )


# SQL, because it is run for every answer, and the ORM's delete takes longer to write than to do.
_CLEAR = "DELETE FROM conversations_timer WHERE kind = %s AND conversation_id = ANY(%s)"


def clear(kind: str, *conversations: Conversation) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_CLEAR, [str(kind), [one.pk for one in conversations]])
