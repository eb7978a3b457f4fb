"""What waits, over all accounts: questions about the outbox for the operator's eyes (delivery.md 15).

In SQL, because the ORM's walls rightly refuse to look over all accounts; nothing but numbers comes back.
The conditions are written out so that the partial indexes of what is open and due serve them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import LiteralString

from django.db import connection

from conversations.models import Lane

# What a customer waits for.
LIVE = (Lane.Kind.AGENT, Lane.Kind.SEND)

_OPEN: LiteralString = """
SELECT kind, state, count(*) FROM conversations_delivery
WHERE state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held') GROUP BY kind, state
UNION ALL
SELECT kind, 'pending', count(*) FROM conversations_lane
WHERE kind IN ('inbound', 'status') AND due_at IS NOT NULL GROUP BY kind
"""
_OLDEST: LiteralString = """
SELECT kind, extract(epoch FROM now() - min(due_at))::float FROM conversations_lane
WHERE due_at <= now() AND kind = ANY(%s) AND lease_token IS NULL AND blocked_reason = '' GROUP BY kind
"""
_LEASED: LiteralString = """
SELECT count(*) FROM conversations_lane
WHERE courier_id IS NOT NULL AND lease_token IS NOT NULL AND kind = ANY(%s)
"""


def open_deliveries() -> dict[tuple[str, str], int]:
    """How many have not ended, by (kind, state); of kinds inbound and status: lanes with receipts to be read."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        return {(kind, state): n for kind, state, n in cursor.fetchall()}


def oldest_due(kinds: Collection[str]) -> Mapping[str, float]:
    """For how many seconds the lane that waits longest has been due, by kind; kinds where none is are
    missing. Lanes that wait for something that has a name (an inbox that is off, a limit) do not count.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST, [[str(kind) for kind in kinds]])
        return dict(cursor.fetchall())


def leased(kinds: Collection[str]) -> int:
    """How many lanes couriers have under way."""
    with connection.cursor() as cursor:
        cursor.execute(_LEASED, [[str(kind) for kind in kinds]])
        row = cursor.fetchone()
    return int(row[0]) if row else 0
