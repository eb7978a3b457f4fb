"""Endpoints of other accounts: one that takes events after a while, and a host that never answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import defaultdict
from collections.abc import Iterator

from aiohttp import web

from tests.bench.stack import free_port


class Sink:
    """Takes events after `seconds`; knows how many came and whether each lane's came in order."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.port = free_port()
        self.taken = self.at_once = self.disorder = self.doubled = 0
        self._last: dict[str, int] = defaultdict(int)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def __aenter__(self) -> Sink:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=2048).start()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        lane, _, place = request.headers["webhook-id"].rpartition("-")
        if place.isdecimal():
            self._note(lane, int(place))
        self.at_once += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        return web.Response(status=204)

    def _note(self, lane: str, place: int) -> None:
        self.taken += 1
        self.doubled += place == self._last[lane]
        self.disorder += place < self._last[lane]
        self._last[lane] = place


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The address of a host that answers no knock: its queue is full and nobody looks at it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):
            knock = stack.enter_context(socket.socket())
            knock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                knock.connect(address)
        yield f"http://127.0.0.1:{address[1]}/"
