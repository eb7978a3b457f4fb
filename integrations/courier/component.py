"""The courier itself: loops that wake each other, and one task per attempt under way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

from accounts import metrics
from conversations.models import Lane
from conversations.services.outbox import DOORBELL
from integrations import measures
from integrations.courier import claiming, lanes, overload, timing, watching
from integrations.courier.calling import Calling
from integrations.courier.database import DATABASE_ERRORS, KEPT_PLANS, Pool, connect
from integrations.courier.desk import Desk
from integrations.courier.errands import Errands
from integrations.courier.gate import Gate
from integrations.courier.handed import Handed
from integrations.courier.jobs import Jobs
from integrations.courier.presence import Presence
from integrations.courier.returning import MAX_BACKOFF, RELEASE_AGAIN_SECONDS, Returning
from integrations.courier.slots import Options, Slots
from integrations.courier.work import Claim
from integrations.http import Clients

logger = logging.getLogger(__name__)

# Behind the doorbell: the longest time that work may lie unnoticed when no bell rings (F-06).
SWEEP_SECONDS = 2.0
WATCH_SECONDS = 1.0
HEALTH_SECONDS = 2.0
FORGOTTEN_SECONDS = 60.0
OVERLOAD_SECONDS = 10.0
PATROL_SECONDS = 5.0
MEASURES_SECONDS = 3.0
CONNECTIONS = 2
# Claiming, starting, giving back.
LANE_CONNECTIONS = 2
# Until a lane is looked at again whose endpoint is still being called.
CALLING_SECONDS = 1.0
# The longest attempt (60 s) and the writing of its result.
STOP_SECONDS = 75.0
# Lanes due later than this are found by the sweep.
MAX_ALARM_SECONDS = 600.0


class Courier:
    """Runs until `stop()`; survives the database, as often as it dies."""

    def __init__(self, options: Options | None = None) -> None:
        options = options or Options.from_settings()
        self.pool = Pool(CONNECTIONS, "courier")
        self.lanes = Pool(LANE_CONNECTIONS, "courier lanes", KEPT_PLANS)
        self.presence = Presence(self.pool)
        self.clients = Clients(policy=options.policy)
        self.handed = Handed()
        self.desk = Desk(options.threads, "courier-desk", self.handed)
        self.gate = Gate(options.slots)
        self.slots = Slots(options)
        self.jobs = Jobs()
        self.returning = Returning(self.pool, self.lanes, free=self._free, due=self._alarm)
        self.calling = Calling(
            pool=self.pool,
            lane_pool=self.lanes,
            presence=self.presence,
            gate=self.gate,
            clients=self.clients,
            desk=self.desk,
            jobs=self.jobs,
            returning=self.returning,
            look=self._look,
        )
        self.errands = Errands(
            presence=self.presence,
            clients=self.clients,
            desk=self.desk,
            threads=options.threads,
            handed=self.handed,
        )
        # Whether the last claim may have left something due where it was, for want of a place.
        self._crowded = False
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._swept = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop()` is called and everything under way has ended (DL-52)."""
        await self._enter()
        loops = [
            asyncio.create_task(self._for_ever(step, pause))
            for step, pause in (
                (self._listen, 0.0),
                (self._take_up_handed, 0.0),
                (self._fire_timers, 0.0),
                (self._watch, WATCH_SECONDS),
                (self._write_health, 0.0),
                (self._find_forgotten, FORGOTTEN_SECONDS),
                (self._mark_overloads, OVERLOAD_SECONDS),
                (self.returning.give_back, 0.0),
                (self.returning.wake_mended, 0.0),
                (self._patrol, PATROL_SECONDS),
                (self._write_measures, MEASURES_SECONDS),
            )
        ]
        logger.info("courier started id=%d", self.presence.courier_id)
        try:
            await self._claim_until_stopped()
            await self._finish_jobs()
        finally:
            self.handed.has_room = False
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self._leave()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is under way has ended."""
        self._stopping.set()
        self.handed.has_room = False
        self._wake.set()

    # --- Claiming ----------------------------------------------------------------------------

    async def _claim_until_stopped(self) -> None:
        backoff = 0.1
        while not self._stopping.is_set():
            if self.presence.clock_is_wrong:
                self.handed.has_room = False
                await self._pause(WATCH_SECONDS)
                continue
            self._wake.clear()
            limits, rooms = self.gate.limits(self.presence.couriers), self.slots.rooms()
            self._crowded = True  # what ends meanwhile rings: its place was not known to be free
            try:
                claims = await claiming.claim(
                    self.lanes,
                    courier_id=self.presence.courier_id,
                    rooms=rooms,
                    used=self.slots.used,
                    limits=limits,
                )
            except DATABASE_ERRORS as error:
                logger.warning("claiming failed error=%s again_in=%.1f", error, backoff)
                await self._pause(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
                continue
            backoff = 0.1
            metrics.mark(measures.SWEEP)
            self._swept.set()
            left_out = any(claim.left_out for claim in claims)
            full = left_out or self.slots.is_full(rooms)
            self._crowded = full or bool(limits)
            self.handed.has_room = not (full or self._stopping.is_set())
            self._dispatch(claims, {limit.endpoint_id for limit in limits})
            # What is limited may have stood in front of what is not.
            if not (claims and limits) and not (
                left_out and not self.slots.is_full(self.slots.rooms())
            ):
                await self._pause(SWEEP_SECONDS, self._wake)

    async def _take_up_handed(self) -> None:
        """Claim the lanes on which threads of ours have put something, and give their courtesies."""
        waiting, given = await self.handed.wait()
        for courtesy in given:
            if self.errands.may_give(courtesy):
                self.jobs.begin(self.errands.give(courtesy))
        if not waiting or self._stopping.is_set() or self.presence.clock_is_wrong:
            return
        limited = {(one.kind, one.endpoint_id) for one in self.gate.limits(self.presence.couriers)}
        free = [one for one in waiting if (one.kind, one.destination_id) not in limited]
        fit = free if self.slots.fit(free) else []
        if len(fit) < len(waiting):
            self._wake.set()  # to be counted, or shared out as everything is when there is much
        if fit:
            # Under way from now on, so that who is stopped meanwhile waits for it, and leaves no lane leased.
            await asyncio.shield(self.jobs.begin(self._claim_handed({one.lane_id for one in fit})))

    async def _claim_handed(self, lane_ids: Collection[int]) -> None:
        try:
            claims = await claiming.claim_these(
                self.lanes, lane_ids, courier_id=self.presence.courier_id
            )
        except DATABASE_ERRORS as error:
            logger.warning("claiming failed error=%s handed=%d", error, len(lane_ids))
            self._wake.set()  # no bell has rung for them
        else:
            self._dispatch(claims, ())

    def _dispatch(self, claims: Sequence[Claim], counted: Collection[int]) -> None:
        calls = []
        for claim in claims:
            if self.calling.is_calling(claim):
                self.jobs.begin(self.returning.abandon([claim], wait=CALLING_SECONDS))
                continue
            self.slots.take(claim)
            self.gate.take(claim)
            if claim.kind in (Lane.Kind.AGENT, Lane.Kind.SUBSCRIBER):
                calls.append(claim)
            else:
                self._begin(claim)
        if calls:
            self.jobs.begin(self.calling.start(calls, counted))

    def _begin(self, claim: Claim) -> None:
        after, rested, errands = self.returning.after, self.returning.rested, self.errands
        match claim.kind:
            case Lane.Kind.INBOUND:
                self.jobs.begin(rested(claim, errands.read(claim)))
            case Lane.Kind.STATUS:
                self.jobs.begin(rested(claim, errands.read_statuses(claim)))
            case Lane.Kind.REPLAY:
                self.jobs.begin(rested(claim, errands.replay(claim)))
            case Lane.Kind.SEND:
                self.jobs.begin(after(claim, errands.send(claim)))
            case Lane.Kind.MEDIA:
                self.jobs.begin(after(claim, errands.fetch(claim)))
            case Lane.Kind.SIGNAL:
                self.jobs.begin(after(claim, errands.signal(claim)))

    # --- Giving back -------------------------------------------------------------------------

    def _free(self, claim: Claim) -> None:
        self.gate.give_back(claim)
        self.slots.give_back(claim)
        if self._crowded:  # else nothing has been waiting for a place
            self._wake.set()

    def _alarm(self, seconds: float) -> None:
        """Look again when that lane is due."""
        if seconds <= 0:
            self._wake.set()
        elif seconds <= MAX_ALARM_SECONDS:
            asyncio.get_running_loop().call_later(seconds, self._wake.set)

    def _look(self) -> None:
        """At all lanes, as soon as possible."""
        self._wake.set()

    async def _finish_jobs(self) -> None:
        """Wait for what is under way; without a database its results are left to the others."""
        end = time.monotonic() + STOP_SECONDS
        while not (self.jobs.are_done and self.returning.is_empty) and time.monotonic() < end:
            if self.jobs.are_done:
                await asyncio.sleep(RELEASE_AGAIN_SECONDS)
            else:
                await self.jobs.wait(end - time.monotonic())
        await self.jobs.cancel()

    # --- Beside the lanes --------------------------------------------------------------------

    async def _listen(self) -> None:
        connection = await connect("courier bell")
        try:
            await connection.execute(f"LISTEN {DOORBELL}")
            self._wake.set()  # something may have been rung while nobody listened
            async for _bell in connection.notifies():
                self._wake.set()
        finally:
            await connection.close()

    async def _fire_timers(self) -> None:
        due, upcoming = await timing.find_due(self.pool)
        if due and not self.presence.clock_is_wrong:
            await asyncio.gather(*(self.desk.run(timing.fire, *one) for one in due))
            return
        await asyncio.sleep(min(SWEEP_SECONDS, upcoming or SWEEP_SECONDS))

    async def _watch(self) -> None:
        await self.presence.beat(self.slots.tokens)
        if await self.presence.watch():
            self._wake.set()

    async def _write_health(self) -> None:
        """Every few seconds, and at once when a breaker may turn."""
        await self.calling.wait_for_news(HEALTH_SECONDS)
        await self.calling.write_health()
        self._wake.set()

    async def _find_forgotten(self) -> None:
        found = await lanes.find_forgotten(self.pool)
        if found:
            logger.warning("forgotten lanes found lanes=%d", found)
            self._wake.set()

    async def _mark_overloads(self) -> None:
        await overload.mark(self.pool)

    async def _patrol(self) -> None:
        await watching.patrol(self.desk)

    async def _write_measures(self) -> None:
        """Not before the first sweep, and at once after it: until then nobody is ready (config/health.py)."""
        await self._swept.wait()
        self._swept.clear()
        await measures.write(self.pool)

    async def _for_ever(self, step: Callable[[], Awaitable[None]], pause: float) -> None:
        """Repeat a step; after an error, wait a little longer each time."""
        backoff = 0.1
        while True:
            try:
                await step()
                backoff = 0.1
            except Exception as error:
                if isinstance(error, DATABASE_ERRORS):
                    logger.warning("courier %s failed error=%s", step.__name__, error)
                else:
                    logger.exception("courier %s broke", step.__name__)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
            if pause:
                await asyncio.sleep(pause)

    async def _pause(self, seconds: float, until: asyncio.Event | None = None) -> None:
        """Wait so long, or until the event (by default: until `stop`)."""
        try:
            async with asyncio.timeout(seconds):
                await (until or self._stopping).wait()
        except TimeoutError:
            return

    async def _enter(self) -> None:
        backoff = 0.1
        while not self._stopping.is_set():
            try:
                await self.presence.enter()
            except DATABASE_ERRORS as error:
                logger.warning("courier cannot start yet error=%s again_in=%.1f", error, backoff)
                await self._pause(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
            else:
                return

    async def _leave(self) -> None:
        await self.calling.write_last()
        try:
            await measures.write(self.pool)
        except DATABASE_ERRORS as error:
            logger.warning("measures not written error=%s", type(error).__name__)
        await self.clients.close()
        await self.presence.leave()
        await self.pool.close()
        await self.lanes.close()
        await asyncio.to_thread(self.errands.close)
        await asyncio.to_thread(self.desk.close)
        logger.info("courier stopped id=%d", self.presence.courier_id)
