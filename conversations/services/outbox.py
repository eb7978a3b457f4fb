"""Putting things on lanes. Always inside the transaction of the fact they tell about (DL-02)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from accounts import metrics
from accounts.inserting import insert_many
from accounts.tenancy import current_account_id
from conversations.models import Conversation, Delivery, Lane
from conversations.services import carrying
from conversations.services.carrying import Waiting

DOORBELL = "switchboard_lanes"
# The last an agent hears of a conversation it held; true whoever holds it by then.
FAREWELLS = ("conversation.unassigned", "conversation.resolved", "contact.erased")

# How the lane of a delivery begins that is tried alone (DL-23).
PARKED = "parked:"
# How long the trying of what goes through a channel may take (delivery.md 5).
SEND_BUDGET = timedelta(minutes=60)
# Why something for an agent was canceled that lost the conversation.
NOT_ASSIGNED = "not_assigned"

# The upsert takes the next numbers of the lanes and locks their rows until commit, so deliveries of one
# lane are numbered in commit order without gaps; the doorbell rings with the commit. Lanes are opened
# in one order everywhere, so that two batches never wait for each other. The time is the database's,
# for a process whose clock is wrong must not make anything due late (F-30). The bell stays silent where a
# courier of this process goes on by itself.
_OPEN_LANES = """
WITH opened AS (
    INSERT INTO conversations_lane AS lane
        (account_id, kind, destination_id, key, due_at, last_sequence, blocked_reason)
    SELECT %(account)s, kind, destination_id, key,
        COALESCE(%(due)s::timestamptz, statement_timestamp()), count(*), ''
    FROM unnest(%(kinds)s::text[], %(destinations)s::bigint[], %(keys)s::text[])
        AS wanted (kind, destination_id, key)
    GROUP BY kind, destination_id, key ORDER BY kind, destination_id, key
    ON CONFLICT (kind, destination_id, key) DO UPDATE
        SET last_sequence = lane.last_sequence + EXCLUDED.last_sequence,
            due_at = LEAST(COALESCE(lane.due_at, EXCLUDED.due_at), EXCLUDED.due_at)
    RETURNING kind, destination_id, key, id, last_sequence
)
SELECT opened.*, statement_timestamp(),
       CASE WHEN %(rings)s THEN pg_notify('switchboard_lanes', kind) END
FROM opened
"""


class LaneName(NamedTuple):
    """What a lane is known by."""

    kind: str
    destination_id: int
    key: str


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a lane, and when it was taken by the database's clock: due times and deadlines of what
    stands there count from then."""

    lane_id: int
    sequence: int
    at: datetime


def take_place(
    *, account_id: int, kind: str, destination_id: int, key: str, due_at: datetime | None = None
) -> Place:
    """The next place in the lane (made when there is none), and the doorbell at commit."""
    return take_places(account_id, [LaneName(kind, destination_id, key)], due_at=due_at)[0]


def take_places(
    account_id: int, names: Sequence[LaneName], *, due_at: datetime | None = None
) -> list[Place]:
    """The next place in each lane, in this order; a lane may be named several times."""
    if not names:
        return []
    carrier = carrying.carrier() if due_at is None else None
    with connection.cursor() as cursor:
        cursor.execute(
            _OPEN_LANES,
            {
                "account": account_id,
                "due": due_at,
                "rings": carrier is None,
                "kinds": [str(name.kind) for name in names],
                "destinations": [name.destination_id for name in names],
                "keys": [name.key for name in names],
            },
        )
        opened = {LaneName(*row[:3]): row[3:6] for row in cursor.fetchall()}
    if carrier is not None:
        lanes = [
            Waiting(row[0], account_id, name.kind, name.destination_id)
            for name, row in opened.items()
        ]
        transaction.on_commit(partial(carrier.take_up, lanes), robust=True)
    left = Counter(names)
    places = []
    for name in names:
        lane_id, last, now = opened[name]
        left[name] -= 1
        places.append(Place(lane_id, last - left[name], now))
    return places


def give_back(places: Mapping[int, int]) -> None:
    """Leave so many places that were just taken last, by lane, so that its numbers have no gap."""
    for lane_id, n in places.items():
        Lane.objects.filter(pk=lane_id).update(last_sequence=F("last_sequence") - n)


def put(
    place: Place, *, body: bytes = b"", due_at: datetime | None = None, **fields: Any
) -> Delivery:
    """Write the delivery that stands at `place`; `fields` are `Delivery`'s columns."""
    return put_many([delivery_at(place, body=body, due_at=due_at, **fields)])[0]


def delivery_at(
    place: Place, *, body: bytes = b"", due_at: datetime | None = None, **fields: Any
) -> Delivery:
    """The same, not written yet: for `put_many`."""
    delivery = Delivery(
        lane_id=place.lane_id, sequence=place.sequence, due_at=due_at or place.at, **fields
    )
    if body:
        delivery.body = body
    return delivery


def put_many(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Write deliveries that stand at places of their own."""
    return insert_many(deliveries)


def cancel_for_agent(conversation: Conversation, *, endpoint_id: int, reason: str) -> int:
    """Take what is not yet under way off the agent's lane (F-25); returns how many.

    What tells the agent that it lost the conversation stays.
    """
    waiting = (
        Delivery.objects.filter(conversation=conversation, endpoint_id=endpoint_id)
        .exclude(event_type__in=FAREWELLS)
        .filter(Q(state=Delivery.State.PENDING) | Q(state=Delivery.State.RETRY_WAIT))
    )
    return cancel(waiting, reason=reason)


def cancel_questions(conversation: Conversation, *, endpoint_id: int) -> list[Delivery]:
    """Take what an agent was asked and is not yet under way off its lane, for it lost the conversation
    (F-25); returns it, in order. Its notices stay."""
    asked = (
        Delivery.objects.filter(conversation=conversation, endpoint_id=endpoint_id)
        .filter(Q(state=Delivery.State.PENDING) | Q(state=Delivery.State.RETRY_WAIT))
        .filter(schedule=Delivery.Schedule.LIVE)
    )
    # Locked, so that none is claimed meanwhile, and what is returned is what was canceled.
    canceled = list(asked.select_for_update().order_by("sequence"))
    cancel(Delivery.objects.filter(pk__in=[one.pk for one in canceled]), reason=NOT_ASSIGNED)
    return canceled


def cancel(deliveries: QuerySet[Delivery], *, reason: str) -> int:
    """Cancel all of these, which are open; returns how many."""
    kinds = list(deliveries.order_by().values_list("kind", "schedule").annotate(n=Count("pk")))
    canceled = deliveries.update(
        state=Delivery.State.CANCELED, dead_reason=reason[:250], finished_at=timezone.now()
    )
    for kind, schedule, n in kinds:
        count_ended(n, kind, schedule)
    return canceled


def count_ended(
    n: int, kind: str, schedule: str, *, outcome: str = Delivery.State.CANCELED
) -> None:
    """Count deliveries that ended without an attempt's end saying so, once it is committed."""
    if n:
        count = partial(
            metrics.count,
            "switchboard_deliveries_total",
            n,
            account=current_account_id(),
            kind=str(kind),
            class_=str(schedule),
            outcome=str(outcome),
        )
        transaction.on_commit(count, robust=True)


def ring(kind: str = Lane.Kind.AGENT) -> None:
    """Wake the couriers when this transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [DOORBELL, kind])
