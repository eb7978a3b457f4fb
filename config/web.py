"""`python -m config.web`: the web role, one process on one port."""

from __future__ import annotations

import os

import uvicorn

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main() -> None:
    from django.conf import settings

    uvicorn.run(
        "config.asgi:application",
        host=settings.HOST,
        port=settings.PORT,
        # Our own logging stands; access lines would hold paths with secrets in them.
        log_config=None,
        access_log=False,
        # The client's address comes from TRUSTED_PROXIES, never from whoever says so.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        backlog=2048,
    )


if __name__ == "__main__":
    main()
