"""HTTP as cheap as it can be: requests made beforehand, over connections that stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit


def request(url: str, body: bytes, headers: dict[str, str], method: str = "POST") -> bytes:
    """The bytes of one request."""
    parts = urlsplit(url)
    lines = [f"{method} {parts.path} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Line:
    """One connection; one request at a time."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, made: bytes) -> int:
        """The answer's status; 0 when there was none."""
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(
                    self._parts.hostname, self._parts.port
                )
            return await self._exchange(made)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return 0

    async def _exchange(self, made: bytes) -> int:
        assert self._reader
        assert self._writer
        self._writer.write(made)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length or 0))
        return int(head[9:12])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def at_rate(
    url: str,
    requests: Sequence[bytes],
    rate: float,
    answered: Callable[[int, int, float, float], None],
    *,
    lines: int = 64,
) -> None:
    """Open loop: request n is due at n / rate, whatever became of the earlier ones.

    `answered(n, status, due, now)` hears of each answer; the times are of `time.perf_counter`.
    """
    started = time.perf_counter() + 0.05

    async def one(first: int) -> None:
        line = Line(url)
        for n in range(first, len(requests), lines):
            due = started + n / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            status = await line.post(requests[n])
            answered(n, status, due, time.perf_counter())
        line.close()

    await asyncio.gather(*(one(first) for first in range(min(lines, len(requests)))))
