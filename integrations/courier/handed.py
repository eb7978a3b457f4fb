"""What a courier's own threads hand it, by a way that is shorter than the database's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from conversations.services.carrying import Courtesy, Waiting


class Taken(NamedTuple):
    lanes: list[Waiting]
    courtesies: list[Courtesy]


class Handed:
    """A `Carrier` (conversations.services.carrying): threads put in, the courier's loop takes out."""

    def __init__(self) -> None:
        # Said by the courier: nothing waits that has to share what places are left.
        self.has_room = False
        self._taken = Taken([], [])
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()

    def take_up(self, lanes: Sequence[Waiting]) -> None:
        self._put(lambda: self._taken.lanes.extend(lanes))

    def give(self, courtesies: Sequence[Courtesy]) -> None:
        self._put(lambda: self._taken.courtesies.extend(courtesies))

    async def wait(self) -> Taken:
        """Everything that was put in since the last time, as soon as there is something."""
        self._loop = asyncio.get_running_loop()
        await self._wake.wait()
        self._wake.clear()
        taken, self._taken = self._taken, Taken([], [])
        return taken

    def _put(self, put: Callable[[], None]) -> None:
        def put_and_wake() -> None:
            put()
            self._wake.set()

        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(put_and_wake)
