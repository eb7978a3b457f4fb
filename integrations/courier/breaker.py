"""The circuit breaker of an endpoint (delivery.md 7): what a failing address still gets.

    closed ──5 failures in a row, or half of 20 in a minute──▶ open ──30 s, doubling to 5 min──▶ half open
    half open ──2 successes──▶ closed, with room for one call at a time, then 2, 4, … (DL-32)
    half open ──1 failure──▶ open, with the wait doubled

The endpoint's row is what all couriers share (`gate` is what one of them knows). `judge` writes what was seen into it; `take_probe` lets one
call through, whoever is first. Times are the database's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import LiteralString

from django.utils.translation import gettext_noop

from accounts.tenancy import ENTER
from conversations.models import Endpoint
from integrations.courier.database import Pool
from integrations.courier.starting import Bearing, host_of
from integrations.http import Exchange

Breaker = Endpoint.Breaker

IN_A_ROW = 5
WINDOW_SECONDS = 60
WINDOW_ATTEMPTS = 20
FIRST_WAIT = 30
LONGEST_WAIT = 300
PROBES = 2
# A probe whose courier died is missed after the longest call and the lease's end.
PROBE_SECONDS = 90
# Why a lane waits whose endpoint's breaker is not closed.
SHUT = "breaker"
# Statuses that say "too much"; with timeouts they halve what may be under way (DL-32).
BUSY = frozenset({429, 502, 504})

# How long without one success until an endpoint is switched off, and from how many failures (DL-67).
AGENT_OFF = timedelta(hours=24)
AGENT_OFF_REASON = gettext_noop("no call to it has succeeded for 24 hours")
SUBSCRIBER_OFF = timedelta(days=5)
SUBSCRIBER_OFF_REASON = gettext_noop("no call to it has succeeded for 5 days")
SUBSCRIBER_ATTEMPTS = 10
# Half of the way, where it is shortest.
SOONEST_WARNING = AGENT_OFF / 2


class Change(StrEnum):
    """What `judge` found that somebody has to be told of, or has to act on."""

    OPENED = "opened"
    CLOSED = "closed"
    WARN = "warn"
    SWITCH_OFF = "switch_off"


@dataclass(slots=True)
class Note:
    """What one courier saw of one endpoint since the last writing."""

    attempts: int = 0
    failures: int = 0
    # After the last success, if there was one.
    failures_in_a_row: int = 0
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_error: str = ""
    # How much was under way when it said "too much"; 0: it did not.
    too_much: int = 0
    # Of the probes among them; what else comes back while it is half open began before it was shut.
    probes_passed: int = 0
    probes_failed: int = 0

    def add(
        self, exchange: Exchange, now: datetime, *, in_flight: int, probe: bool = False
    ) -> None:
        self.attempts += 1
        self.probes_passed += probe and exchange.ok
        self.probes_failed += probe and not exchange.ok
        if exchange.ok:
            self.last_success_at, self.failures_in_a_row, self.too_much = now, 0, 0
            return
        self.failures += 1
        self.failures_in_a_row += 1
        self.last_failure_at = now
        said = f"{exchange.outcome} {exchange.status or ''}".strip()
        self.last_error = f"{said}: {exchange.error}" if exchange.error else said
        if exchange.status in BUSY or exchange.outcome.startswith("timeout"):
            self.too_much = max(self.too_much, in_flight, 1)


def must_open(note: Note) -> bool:
    """Whether what one courier saw is enough by itself; so it is not written a moment later."""
    half = note.attempts >= WINDOW_ATTEMPTS and 2 * note.failures >= note.attempts
    return note.failures_in_a_row == IN_A_ROW or (half and note.failures_in_a_row > 0)


def bearing_of(endpoint: Endpoint, now: datetime) -> Bearing:
    """What the endpoint bears, as `starting.read_bearings` would read it."""
    limit = endpoint.in_flight_limit
    most = endpoint.max_in_flight
    shut_for = None
    if endpoint.breaker != Breaker.CLOSED:
        shut_for = max(0.0, ((endpoint.probe_at or now) - now).total_seconds())
    return Bearing(min(limit or most, most), limit is not None, shut_for, host_of(endpoint.url))


def judge(endpoint: Endpoint, note: Note, now: datetime) -> list[Change]:
    """Write a note into the (locked) endpoint's columns; what came of it, in order. Saves nothing."""
    endpoint.last_success_at = note.last_success_at or endpoint.last_success_at
    endpoint.last_failure_at = note.last_failure_at or endpoint.last_failure_at
    endpoint.last_error = (note.last_error or endpoint.last_error)[:250]
    before = 0 if note.last_success_at else endpoint.consecutive_failures
    endpoint.consecutive_failures = before + note.failures_in_a_row
    _count(endpoint, note, now)
    _limit(endpoint, note)
    changes = _turn(endpoint, note, now)
    if note.last_success_at:
        endpoint.failing_since = endpoint.warned_at = None
        if endpoint.breaker != Breaker.CLOSED:
            endpoint.breaker_opened_at = now
    if note.failures_in_a_row:
        endpoint.failing_since = endpoint.failing_since or now
    return changes + patience_with(endpoint, now)


def _count(endpoint: Endpoint, note: Note, now: datetime) -> None:
    window = endpoint.window
    if now.timestamp() - window.get("since", 0) > WINDOW_SECONDS:
        window = {"since": now.timestamp(), "attempts": 0, "failures": 0}
    endpoint.window = {
        **window,
        "attempts": window["attempts"] + note.attempts,
        "failures": window["failures"] + note.failures,
    }


