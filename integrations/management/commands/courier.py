"""`manage.py courier`: the courier alone, without a Celery worker around it."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand

from integrations.courier.component import Courier


class Command(BaseCommand):
    help = "Run the lanes and timers until SIGTERM or Ctrl-C; what is under way ends first."

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(carry())


async def carry() -> None:
    courier = Courier()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, courier.stop)
    await courier.run()
