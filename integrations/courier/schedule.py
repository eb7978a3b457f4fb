"""When to try again: delivery.md 5 as a pure function."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from conversations.models import Delivery

JITTER = 0.2
# Waits before the 2nd, 3rd, … attempt; the last one repeats where attempts are not counted.
WAITS: Mapping[str, tuple[float, ...]] = {
    Delivery.Schedule.LIVE: (2, 5, 15, 30, 60, 120, 300),
    Delivery.Schedule.NOTICE: (3, 3),
    Delivery.Schedule.SEND: (1, 3, 10, 30, 120, 600, 1800),
    Delivery.Schedule.DURABLE: (
        5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600,
    ),
    Delivery.Schedule.ONCE: (),
}  # fmt: skip
# Live deliveries end at their deadline, not by count.
MAX_ATTEMPTS: Mapping[str, int | None] = {
    Delivery.Schedule.LIVE: None,
    Delivery.Schedule.NOTICE: 3,
    Delivery.Schedule.SEND: 8,
    Delivery.Schedule.DURABLE: 10,
    Delivery.Schedule.ONCE: 1,
}
# A live delivery without a deadline (a test, a notice to an old holder) is not tried for ever.
MAX_WITHOUT_DEADLINE = 8
TO_AGENTS = (Delivery.Schedule.LIVE, Delivery.Schedule.NOTICE)
# Waiting will not help a customer (DL-34).
HOPELESS_LIVE = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 501})
SLOW_DURABLE = frozenset({429, 502, 504})
SLOW_SECONDS = 10.0
MAX_THROTTLE_SECONDS = 256.0


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one attempt, as far as the next one depends on it."""

    outcome: str
    status: int | None = None
    retry_after: float | None = None


def next_wait(
    schedule: str, attempts: int, failure: Failure, *, max_attempts: int | None = None
) -> float | None:
    """Seconds until attempt `attempts` + 1, with jitter; None when there is no further one."""
    if failure.outcome == "blocked_address":
        return None
    if schedule in TO_AGENTS and failure.status in HOPELESS_LIVE:
        return None
    limits = [limit for limit in (MAX_ATTEMPTS[schedule], max_attempts) if limit is not None]
    waits = WAITS[schedule]
    if not waits or (limits and attempts >= min(limits)):
        return None
    planned = waits[min(attempts, len(waits)) - 1]
    return _obey(schedule, _jitter(schedule, attempts, planned), planned, failure)


def next_due(
    schedule: str,
    attempts: int,
    failure: Failure,
    *,
    now: datetime,
    deadline: datetime | None,
    max_attempts: int | None = None,
) -> datetime | None:
    """The time of the next attempt, or None when attempts or the budget are used up."""
    if deadline is None and schedule == Delivery.Schedule.LIVE:
        max_attempts = min(max_attempts or MAX_WITHOUT_DEADLINE, MAX_WITHOUT_DEADLINE)
    wait = next_wait(schedule, attempts, failure, max_attempts=max_attempts)
    if wait is None:
        return None
    due = now + timedelta(seconds=wait)
    return due if deadline is None or due < deadline else None


def throttle_wait(throttled_before: int, retry_after: float | None) -> float:
    """Seconds to wait when a channel says "slow down": its own figure, else 4^n (channels.md 2.9)."""
    if retry_after is not None:
        return max(retry_after, 0.5)
    return min(4.0 ** (throttled_before + 1), MAX_THROTTLE_SECONDS) * random.uniform(1.0, 1.2)  # noqa: S311


def read_retry_after(value: str, *, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header (a number, or a date); None for anything else."""
    value = value.strip()
    if value.isdigit():
        return float(value[:9])
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def _jitter(schedule: str, attempts: int, wait: float) -> float:
    if schedule == Delivery.Schedule.DURABLE and attempts == 1:
        return random.uniform(5.0, 7.0)  # noqa: S311 - spreads load, hides nothing
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


def _obey(schedule: str, wait: float, planned: float, failure: Failure) -> float:
    """Bend the wait to what the other side asked for (DL-31, DL-32)."""
    durable = schedule == Delivery.Schedule.DURABLE
    asked = failure.retry_after if failure.status in (429, 503) else None
    if asked is not None:
        wait = max(wait, min(asked, 2 * planned) if durable else asked * random.uniform(1.0, 1.1))  # noqa: S311
    if durable and (failure.status in SLOW_DURABLE or failure.outcome.startswith("timeout")):
        wait = max(wait, SLOW_SECONDS)
    return wait
