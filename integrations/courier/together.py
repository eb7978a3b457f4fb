"""Work that waits together is done together: one transaction, and as many statements as for one.

Doing several things in one transaction is only a faster way of doing each in its own. Whatever is out
of the ordinary, breaks, or makes the batch break is therefore done once more, by itself and with care.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from django.db import InterfaceError, OperationalError, connection

from integrations.courier.desk import MAX_BACKOFF, Desk

logger = logging.getLogger(__name__)

I = TypeVar("I")  # noqa: E741 - what goes in
O = TypeVar("O")  # noqa: E741 - what comes out
K = TypeVar("K", bound=Hashable)
AWAY = (OperationalError, InterfaceError)


class Together(Generic[I, O]):
    """Awaited with one thing; does what waits by then in one go, on a thread of `desk`.

    `work` takes several things and returns a result or an exception for each, in their order.
    """

    def __init__(
        self,
        desk: Desk,
        work: Callable[[Sequence[I]], Sequence[O | Exception]],
        *,
        most: int,
        at_once: int,
    ) -> None:
        self._desk, self._work = desk, work
        self._most, self._at_once = most, at_once
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
        if len(self._runs) < self._at_once:
            run = asyncio.create_task(self._run())
            self._runs.add(run)
            run.add_done_callback(self._runs.discard)
        return result

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # whatever else this turn of the loop brings comes along
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if not batch:
                return
            try:
                results = await self._desk.run(self._work, [thing for thing, _result in batch])
            except Exception as error:
                results = [error] * len(batch)
            for (_thing, waiting), result in zip(batch, results, strict=True):
                _settle(waiting, result)


def _settle(waiting: asyncio.Future[O], result: O | Exception) -> None:
    if waiting.done():
        return
    if isinstance(result, Exception):
        waiting.set_exception(result)
    else:
        waiting.set_result(result)


def in_groups(
    things: Sequence[I],
    key_of: Callable[[I], K],
    *,
    many: Callable[[K, Sequence[I]], Mapping[int, O]],
    one: Callable[[I], O],
) -> list[O | Exception]:
    """The results of `things`, in their order.

    `many(key, things)` does in one transaction what it can of those with the same key, their account
    at least, and returns results by their places; the others, and all of them when it raises, go
    through `one`.
    """
    groups: defaultdict[K, list[int]] = defaultdict(list)
    for place, thing in enumerate(things):
        groups[key_of(thing)].append(place)
    results: dict[int, O | Exception] = {}
    for key, places in groups.items():
        done = _try_many(many, key, [things[place] for place in places])
        for inner, place in enumerate(places):
            results[place] = done[inner] if inner in done else _try_one(one, things[place])
    return [results[place] for place in range(len(things))]


def _try_many(
    many: Callable[[K, Sequence[I]], Mapping[int, O]], key: K, things: Sequence[I]
) -> Mapping[int, O]:
    try:
        return many(key, things)
    except AWAY:
        connection.close()
    except Exception as error:
        logger.info("one by one work=%s n=%d error=%r", many, len(things), error)
    return {}


def _try_one(one: Callable[[I], O], thing: I) -> O | Exception:
    try:
        return one(thing)
    except AWAY as error:
        connection.close()
        return error
    except Exception as error:
        return error
