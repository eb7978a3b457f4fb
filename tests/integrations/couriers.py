"""A courier and the foreign sides it talks to, each on a thread of its own, over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from aiohttp import web
from psycopg import sql

from accounts.tenancy import account_context
from agents.models import Agent
from conversations import services
from conversations.models import Conversation, Inbox
from integrations.addresses import Policy
from integrations.courier.component import Courier
from integrations.courier.loop import run
from integrations.courier.slots import Options
from integrations.live import connection_arguments
from integrations.registry import Platform, register
from tests import factories
from tests.integrations.channel import DayPaperChannel, PaperChannel

LOCAL = Policy.of(allow_http=True, allow=["127.0.0.0/8"])


@dataclass
class Request:
    """What a server got."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0


class Server:
    """A foreign side. `answer(request) -> Reply` may be changed while it runs."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.at_once = self.most_at_once = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Server:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._end.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        got = Request(request.path, dict(request.headers), await request.read(), time.time())
        self.requests.append(got)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reply = self.answer(got)
            await asyncio.sleep(reply.after)
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        finally:
            self.at_once -= 1


def says(text: str) -> bytes:
    """A native answer with one message."""
    return json.dumps({"messages": [{"text": text}]}).encode()


def takes(request: Request) -> Reply:
    """A channel's API that takes everything."""
    if request.path == "/read":
        return Reply()
    return Reply(body=json.dumps({"id": f"ext:{request.json['reference']}"}).encode())


@contextmanager
def courier(**options: Any) -> Iterator[Courier]:
    """A courier at work until the block ends."""
    chosen = Options(**{"slots": 200, "threads": 2, "policy": LOCAL, **options})
    started, holder = threading.Event(), []

    async def carry() -> None:
        one = Courier(chosen)
        holder.append((one, asyncio.get_running_loop()))
        started.set()
        await one.run()

    thread = threading.Thread(target=lambda: run(carry()))
    thread.start()
    started.wait()
    one, loop = holder[0]
    try:
        yield one
    finally:
        loop.call_soon_threadsafe(one.stop)
        thread.join()


@contextmanager
def only_reading() -> Iterator[None]:
    """Whoever connects meanwhile reaches a server that only reads, as the old primary does after a
    failover, and does so for as long as the connection lives."""
    setting = "ALTER ROLE CURRENT_USER IN DATABASE {} {} default_transaction_read_only"
    with psycopg.connect(**connection_arguments(), autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL(setting + " = on").format(name, sql.SQL("SET")))
        try:
            yield
        finally:
            connection.execute(sql.SQL(setting).format(name, sql.SQL("RESET")))


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value of `condition`; fails after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {condition!r}"
        time.sleep(0.02)


@dataclass
class House:
    """An account with an agent at `agent_url` and a paper inbox whose API is at `channel_url`."""

    agent: Agent
    inbox: Inbox

    @property
    def account(self) -> Any:
        return self.inbox.account

    def inside(self) -> Any:
        return account_context(self.inbox.account_id)

    def talk(self, visitor: str = "ana") -> Conversation:
        """A conversation that the agent holds; what it was told about that is taken away."""
        conversation = factories.make_conversation(self.inbox, visitor=visitor)
        with self.inside():
            services.assign(conversation, to=self.agent.member, by=None)
        return conversation


def make_house(
    agent_url: str = "http://127.0.0.1:9/", channel_url: str = "", platform: str = "paper"
) -> House:
    for channel in (PaperChannel(), DayPaperChannel()):
        register(Platform(channel.slug, channel.name, channel=channel, connectable=False))
    account = factories.make_account()
    inbox = factories.make_inbox(account, platform, config={"api": channel_url})
    return House(factories.make_agent(account, url=agent_url), inbox)
