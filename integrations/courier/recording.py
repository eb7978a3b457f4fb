"""Writing results behind the fence: a result whose lease is gone changes nothing (DL-50)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from django.db import connection, transaction

from conversations.models import Delivery, Lane
from integrations.courier.lanes import (
    LOCK,
    RELEASE,
    START,
    keys_of,
    release_arguments,
    start_arguments,
)
from integrations.courier.results import finish_many, tell
from integrations.courier.work import Claim, Job, Release, Rested, Result

logger = logging.getLogger(__name__)


def start(claim: Claim, *, courier_id: int) -> Job | None:
    """Mark the lane's head IN_FLIGHT and open its attempt; None when nothing is due there."""
    return start_many([claim], courier_id=courier_id).get(claim.lane_id)


def start_many(claims: Sequence[Claim], *, courier_id: int) -> dict[int, Job]:
    """The same for several lanes, by lane; those where nothing is due are missing."""
    if not claims:
        return {}
    by_lane = {claim.lane_id: claim for claim in claims}
    with connection.cursor() as cursor:
        cursor.execute(START, start_arguments(claims, courier_id))
        return {row[0]: Job(by_lane[row[0]], *row[1:4]) for row in cursor.fetchall()}


def finish(result: Result) -> bool:
    """Write the result; False when the lease is gone and nothing but the attempt was changed."""
    with connection.cursor() as cursor:
        cursor.execute(*finish_many([result]))
        rows = cursor.fetchall()
    transaction.on_commit(partial(tell, [result], rows), robust=True)
    changed = bool(rows)
    if not changed:
        job = result.job
        logger.warning("stale result delivery=%d attempt=%d", job.delivery_id, job.n)
    return changed


class StaleError(Exception):
    """Of several results, one is not ours to write any more."""


def finish_all(results: Sequence[Result]) -> None:
    """Write several results, all or none. Raises `StaleError`."""
    if not results:
        return
    with connection.cursor() as cursor:
        cursor.execute(*finish_many(results))
        rows = cursor.fetchall()
    if len(rows) < len(results):
        raise StaleError
    transaction.on_commit(partial(tell, results, rows), robust=True)


def rest_lanes(claims: Sequence[Claim]) -> dict[int, Rested]:
    """Give back, in the transaction that has written their results, those lanes that nobody else has locked;
    by lane. What is missing is given back by itself. To be called last: what locks a lane waits for
    nothing."""
    if not claims:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(LOCK, keys_of(claims))
        locked = {row[0] for row in cursor.fetchall()}
        ours = [Release(claim) for claim in claims if claim.lane_id in locked]
        cursor.execute(RELEASE, release_arguments(ours))
        return {lane_id: Rested(due_in) for lane_id, due_in in cursor.fetchall()}


def rest_lane(claim: Claim, due_at: datetime | None) -> bool:
    """Give a lane back that was locked in this transaction; False when it is no longer ours."""
    return bool(
        Lane.objects.filter(pk=claim.lane_id, lease_token=claim.token).update(
            lease_token=None, lease_until=None, courier_id=None, due_at=due_at
        )
    )


def may_start(delivery: Delivery | None, now: datetime) -> bool:
    """Whether a lane's first open delivery can be started."""
    startable = (Delivery.State.PENDING, Delivery.State.RETRY_WAIT)
    return delivery is not None and delivery.state in startable and delivery.due_at <= now
