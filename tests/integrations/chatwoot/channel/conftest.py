from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from django.utils import timezone

from conversations import services
from conversations.channels import HttpClient, InboxConfig
from conversations.models import Conversation, Delivery, Inbox
from integrations.chatwoot.channel.channel import ChatwootChannel
from integrations.http import GuardedClient
from tests import factories
from tests.integrations.chatwoot.channel.fake import FakeChatwoot
from tests.integrations.chatwoot.channel.samples import INBOX, sample

T = TypeVar("T")
channel = ChatwootChannel()


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


def hear(inbox: Inbox, name: str, **changes: Any) -> str:
    """An event of just now: nobody answers what came too late by itself."""
    event = {**sample(name).event, "created_at": timezone.now().isoformat(), **changes}
    return services.receive(inbox, channel.read(json.dumps(event).encode(), INBOX))


def the_conversation(inbox: Inbox) -> Conversation:
    return Conversation.objects.select_related("assignee").get(inbox=inbox)


@pytest.fixture
def inbox(house: SimpleNamespace) -> Inbox:
    return factories.make_inbox(house.account, "chatwoot")


@pytest.fixture
def held(house: SimpleNamespace, inbox: Inbox) -> Conversation:
    """A conversation that the AI agent has."""
    hear(inbox, "text", id=100)
    conversation = services.assign(the_conversation(inbox), to=house.agent.member, by=None)
    Delivery.objects.all().delete()  # what has been told until then
    return conversation
