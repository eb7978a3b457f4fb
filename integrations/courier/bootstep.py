"""The courier inside a Celery worker: a thread with a loop of its own, started before the consumer.

It needs no broker: the worker's consumer may wait for one for ever, lanes run meanwhile.

A warm shutdown (SIGTERM, the first Ctrl-C) ends what is under way and claims nothing more; a cold one
(SIGQUIT, the second Ctrl-C) leaves it to the other couriers, as a crash would (DL-52).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutting_down
from celery.worker import state as worker_state

from integrations.courier.component import Courier
from integrations.courier.loop import run

logger = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
LOOK_SECONDS = 0.1


class CourierThread:
    """A courier on a thread; one that breaks is replaced."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._courier: Courier | None = None

    def start(self) -> None:
        self._thread.start()

    def ask_to_end(self) -> None:
        """Claim nothing more. Returns at once; safe to call in a signal handler, and twice."""
        self._stopped.set()
        loop, courier = self._loop, self._courier
        if loop is not None and courier is not None and not loop.is_closed():
            loop.call_soon_threadsafe(courier.stop)

    def ended(self, seconds: float) -> bool:
        """Wait so long for what is under way; whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                run(self._carry())
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
        # With the signal itself: the consumer hears of it only when its wait for the broker is over.
        worker_shutting_down.connect(self._ask_to_end)
        self.thread.start()

    def close(self, parent: Any) -> None:
        self._ask_to_end()

    def stop(self, parent: Any) -> None:
        """Wait until what is under way has ended, or somebody insists on a cold shutdown."""
        if self.thread is None:
            return
        self._ask_to_end()
        while not self.thread.ended(LOOK_SECONDS):
            if worker_state.should_terminate not in (None, False):
                logger.warning("courier left behind what is under way: cold shutdown")
                break
        worker_shutting_down.disconnect(self._ask_to_end)
        self.thread = None

    def terminate(self, parent: Any) -> None:
        self.stop(parent)

    def _ask_to_end(self, **signal: Any) -> None:
        if self.thread is not None:
            self.thread.ask_to_end()
