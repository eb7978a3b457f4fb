"""Request bodies at the door: read whole, within a size and a time, kept off memory when large."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Protocol, Self

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MEMORY_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024
SECONDS = 30.0
# A long upload may take longer than that as long as it moves; a dripping one may not.
BYTES_PER_SECOND = 16 * 1024


class RefusedBodyError(Exception):
    """The body is not taken; `status` and text are the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class ClientGoneError(Exception):
    """The sender hung up in the middle; there is nobody to answer."""


class _File(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


class Body:
    """A whole body, as a file, or given to an ASGI app piece by piece."""

    def __init__(self, file: _File, size: int) -> None:
        self.size = size
        self.file = file
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def receive(self, original: Receive) -> Receive:
        """A `receive` that yields the body and then waits, like the original, for the hang-up."""

        async def receive() -> Message:
            if self._sent < 0:
                return await original()
            chunk = self.file.read(CHUNK_BYTES)
            self._sent += len(chunk)
            more = self._sent < self.size
            if not more:
                self._sent = -1
            return {"type": "http.request", "body": chunk, "more_body": more}

        return receive


async def read(scope: Scope, receive: Receive, *, limit: int) -> Body:
    """Read the body of `scope`, refusing it before reading more than `limit` bytes.

    Raises `RefusedBodyError` (413 too large, 408 too slow, 415 compressed, 400 bad length) and
    `ClientGoneError`.
    """
    headers = dict(scope["headers"])
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RefusedBodyError(415, "Compressed bodies are not accepted.")
    length = headers.get(b"content-length")
    if length is not None and not length.isdigit():
        raise RefusedBodyError(400, "Content-Length is not a number.")
    if length is not None and int(length) > limit:
        raise RefusedBodyError(413, f"The body is larger than {limit} bytes.")
    if length is None and b"transfer-encoding" not in headers:
        return Body(tempfile.SpooledTemporaryFile(), 0)
    return await _collect(receive, limit)


async def _collect(receive: Receive, limit: int) -> Body:
    loop = asyncio.get_running_loop()
    started = loop.time()
    file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - the Body closes it
    size = 0
    try:
        while True:
            deadline = started + SECONDS + size / BYTES_PER_SECOND
            async with asyncio.timeout_at(deadline):
                message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise RefusedBodyError(413, f"The body is larger than {limit} bytes.")
            file.write(chunk)
            if not message.get("more_body", False):
                file.seek(0)
                return Body(file, size)
    except TimeoutError as error:
        file.close()
        raise RefusedBodyError(408, "The body came too slowly.") from error
    except BaseException:
        file.close()
        raise


async def refuse(send: Send, status: int, text: str) -> None:
    """Answer a problem and close the connection, so that nothing more of the body is read.

    `error` is where clients of the foreign APIs look.
    """
    body = json.dumps(
        {"type": "about:blank", "status": status, "title": text, "detail": text, "error": text}
    )
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/problem+json"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body.encode()})
