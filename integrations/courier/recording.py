"""Writing results behind the fence: a result whose lease is gone changes nothing (DL-50)."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import connection

from conversations.models import Delivery, Lane
from integrations.courier.lanes import START, start_arguments
from integrations.courier.results import finish_many
from integrations.courier.work import Claim, Job, Result

logger = logging.getLogger(__name__)


def start(claim: Claim, *, courier_id: int) -> Job | None:
    """Mark the lane's head IN_FLIGHT and open its attempt; None when nothing is due there."""
    with connection.cursor() as cursor:
        cursor.execute(START, start_arguments([claim], courier_id))
        row = cursor.fetchone()
    return Job(claim, row[1], row[2], row[3]) if row else None


def finish(result: Result) -> bool:
    """Write the result; False when the lease is gone and nothing but the attempt was changed."""
    with connection.cursor() as cursor:
        cursor.execute(*finish_many([result]))
        changed = cursor.fetchone() is not None
    if not changed:
        job = result.job
        logger.warning("stale result delivery=%d attempt=%d", job.delivery_id, job.n)
    return changed


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
