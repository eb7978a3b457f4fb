"""The courier's own few connections: plain asynchronous psycopg, re-made when the server dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg.errors import ReadOnlySqlTransaction

from integrations.live import connection_arguments

CONNECT_SECONDS = 5
# A statement made ready on an empty table keeps its plan when the backlog comes: plan each time anew.
FRESH_PLANS = "-c plan_cache_mode=force_custom_plan"
# To plan the statements on lanes takes longer than to run them, and there is one good plan for each, much
# or little on the tables: one row after the other, each through an index. So that is the only one there is.
KEPT_PLANS = (
    "-c plan_cache_mode=force_generic_plan"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)

Connection = psycopg.AsyncConnection[Any]
# What a dying server or network raises, and a server that only reads: it was the primary, and another one
# is now, which the next connection may reach. The statement had no effect, or its effect is looked up.
DATABASE_ERRORS = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    ReadOnlySqlTransaction,
    OSError,
    TimeoutError,
)


async def connect(name: str, settings: str = FRESH_PLANS) -> Connection:
    """A connection in autocommit mode, known to the server as `switchboard <name>`."""
    return await psycopg.AsyncConnection.connect(
        **{**connection_arguments(), "application_name": f"switchboard {name}"},
        options=settings,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
    )


class Pool:
    """At most `size` connections, opened when needed; a broken one is dropped, not handed on."""

    def __init__(self, size: int, name: str, settings: str = FRESH_PLANS) -> None:
        self._name, self._settings = name, settings
        self._places: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._places.put_nowait(None)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        connection = await self._places.get()
        try:
            if connection is None or connection.closed:
                connection = await connect(self._name, self._settings)
            yield connection
        except BaseException:
            if connection is not None:
                await connection.close()
            connection = None
            raise
        finally:
            self._places.put_nowait(connection)

    async def close(self) -> None:
        while not self._places.empty():
            connection = self._places.get_nowait()
            if connection is not None:
                await connection.close()
