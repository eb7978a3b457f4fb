"""A house with a Chatwoot bot that is attached to its inbox."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agents import services as agents
from agents.models import Agent
from tests.agents.lane import bodies

URL = "http://127.0.0.1:9/hook"


def make_bot(house: SimpleNamespace, **fields: Any) -> Agent:
    fields = {"name": "Support Bot", "url": URL, "inboxes": [house.inbox], **fields}
    return agents.create_agent(house.account, dialect="chatwoot", **fields).agent


@pytest.fixture
def bot(house: SimpleNamespace) -> Agent:
    return make_bot(house)


@pytest.fixture
def news(bot: Agent) -> Callable[[], list[dict[str, Any]]]:
    """What the bot has been told since it was last asked."""
    seen = 0

    def since() -> list[dict[str, Any]]:
        nonlocal seen
        told = bodies(bot)
        new, seen = told[seen:], len(told)
        return new

    return since
