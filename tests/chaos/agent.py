"""The stub agent: a real server that checks every request as the published library does.

One server stands for many agents, each under a path of its own (`/<name>`), with its secrets, its
behaviour and its ledger.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.chaos.ledgers import ECHO, Seen

FLOOD_BYTES = 1 << 30
CHUNK = bytes(1 << 16)
FOR_EVER = 3600.0


@dataclass(frozen=True)
class Reaction:
    """What the agent does with a request: waits, then answers, or lets the answer drip or flood."""

    status: int = 200
    body: bytes = b""
    after: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Literal["", "drip", "flood"] = ""


@dataclass(frozen=True)
class Event:
    """A request as a behaviour sees it."""

    seen: Seen
    json: dict[str, Any]

    @property
    def is_question(self) -> bool:
        """A customer's message, not one of ours."""
        return self.seen.event_type == "message.created" and self.seen.from_contact


Behaviour = Callable[[Event], Reaction]
NOTHING = Reaction(204)


def says(text: str, **reaction: Any) -> Reaction:
    return Reaction(body=json.dumps({"reply": text}).encode(), **reaction)


def echo(event: Event) -> Reaction:
    """Answer every message of the customer at once, and nothing else."""
    return says(ECHO + event.seen.text) if event.is_question else NOTHING


def slow_echo(seconds: float) -> Behaviour:
    def behave(event: Event) -> Reaction:
        if not event.is_question:
            return NOTHING
        return says(ECHO + event.seen.text, after=seconds)

    return behave


def always(status: int, **reaction: Any) -> Behaviour:
    return lambda event: Reaction(status, **reaction)


def silent(event: Event) -> Reaction:
    """Take the request and never say a word."""
    return Reaction(after=FOR_EVER)


def accepts(event: Event) -> Reaction:
    """Thank for it and do nothing."""
    return NOTHING


@dataclass
class StubAgent:
    """One agent; `secrets` are those it knows, by a name for the ledger."""

    name: str
    secrets: dict[str, str] = field(default_factory=dict)
    behave: Behaviour = echo
    seen: list[Seen] = field(default_factory=list)
    # While this stands, customers' messages are taken and not answered yet.
    holding: bool = False
    now: int = 0
    most_at_once: int = 0

    def verify(self, body: bytes, headers: Mapping[str, str]) -> tuple[str, ...]:
        """The names of the secrets under which the published library accepts the request."""
        return tuple(name for name, secret in self.secrets.items() if _opens(secret, body, headers))

    def questions(self) -> list[Seen]:
        return [one for one in self.seen if one.key is not None]


class AgentServer:
    """All agents on one port; belongs to one event loop."""

    def __init__(self) -> None:
        self.agents: dict[str, StubAgent] = {}
        self.unknown: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{name}", self._handle)
        app.router.add_route("*", "/{rest:.*}", self._unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=2048).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def add(self, name: str, **secrets: str) -> StubAgent:
        self.agents[name] = StubAgent(name, dict(secrets))
        return self.agents[name]

    async def _unknown(self, request: web.Request) -> web.Response:
        self.unknown.append(request.path)
        return web.Response(status=404)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        agent = self.agents.get(request.match_info["name"])
        if agent is None:
            return await self._unknown(request)
        event = _event_of(agent, await request.read(), request.headers)
        agent.seen.append(event.seen)
        agent.now += 1
        agent.most_at_once = max(agent.most_at_once, agent.now)
        try:
            while agent.holding and event.is_question:
                await asyncio.sleep(0.02)
            return await _react(request, agent.behave(event), event.seen)
        finally:
            agent.now -= 1
            event.seen.ended_at = time.time()


def _event_of(agent: StubAgent, body: bytes, headers: Mapping[str, str]) -> Event:
    content = json.loads(body)
    message = content.get("message", {})
    phone = (content.get("contact") or {}).get("phone") or ""
    seen = Seen(
        at=time.time(),
        endpoint=agent.name,
        conversation=phone.removeprefix("+"),
        event_type=content.get("type", ""),
        wire_id=headers.get("webhook-id", ""),
        sequence=int(headers.get("X-Switchboard-Sequence", "0")),
        attempt=int(headers.get("X-Switchboard-Attempt", "0")),
        verified_by=agent.verify(body, headers),
        text=message.get("text") or "",
        from_contact=message.get("from") == "contact",
        thread=(content.get("conversation") or {}).get("id", ""),
        is_replay="X-Switchboard-Replay" in headers,
    )
    return Event(seen, content)


async def _react(request: web.Request, reaction: Reaction, seen: Seen) -> web.StreamResponse:
    await asyncio.sleep(reaction.after)
    seen.status = reaction.status
    if not reaction.stream:
        return web.Response(
            status=reaction.status,
            body=reaction.body,
            headers={"Content-Type": "application/json", **reaction.headers},
        )
    response = web.StreamResponse(status=reaction.status, headers=reaction.headers)
    await response.prepare(request)
    with suppress(ConnectionError):  # we are meant to be cut off
        await _stream(response, reaction.stream)
    return response


async def _stream(response: web.StreamResponse, how: str) -> None:
    if how == "drip":
        while True:
            await response.write(b" ")
            await asyncio.sleep(1)
    for _ in range(FLOOD_BYTES // len(CHUNK)):
        await response.write(CHUNK)


def _opens(secret: str, body: bytes, headers: Mapping[str, str]) -> bool:
    lowered = {name.lower(): value for name, value in headers.items()}
    try:
        Webhook(secret).verify(body, lowered)
    except WebhookVerificationError:
        return False
    return True
