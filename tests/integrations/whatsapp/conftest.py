from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from conversations.channels import (
    HookRequest,
    HttpClient,
    InboxConfig,
    UnverifiedRequestError,
)
from integrations.http import GuardedClient
from integrations.whatsapp.channel import WhatsAppChannel
from tests.fakes.graph import FakeGraph
from tests.integrations.whatsapp.samples import INBOX

T = TypeVar("T")


@dataclasses.dataclass
class Desk:
    """A fake Graph server and an inbox that points at it."""

    graph: FakeGraph
    inbox: InboxConfig

    def run(self, work: Callable[[HttpClient], Awaitable[T]]) -> T:
        """Do something with an HTTP client, on a loop of its own."""

        async def inside() -> T:
            async with GuardedClient() as http:
                return await work(http)

        return asyncio.run(inside())


@pytest.fixture
def desk(settings: Any, tmp_path: Path) -> Iterator[Desk]:
    settings.MEDIA_ROOT = tmp_path
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    with FakeGraph(tokens=["token-of-the-tests"]) as graph:
        settings.WHATSAPP_API_BASE = graph.base_url
        yield Desk(graph, INBOX)


@pytest.fixture
def hook_door() -> Iterator[str]:
    """Our side's webhook door as Meta sees it: the channel's own probe and signature checks."""
    channel = WhatsAppChannel()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = dict(parse_qsl(urlsplit(self.path).query))
            answer = channel.challenge(HookRequest("GET", query, {}, b""), INBOX)
            self.reply(answer.status, answer.body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {key.lower(): value for key, value in self.headers.items()}
            try:
                channel.verify(HookRequest("POST", {}, headers, body), INBOX)
            except UnverifiedRequestError:
                self.reply(401, b"")
            else:
                self.reply(200, b"")

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hooks/whatsapp/route-token-of-the-tests"
    server.shutdown()
    thread.join()
    server.server_close()
