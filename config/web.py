"""`python -m config.web`: the web role, one process on one port."""

from __future__ import annotations

import contextlib
import os
import socket

import uvicorn

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# What was asked before a SIGTERM is answered, within this time.
DRAIN_SECONDS = 25


class Server(uvicorn.Server):
    """At its end it closes the live streams first: they would never end by themselves, and pages open
    them again, at the process that is there then."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        from integrations.live import hub

        hub.close_streams()
        await super().shutdown(sockets)


def main() -> None:
    from django.conf import settings

    config = uvicorn.Config(
        "config.asgi:application",
        host=settings.HOST,
        port=settings.PORT,
        # Our own logging stands; access lines would hold paths with secrets in them.
        log_config=None,
        access_log=False,
        # The client's address comes from TRUSTED_PROXIES, never from whoever says so.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=2048,
    )
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C has ended it like a SIGTERM
        Server(config).run()


if __name__ == "__main__":
    main()
