"""Beat connects to its broker when it starts."""

from __future__ import annotations

import os
import subprocess
import sys


def test_beat_starts_while_its_broker_is_away_and_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from config.celery import connect_at_once; connect_at_once()"],
        env={
            **os.environ,
            "DEBUG": "1",
            "CELERY_BROKER_URL": "amqp://guest:guest@127.0.0.1:9//",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "broker away error=" in done.stderr
