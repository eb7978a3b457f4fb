"""Threads for work that needs Django: services, models, transactions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import (
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    connections,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import ReadOnlySqlTransaction

from accounts.tenancy import speak_for_accounts
from conversations.services.carrying import Carrier, carry_with

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
MAX_BACKOFF = 2.0


class Desk:
    """A few threads, each with one database connection that is re-made when the server dies. What they
    write for people is in the language of the account that they work for, and what they put on lanes is
    `carrier`'s."""

    def __init__(self, threads: int, name: str, carrier: Carrier | None = None) -> None:
        self.size = threads
        self._carrier = carrier
        self._connections: list[BaseDatabaseWrapper] = []
        self._threads = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=self._enter_thread
        )

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(*args)` on a thread. Raises what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: _work(work, *args, **kwargs))

    async def surely(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, again and again while the database is away: a result must not be lost."""
        backoff = 0.05
        while True:
            try:
                return await self.run(work, *args, **kwargs)
            except (OperationalError, InterfaceError) as error:
                logger.warning("database away work=%s error=%s", work.__name__, _first_line(error))
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)

    def close(self) -> None:
        """Wait for running work and close the threads' connections."""
        self._threads.shutdown()
        for its in self._connections:
            its.close()
            its.dec_thread_sharing()

    def _enter_thread(self) -> None:
        its = connections["default"]
        its.inc_thread_sharing()  # so that `close` may close it from the courier's thread
        its.execute_wrappers.append(_away_when_read_only)
        self._connections.append(its)
        speak_for_accounts()
        if self._carrier is not None:
            carry_with(self._carrier)


def _work(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return work(*args, **kwargs)
    except (OperationalError, InterfaceError):
        connection.close()
        raise


def _away_when_read_only(execute: Callable[..., Any], *statement: Any) -> Any:
    """A server that only reads is away, like one that is dead: another one is the primary now. So it raises
    what everybody here knows as that."""
    try:
        return execute(*statement)
    except InternalError as error:
        if not isinstance(error.__cause__, ReadOnlySqlTransaction):
            raise
        raise OperationalError(*error.args) from error.__cause__


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
