from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from conversations.channels import HttpClient, InboxConfig
from integrations.http import GuardedClient
from tests.integrations.chatwoot.channel.fake import FakeChatwoot
from tests.integrations.chatwoot.channel.samples import INBOX

T = TypeVar("T")


@dataclasses.dataclass
class Desk:
    """A fake Chatwoot and an inbox of ours that points at it."""

    chatwoot: FakeChatwoot
    inbox: InboxConfig

    def run(self, work: Callable[[HttpClient], Awaitable[T]]) -> T:
        """Do something with an HTTP client, on a loop of its own."""

        async def inside() -> T:
            async with GuardedClient() as http:
                return await work(http)

        return asyncio.run(inside())

    def change(self, **config: Any) -> None:
        self.inbox = dataclasses.replace(self.inbox, config={**self.inbox.config, **config})


@pytest.fixture
def desk(settings: Any, tmp_path: Path) -> Iterator[Desk]:
    settings.MEDIA_ROOT = tmp_path
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    with FakeChatwoot() as chatwoot:
        config = {**INBOX.config, "base_url": chatwoot.url}
        yield Desk(chatwoot, dataclasses.replace(INBOX, config=config))
