"""Work that waits together is done together: one transaction, and as many statements as for one.

Doing several things in one transaction is only a faster way of doing each in its own. Whatever is out
of the ordinary, breaks, or makes the batch break is therefore done once more, by itself and with care.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from django.db import IntegrityError, InterfaceError, OperationalError, connection

from conversations.errors import DeskError
from integrations.courier.desk import MAX_BACKOFF, Desk
from integrations.courier.recording import StaleError

logger = logging.getLogger(__name__)

I = TypeVar("I")  # noqa: E741 - what goes in
O = TypeVar("O")  # noqa: E741 - what comes out
K = TypeVar("K", bound=Hashable)
# One of a batch is a second copy, may not be done, or is not ours any more.
EXPECTED = (IntegrityError, DeskError, StaleError)
AWAY = (OperationalError, InterfaceError)


# So much at most in one go.
MOST = 50


class OfAccount(Protocol):
    """What belongs to an account."""

    @property
    def account_id(self) -> int: ...


A = TypeVar("A", bound=OfAccount)


class Together(Generic[K, I, O]):
    """Awaited with one thing; does what waits by then and has the same key in one go, on a thread of
    `desk`, of which as many at once as it has threads. The key names an account at least: nobody waits for
    what others do.

    `work` takes a key and its things, and returns a result or an exception for each, in their order.
    """

    def __init__(
        self,
        desk: Desk,
        work: Callable[[K, Sequence[I]], Sequence[O | Exception]],
        *,
        key_of: Callable[[I], K],
        most: int = MOST,
    ) -> None:
        self._desk, self._work, self._key_of, self._most = desk, work, key_of, most
        self._waiting: deque[tuple[I, asyncio.Future[O]]] = deque()
        self._runs: set[asyncio.Task[None]] = set()

    async def __call__(self, thing: I) -> O:
        """The result for `thing`; waits while the database is away. Raises what its work raises."""
        backoff = 0.05
        while True:
            try:
                return await self._put(thing)
            except AWAY as error:
                logger.warning("database away work=%s error=%s", self._work, type(error).__name__)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)

    def _put(self, thing: I) -> asyncio.Future[O]:
        result: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, result))
        if len(self._runs) < self._desk.size:
            self._runs.add(asyncio.create_task(self._run()))
        return result

    async def _run(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # whatever else this turn of the loop brings comes along
                if batch := self._take():
                    await self._do(batch)
        finally:
            # Here, and not a turn of the loop later: whoever comes in between would start no run.
            self._runs.discard(asyncio.current_task())

    def _take(self) -> list[tuple[I, asyncio.Future[O]]]:
        """The thing that has waited longest, with others of its key."""
        batch: list[tuple[I, asyncio.Future[O]]] = []
        others: deque[tuple[I, asyncio.Future[O]]] = deque()
        for one in self._waiting:
            same = not batch or self._key_of(one[0]) == self._key_of(batch[0][0])
            (batch if same and len(batch) < self._most else others).append(one)
        self._waiting = others
        return batch

    async def _do(self, batch: Sequence[tuple[I, asyncio.Future[O]]]) -> None:
        things = [thing for thing, _result in batch]
        results: Sequence[O | Exception]
        try:
            results = await self._desk.run(self._work, self._key_of(things[0]), things)
        except Exception as error:
            results = [error] * len(batch)
        for (_thing, waiting), result in zip(batch, results, strict=True):
            _settle(waiting, result)


def by_account(
    desk: Desk, work: Callable[[int, Sequence[A]], Sequence[O | Exception]]
) -> Together[int, A, O]:
    """Whose batches are what one account has waiting."""
    return Together(desk, work, key_of=lambda thing: thing.account_id)


def _settle(waiting: asyncio.Future[O], result: O | Exception) -> None:
    if waiting.done():
        return
    if isinstance(result, Exception):
        waiting.set_exception(result)
    else:
        waiting.set_result(result)


def together_or_alone(
    key: K,
    things: Sequence[I],
    *,
    many: Callable[[K, Sequence[I]], Mapping[int, O]],
    one: Callable[[I], O],
) -> list[O | Exception]:
    """The results of `things`, in their order.

    `many(key, things)` does in one transaction what it can, and returns those results by their places;
    the others, and all of them when it raises, go through `one`.
    """
    done = _try_many(many, key, things)
    return [
        done[place] if place in done else _try_one(one, thing) for place, thing in enumerate(things)
    ]


def _try_many(
    many: Callable[[K, Sequence[I]], Mapping[int, O]], key: K, things: Sequence[I]
) -> Mapping[int, O]:
    try:
        return many(key, things)
    except AWAY:
        connection.close()
    except EXPECTED as error:
        logger.info("one by one work=%s n=%d error=%r", many, len(things), error)
    except Exception:
        logger.exception("one by one work=%s n=%d", many, len(things))
    return {}


def _try_one(one: Callable[[I], O], thing: I) -> O | Exception:
    try:
        return one(thing)
    except AWAY as error:
        connection.close()
        return error
    except Exception as error:
        return error
