"""The server itself: a thread of its own, Meta's endpoints, and the Python door for tests."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from aiohttp import web

from tests.fakes.graph import hooks, rules
from tests.fakes.graph.control import Control
from tests.fakes.graph.failures import Failure, Failures, Where
from tests.fakes.graph.files import PIXEL, Files, StoredFile
from tests.fakes.graph.rules import GraphError
from tests.fakes.graph.sender import HookSent, Sender

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")

APP_SECRET = "app-secret-of-the-tests"
NUMBERS = {"200000000000001": "100000000000001"}


@dataclasses.dataclass
class Call:
    """One call to the API and what became of it."""

    method: str
    path: str
    body: Any
    token: str
    answer: int = 0
    refused: str = ""
    external_id: str = ""
    at: float = dataclasses.field(default_factory=time.time)


CALL = web.RequestKey("call", Call)
FAILURE = web.RequestKey("failure", Failure)


class FakeGraph:
    """`numbers` maps phone number ids to WhatsApp Business account ids; `tokens` are the valid
    tokens, None accepts any; `statuses` follow every accepted message by webhook.
    """

    def __init__(
        self,
        *,
        app_secret: str = APP_SECRET,
        callback: str = "",
        tokens: Sequence[str] | None = None,
        numbers: Mapping[str, str] = NUMBERS,
        statuses: Sequence[str] = ("sent", "delivered"),
        status_delay: float = 0.02,
        retry_delays: Sequence[float] = (0.2, 1.0, 5.0),
        media_seconds: float = 300.0,
    ) -> None:
        self.app_secret = app_secret
        self.tokens = tokens
        self.numbers = dict(numbers)
        self.statuses = list(statuses)
        self.status_delay = status_delay
        self.templates: list[dict[str, Any]] = [
            {"name": "order_ready", "language": "ro", "status": "APPROVED"},
            {"name": "late_hello", "language": "en", "status": "PAUSED"},
        ]
        self.calls: list[Call] = []
        self.subscribed: set[str] = set()
        self.failures = Failures()
        self.files = Files(media_seconds)
        for kind in hooks.kinds():
            self.files.keep_named(hooks.sample(kind))
        self.sender = Sender(
            app_secret=app_secret,
            callback=callback,
            numbers=self.numbers,
            retry_delays=retry_delays,
        )
        self.base_url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fake-graph", daemon=True
        )
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- For tests: everything here may be called from any other thread ---------------------------

    def __enter__(self) -> FakeGraph:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base URL."""
        self._thread.start()
        self.base_url = self._run(self._listen(host, port))
        return self.base_url

    def stop(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """The messages that were taken, as they came."""
        return [call.body for call in self.calls if call.external_id]

    @property
    def receipts(self) -> list[dict[str, Any]]:
        """The read receipts and typing indicators that were taken."""
        taken = [call.body for call in self.calls if not call.refused and not call.external_id]
        return [body for body in taken if isinstance(body, dict) and body.get("status") == "read"]

    @property
    def refused(self) -> list[str]:
        return [call.refused for call in self.calls if call.refused]

    @property
    def webhooks(self) -> list[HookSent]:
        """Every try to deliver a webhook."""
        return self.sender.sent

    def fail(self, **failure: Any) -> None:
        """Let the next calls fail: the fields of `Failure`."""
        self.failures.add(Failure(**failure))

    def keep_file(self, content: bytes = PIXEL, mime: str = "image/png") -> str:
        """A file a customer sent; its media id."""
        return self.files.keep(StoredFile(content, mime, uploaded=False))

    def inbound(self, kind: str = "text", **wish: Any) -> list[str]:
        """A customer writes; see `write_as_customer`. Returns the ids of the messages."""
        ids, _answer = self._run(self.write_as_customer(kind, **wish))
        return ids

    def report(self, external_id: str, word: str, **parts: Any) -> int:
        """Send a status of an accepted message; returns the last answer."""
        call = next(call for call in self.calls if call.external_id == external_id)
        number = _number_of(call)
        report = hooks.status(call.body, external_id, word, **parts)
        return self._run(self.sender.deliver(number, hooks.value(number, statuses=[report])))

    def deliver(self, body: bytes, *, number: str = "", secret: str | None = None) -> int:
        """Send any webhook body once, signed with the app secret or another; the answer."""
        url = self.sender.callback_of(number or next(iter(self.numbers)))
        return self._run(self.sender.post(url, body, secret))

    def wait_for(self, ready: Callable[[], T], seconds: float = 5.0) -> T:
        """The first true value of `ready`; raises `TimeoutError`."""
        until = time.monotonic() + seconds
        while not (found := ready()):
            if time.monotonic() > until:
                raise TimeoutError("the fake Graph server did not see what was waited for")
            time.sleep(0.01)
        return found

    async def write_as_customer(
        self,
        kind: str = "text",
        *,
        number: str = "",
        sender: str = "40721000111",
        name: str = "Ana Pop",
        bsuid: str = "",
        copies: int = 1,
        **parts: Any,
    ) -> tuple[list[str], int]:
        """Messages like the sample of a kind, in one webhook; their ids and the last answer.

        `parts` replace parts of the message, `text={"body": "…"}`; files are really there to fetch.
        """
        number = number or next(iter(self.numbers))
        pairs = [
            hooks.customer_message(kind, sender=sender, name=name, bsuid=bsuid, **parts)
            for _copy in range(copies)
        ]
        messages = [message for message, _contact in pairs]
        for message in messages:
            self.files.keep_named(message)
        value = hooks.value(number, contacts=[pairs[0][1]], messages=messages)
        answer = await self.sender.deliver(number, value)
        return [message["id"] for message in messages], answer

    # --- Running ----------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self, host: str, port: int) -> str:
        await self.sender.open()
        application = web.Application(
            client_max_size=rules.DOCUMENT_LIMIT + rules.MB, middlewares=[self._guard]
        )
        application.add_routes([*Control(self).routes(), *self._routes()])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return f"http://{host}:{self._runner.addresses[0][1]}"

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self.sender.close()

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_media/{link}", self._download),
            web.post("/{version}/{number}/messages", self._messages),
            web.post("/{version}/{number}/media", self._upload),
            web.post("/{version}/{waba}/subscribed_apps", self._subscribe),
            web.get("/{version}/{waba}/message_templates", self._list_templates),
            web.get("/{version}/{id}", self._read),
            web.delete("/{version}/{id}", self._delete),
        ]

    # --- Every call -------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Log the call, check its token, and fail as asked for."""
        if request.path.startswith("/_control/"):
            return await handler(request)
        call = Call(request.method, request.path, await _body_of(request), _bearer(request))
        self.calls.append(call)
        request[CALL], request[FAILURE] = call, self.failures.next(self._where(call))
        answer = await self._answer(request, handler, call, request[FAILURE])
        call.answer = answer.status
        return answer

    async def _answer(
        self, request: web.Request, handler: Handler, call: Call, failure: Failure
    ) -> web.StreamResponse:
        await asyncio.sleep(failure.delay)
        if failure.drop == "before":
            call.refused = "the connection was dropped before the call had an effect"
            return _hang_up(request)
        if failure.unreadable:
            call.refused = f"HTTP {failure.status}"
            return web.Response(
                status=failure.status or 500, text="<html>Sorry</html>", headers=failure.headers()
            )
        try:
            self._check_token(call)
            failure.raise_asked()
            answer = await handler(request)
        except GraphError as error:
            call.refused = str(error)
            return web.json_response(error.body(), status=error.status, headers=failure.headers())
        if failure.drop == "after":
            return _hang_up(request)
        return web.Response(text="<html>Welcome</html>") if failure.garbage else answer

    def _where(self, call: Call) -> Where:
        last = call.path.rsplit("/", 1)[-1]
        if call.path.startswith("/_media/"):
            return "download"
        if last == "messages":
            is_receipt = isinstance(call.body, dict) and "status" in call.body
            return "receipts" if is_receipt else "messages"
        if last == "media":
            return "upload"
        return "media" if last in self.files.kept else "management"

    def _check_token(self, call: Call) -> None:
        if not call.token:
            raise GraphError(190, "An access token is required to request this resource.")
        if self.tokens is not None and call.token not in self.tokens:
            raise GraphError(190, "Error validating access token: Session has expired.")

    def _check_known(self, name: str, known: object) -> None:
        if not known:
            raise GraphError(
                100,
                f"Unsupported request. Object with ID '{name}' does not exist, cannot be loaded "
                "due to missing permissions, or does not support this operation",
                subcode=33,
            )

    # --- Messages ---------------------------------------------------------------------------------

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        call, number = request[CALL], request.match_info["number"]
        self._check_known(number, number in self.numbers)
        body = call.body
        if isinstance(body, dict) and "status" in body:
            rules.check_read_receipt(body)
            return web.json_response({"success": True})
        rules.check_message(body, self.files.uploaded())
        call.external_id = hooks.new_wamid()
        self._spawn(self._follow(number, call, request[FAILURE]))
        return web.json_response(
            {
                "messaging_product": "whatsapp",
                "contacts": [_reached(body)],
                "messages": [{"id": call.external_id}],
            }
        )

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, number: str, call: Call, failure: Failure) -> None:
        """The statuses of an accepted message, one webhook each."""
        if failure.later and failure.code is not None:
            reports = [hooks.failed(call.body, call.external_id, failure.code, failure.message)]
        else:
            reports = [hooks.status(call.body, call.external_id, word) for word in self.statuses]
        for report in reports:
            await asyncio.sleep(self.status_delay)
            await self.sender.deliver(number, hooks.value(number, statuses=[report]))

    # --- Files ------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        self._check_known(
            request.match_info["number"], request.match_info["number"] in self.numbers
        )
        form = request[CALL].body
        if not isinstance(form, dict) or form.get("messaging_product") != "whatsapp":
            raise GraphError(100, "The parameter messaging_product is required.")
        if not isinstance(form.get("file"), bytes) or not form.get("type"):
            raise GraphError(100, "The parameters file and type are required.")
        rules.check_upload(form["type"], len(form["file"]))
        return web.json_response({"id": self.files.keep(StoredFile(form["file"], form["type"]))})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file = self.files.behind(request.match_info["link"])
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.content, headers={"Content-Type": file.mime})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        media_id = request.match_info["id"]
        self._check_known(media_id, self.files.kept.pop(media_id, None))
        return web.json_response({"success": True})

    # --- Connecting -------------------------------------------------------------------------------

    async def _read(self, request: web.Request) -> web.StreamResponse:
        """A node by its id: a file, an account or a number."""
        node = request.match_info["id"]
        self._check_proof(request)
        if node in self.files.kept:
            return web.json_response(self.files.describe(node, self.base_url))
        self._check_known(node, node in self.numbers or node in self.numbers.values())
        number = {
            "display_phone_number": "+40 312 345 678",
            "verified_name": "Shop of the tests",
            "quality_rating": "GREEN",
        }
        account = {"name": "Shop of the tests"}
        return web.json_response({"id": node, **(number if node in self.numbers else account)})

    def _check_proof(self, request: web.Request) -> None:
        proof = request.query.get("appsecret_proof")
        token = request[CALL].token
        right = hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        if proof is not None and not hmac.compare_digest(proof.encode(), right.encode()):
            raise GraphError(100, "Invalid appsecret_proof provided in the API argument")

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        """Subscribe the app, then perhaps set the account's own callback, which is probed first."""
        waba, body = request.match_info["waba"], request[CALL].body or {}
        self._check_known(waba, waba in self.numbers.values())
        callback = body.get("override_callback_uri")
        if callback and waba not in self.subscribed:
            raise GraphError(
                100,
                "Before override the current callback uri, your app must be subscribed to receive "
                "messages for WhatsApp Business Account",
            )
        if callback:
            await self.sender.probe(callback, str(body.get("verify_token", "")))
            self.sender.callbacks[waba] = callback
        self.subscribed.add(waba)
        return web.json_response({"success": True})

    async def _list_templates(self, request: web.Request) -> web.StreamResponse:
        waba = request.match_info["waba"]
        self._check_known(waba, waba in self.numbers.values())
        return web.json_response({"data": self.templates, "paging": {}})


def _number_of(call: Call) -> str:
    return call.path.split("/")[-2]


def _reached(body: dict[str, Any]) -> dict[str, str]:
    """The contact of an answer: the number Meta knows for the one we named."""
    to = body.get("to")
    if to is None:
        return {"input": body["recipient"], "user_id": body["recipient"]}
    return {"input": to, "wa_id": to.removeprefix("+")}


def _bearer(request: web.Request) -> str:
    scheme, _blank, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme == "Bearer" else ""


async def _body_of(request: web.Request) -> Any:
    """JSON, or the fields of a form; None when there is no body or it cannot be read."""
    if request.content_type == "multipart/form-data":
        form = await request.post()
        return {
            name: part.file.read() if isinstance(part, web.FileField) else part
            for name, part in form.items()
        }
    try:
        return await request.json() if await request.read() else None
    except ValueError:
        return None


def _hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer; what is returned here reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
