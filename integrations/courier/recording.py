"""Writing results behind the fence: a result whose lease is gone changes nothing (DL-50)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from conversations.models import Attempt, Delivery, Lane
from integrations.courier import lanes
from integrations.courier.lanes import Claim, Job

logger = logging.getLogger(__name__)

KEPT_RESPONSE_HEADERS = frozenset(
    {"content-type", "content-length", "retry-after", "date", "server", "x-request-id"}
)
SECRET_WORDS = ("signature", "authorization", "token", "secret", "cookie")
EXCERPT = 4096

# In SQL because the condition must be looked at again on the row itself when another courier has
# just changed it; the ORM would put it into a sub-select.
_FINISH = """
UPDATE conversations_delivery delivery
SET state = %(state)s, due_at = COALESCE(%(due)s, delivery.due_at), dead_reason = %(reason)s,
    provider_message_id = %(external)s, attempts = attempts - %(uncounted)s,
    finished_at = CASE WHEN %(state)s IN ('delivered', 'dead', 'canceled') THEN now() END
FROM conversations_lane lane
WHERE delivery.id = %(delivery)s AND delivery.state = 'in_flight' AND delivery.attempts = %(n)s
  AND lane.id = delivery.lane_id AND lane.lease_token = %(token)s
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands in the attempt."""

    outcome: str
    status: int | None = None
    latency_ms: int | None = None
    error: str = ""
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: bytes = b""


def start(claim: Claim, *, courier_id: int) -> Job | None:
    """Mark the lane's head IN_FLIGHT and open its attempt; None when nothing is due there."""
    with connection.cursor() as cursor:
        cursor.execute(lanes.START, lanes.start_arguments([claim], courier_id))
        row = cursor.fetchone()
    return Job(claim, row[1], row[2], row[3]) if row else None


def head(claim: Claim) -> Delivery | None:
    """The lane's first open delivery if it may be started now."""
    first = (
        Delivery.objects.filter(lane_id=claim.lane_id, state__in=Delivery.OPEN_STATES)
        .order_by("sequence")
        .first()
    )
    if first is None or first.state not in (Delivery.State.PENDING, Delivery.State.RETRY_WAIT):
        return None
    return first if first.due_at <= timezone.now() else None


def finish(
    job: Job,
    state: str,
    *,
    due_at: datetime | None = None,
    reason: str = "",
    external_id: str = "",
    counts: bool = True,
) -> bool:
    """Write the delivery's new state; False when the lease is gone and nothing was changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            _FINISH,
            {
                "state": state,
                "due": due_at,
                "reason": reason[:250],
                "external": external_id[:250],
                "uncounted": 0 if counts else 1,
                "delivery": job.delivery_id,
                "n": job.n,
                "token": job.claim.token,
            },
        )
        changed: bool = cursor.rowcount == 1
    if not changed:
        logger.warning("stale result delivery=%d attempt=%d", job.delivery_id, job.n)
        close_attempt(job, Outcome("stale_result"))
    return changed


def close_attempt(job: Job, result: Outcome, *, next_due_at: datetime | None = None) -> None:
    Attempt.objects.filter(pk=job.attempt_id).update(
        ended_at=timezone.now(),
        outcome=result.outcome[:24],
        status=result.status,
        latency_ms=result.latency_ms,
        error=result.error.replace("\x00", "")[:500],
        request_headers=_redacted(result.request_headers),
        response_headers={
            name: value[:500]
            for name, value in result.response_headers.items()
            if name in KEPT_RESPONSE_HEADERS
        },
        response_body=result.response_body[:EXCERPT].decode("utf-8", "replace").replace("\x00", ""),
        next_due_at=next_due_at,
    )


def rest_lane(claim: Claim, due_at: datetime | None) -> bool:
    """Give a lane back that was locked in this transaction; False when it is no longer ours."""
    return bool(
        Lane.objects.filter(pk=claim.lane_id, lease_token=claim.token).update(
            lease_token=None, lease_until=None, courier_id=None, due_at=due_at
        )
    )


def _redacted(headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: "…" if any(word in name.lower() for word in SECRET_WORDS) else value
        for name, value in headers.items()
    }
