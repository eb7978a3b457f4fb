"""The control door `/_control/…`: a person with curl makes customers write and calls fail."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.graph.failures import Failure

if TYPE_CHECKING:
    from tests.fakes.graph.server import FakeGraph

CUSTOMER = {"kind": "text", "number": "", "sender": "40721000111", "name": "Ana Pop", "bsuid": ""}


class Control:
    def __init__(self, graph: FakeGraph) -> None:
        self.graph = graph

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_control/log", self.log),
            web.post("/_control/fail", self.fail),
            web.post("/_control/inbound", self.inbound),
            web.post("/_control/clear", self.clear),
        ]

    async def log(self, _request: web.Request) -> web.StreamResponse:
        """Every call, every webhook, where webhooks go, and the failures still to come."""
        graph = self.graph
        calls = [
            {**dataclasses.asdict(call), "body": _shown(call.body), "token": "…"}
            for call in graph.calls
        ]
        webhooks = [
            {**dataclasses.asdict(sent), "body": sent.body.decode(errors="replace")}
            for sent in graph.sender.sent
        ]
        failures = [dataclasses.asdict(failure) for failure in graph.failures.waiting]
        return web.json_response(
            {
                "calls": calls,
                "webhooks": webhooks,
                "callbacks": graph.sender.callbacks,
                "failures": failures,
            }
        )

    async def fail(self, request: web.Request) -> web.StreamResponse:
        """The fields of `Failure`."""
        try:
            self.graph.failures.add(Failure(**await _object(request)))
        except TypeError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return web.json_response({"waiting": len(self.graph.failures.waiting)})

    async def inbound(self, request: web.Request) -> web.StreamResponse:
        """A customer writes: who, which kind, how many copies; other keys replace its parts."""
        wish = CUSTOMER | await _object(request)
        if isinstance(wish.get("text"), str):
            wish["text"] = {"body": wish["text"]}
        try:
            ids, answer = await self.graph.write_as_customer(**wish)
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return web.json_response({"ids": ids, "answer": answer})

    async def clear(self, _request: web.Request) -> web.StreamResponse:
        """Forget the log and the failures still to come."""
        self.graph.calls.clear()
        self.graph.sender.sent.clear()
        self.graph.failures.clear()
        return web.json_response({})


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        value = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text="send a JSON object\n") from error
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text="send a JSON object\n")
    return value


def _shown(body: Any) -> Any:
    """A body for the log: files by their size."""
    if isinstance(body, dict):
        return {key: _shown(value) for key, value in body.items()}
    return f"{len(body)} bytes" if isinstance(body, bytes) else body
