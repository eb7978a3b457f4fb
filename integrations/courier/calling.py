"""Calls to endpoints, agents' and subscribers': what stands between a claimed lane and its endpoint, the
call, what follows from the answer, and what it says of the endpoint's health."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

from conversations.models import Lane
from integrations.courier import breaker, health, notifying, pushing, starting
from integrations.courier.database import DATABASE_ERRORS, Pool
from integrations.courier.desk import Desk
from integrations.courier.gate import Gate
from integrations.courier.jobs import Jobs
from integrations.courier.presence import Presence
from integrations.courier.pushing import Pushed
from integrations.courier.returning import Returning
from integrations.courier.starting import Push
from integrations.courier.together import Together, by_account
from integrations.courier.work import Claim, Release, Rested, Result
from integrations.http import Clients, GuardedClient

logger = logging.getLogger(__name__)

# How long a courier that ends tries to write what it saw, where the writing fails.
LAST_SECONDS = 5.0


class Calling:
    """Carries out lanes of endpoints. `look` makes the courier look at all lanes again."""

    def __init__(
        self,
        *,
        pool: Pool,
        lane_pool: Pool,
        presence: Presence,
        gate: Gate,
        clients: Clients,
        desk: Desk,
        jobs: Jobs,
        returning: Returning,
        look: Callable[[], None],
    ) -> None:
        self._pool, self._lane_pool, self._presence = pool, lane_pool, presence
        self._gate, self._clients, self._desk = gate, clients, desk
        self._jobs, self._returning, self._look = jobs, returning, look
        self._checking: Together[int, Push, Result | None] = by_account(desk, pushing.changed_hands)
        self._settling: Together[int, Pushed, Rested | None] = by_account(
            desk, pushing.record_answers
        )
        self._failing = by_account(desk, pushing.record_failures)
        self._parking = by_account(desk, notifying.record_many)
        self._notes = health.Notes()
        self._urgent = asyncio.Event()
        # Lanes whose endpoints are called just now. A server that crashed may have lost that one is ours, for
        # that waits for no disk (starting.py); it is not called a second time meanwhile.
        self._called: set[int] = set()

    def is_calling(self, claim: Claim) -> bool:
        return claim.lane_id in self._called

    async def start(self, claims: Sequence[Claim], counted: Collection[int]) -> None:
        """Start their heads, and call those whose endpoints bear it; `counted` were counted when they were
        claimed."""
        try:
            claims = await self._let_through(claims, counted)
            started = await starting.start_pushes(
                self._lane_pool, claims, courier_id=self._presence.courier_id
            )
        except Exception as error:
            if not isinstance(error, DATABASE_ERRORS):
                logger.exception("starting broke lanes=%d", len(claims))
            await self._returning.drop(claims)
            return
        begun = {one.job.claim.lane_id for one in started}
        for claim in claims:
            if claim.lane_id not in begun:
                self._returning.give(Release(claim))
        for one in started:
            self._gate.learn_from(one)
            subscriber = one.job.claim.kind == Lane.Kind.SUBSCRIBER
            work = self._notify(one) if subscriber else self._push(one)
            self._jobs.begin(self._returning.after(one.job.claim, work))

    async def write_health(self) -> None:
        """Write what was seen of all endpoints since the last time."""
        for account_id, endpoint_id, note in self._notes.take():
            await self._judge(account_id, endpoint_id, note)

    async def write_last(self) -> None:
        """The same when the courier ends, with or without a database; each is tried once."""
        end = time.monotonic() + LAST_SECONDS
        for account_id, endpoint_id, note in self._notes.take():
            try:
                await self._desk.run(health.write, account_id, endpoint_id, note)
            except Exception:
                logger.exception("endpoint's health not written endpoint=%d", endpoint_id)
                if time.monotonic() > end:
                    return

    async def wait_for_news(self, seconds: float) -> None:
        """So long, or until a breaker may turn."""
        try:
            async with asyncio.timeout(seconds):
                await self._urgent.wait()
        except TimeoutError:
            return
        finally:
            self._urgent.clear()

    async def _let_through(self, claims: Sequence[Claim], counted: Collection[int]) -> list[Claim]:
        held_back = await self._gate.hold_back(
            self._pool, claims, couriers=self._presence.couriers, counted=counted
        )
        for release in held_back:
            self._returning.give(release)
        waiting = {release.claim.token for release in held_back}
        return [claim for claim in claims if claim.token not in waiting]

    async def _push(self, one: Push) -> Release | Rested:
        if one.job.n > 1:
            ended = await self._checking(one)
            if ended is not None:
                return Release(one.job.claim, result=ended)
        pushed = await self._call(one, pushing.push)
        result = pushing.plain_result(pushed)
        if result is None and pushed.exchange.ok:
            return await self._settling(pushed) or Release(one.job.claim)
        if result is None:
            await self._failing(pushed)
        return Release(one.job.claim, result=result)

    async def _notify(self, one: Push) -> Release:
        pushed = await self._call(one, notifying.push)
        result = notifying.plain_result(pushed)
        if result is None:
            await self._parking(pushed)
        return Release(one.job.claim, result=result)

    async def _call(
        self, one: Push, push: Callable[[Push, GuardedClient], Awaitable[Pushed]]
    ) -> Pushed:
        """Call the endpoint, unless its breaker says otherwise, and note how it did."""
        claim, probe = one.job.claim, await self._gate.may_probe(self._pool, one)
        if one.is_shut and not probe and not claim.is_test:
            return Pushed(one, pushing.BREAKER_OPEN, {})
        self._called.add(claim.lane_id)
        try:
            with self._gate.calling(claim) as under_way:
                pushed = await push(one, await self._clients.of(claim.account_id))
                in_flight = under_way()
        finally:
            self._called.discard(claim.lane_id)
        await self._note(pushed, in_flight=in_flight, probe=probe)
        return pushed

    async def _note(self, pushed: Pushed, *, in_flight: int, probe: bool) -> None:
        one = pushed.one
        if pushed.exchange.outcome in pushing.NOT_CALLED or one.target is None:
            return
        if one.is_notice:
            # Bots were written that break on what they do not expect, and answer their customers well: only
            # these tell whether an address works, so nothing else opens its breaker, closes it, or counts
            # for the day after which it is switched off (DL-67).
            return
        if one.is_test and not pushed.exchange.ok and not probe:
            return  # told to whoever asked for it, and held against nobody
        account_id, endpoint_id = one.job.claim.account_id, one.job.claim.destination_id
        urgent = self._notes.note(
            account_id,
            endpoint_id,
            pushed.exchange,
            in_flight=in_flight,
            probe=probe,
            limited=one.target.bearing.limited,
        )
        if probe:  # judged before its lane goes on: what follows on it must know
            note = self._notes.take_one(account_id, endpoint_id)
            if note is not None:
                await self._judge(account_id, endpoint_id, note)
                self._look()
        elif urgent:
            self._urgent.set()

    async def _judge(self, account_id: int, endpoint_id: int, note: breaker.Note) -> None:
        """Write what was seen of one endpoint; that one breaks must not lose what others showed."""
        try:
            bearing = await self._desk.surely(health.write, account_id, endpoint_id, note)
        except Exception:
            logger.exception("endpoint not judged endpoint=%d", endpoint_id)
            return
        if bearing is not None:
            self._gate.learn(endpoint_id, bearing)
