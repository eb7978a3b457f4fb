"""The one port, over a real socket: what a client sends is what a Django view sees."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from django.core.handlers.wsgi import WSGIHandler

from config import bodies, router
from config.bridge import Bridge
from config.router import LazyApp, Lifespan, Router
from tests.config import echo_urls

MISSING = LazyApp("integrations.nowhere")


async def door_app(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    text = json.dumps({"door": scope["path"], "body": message["body"].decode()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture
def port(settings: Any) -> Iterator[int]:
    """A uvicorn with the router in front of Django, as `make run` starts it."""
    settings.ROOT_URLCONF = "tests.config.echo_urls"
    door = LazyApp("tests")
    door._app = door_app
    bridge = Bridge(WSGIHandler(), threads=2)
    app = Router(bridge, live=MISSING, door=door)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, lifespan="off", log_config=None, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    bridge.executor.shutdown()
    listener.close()


def call(
    port: int,
    body: Any = None,
    headers: dict[str, str] | None = None,
    *,
    path: str = "/echo",
    method: str = "POST",
    chunked: bool = False,
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers or {}, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        return connection.recv(65536)


def test_a_chunked_json_body_without_length_arrives(port: int) -> None:
    pieces = iter([b'{"text": ', b'"hello"', b"}"])
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    status, seen = call(port, pieces, headers, chunked=True)
    assert (status, seen["body"], seen["length"]) == (200, '{"text": "hello"}', "17")


def test_a_chunked_multipart_body_without_length_arrives(port: int) -> None:
    file_part = (
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\ninside\r\n"
    )
    parts = (
        b'--XX\r\nContent-Disposition: form-data; name="content"\r\n\r\nhello\r\n',
        file_part,
        b"--XX--\r\n",
    )
    headers = {"Content-Type": "multipart/form-data; boundary=XX", "Transfer-Encoding": "chunked"}
    status, seen = call(port, iter(parts), headers, chunked=True)
    assert (status, seen["fields"], seen["files"]) == (
        200,
        {"content": "hello"},
        {"file": "inside"},
    )


def test_a_header_with_underscores_arrives(port: int) -> None:
    _, seen = call(port, b"{}", {"api_access_token": "sesame"})
    assert seen["headers"]["HTTP_API_ACCESS_TOKEN"] == "sesame"


def test_an_underscore_twin_does_not_pass_for_a_dashed_header(port: int) -> None:
    _, seen = call(port, b"{}", {"X-Account": "mine", "x_account": "theirs"})
    assert seen["headers"]["HTTP_X_ACCOUNT"] == "mine"


@pytest.mark.parametrize("name", ["x_forwarded_proto", "x_forwarded_for", "x_real_ip"])
def test_a_proxy_header_counts_in_its_own_spelling_only(port: int, name: str) -> None:
    _, seen = call(port, b"{}", {name: "forged"})
    assert "forged" not in seen["headers"].values()


@pytest.mark.parametrize(
    ("path", "kind", "size"),
    [
        ("/echo", "application/json", 1024 * 1024 + 1),
        ("/echo", "application/x-www-form-urlencoded", 1024 * 1024 + 1),
        ("/hooks/whatsapp/route", "application/json", 4 * 1024 * 1024 + 1),
    ],
)
def test_a_declared_body_over_the_limit_is_refused_unread(
    port: int, path: str, kind: str, size: int
) -> None:
    """SX-60: the answer comes although not one byte of the body was sent."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    answer = raw(port, f"{head}Content-Length: {size}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert said["error"] == said["detail"] == f"The body is larger than {size - 1} bytes."


def test_a_chunked_hook_over_four_mebibytes_is_cut(port: int) -> None:
    """SX bad input 38: ten megabytes without a length."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"POST /hooks/whatsapp/route HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(160):
                connection.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            received = b"cut"  # the server hung up while we were still sending, as it should
        try:
            received += connection.recv(4096)
        except ConnectionResetError:
            received = received or b"cut"
    assert b" 413 " in received or received == b"cut"


def test_an_upload_larger_than_a_json_body_arrives(port: int) -> None:
    status, seen = call(port, b"x" * 3_000_000, {"Content-Type": "application/octet-stream"})
    assert (status, seen["size"]) == (200, 3_000_000)


def test_a_dripping_body_is_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SX bad input 41, with a shorter patience than the real 30 seconds."""
    monkeypatch.setattr(bodies, "SECONDS", 0.3)
    answer = raw(port, b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
    assert answer.startswith(b"HTTP/1.1 408")


def test_the_real_patience_is_thirty_seconds() -> None:
    assert bodies.SECONDS == 30.0


def test_a_compressed_body_is_not_inflated(port: int) -> None:
    """SX bad input 39."""
    assert call(port, b"x", {"Content-Encoding": "gzip"})[0] == 415


def test_a_megabyte_of_headers_is_refused(port: int) -> None:
    """SX bad input 24."""
    assert call(port, b"{}", {"Authorization": "Bearer " + "x" * 1_000_000})[0] == 431


def test_a_stream_comes_piece_by_piece(port: int) -> None:
    echo_urls.has_first.clear()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    assert answer.read(6) == b"first "
    echo_urls.has_first.set()
    assert answer.read() == b"second"
    connection.close()


def test_who_hangs_up_in_a_stream_leaves_the_port_working(port: int) -> None:
    echo_urls.has_first.clear()
    raw(port, b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    echo_urls.has_first.set()
    status, _ = call(port, b"{}")
    assert status == 200


def test_a_hook_reaches_the_door_with_its_whole_body(port: int) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    _, seen = call(port, iter([b"a", b"b"]), headers, path="/hooks/x/y", chunked=True)
    assert seen == {"door": "/hooks/x/y", "body": "ab"}


def test_a_sender_who_hangs_up_leaves_the_port_working(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
    assert call(port, b"{}")[0] == 200


async def run_lifespan(apps: list[LazyApp]) -> list[str]:
    import asyncio

    incoming: asyncio.Queue[Any] = asyncio.Queue()
    for phase in ("startup", "shutdown"):
        incoming.put_nowait({"type": f"lifespan.{phase}"})
    said: list[str] = []

    async def send(message: Any) -> None:
        said.append(message["type"])

    await Lifespan(apps).run(incoming.get, send)
    return said


def test_startup_and_shutdown_reach_every_app() -> None:
    import asyncio

    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            message = await receive()
            heard.append(message["type"])
            await send({"type": f"{message['type']}.complete"})

    loaded = LazyApp("tests")
    loaded._app = app
    assert asyncio.run(run_lifespan([loaded, MISSING])) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert heard == ["lifespan.startup", "lifespan.shutdown"]


def test_an_app_that_fails_to_start_stops_the_start() -> None:
    import asyncio

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    loaded = LazyApp("tests")
    loaded._app = app
    assert asyncio.run(run_lifespan([loaded])) == ["lifespan.startup.failed"]


def test_only_files_may_be_large() -> None:
    def limit(kind: bytes) -> int:
        return router.body_limit({"headers": [(b"content-type", kind)]})

    assert limit(b"application/json") == limit(b"") == 1024 * 1024
    assert limit(b"multipart/form-data; boundary=x") > 25 * 1024 * 1024
