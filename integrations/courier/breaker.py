"""The circuit breaker of an endpoint (delivery.md 7): what a failing address still gets.

    closed ──5 failures in a row, or half of 20 in a minute──▶ open ──30 s, doubling to 5 min──▶ half open
    half open ──2 successes──▶ closed, with room for one call at a time, then 2, 4, … (DL-32)
    half open ──1 failure──▶ open, with the wait doubled

The endpoint's row is what all couriers share. `judge` writes what was seen into it; `take_probe` lets one
call through, whoever is first. Times are the database's.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import LiteralString
from uuid import UUID

from django.utils.translation import gettext_noop

from conversations.models import Endpoint, Lane
from integrations.courier import lanes
from integrations.courier.database import Pool
from integrations.courier.lanes import Bearing, Limit, Push
from integrations.courier.work import Claim, Release
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
# How soon a lane is looked at again whose endpoint bears no more calls just now.
AGAIN_SECONDS = 0.3
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
    """What the endpoint bears, as `lanes.read_bearings` would read it."""
    limit = endpoint.in_flight_limit
    most = endpoint.max_in_flight
    shut_for = None
    if endpoint.breaker != Breaker.CLOSED:
        shut_for = max(0.0, ((endpoint.probe_at or now) - now).total_seconds())
    return Bearing(min(limit or most, most), limit is not None, shut_for)


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

# --- At the door ---------------------------------------------------------------------------------


ENDPOINT_KINDS = frozenset({Lane.Kind.AGENT, Lane.Kind.SUBSCRIBER})


@dataclass(slots=True)
class Known:
    """What a courier knows of an endpoint since it last read its row."""

    kind: str
    limit: int
    # Until when it is left alone, on our own clock; None: its breaker is closed.
    shut_until: float | None


class Gate:
    """What stands between claimed lanes and their endpoints: how many calls at once they bear, until when
    they are left alone, how many of their lanes are leased here and how many calls are under way."""

    def __init__(self) -> None:
        self._held: Counter[int] = Counter()
        self._calls: Counter[int] = Counter()
        # Claims that have won the right to try an endpoint whose breaker is not closed.
        self._probes: set[UUID] = set()
        self._known: dict[int, Known] = {}

    def take(self, claim: Claim) -> None:
        if claim.kind in ENDPOINT_KINDS:
            self._held[claim.destination_id] += 1

    def give_back(self, claim: Claim) -> None:
        if claim.kind in ENDPOINT_KINDS:
            _take_one(self._held, claim.destination_id)
            self._probes.discard(claim.token)

    @contextmanager
    def calling(self, claim: Claim) -> Iterator[Callable[[], int]]:
        """Around a call; gives a function that says how many are under way to its endpoint from here."""
        self._calls[claim.destination_id] += 1
        try:
            yield lambda: self._calls[claim.destination_id]
        finally:
            _take_one(self._calls, claim.destination_id)

    async def may_probe(self, pool: Pool, one: Push) -> bool:
        """Whether this call may try whether a shut endpoint answers again."""
        claim = one.job.claim
        if not one.is_shut or claim.token in self._probes:
            return one.is_shut
        return await take_probe(pool, claim.account_id, claim.destination_id)

    def learn_from(self, one: Push) -> None:
        """Its endpoint's row was read when it was started."""
        if one.target is not None:
            self._remember(one.job.claim, one.target.bearing)

    def learn(self, endpoint_id: int, bearing: Bearing) -> None:
        """The row of an endpoint was written just now."""
        if (known := self._known.get(endpoint_id)) is not None:
            known.limit, known.shut_until = bearing.limit, _until(bearing)

    def _remember(self, claim: Claim, bearing: Bearing) -> None:
        known = Known(claim.kind, bearing.limit, _until(bearing))
        self._known[claim.destination_id] = known

    def limits(self, couriers: int) -> list[Limit]:
        """Those endpoints for which leases must be counted before more are taken: the others cannot go
        over their limit as long as each of so many couriers keeps below its part of it."""
        return [
            Limit(known.kind, endpoint_id, known.limit)
            for endpoint_id, known in self._known.items()
            if (self._held[endpoint_id] + lanes.BATCH) * couriers > known.limit
        ]

    async def hold_back(self, pool: Pool, claims: Sequence[Claim]) -> list[Release]:
        """The claims that have to wait: of shut subscribers all but the probe, so that no attempt burns,
        and of endpoints met for the first time what is more than they bear. Agents' lanes are not kept
        waiting by a breaker: their customers are given to people."""
        strangers = [claim for claim in claims if claim.destination_id not in self._known]
        # What is shut may have been opened by another courier, or by its owners.
        await self._look(pool, [*strangers, *(claim for claim in claims if self._waits(claim))])
        waiting = await self._over_limit(pool, strangers) if strangers else []
        shut: dict[int, list[Claim]] = {}
        for claim in claims:
            if self._waits(claim):
                shut.setdefault(claim.destination_id, []).append(claim)
        for ours in shut.values():
            waiting += await self._wait_for_probe(pool, ours)
        return list({one.claim.token: one for one in waiting}.values())

    async def _look(self, pool: Pool, claims: Sequence[Claim]) -> None:
        """Read the endpoints of these claims."""
        by_endpoint = {claim.destination_id: claim for claim in claims}
        for endpoint_id, bearing in (await lanes.read_bearings(pool, claims)).items():
            self._remember(by_endpoint[endpoint_id], bearing)

    def _waits(self, claim: Claim) -> bool:
        known = self._known.get(claim.destination_id)
        shut = known is not None and known.shut_until is not None
        return shut and claim.kind == Lane.Kind.SUBSCRIBER

    async def _over_limit(self, pool: Pool, strangers: Sequence[Claim]) -> list[Release]:
        """Those that were leased before anybody here knew their endpoints' limits."""
        over = []
        leased = await lanes.leased(pool, list({claim.destination_id for claim in strangers}))
        for endpoint_id, n in leased.items():
            known = self._known.get(endpoint_id)
            ours = [claim for claim in strangers if claim.destination_id == endpoint_id]
            too_many = max(0, n - known.limit) if known is not None else 0
            over += ours[max(0, len(ours) - too_many) :]
        return [Release(claim, spread(AGAIN_SECONDS), "in_flight") for claim in over]

    async def _wait_for_probe(self, pool: Pool, claims: list[Claim]) -> list[Release]:
        """All of one shut endpoint's, but that which has won the right to try it."""
        wait = (self._known[claims[0].destination_id].shut_until or 0) - time.monotonic()
        if wait <= 0:
            probe = await lanes.oldest(pool, claims)
            if await take_probe(pool, probe.account_id, probe.destination_id):
                self._probes.add(probe.token)
                claims = [claim for claim in claims if claim is not probe]
            wait = PROBE_SECONDS  # until that one is judged; its success rings for the next one
        return [Release(claim, spread(wait), SHUT) for claim in claims]


def _until(bearing: Bearing) -> float | None:
    return None if bearing.shut_for is None else time.monotonic() + bearing.shut_for


def _take_one(counter: Counter[int], key: int) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def spread(seconds: float) -> float:
    """A little later each, so that they do not all come back in one moment."""
    return min(seconds, LONGEST_WAIT) * random.uniform(1.0, 1.3)  # noqa: S311 - spreads load


_ENTER: LiteralString = "SELECT set_config('app.account', %s, true)"
# One at a time: the next one not before this one is judged, or was lost with its courier.
_PROBE: LiteralString = """
UPDATE conversations_endpoint
SET breaker = 'half_open', probe_at = now() + %s * interval '1 second'
WHERE id = %s AND breaker IN ('open', 'half_open') AND probe_at <= now() RETURNING id
"""


async def take_probe(pool: Pool, account_id: int, endpoint_id: int) -> bool:
    """Whether this call is the one that may try whether the endpoint answers again."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(_ENTER, [str(account_id)])
        cursor = await connection.execute(_PROBE, [PROBE_SECONDS, endpoint_id])
        return await cursor.fetchone() is not None
