"""The courier inside a Celery worker: a thread with a loop of its own, started before the consumer.

It needs no broker: the worker's consumer may wait for one for ever, lanes run meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from celery import bootsteps

from integrations.courier.component import Courier

logger = logging.getLogger(__name__)

RESTART_SECONDS = 1.0


class CourierThread:
    """A courier on a thread; one that breaks is replaced."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._courier: Courier | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Claim nothing more and wait until what is under way has ended (DL-52)."""
        self._stopped.set()
        loop, courier = self._loop, self._courier
        if loop is not None and courier is not None and not loop.is_closed():
            loop.call_soon_threadsafe(courier.stop)
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                asyncio.run(self._carry())
            except Exception:
                logger.exception("courier broke; another one starts")
                self._stopped.wait(RESTART_SECONDS)

    async def _carry(self) -> None:
        self._loop, self._courier = asyncio.get_running_loop(), Courier()
        if self._stopped.is_set():
            self._courier.stop()
        await self._courier.run()


class CourierStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """`app.steps["worker"].add(CourierStep)`."""

    name = "courier"
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self.thread: CourierThread | None = None

    def start(self, parent: Any) -> None:
        self.thread = CourierThread()
        self.thread.start()

    def stop(self, parent: Any) -> None:
        if self.thread is not None:
            self.thread.stop()
            self.thread = None

    def terminate(self, parent: Any) -> None:
        self.stop(parent)
