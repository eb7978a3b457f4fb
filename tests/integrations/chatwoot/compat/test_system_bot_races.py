"""System bots while others are at work: nobody waits in a circle, and nothing is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from accounts.tenancy import account_context
from agents import moving, system, tasks
from agents import services as agents
from agents.models import Agent, AgentInbox, AssignmentRule, SystemAgent
from conversations.services.locking import lock
from integrations.chatwoot import bots
from tests.conversations.test_locking import waits_for_us
from tests.factories import make_conversation, make_house
from tests.integrations.chatwoot.compat.conftest import client
from tests.integrations.chatwoot.compat.platform import make_app, make_system_bot


@pytest.fixture
def shop(clean_database: None) -> SimpleNamespace:
    """A house whose rows others see: `house`, its `owner` (Client4), and a system `bot`."""
    house = make_house()
    bot = make_system_bot(make_app())
    return SimpleNamespace(house=house, bot=bot, owner=client(house.owner, house.account.pk))


def begin(work: Callable[[], Any]) -> threading.Thread:
    """`work` on another connection, as far as it goes until it waits for what is locked here."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    waits_for_us()
    return thread


def test_an_inbox_keeps_no_bot_that_goes_at_this_moment(shop: SimpleNamespace) -> None:
    house, bot = shop.house, shop.bot
    for wanted in (bot.id, None):  # it works here, in no inbox
        shop.owner.post(f"inboxes/{house.inbox.pk}/set_agent_bot", {"agent_bot": wanted})

    def go() -> None:
        system.withdraw(SystemAgent.objects.get(pk=bot.id))
        tasks.follow_system_agent(bot.id)

    with account_context(house.account):
        agent = bots.taken_in(bot.id, by=house.owner)
        assert agent is not None
        bots.attach(agent, house.inbox, by=house.owner)
        goer = begin(go)
    goer.join(20)
    with account_context(house.account):
        assert system.present(bot.id) is None
        assert not AssignmentRule.objects.exists()
        assert not AgentInbox.objects.exists()


def test_giving_to_a_bot_that_comes_back_waits_in_no_circle(shop: SimpleNamespace) -> None:
    house, bot = shop.house, shop.bot
    shop.owner.post(f"inboxes/{house.inbox.pk}/set_agent_bot", {"agent_bot": bot.id})
    conversation = make_conversation(house.inbox)
    with account_context(house.account):
        agents.delete_agent(Agent.objects.get(system=bot.id), by=house.owner)
    answers: list[Any] = []

    def give() -> None:
        body = {"assignee_type": "AgentBot", "assignee_id": bot.id}
        answers.append(shop.owner.post(f"conversations/{conversation.number}/assignments", body))

    with account_context(house.account):
        moving.locked()
        giver = begin(give)
        lock(conversation)  # as whoever moves what an agent had
    giver.join(20)
    assert [(one.status_code, one.json()["id"]) for one in answers] == [(200, bot.id)]
