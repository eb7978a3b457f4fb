"""Everything that is done with a claimed lane but calling its endpoint: reading what came in, sending,
fetching files, replays, courtesies."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence

from conversations.services.carrying import Courtesy
from integrations.courier import (
    beginning,
    courtesies,
    fetching,
    reading,
    replaying,
    sending,
    statuses,
    tried,
)
from integrations.courier.courtesies import Signal
from integrations.courier.desk import Desk
from integrations.courier.handed import Handed
from integrations.courier.parts import Part
from integrations.courier.presence import Presence
from integrations.courier.reading import InboxKey
from integrations.courier.slots import REST_SLOTS
from integrations.courier.together import Together, by_account
from integrations.courier.tried import Tried
from integrations.courier.work import Claim, Release, Rested
from integrations.http import Clients, GuardedClient

logger = logging.getLogger(__name__)


class Errands:
    """Each kind of lane is a coroutine here that gives back its lane, or says that it has been."""

    def __init__(
        self, *, presence: Presence, clients: Clients, desk: Desk, threads: int, handed: Handed
    ) -> None:
        self._presence, self._clients, self._desk = presence, clients, desk
        self._readers = Desk(threads, "courier-reading", handed)
        # One thread: they come by the thousand and may wait, customers may not.
        self._status_readers = Desk(1, "courier-statuses", handed)
        self.read: Together[InboxKey, Claim, float | None] = Together(
            self._readers, reading.read_lanes, key_of=reading.inbox_of
        )
        self.read_statuses: Together[InboxKey, Claim, float | None] = Together(
            self._status_readers, statuses.read_lanes, key_of=reading.inbox_of
        )
        self._beginning: Together[int, Claim, Part | Release] = by_account(desk, self._begin_sends)
        self._noting: Together[int, Tried, Rested | None] = by_account(desk, tried.record_many)
        self._signalling: Together[int, Claim, Signal | Release] = by_account(
            desk, self._begin_signals
        )
        # How many are being given that no lane knows of, by account.
        self._courtesies: Counter[int] = Counter()

    async def replay(self, claim: Claim) -> float | None:
        return await self._desk.surely(replaying.step, claim)

    async def send(self, claim: Claim) -> Release | Rested:
        part = await self._beginning(claim)
        if isinstance(part, Release):
            return part
        started = time.perf_counter()
        result = await sending.send(part, await self._client(claim))
        return await self._noting(Tried(part, result, _since(started))) or Release(claim)

    async def fetch(self, claim: Claim) -> Release:
        one = await self._desk.surely(fetching.begin, claim, courier_id=self._presence.courier_id)
        if isinstance(one, Release):
            return one
        started = time.perf_counter()
        result = await fetching.fetch(one, await self._client(claim))
        await self._desk.surely(fetching.record, one, result, _since(started))
        return Release(claim)

    async def signal(self, claim: Claim) -> Release:
        signal = await self._signalling(claim)
        if isinstance(signal, Release):
            return signal
        started = time.perf_counter()
        error = await courtesies.give(signal.courtesy, await self._client(claim))
        return Release(claim, result=courtesies.result_of(signal, error, _since(started)))

    def may_give(self, courtesy: Courtesy) -> bool:
        """Whether there is a place for one more that no lane knows of; it is taken."""
        if not courtesies.may_give(self._courtesies, courtesy, slots=REST_SLOTS):
            return False
        self._courtesies[courtesy.account_id] += 1
        return True

    async def give(self, courtesy: Courtesy) -> None:
        """Give one that has its place."""
        try:
            error = await courtesies.give(courtesy, await self._clients.of(courtesy.account_id))
        finally:
            self._courtesies -= Counter([courtesy.account_id])  # and forgets who has none left
        if error:
            logger.info("courtesy failed inbox=%d error=%s", courtesy.inbox.id, error)

    def close(self) -> None:
        """Wait for the readers' threads and close their connections."""
        self._readers.close()
        self._status_readers.close()

    def _begin_sends(
        self, account_id: int, claims: Sequence[Claim]
    ) -> Sequence[Part | Release | Exception]:
        return beginning.begin_many(account_id, claims, courier_id=self._presence.courier_id)

    def _begin_signals(
        self, account_id: int, claims: Sequence[Claim]
    ) -> Sequence[Signal | Release | Exception]:
        return courtesies.begin_many(account_id, claims, courier_id=self._presence.courier_id)

    async def _client(self, claim: Claim) -> GuardedClient:
        return await self._clients.of(claim.account_id)


def _since(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)
