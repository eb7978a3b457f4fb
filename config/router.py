"""The one port: live streams and hook doors as plain ASGI, everything else to Django under WSGI.

Django never runs under its own ASGI handler here, and bodies are read whole on the event loop before
a Django thread sees them: a slow sender costs no thread, and a body without Content-Length (chunked)
gets one, because Django reads such bodies as empty.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Awaitable, Callable

from django.conf import settings

from config import bodies
from config.bodies import Body, Message, Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]
# What takes a whole body, and needs nobody to receive it from.
WholeApp = Callable[[Scope, Body, Send], Awaitable[None]]
MAX_HEADER_BYTES = 64 * 1024
# Set by proxies and believed by what stands behind them; only their own spelling counts.
PROXY_HEADERS = (b"x_forwarded_", b"x_real_", b"x_request_id", b"forwarded")


class LazyApp:
    """An ASGI app named by module, imported at first use; its absence is an error of its path only."""

    def __init__(self, module: str) -> None:
        self.module = module
        self._app: App | None = None

    def load(self) -> App:
        if self._app is None:
            self._app = importlib.import_module(self.module).app
        return self._app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.load()(scope, receive, send)


class Router:
    """Sends a request to the app of its path, with clean headers and, where asked, a whole body."""

    def __init__(self, django: WholeApp, *, live: LazyApp, door: LazyApp) -> None:
        self.django, self.live, self.door = django, live, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Lifespan([self.live, self.door]).run(receive, send)
        elif scope["type"] == "http":
            await self.answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            await bodies.refuse(send, 431, "The request's headers are too large.")
            return
        scope = {**scope, "headers": clean_headers(scope["headers"])}
        path: str = scope["path"]
        if path.startswith("/live/"):
            await self.live(scope, receive, send)
            return
        is_hook = path.startswith("/hooks/")
        limit = settings.MAX_HOOK_BYTES if is_hook else body_limit(scope)
        try:
            body = await bodies.read(scope, receive, limit=limit)
        except bodies.RefusedBodyError as refusal:
            await bodies.refuse(send, refusal.status, str(refusal))
            return
        except bodies.ClientGoneError:
            return
        with body:
            scope["headers"] = with_length(scope["headers"], body.size)
            if is_hook:
                await self.door(scope, body.receive(receive), send)
            else:
                await self.django(scope, body, send)


class Lifespan:
    """Hands startup and shutdown on to several apps, and reports the first that fails."""

    def __init__(self, apps: list[LazyApp]) -> None:
        self.apps = apps
        self.inboxes: list[asyncio.Queue[Message]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.answers: asyncio.Queue[Message] = asyncio.Queue()

    async def run(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.to_thread(refuse_to_boot)
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        for app in self.apps:
            self.start(app)
        failed = await self.tell("startup")
        await send(failed or {"type": "lifespan.startup.complete"})
        if failed:
            return
        await receive()
        await self.tell("shutdown")
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await send({"type": "lifespan.shutdown.complete"})

    def start(self, app: LazyApp) -> None:
        if importlib.util.find_spec(app.module) is None:
            return
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.inboxes.append(inbox)
        self.tasks.append(asyncio.create_task(self.carry(app, inbox)))

    async def carry(self, app: LazyApp, inbox: asyncio.Queue[Message]) -> None:
        async def send(message: Message) -> None:
            await self.answers.put(message)

        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        try:
            await app(scope, inbox.get, send)
        except Exception as error:
            message = f"{app.module}: {error!r}"
            await self.answers.put({"type": "lifespan.startup.failed", "message": message})
            raise

    async def tell(self, phase: str) -> Message | None:
        """Send the phase to every app; the first failure among their answers, or None."""
        for inbox in self.inboxes:
            inbox.put_nowait({"type": f"lifespan.{phase}"})
        answers = [await self.answers.get() for _ in self.inboxes]
        return next((a for a in answers if a["type"] == f"lifespan.{phase}.failed"), None)


def refuse_to_boot() -> None:
    from config import checks

    checks.refuse_to_boot()


def body_limit(scope: Scope) -> int:
    """Files may be large, everything else is small."""
    kind = dict(scope["headers"]).get(b"content-type", b"").lower()
    if kind.startswith(
        (b"multipart/", b"application/octet-stream", b"image/", b"audio/", b"video/")
    ):
        return int(settings.MAX_UPLOAD_BYTES) + 64 * 1024  # the parts' own headers and fields
    return int(settings.MAX_JSON_BYTES)


def clean_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """`api_access_token` arrives; an underscore twin that would pass for another header does not.

    WSGI folds `-` and `_` into one name, so `x_forwarded_proto` beside (or instead of) the proxy's
    `x-forwarded-proto` would be believed.
    """
    dashed = {name for name, _ in headers if b"_" not in name}
    return [
        (name, value)
        for name, value in headers
        if b"_" not in name
        or not (name.replace(b"_", b"-") in dashed or name.startswith(PROXY_HEADERS))
    ]


def with_length(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    kept = [h for h in headers if h[0] not in (b"content-length", b"transfer-encoding")]
    return [*kept, (b"content-length", str(size).encode())]
