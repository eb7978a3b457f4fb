"""`python -m config.beat`: starts jobs at their times, and nothing else.

The schedule needs names of jobs, not their code, so this process loads no Django app and stays a
third of the size of `celery beat`.
"""

from __future__ import annotations

import logging.config
import os
import signal
import sys
from types import FrameType
from typing import Any

from celery.beat import Service

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main() -> None:
    from django.conf import settings

    from config.celery import app

    logging.config.dictConfig(settings.LOGGING)
    app.set_default()
    # The remembered times of the last runs; a new file only means that daily jobs count from now.
    service: Any = Service(app, schedule_filename=str(settings.DATA_DIR / "beat-schedule"))

    def stop(number: int, frame: FrameType | None) -> None:
        service.sync()
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    service.start()


if __name__ == "__main__":
    main()
