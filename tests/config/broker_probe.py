"""A Celery application as ours, with one job and one worker step that leave a file behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import bootsteps

from config.celery import app

app.conf.task_default_queue = os.environ["PROBE_QUEUE"]


class StandIn(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Starts where the courier starts: with the worker, before there is a broker."""

    def start(self, worker: Any) -> None:
        Path(os.environ["PROBE_STARTED"]).write_text(worker.hostname)


app.steps["worker"].add(StandIn)


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def leave(path: str, text: str) -> None:
    Path(path).write_text(text)
