"""Timers: rows that must fire whoever is alive then; rooms register what firing means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from django.db import connection

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


_START = """
INSERT INTO conversations_timer (account_id, kind, conversation_id, epoch, due_at, extended)
SELECT %(account)s, %(kind)s, conversation_id, epoch, due_at, false
FROM unnest(%(conversations)s::bigint[], %(epochs)s::int[], %(dues)s::timestamptz[])
    AS wanted (conversation_id, epoch, due_at)
ON CONFLICT (conversation_id, kind) WHERE kind IN ('patience', 'snooze') DO UPDATE
    SET due_at = CASE WHEN conversations_timer.epoch = EXCLUDED.epoch AND NOT %(replace)s
                      THEN conversations_timer.due_at ELSE EXCLUDED.due_at END,
        extended = conversations_timer.extended
                   AND conversations_timer.epoch = EXCLUDED.epoch AND NOT %(replace)s,
        epoch = EXCLUDED.epoch
"""


def start(
    kind: str, conversation: Conversation, *, due_at: datetime, replace: bool = False
) -> None:
    """Start the conversation's timer of this kind unless one of this epoch runs already (DL-60)."""
    start_many(kind, [(conversation, due_at)], replace=replace)


def start_many(
    kind: str, wanted: Sequence[tuple[Conversation, datetime]], *, replace: bool = False
) -> None:
    """The same for several locked conversations of the account in context, each once."""
    if not wanted:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _START,
            {
                "account": current_account_id(),
                "kind": kind,
                "conversations": [conversation.pk for conversation, _due in wanted],
                "epochs": [conversation.assignment_epoch for conversation, _due in wanted],
                "dues": [due for _conversation, due in wanted],
                "replace": replace,
            },
        )


def start_for_delivery(
    kind: str, delivery: Delivery, conversation: Conversation, *, due_at: datetime
) -> Timer:
    """A timer about one delivery (reconciling an uncertain send)."""
    return Timer.objects.create(
        kind=kind,
        conversation=conversation,
        delivery=delivery,
        epoch=delivery.epoch,
        due_at=due_at,
    )


def clear(kind: str, *conversations: Conversation) -> None:
    Timer.objects.filter(kind=kind, conversation__among=[one.pk for one in conversations]).delete()
