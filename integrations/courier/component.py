"""The courier itself: loops that wake each other, slots, and one task per attempt under way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts import metrics
from conversations.models import Lane
from conversations.services import shares
from conversations.services.carrying import Courtesy, Waiting
from conversations.services.outbox import DOORBELL
from integrations import measures
from integrations.addresses import Policy
from integrations.courier import (
    breaker,
    courtesies,
    fetching,
    health,
    lanes,
    notifying,
    overload,
    pushing,
    reading,
    replaying,
    sending,
    statuses,
    timing,
    watching,
)
from integrations.courier.courtesies import Signal
from integrations.courier.database import DATABASE_ERRORS, KEPT_PLANS, Pool, connect
from integrations.courier.desk import Desk
from integrations.courier.gate import Gate
from integrations.courier.handed import Handed
from integrations.courier.lanes import GROUPS, Push
from integrations.courier.presence import Presence
from integrations.courier.pushing import Pushed
from integrations.courier.reading import InboxKey
from integrations.courier.sending import Part, Tried
from integrations.courier.together import I, K, O, Together
from integrations.courier.work import Claim, Release, Rested, Result, Room
from integrations.http import Clients, GuardedClient

logger = logging.getLogger(__name__)

# Behind the doorbell: the longest time that work may lie unnoticed when no bell rings (F-06).
SWEEP_SECONDS = 2.0
WATCH_SECONDS = 1.0
HEALTH_SECONDS = 2.0
FORGOTTEN_SECONDS = 60.0
OVERLOAD_SECONDS = 10.0
PATROL_SECONDS = 5.0
MEASURES_SECONDS = 3.0
RELEASE_AGAIN_SECONDS = 0.02
MAX_BACKOFF = 2.0
CONNECTIONS = 2
# Claiming, starting, giving back.
LANE_CONNECTIONS = 2
REST_SLOTS = 64
STATUS_SLOTS = 64
# What waits is done together, so much of it at most.
TOGETHER = 50
# What broke inside of us is tried again, but not at once.
ABANDONED_WAIT = 5.0
# Until a lane is looked at again whose endpoint is still being called.
CALLING_SECONDS = 1.0
# The longest attempt (60 s) and the writing of its result.
STOP_SECONDS = 75.0
# Lanes due later than this are found by the sweep.
MAX_ALARM_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Options:
    """How much one courier does at once; from the settings unless given."""

    slots: int
    threads: int
    policy: Policy

    @classmethod
    def from_settings(cls) -> Options:
        return cls(settings.COURIER_HTTP_SLOTS, settings.COURIER_THREADS, Policy.from_settings())


class Courier:
    """Runs until `stop()`; survives the database, as often as it dies."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options.from_settings()
        self.pool = Pool(CONNECTIONS, "courier")
        self.lanes = Pool(LANE_CONNECTIONS, "courier lanes", KEPT_PLANS)
        self.presence = Presence(self.pool)
        self.clients = Clients(policy=self.options.policy)
        self.handed = Handed()
        self.readers = Desk(self.options.threads, "courier-reading", self.handed)
        # One thread: they come by the thousand and may wait, customers may not.
        self.status_readers = Desk(1, "courier-statuses", self.handed)
        self.desk = Desk(self.options.threads, "courier-desk", self.handed)
        self.reading = self._together(self.readers, reading.read_lanes, reading.inbox_of)
        self.reading_statuses: Together[InboxKey, Claim, float | None] = Together(
            self.status_readers,
            statuses.read_lanes,
            key_of=reading.inbox_of,
            most=TOGETHER,
            at_once=1,
        )
        self.checking: Together[int, Push, Result | None] = self._together(
            self.desk, pushing.changed_hands, _account_of
        )
        self.settling: Together[int, Pushed, Rested | None] = self._together(
            self.desk, pushing.record_answers, _account_of
        )
        self.failing = self._together(self.desk, pushing.record_failures, _account_of)
        self.parking = self._together(self.desk, notifying.record_many, _account_of)
        self.beginning: Together[int, Claim, Part | Release] = self._together(
            self.desk, self._begin_sends, _account_of
        )
        self.noting: Together[int, Tried, Rested | None] = self._together(
            self.desk, sending.record_many, _account_of
        )
        self.signalling: Together[int, Claim, Signal | Release] = self._together(
            self.desk, self._begin_signals, _account_of
        )
        self.health = health.Notes()
        self.gate = Gate(self.options.slots)
        self.used: Counter[tuple[str, int]] = Counter()
        # How many are being given that no lane knows of, by account.
        self.courtesies: Counter[int] = Counter()
        self._held: set[UUID] = set()
        # Lanes whose endpoints are called just now. A server that crashed may have lost that one is ours, for
        # that waits for no disk (lanes.py); it is not called a second time meanwhile.
        self._calling: set[int] = set()
        # Whether the last claim may have left something due where it was, for want of a place.
        self._crowded = False
        self._wake = asyncio.Event()
        self._timers_wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._swept = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._done: list[Release] = []
        self._done_wake = asyncio.Event()
        self._health_wake = asyncio.Event()

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
                (self._release_done, 0.0),
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

    def _together(
        self,
        desk: Desk,
        work: Callable[[K, Sequence[I]], Sequence[O | Exception]],
        key_of: Callable[[I], K],
    ) -> Together[K, I, O]:
        most, at_once = TOGETHER, self.options.threads
        return Together(desk, work, key_of=key_of, most=most, at_once=at_once)

    def _begin_sends(
        self, account_id: int, claims: Sequence[Claim]
    ) -> Sequence[Part | Release | Exception]:
        return sending.begin_many(account_id, claims, courier_id=self.presence.courier_id)

    def _begin_signals(
        self, account_id: int, claims: Sequence[Claim]
    ) -> Sequence[Signal | Release | Exception]:
        return courtesies.begin_many(account_id, claims, courier_id=self.presence.courier_id)

    # --- Claiming ----------------------------------------------------------------------------

    async def _claim_until_stopped(self) -> None:
        backoff = 0.1
        while not self._stopping.is_set():
            if self.presence.clock_is_wrong:
                self.handed.has_room = False
                await self._pause(WATCH_SECONDS)
                continue
            self._wake.clear()
            limits, rooms = self.gate.limits(self.presence.couriers), self._rooms()
            self._crowded = True  # what ends meanwhile rings: its place was not known to be free
            try:
                claims = await lanes.claim(
                    self.lanes,
                    courier_id=self.presence.courier_id,
                    rooms=rooms,
                    used=self.used,
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
            full = left_out or self._is_full(rooms)
            self._crowded = full or bool(limits)
            self.handed.has_room = not (full or self._stopping.is_set())
            self._dispatch(claims, {limit.endpoint_id for limit in limits})
            # What is limited may have stood in front of what is not.
            if not (claims and limits) and not (left_out and not self._is_full(self._rooms())):
                await self._pause(SWEEP_SECONDS, self._wake)

    async def _take_up_handed(self) -> None:
        """Claim the lanes on which threads of ours have put something, and give their courtesies."""
        waiting, given = await self.handed.wait()
        for courtesy in given:
            if courtesies.may_give(self.courtesies, courtesy, slots=REST_SLOTS):
                self.courtesies[courtesy.account_id] += 1
                self._begin(self._give(courtesy))
        if not waiting or self._stopping.is_set() or self.presence.clock_is_wrong:
            return
        limited = {(one.kind, one.endpoint_id) for one in self.gate.limits(self.presence.couriers)}
        free = [one for one in waiting if (one.kind, one.destination_id) not in limited]
        fit = free if self._fits(free) else []
        if len(fit) < len(waiting):
            self._wake.set()  # to be counted, or shared out as everything is when there is much
        if fit:
            # Under way from now on, so that who is stopped meanwhile waits for it, and leaves no lane leased.
            await asyncio.shield(self._begin(self._claim_handed({one.lane_id for one in fit})))

    async def _claim_handed(self, lane_ids: Collection[int]) -> None:
        try:
            claims = await lanes.claim_these(
                self.lanes, lane_ids, courier_id=self.presence.courier_id
            )
        except DATABASE_ERRORS as error:
            logger.warning("claiming failed error=%s handed=%d", error, len(lane_ids))
            self._wake.set()  # no bell has rung for them
        else:
            self._dispatch(claims, ())

    def _fits(self, waiting: Sequence[Waiting]) -> bool:
        """Whether there is a place for each of these, whatever else waits."""
        wanted = Counter((GROUPS[one.kind], one.account_id) for one in waiting)
        groups = Counter(GROUPS[one.kind] for one in waiting)
        rooms = self._rooms()
        return all(n <= rooms[group].free for group, n in groups.items()) and all(
            n + self.used[key] <= rooms[key[0]].per_account for key, n in wanted.items()
        )

    def _rooms(self) -> dict[str, Room]:
        slots = {
            "reading": self.options.threads * TOGETHER,
            "statuses": STATUS_SLOTS,
            "live": self.options.slots,
            "subscribers": shares.of_subscribers(self.options.slots),
            "rest": min(REST_SLOTS, self.options.slots),
        }
        busy: Counter[str] = Counter()
        for (group, _account), n in self.used.items():
            busy[group] += n
        return {
            group: Room(max(0, n - busy[group]), shares.half(n) if group != "reading" else n)
            for group, n in slots.items()
        }

    def _is_full(self, rooms: Mapping[str, Room]) -> bool:
        """Whether a group or an account gets nothing more before something ends."""
        return any(not room.free for room in rooms.values()) or any(
            n >= rooms[group].per_account for (group, _account), n in self.used.items()
        )

    def _dispatch(self, claims: Sequence[Claim], counted: Collection[int]) -> None:
        pushes = []
        for claim in claims:
            if claim.lane_id in self._calling:
                self._begin(self._abandon([claim], wait=CALLING_SECONDS))
                continue
            self.used[GROUPS[claim.kind], claim.account_id] += 1
            self._held.add(claim.token)
            self.gate.take(claim)
            match claim.kind:
                case Lane.Kind.AGENT | Lane.Kind.SUBSCRIBER:
                    pushes.append(claim)
                case Lane.Kind.INBOUND:
                    self._begin(self._given_back(claim, self.reading(claim)))
                case Lane.Kind.STATUS:
                    self._begin(self._given_back(claim, self.reading_statuses(claim)))
                case Lane.Kind.REPLAY:
                    step = self.desk.surely(replaying.step, claim)
                    self._begin(self._given_back(claim, step))
                case Lane.Kind.SEND:
                    self._begin(self._guarded(claim, self._send(claim)))
                case Lane.Kind.MEDIA:
                    self._begin(self._guarded(claim, self._fetch(claim)))
                case Lane.Kind.SIGNAL:
                    self._begin(self._guarded(claim, self._signal(claim)))
        if pushes:
            self._begin(self._start_pushes(pushes, counted))

    def _begin(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    # --- Lanes -------------------------------------------------------------------------------

    async def _given_back(self, claim: Claim, work: Awaitable[float | None]) -> None:
        """For work that gives its lane back by itself and says in how many seconds it is due again."""
        try:
            due_in = await work
        except Exception:
            logger.exception("lane broke lane=%d kind=%s", claim.lane_id, claim.kind)
            await self._abandon([claim])
            return
        finally:
            self._free(claim)
        if due_in is not None:
            self._alarm(due_in)

    async def _start_pushes(self, claims: Sequence[Claim], counted: Collection[int]) -> None:
        try:
            held_back = await self.gate.hold_back(
                self.pool, claims, couriers=self.presence.couriers, counted=counted
            )
            for release in held_back:
                self._finished(release)
            waiting = {release.claim.token for release in held_back}
            claims = [claim for claim in claims if claim.token not in waiting]
            started = await lanes.start_pushes(
                self.lanes, claims, courier_id=self.presence.courier_id
            )
        except Exception as error:
            if not isinstance(error, DATABASE_ERRORS):
                logger.exception("starting broke lanes=%d", len(claims))
            await self._abandon(claims)
            for claim in claims:
                self._free(claim)
            return
        begun = {one.job.claim.lane_id for one in started}
        for claim in claims:
            if claim.lane_id not in begun:
                self._finished(Release(claim))
        for one in started:
            self.gate.learn_from(one)
            subscriber = one.job.claim.kind == Lane.Kind.SUBSCRIBER
            work = self._notify(one) if subscriber else self._push(one)
            self._begin(self._guarded(one.job.claim, work))

    async def _push(self, one: Push) -> Release | Rested:
        if one.job.n > 1:
            ended = await self.checking(one)
            if ended is not None:
                return Release(one.job.claim, result=ended)
        pushed = await self._call(one, pushing.push)
        result = pushing.plain_result(pushed)
        if result is None and pushed.exchange.ok:
            return await self.settling(pushed) or Release(one.job.claim)
        if result is None:
            await self.failing(pushed)
        return Release(one.job.claim, result=result)

    async def _notify(self, one: Push) -> Release:
        pushed = await self._call(one, notifying.push)
        result = notifying.plain_result(pushed)
        if result is None:
            await self.parking(pushed)
        return Release(one.job.claim, result=result)

    async def _call(
        self, one: Push, push: Callable[[Push, GuardedClient], Awaitable[Pushed]]
    ) -> Pushed:
        """Call the endpoint, unless its breaker says otherwise, and note how it did."""
        claim, probe = one.job.claim, await self.gate.may_probe(self.pool, one)
        if one.is_shut and not probe and not claim.is_test:
            return Pushed(one, pushing.BREAKER_OPEN, {})
        self._calling.add(claim.lane_id)
        try:
            with self.gate.calling(claim) as under_way:
                pushed = await push(one, await self._client(claim))
                in_flight = under_way()
        finally:
            self._calling.discard(claim.lane_id)
        if pushed.exchange.outcome in pushing.NOT_CALLED or one.target is None:
            return pushed
        if one.is_notice:
            # Bots were written that break on what they do not expect, and answer their customers well: only
            # these tell whether an address works, so nothing else opens its breaker, closes it, or counts
            # for the day after which it is switched off (DL-67).
            return pushed
        if one.is_test and not pushed.exchange.ok and not probe:
            return pushed  # told to whoever asked for it, and held against nobody
        urgent = self.health.note(
            claim.account_id,
            claim.destination_id,
            pushed.exchange,
            in_flight=in_flight,
            probe=probe,
            limited=one.target.bearing.limited,
        )
        if probe:  # judged before its lane goes on: what follows on it must know
            note = self.health.take_one(claim.account_id, claim.destination_id)
            if note is not None:
                await self._judge(claim.account_id, claim.destination_id, note)
                self._wake.set()
        elif urgent:
            self._health_wake.set()
        return pushed

    async def _judge(self, account_id: int, endpoint_id: int, note: breaker.Note) -> None:
        """Write what was seen of one endpoint; that one breaks must not lose what others showed."""
        try:
            bearing = await self.desk.surely(health.write, account_id, endpoint_id, note)
        except Exception:
            logger.exception("endpoint not judged endpoint=%d", endpoint_id)
            return
        if bearing is not None:
            self.gate.learn(endpoint_id, bearing)

    async def _send(self, claim: Claim) -> Release | Rested:
        part = await self.beginning(claim)
        if isinstance(part, Release):
            return part
        started = time.perf_counter()
        result = await sending.send(part, await self._client(claim))
        return await self.noting(Tried(part, result, _since(started))) or Release(claim)

    async def _fetch(self, claim: Claim) -> Release:
        one = await self.desk.surely(fetching.begin, claim, courier_id=self.presence.courier_id)
        if isinstance(one, Release):
            return one
        started = time.perf_counter()
        result = await fetching.fetch(one, await self._client(claim))
        await self.desk.surely(fetching.record, one, result, _since(started))
        return Release(claim)

    async def _signal(self, claim: Claim) -> Release:
        signal = await self.signalling(claim)
        if isinstance(signal, Release):
            return signal
        started = time.perf_counter()
        error = await courtesies.give(signal.courtesy, await self._client(claim))
        return Release(claim, result=courtesies.result_of(signal, error, _since(started)))

    async def _give(self, courtesy: Courtesy) -> None:
        try:
            error = await courtesies.give(courtesy, await self.clients.of(courtesy.account_id))
        finally:
            self.courtesies -= Counter([courtesy.account_id])  # and forgets who has none left
        if error:
            logger.info("courtesy failed inbox=%d error=%s", courtesy.inbox.id, error)

    async def _guarded(self, claim: Claim, work: Awaitable[Release | Rested]) -> None:
        """Give the lane back whatever happens; what broke halfway is handled like a crash of ours."""
        try:
            done = await work
            if isinstance(done, Release):
                self._finished(done)
                return
            self._free(claim)
            if done.due_in is not None:
                self._alarm(done.due_in)
        except Exception:
            logger.exception("lane broke lane=%d kind=%s", claim.lane_id, claim.kind)
            await self._abandon([claim])
            self._free(claim)

    async def _abandon(self, claims: Sequence[Claim], *, wait: float = ABANDONED_WAIT) -> None:
        backoff = 0.1
        while True:
            try:
                await lanes.reclaim(self.pool, abandoned=claims, wait=wait)
            except DATABASE_ERRORS:
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
            else:
                return

    async def _client(self, claim: Claim) -> GuardedClient:
        return await self.clients.of(claim.account_id)

    # --- Giving back -------------------------------------------------------------------------

    def _finished(self, done: Release) -> None:
        self._done.append(done)
        self._done_wake.set()

    def _free(self, claim: Claim) -> None:
        self._held.discard(claim.token)
        self.gate.give_back(claim)
        key = (GROUPS[claim.kind], claim.account_id)
        self.used[key] -= 1
        if self.used[key] <= 0:
            del self.used[key]
        if self._crowded:  # else nothing has been waiting for a place
            self._wake.set()

    async def _release_done(self) -> None:
        """Give back what has ended since the last time, together."""
        await self._done_wake.wait()
        batch = list(self._done)
        dues, busy = await lanes.release(self.lanes, batch)
        again = {one.claim.token for one in busy}
        self._done = [*self._done[len(batch) :], *busy]
        if not self._done:
            self._done_wake.clear()
        for one in batch:
            if one.claim.token not in again:
                self._free(one.claim)
        for due_in in dues:
            self._alarm(due_in)
        if busy:
            await asyncio.sleep(RELEASE_AGAIN_SECONDS)

    def _alarm(self, seconds: float) -> None:
        """Look again when that lane is due."""
        if seconds <= 0:
            self._wake.set()
        elif seconds <= MAX_ALARM_SECONDS:
            asyncio.get_running_loop().call_later(seconds, self._wake.set)

    async def _finish_jobs(self) -> None:
        """Wait for what is under way; without a database its results are left to the others."""
        end = time.monotonic() + STOP_SECONDS
        while (self._jobs or self._done) and time.monotonic() < end:
            if self._jobs:
                await asyncio.wait(self._jobs, timeout=end - time.monotonic())
            else:
                await asyncio.sleep(RELEASE_AGAIN_SECONDS)
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

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
        await self.presence.beat(self._held)
        if await self.presence.watch():
            self._wake.set()

    async def _write_health(self) -> None:
        """Every few seconds, and at once when a breaker may turn."""
        await self._pause(HEALTH_SECONDS, self._health_wake)
        self._health_wake.clear()
        for account_id, endpoint_id, note in self.health.take():
            await self._judge(account_id, endpoint_id, note)
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
        try:
            for one in self.health.take():
                await self.desk.run(health.write, *one)
        except Exception:
            logger.exception("endpoints' health not written")
        try:
            await measures.write(self.pool)
        except DATABASE_ERRORS as error:
            logger.warning("measures not written error=%s", type(error).__name__)
        await self.clients.close()
        await self.presence.leave()
        await self.pool.close()
        await self.lanes.close()
        await asyncio.to_thread(self.readers.close)
        await asyncio.to_thread(self.status_readers.close)
        await asyncio.to_thread(self.desk.close)
        logger.info("courier stopped id=%d", self.presence.courier_id)


def _since(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)


def _account_of(thing: Claim | Push | Pushed | Tried) -> int:
    return thing.account_id
