"""What stands between claimed lanes and their endpoints: how many calls at once these bear, and their hosts,
and until when they are left alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from conversations.models import Lane
from conversations.services import shares
from integrations.courier import claiming, starting
from integrations.courier.breaker import PROBE_SECONDS, SHUT, spread, take_probe
from integrations.courier.claiming import Limit
from integrations.courier.database import Pool
from integrations.courier.starting import Bearing, Push
from integrations.courier.work import Claim, Release

ENDPOINT_KINDS = frozenset({Lane.Kind.AGENT, Lane.Kind.SUBSCRIBER})
# How soon a lane is looked at again whose endpoint bears no more calls just now.
AGAIN_SECONDS = 0.3
# What was not called for so long is met like a stranger the next time.
KNOWN_SECONDS = 60.0
# So long is an endpoint counted before claiming that was full just now.
FULL_SECONDS = 5.0


class Host(NamedTuple):
    """Where endpoints of one kind live."""

    kind: str
    name: str


@dataclass(slots=True)
class Known:
    """What a courier knows of an endpoint since it last read its row. Times are on our own clock."""

    kind: str
    limit: int
    host: str
    # Until when it is left alone; None: its breaker is closed.
    shut_until: float | None
    used_at: float
    # Until when leases are counted before more of its lanes are taken, because it was full.
    full_until: float = 0.0


class Gate:
    """What one courier knows of endpoints: how many of their lanes it has leased, how many calls are under
    way from here, and what they bear. `slots`: how many calls to agents it makes at once."""

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # No host gets more than half, whoever's endpoints live there (DL-90).
        self._host_shares: dict[str, int] = {
            Lane.Kind.AGENT: shares.half(slots),
            Lane.Kind.SUBSCRIBER: shares.half(shares.of_subscribers(slots)),
        }
        self._held: Counter[int] = Counter()
        self._calls: Counter[int] = Counter()
        # Claims that have won the right to try an endpoint whose breaker is not closed.
        self._probes: set[UUID] = set()
        self._known: dict[int, Known] = {}
        self._tidied_at = clock()

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
        if one.is_notice:
            return False  # it would tell nothing of how customers' messages fare there
        if not one.is_shut or claim.token in self._probes:
            return one.is_shut
        return await take_probe(pool, claim.account_id, claim.destination_id, at_once=claim.is_test)

    # --- What is known -----------------------------------------------------------------------

    def learn_from(self, one: Push) -> None:
        """Its endpoint's row was read when it was started."""
        if one.target is not None:
            self._remember(one.job.claim, one.target.bearing)

    def learn(self, endpoint_id: int, bearing: Bearing) -> None:
        """The row of an endpoint was written just now."""
        if (known := self._known.get(endpoint_id)) is not None:
            known.limit, known.shut_until = bearing.limit, self._until(bearing)

    def _remember(self, claim: Claim, bearing: Bearing) -> None:
        before = self._known.get(claim.destination_id)
        self._known[claim.destination_id] = Known(
            claim.kind,
            bearing.limit,
            bearing.host,
            self._until(bearing),
            used_at=self._clock(),
            full_until=before.full_until if before is not None else 0.0,
        )

    def _until(self, bearing: Bearing) -> float | None:
        return None if bearing.shut_for is None else self._clock() + bearing.shut_for

    def _forget(self) -> None:
        """What is not used, so that the claim does not count for ever what was busy once."""
        now = self._clock()
        if now - self._tidied_at < KNOWN_SECONDS:
            return
        self._tidied_at = now
        self._known = {
            endpoint_id: known
            for endpoint_id, known in self._known.items()
            if self._held[endpoint_id] or now - known.used_at < KNOWN_SECONDS
        }

    # --- Before claiming ---------------------------------------------------------------------

    def limits(self, couriers: int) -> list[Limit]:
        """Those endpoints for which leases must be counted before more are taken: the next claims of so
        many couriers could fill them, or they were full just now. Of the others, what is too much is
        given back before it is started (`hold_back`). None is taken for hosts that have their share."""
        self._forget()
        now, load = self._clock(), self._load()
        limits = []
        for endpoint_id, known in self._known.items():
            if load[Host(known.kind, known.host)] >= self._host_shares[known.kind]:
                limits.append(Limit(known.kind, endpoint_id, 0))
            elif now < known.full_until or self._is_nearly_full(endpoint_id, known, couriers):
                limits.append(Limit(known.kind, endpoint_id, known.limit))
        return limits

    def _is_nearly_full(self, endpoint_id: int, known: Known, couriers: int) -> bool:
        return self._held[endpoint_id] * couriers + claiming.BATCH > known.limit

    def _load(self) -> Counter[Host]:
        """How many lanes are leased here for endpoints of each host."""
        load: Counter[Host] = Counter()
        for endpoint_id, n in self._held.items():
            if (known := self._known.get(endpoint_id)) is not None:
                load[Host(known.kind, known.host)] += n
        return load

    # --- After claiming ----------------------------------------------------------------------

    async def hold_back(
        self,
        pool: Pool,
        claims: Sequence[Claim],
        *,
        couriers: int = 1,
        counted: Collection[int] = (),
    ) -> list[Release]:
        """The claims that have to wait: those that are more than their endpoints or hosts bear, and of
        shut subscribers all but the probe and tests, so that no attempt burns. Agents' lanes are not kept
        waiting by a breaker: their customers are given to people. `counted`: the endpoints whose leases
        were counted by the claim."""
        strangers = [claim for claim in claims if claim.destination_id not in self._known]
        # What is shut may have been opened by another courier, or by its owners.
        await self._look(pool, [*strangers, *(claim for claim in claims if self._waits(claim))])
        met = {claim.destination_id for claim in strangers}
        unsure = [
            claim
            for claim in claims
            if claim.destination_id in met
            or (claim.destination_id not in counted and self._may_be_full(claim, couriers))
        ]
        waiting = [*await self._over_limit(pool, unsure), *self._over_share(claims)]
        held = {one.claim.token for one in waiting}
        shut: dict[int, list[Claim]] = {}
        for claim in claims:
            if claim.token not in held and self._waits(claim):
                shut.setdefault(claim.destination_id, []).append(claim)
        for ours in shut.values():
            waiting += await self._wait_for_probe(pool, ours)
        return list({one.claim.token: one for one in waiting}.values())

    async def _look(self, pool: Pool, claims: Sequence[Claim]) -> None:
        """Read the endpoints of these claims."""
        by_endpoint = {claim.destination_id: claim for claim in claims}
        for endpoint_id, bearing in (await starting.read_bearings(pool, claims)).items():
            self._remember(by_endpoint[endpoint_id], bearing)

    def _waits(self, claim: Claim) -> bool:
        known = self._known.get(claim.destination_id)
        shut = known is not None and known.shut_until is not None
        return shut and claim.kind == Lane.Kind.SUBSCRIBER and not claim.is_test

    def _may_be_full(self, claim: Claim, couriers: int) -> bool:
        """Whether so many couriers, each with as many of its lanes as we, could go over its limit."""
        known = self._known.get(claim.destination_id)
        held = self._held[claim.destination_id] + claiming.BATCH
        return known is not None and held * couriers > known.limit

    async def _over_limit(self, pool: Pool, claims: Sequence[Claim]) -> list[Release]:
        """Those that were leased without counting, and are more than their endpoints bear."""
        if not claims:
            return []
        over = []
        leased = await claiming.leased(pool, list({claim.destination_id for claim in claims}))
        for endpoint_id, n in leased.items():
            known = self._known.get(endpoint_id)
            if known is None or n <= known.limit:
                continue
            known.full_until = self._clock() + FULL_SECONDS
            ours = [claim for claim in claims if claim.destination_id == endpoint_id]
            over += ours[max(0, len(ours) - (n - known.limit)) :]
        return [_in_a_moment(claim) for claim in over]

    def _over_share(self, claims: Sequence[Claim]) -> list[Release]:
        """Those that are more than their hosts' share; the last ones first."""
        load, over = self._load(), []
        for claim in reversed(claims):
            known = self._known.get(claim.destination_id)
            if known is None:
                continue
            host = Host(known.kind, known.host)
            if load[host] > self._host_shares[known.kind]:
                load[host] -= 1
                over.append(_in_a_moment(claim))
        return over

    async def _wait_for_probe(self, pool: Pool, claims: list[Claim]) -> list[Release]:
        """All of one shut endpoint's, but that which has won the right to try it, and what is told now or
        never: that is no probe (`may_probe`), ends without a call, and makes room for what is one."""
        wait = (self._known[claims[0].destination_id].shut_until or 0) - self._clock()
        claims = await claiming.patient(pool, claims)
        if claims and wait <= 0:
            probe = claims[0]
            if await take_probe(pool, probe.account_id, probe.destination_id):
                self._probes.add(probe.token)
                claims = claims[1:]
            wait = PROBE_SECONDS  # until that one is judged; its success rings for the next one
        return [Release(claim, spread(wait), SHUT) for claim in claims]


def _in_a_moment(claim: Claim) -> Release:
    return Release(claim, spread(AGAIN_SECONDS), "in_flight")


def _take_one(counter: Counter[int], key: int) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
