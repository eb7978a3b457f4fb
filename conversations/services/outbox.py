"""Putting things on lanes. Always inside the transaction of the fact they tell about (DL-02)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from conversations.models import Conversation, Delivery, Lane

DOORBELL = "switchboard_lanes"
# The last an agent hears of a conversation it held; true whoever holds it by then.
FAREWELLS = ("conversation.unassigned", "conversation.resolved")

# The upsert takes the next sequence of the lane and locks its row until commit, so deliveries of
# one lane are numbered in commit order without gaps; the doorbell rings with the commit.
_OPEN_LANE = """
INSERT INTO conversations_lane AS lane
    (account_id, kind, destination_id, key, due_at, last_sequence, blocked_reason)
VALUES (%(account)s, %(kind)s, %(destination)s, %(key)s, %(due)s, 1, '')
ON CONFLICT (kind, destination_id, key) DO UPDATE
    SET last_sequence = lane.last_sequence + 1,
        due_at = LEAST(COALESCE(lane.due_at, EXCLUDED.due_at), EXCLUDED.due_at)
RETURNING id, last_sequence, pg_notify('switchboard_lanes', %(kind)s)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a lane."""

    lane_id: int
    sequence: int


def take_place(
    *, account_id: int, kind: str, destination_id: int, key: str, due_at: datetime | None = None
) -> Place:
    """The next place in the lane (made when there is none), and the doorbell at commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            _OPEN_LANE,
            {
                "account": account_id,
                "kind": kind,
                "destination": destination_id,
                "key": key,
                "due": due_at or timezone.now(),
            },
        )
        lane_id, sequence, _bell = cursor.fetchone()
    return Place(lane_id, sequence)


def put(
    place: Place, *, body: bytes = b"", due_at: datetime | None = None, **fields: Any
) -> Delivery:
    """Write the delivery that stands at `place`; `fields` are `Delivery`'s columns."""
    delivery = Delivery(
        lane_id=place.lane_id, sequence=place.sequence, due_at=due_at or timezone.now(), **fields
    )
    if body:
        delivery.body = body
    delivery.save(force_insert=True)
    return delivery


def cancel_for_agent(conversation: Conversation, *, endpoint_id: int, reason: str) -> int:
    """Take what is not yet under way off the agent's lane (F-25); returns how many.

    What tells the agent that it lost the conversation stays.
    """
    return (
        Delivery.objects.filter(conversation=conversation, endpoint_id=endpoint_id)
        .exclude(event_type__in=FAREWELLS)
        .filter(Q(state=Delivery.State.PENDING) | Q(state=Delivery.State.RETRY_WAIT))
        .update(state=Delivery.State.CANCELED, dead_reason=reason, finished_at=timezone.now())
    )


def ring(kind: str = Lane.Kind.AGENT) -> None:
    """Wake the couriers when this transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [DOORBELL, kind])
