"""The installation's numbers in one table: processes add what they counted, one scrape reads them all.

Web processes write from their event loop, workers from their courier's (`write`), every few seconds and
at their end. A process that runs neither (a management command) counts nothing. Gauges that take a walk
through the accounts are left here by whoever walked (`set_gauges`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import LiteralString

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts import metrics
from accounts.metrics import DECLARED, Kind, Labels, Series
from conversations import backlog
from conversations.models import Courier, Delivery, Lane
from integrations.courier.database import DATABASE_ERRORS, Pool
from integrations.models import Measure

logger = logging.getLogger(__name__)

WRITE_SECONDS = 5.0
Numbers = Mapping[Labels, float]
SWEEP = "switchboard_sweep_last_success_timestamp"
# What HTTP slots are for.
SLOT_KINDS = (Lane.Kind.AGENT, Lane.Kind.SEND, Lane.Kind.SUBSCRIBER)

# Rows are taken in one order everywhere, so that two processes never wait for each other. Nobody waits
# for the disk: a crash of the server may cost the last counts, as that of a process does.
_WRITE: LiteralString = """
WITH given AS (
    SELECT * FROM unnest(%(names)s::text[], %(labels)s::text[], %(values)s::float[], %(marks)s::bool[])
        AS given (name, labels, value, is_mark)
)
INSERT INTO integrations_measure AS measure (name, labels, value, updated_at)
SELECT name, labels::jsonb, value, now()
FROM given, set_config('synchronous_commit', 'off', true) unflushed ORDER BY name, labels
ON CONFLICT (name, labels) DO UPDATE
SET updated_at = now(), value = CASE
    WHEN EXCLUDED.name IN (SELECT name FROM given WHERE is_mark)
    THEN GREATEST(measure.value, EXCLUDED.value) ELSE measure.value + EXCLUDED.value END
"""
# A row that nobody is shown: when a turn at something was last taken.
_TAKE_TURN: LiteralString = """
INSERT INTO integrations_measure AS measure (name, labels, value, updated_at)
VALUES (%(name)s, '{}', 0, now())
ON CONFLICT (name, labels) DO UPDATE SET updated_at = now()
WHERE measure.updated_at <= now() - %(seconds)s * interval '1 second'
"""


async def write(pool: Pool) -> None:
    """Add what this process has counted since the last time. Raises the database's errors; nothing that
    was counted is lost by them."""
    counts, marks = metrics.tally.take()
    if not counts and not marks:
        return
    try:
        async with pool.connection() as its_connection:
            await its_connection.execute(_WRITE, _columns(counts, marks))
    except BaseException:
        metrics.tally.put_back(counts, marks)
        raise


async def write_for_ever() -> None:
    """Write every few seconds, and once more when cancelled."""
    pool = Pool(1, "measures")
    try:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await _try_to_write(pool)
    finally:
        await _try_to_write(pool)
        await pool.close()


async def _try_to_write(pool: Pool) -> None:
    try:
        await write(pool)
    except DATABASE_ERRORS as error:
        logger.warning("measures not written error=%s", type(error).__name__)


def _columns(
    counts: Mapping[Series, float], marks: Mapping[Series, float]
) -> dict[str, Sequence[object]]:
    rows = [*counts.items(), *marks.items()]
    return {
        "names": [name for (name, _labels), _value in rows],
        "labels": [json.dumps(dict(labels)) for (_name, labels), _value in rows],
        "values": [value for _series, value in rows],
        "marks": [False] * len(counts) + [True] * len(marks),
    }


def take_turn(name: str, *, every: timedelta) -> bool:
    """Whether nobody has had a turn for that long; if so, it is the caller's, and nobody else's."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_TURN, {"name": f"turn:{name}", "seconds": every.total_seconds()})
        return bool(cursor.rowcount)


@transaction.atomic
def set_gauges(gauges: Mapping[str, Numbers]) -> None:
    """Put these numbers in the place of all that the gauges showed."""
    Measure.objects.filter(name__in=gauges).delete()
    Measure.objects.bulk_create(
        [
            Measure(name=name, labels=dict(labels), value=value)
            for name, numbers in gauges.items()
            for labels, value in numbers.items()
        ],
        update_conflicts=True,  # another courier may have been as late as we
        unique_fields=["name", "labels"],
        update_fields=["value", "updated_at"],
    )


def read() -> dict[str, dict[Labels, float]]:
    """Every number there is, by the names of the table's rows; what is declared but was never counted
    is zero where it is known by which labels it would be."""
    found = _zeros()
    for name, labels, value in Measure.objects.values_list("name", "labels", "value"):
        its = _shown(labels)
        numbers = found.setdefault(name, {})
        numbers[its] = numbers.get(its, 0.0) + value
    for name, gauge in _asked().items():
        found[name] = {**found.get(name, {}), **gauge}
    return found


def swept_at() -> datetime | None:
    """When a courier last said that it looks for work; by the database's clock."""
    return Measure.objects.filter(name=SWEEP).values_list("updated_at", flat=True).first()


def _shown(labels: Mapping[str, str]) -> Labels:
    """The labels in one order; the account among them only where the operator wants it."""
    return tuple(
        (name, value)
        for name, value in sorted(labels.items())
        if name != metrics.ACCOUNT or settings.METRICS_PER_TENANT
    )


def _zeros() -> dict[str, dict[Labels, float]]:
    zeros: dict[str, dict[Labels, float]] = {}
    for metric in DECLARED.values():
        its = metric.zeros or ((),)
        if metric.kind != Kind.HISTOGRAM and len(its[0]) == len(metric.labels):
            values = (sorted(zip(metric.labels, one, strict=True)) for one in its)
            zeros[metric.name] = {tuple(one): 0.0 for one in values}
    return zeros


def _asked() -> dict[str, dict[Labels, float]]:
    """The gauges that the outbox itself answers."""
    waiting = backlog.open_deliveries()
    return {
        "switchboard_pending": {
            (("kind", kind), ("state", state)): float(n) for (kind, state), n in waiting.items()
        },
        "switchboard_uncertain": {(): _sum(waiting, Delivery.State.UNCERTAIN)},
        "switchboard_delivery_age_seconds": {
            **{(("kind", str(kind)),): 0.0 for kind in Lane.Kind},
            **{(("kind", kind),): age for kind, age in backlog.oldest_due(list(Lane.Kind)).items()},
        },
        "switchboard_slots": _slots(),
    }


def _sum(waiting: Mapping[tuple[str, str], int], state: str) -> float:
    return float(sum(n for (_kind, its), n in waiting.items() if its == state))


def _slots() -> dict[Labels, float]:
    """Taking each courier to have as many as our own setting says."""
    alive = Courier.objects.filter(last_seen_at__gt=timezone.now() - Courier.SEEN_WITHIN).count()
    used = backlog.leased(SLOT_KINDS)
    free = max(0, alive * settings.COURIER_HTTP_SLOTS - used)
    return {(("state", "used"),): float(used), (("state", "free"),): float(free)}
