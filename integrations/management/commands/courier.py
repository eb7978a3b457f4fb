"""`manage.py courier`: the courier alone, without a Celery worker around it."""

from __future__ import annotations

import asyncio
import signal
import socket
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from conversations.models import Courier as CourierRow
from integrations.courier.component import Courier
from integrations.courier.loop import run
from integrations.courier.presence import HOST_LENGTH

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Command(BaseCommand):
    help = (
        "Run the lanes and timers until SIGTERM or Ctrl-C; what is under way ends first, "
        "a second signal leaves it to the other couriers."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="run nothing; fail unless a courier on this machine was seen lately",
        )

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        if check:
            self.stdout.write(seen_here())
            return
        try:
            run(carry())
        except KeyboardInterrupt as error:
            raise CommandError("The courier left at once, what was under way too.") from error


async def carry() -> None:
    courier = Courier()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in SIGNALS:  # the next one does what signals do
            loop.remove_signal_handler(number)
        courier.stop()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    await courier.run()


def seen_here() -> str:
    """A sentence about this machine's courier, for health checks. Raises `CommandError`."""
    host = socket.gethostname()[:HOST_LENGTH]
    newest = CourierRow.objects.filter(host=host).order_by("-last_seen_at").first()
    if newest is None:
        raise CommandError(f"No courier has started on {host}.")
    silence = timezone.now() - newest.last_seen_at
    if silence > CourierRow.SEEN_WITHIN:
        raise CommandError(f"No courier on {host} for {int(silence.total_seconds())} s.")
    return f"A courier on {host} was seen {int(silence.total_seconds())} s ago."