def _limit(endpoint: Endpoint, note: Note) -> None:
    """Half of what was too much; after a success twice as much again, until nothing is limited."""
    most = endpoint.max_in_flight
    limit = endpoint.in_flight_limit
    if note.too_much:
        endpoint.in_flight_limit = max(1, min(limit or most, most, note.too_much) // 2)
    elif note.last_success_at and limit is not None:
        endpoint.in_flight_limit = None if limit * 2 >= most else limit * 2


def _turn(endpoint: Endpoint, note: Note, now: datetime) -> list[Change]:
    match endpoint.breaker:
        case Breaker.CLOSED if _is_failing(endpoint, note):
            _open(endpoint, now, wait=FIRST_WAIT)
            return [Change.OPENED]
        case Breaker.HALF_OPEN if note.probes_failed:
            _open(endpoint, now, wait=min(endpoint.breaker_wait_s * 2, LONGEST_WAIT))
        case Breaker.HALF_OPEN if note.probes_passed:
            endpoint.probe_successes += note.probes_passed
            endpoint.probe_at = now
            if endpoint.probe_successes >= PROBES:
                endpoint.forgive()
                endpoint.in_flight_limit = 1
                return [Change.CLOSED]
    return []


def _is_failing(endpoint: Endpoint, note: Note) -> bool:
    window = endpoint.window
    half = window["attempts"] >= WINDOW_ATTEMPTS and 2 * window["failures"] >= window["attempts"]
    return endpoint.consecutive_failures >= IN_A_ROW or (half and note.failures > 0)


def _open(endpoint: Endpoint, now: datetime, *, wait: int) -> None:
    endpoint.breaker, endpoint.breaker_wait_s, endpoint.probe_successes = Breaker.OPEN, wait, 0
    endpoint.breaker_opened_at = endpoint.breaker_opened_at or now
    endpoint.probe_at = now + timedelta(seconds=wait)


def patience_with(endpoint: Endpoint, now: datetime) -> list[Change]:
    """Whether its owners have to be warned, or it has failed for so long that it is switched off: an
    agent whose breaker is open for a day without one success, a subscriber that fails for five (DL-67)."""
    agent = endpoint.kind == Endpoint.Kind.AGENT
    since = endpoint.breaker_opened_at if agent else endpoint.failing_since
    if since is None or endpoint.state != Endpoint.State.ENABLED:
        return []
    over = AGENT_OFF if agent else SUBSCRIBER_OFF
    attempts = 0 if agent else SUBSCRIBER_ATTEMPTS
    failing, failed = now - since, endpoint.consecutive_failures
    if failing >= over and failed >= attempts:
        return [Change.SWITCH_OFF]
    if failing >= over / 2 and failed >= attempts / 2 and endpoint.warned_at is None:
        endpoint.warned_at = now
        return [Change.WARN]
    return []


# What `judge` may change; whoever saves an endpoint's row elsewhere leaves these alone.
COLUMNS = (
    "last_success_at", "last_failure_at", "last_error", "consecutive_failures", "breaker",
    "breaker_opened_at", "breaker_wait_s", "probe_at", "probe_successes", "window",
    "in_flight_limit", "failing_since", "warned_at",
)  # fmt: skip


def spread(seconds: float) -> float:
    """A little later each, so that they do not all come back in one moment."""
    return min(seconds, LONGEST_WAIT) * random.uniform(1.0, 1.3)  # noqa: S311 - spreads load


# One at a time: the next one not before this one is judged, or was lost with its courier. Who asks for it
# at once does not wait for its time, unless one is under way.
_PROBE: LiteralString = """
UPDATE conversations_endpoint
SET breaker = 'half_open', probe_at = now() + %s * interval '1 second'
WHERE id = %s AND ((breaker IN ('open', 'half_open') AND probe_at <= now()) OR (breaker = 'open' AND %s))
RETURNING id
"""


async def take_probe(
    pool: Pool, account_id: int, endpoint_id: int, *, at_once: bool = False
) -> bool:
    """Whether this call is the one that may try whether the endpoint answers again."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(ENTER, [str(account_id)])
        cursor = await connection.execute(_PROBE, [PROBE_SECONDS, endpoint_id, at_once])
        return await cursor.fetchone() is not None


# Locked whatever it says, so that whoever is judging it just now is waited for.
_SHARE: LiteralString = """
SELECT breaker = 'closed' OR probe_at <= clock_timestamp() FROM conversations_endpoint
WHERE id = %s FOR SHARE
"""
_WAKE: LiteralString = """
UPDATE conversations_lane SET due_at = now()
WHERE kind = 'subscriber' AND destination_id = %s AND blocked_reason = %s AND lease_token IS NULL
"""


async def wake_if_mended(pool: Pool, account_id: int, endpoint_id: int) -> bool:
    """Make due what waits for an endpoint, if that may be called by now; whether there was any.

    Whoever finds that it answers wakes what waits (health.py), but not what is only about to be held back,
    because it was seen shut a moment before. For that this is asked once it waits: then either they see
    it, or they are waited for here, or what they wrote is seen.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(ENTER, [str(account_id)])
        cursor = await connection.execute(_SHARE, [endpoint_id])
        if await cursor.fetchone() != (True,):
            return False
        return (await connection.execute(_WAKE, [endpoint_id, SHUT])).rowcount > 0
