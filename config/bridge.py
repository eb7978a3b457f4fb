"""Django under WSGI, in threads beside the event loop.

A request goes to a thread once, with its whole body, and its answer comes back once: for every further step
across, both sides wait for the interpreter's lock. Only what a view streams comes piece by piece, as fast
as the client takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from a2wsgi.wsgi import build_environ

from config.bodies import Body, Message, Scope, Send

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Tell = Callable[[Message], None]


class Bridge:
    """Answers requests by a WSGI app, as many at once as there are threads; the others wait."""

    def __init__(self, app: WsgiApp, *, threads: int) -> None:
        self._app = app
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="django")

    async def __call__(self, scope: Scope, body: Body, send: Send) -> None:
        loop = asyncio.get_running_loop()

        async def sent(message: Message) -> None:
            await send(message)

        def tell(message: Message) -> None:
            asyncio.run_coroutine_threadsafe(sent(message), loop).result()

        environ: Any = build_environ(scope, body.file)  # type: ignore[arg-type]
        answer = partial(copy_context().run, self._answer, environ, tell)
        for message in await loop.run_in_executor(self.executor, answer):
            await send(message)

    def _answer(self, environ: dict[str, Any], tell: Tell) -> list[Message]:
        """In a thread: what is to be sent. Of a stream, `tell` has sent all but the end."""
        begun: list[Message] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            begun.append(_start(status, headers))

        chunks = self._app(environ, start_response)
        try:
            if not getattr(chunks, "streaming", False):
                return [*begun, {"type": "http.response.body", "body": b"".join(chunks)}]
            for message in begun:
                tell(message)
            for chunk in chunks:
                tell({"type": "http.response.body", "body": chunk, "more_body": True})
            return [{"type": "http.response.body", "body": b""}]
        finally:
            getattr(chunks, "close", lambda: None)()


def _start(status: str, headers: list[tuple[str, str]]) -> Message:
    return {
        "type": "http.response.start",
        "status": int(status.split(" ", 1)[0]),
        "headers": [
            (name.strip().lower().encode("latin-1"), value.strip().encode("latin-1"))
            for name, value in headers
        ],
    }
