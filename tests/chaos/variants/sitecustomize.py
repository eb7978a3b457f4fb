"""Breaks one module of the product as it is imported. CHAOS_VARIANT says how; see `__init__.py`."""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# How long an acknowledged message of the early variant is only in memory.
LATE_SECONDS = 0.5


def early_ack(ledger: Any) -> None:
    """The door thanks at once, and stores afterwards."""
    store = ledger.Ledger.store
    tasks: set[asyncio.Task[None]] = set()

    async def store_later(self: Any, *arguments: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(LATE_SECONDS)
            await store(self, *arguments)

        task = asyncio.create_task(later())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    ledger.Ledger.store = store_later


def no_fence(results: Any) -> None:
    """Whatever an attempt came to is written, whoever has the lane by now."""
    results._FINISH = _without(
        results._FINISH,
        "AND delivery.state || '' = 'in_flight'\n      AND delivery.attempts = result.n ",
        "\n      AND lane.lease_token = result.token",
    )


def no_order(lanes: Any) -> None:
    """What is due goes, though something older in its lane still waits for another try."""
    open_ones = "AND state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')"
    due_ones = "AND state IN ('pending', 'retry_wait')"
    order = "ORDER BY sequence LIMIT 1"
    lanes.START = _with(lanes.START, open_ones, due_ones)
    lanes.START = _with(lanes.START, order, "AND due_at <= now() ORDER BY sequence LIMIT 1")
    lanes.RELEASE = _with(lanes.RELEASE, open_ones, due_ones)
    lanes.RELEASE = _with(lanes.RELEASE, order, "ORDER BY due_at LIMIT 1")


VARIANTS = {
    "early_ack": ("integrations.ledger", early_ack),
    "no_fence": ("integrations.courier.results", no_fence),
    "no_order": ("integrations.courier.lanes", no_order),
}


def _without(text: str, *parts: str) -> str:
    for part in parts:
        text = _with(text, part, "")
    return text


def _with(text: str, old: str, new: str) -> str:
    """A variant that breaks nothing would be found out by nobody."""
    if old not in text:
        raise RuntimeError(f"the statement has changed, there is no {old!r} in it any more")
    return text.replace(old, new)


class Breaker(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module as ever, and breaks it afterwards."""

    def __init__(self, name: str, breaks: Any) -> None:
        self.name, self.breaks = name, breaks
        self.spec: ModuleSpec | None = None

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        self.spec = importlib.util.find_spec(name)
        return importlib.util.spec_from_loader(
            name, self, origin=self.spec.origin if self.spec else None
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if self.spec is None or self.spec.loader is None:
            raise ImportError(self.name)
        module.__file__ = self.spec.origin
        self.spec.loader.exec_module(module)
        self.breaks(module)


if chosen := os.environ.get("CHAOS_VARIANT"):
    sys.meta_path.insert(0, Breaker(*VARIANTS[chosen]))
