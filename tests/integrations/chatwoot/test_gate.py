"""A Chatwoot bot may speak late unless somebody shuts its gate; what that means is in tests/agents/test_late.py."""

from __future__ import annotations

import pytest
from django.urls import reverse

from agents import services as agents
from agents.models import Agent
from tests.accounts.test_entry import logged_in

pytestmark = pytest.mark.django_db


def test_the_gate_is_shut_unless_its_dialect_or_somebody_says_otherwise(house):
    def made(**fields):
        url = "http://127.0.0.1:9/"
        return agents.create_agent(house.account, name="A", url=url, **fields).agent.stale_gate

    assert [made(), made(dialect="chatwoot")] == [True, False]
    assert [made(stale_gate=False), made(dialect="chatwoot", stale_gate=True)] == [False, True]


def test_a_new_dialect_brings_its_own_gate_unless_somebody_has_set_it(house):
    agent = agents.change_agent(house.agent, by=None, dialect="chatwoot")
    assert (agent.stale_gate, agent.endpoint.timeout_s) == (False, 5)
    agent = agents.change_agent(agent, by=None, dialect="native", timeout_s=20)
    assert (agent.stale_gate, agent.endpoint.timeout_s) == (True, 20)
    agents.change_agent(agent, by=None, stale_gate=False)
    agent = agents.change_agent(agent, by=None, name="Other")
    assert agent.stale_gate is False
    assert agents.change_agent(agent, by=None, stale_gate=None).stale_gate is True


def test_the_gate_is_set_by_the_form_and_shown_on_the_agents_page(house):
    browser = logged_in(house.owner)
    filled = {"name": "Bot", "url": "https://93.184.215.14/hook", "patience_s": "60"}
    browser.post(reverse("create_agent"), {**filled, "dialect": "chatwoot"})
    bot = Agent.objects.get(member__name="Bot")
    assert (bot.stale_gate, bot.endpoint.follows, bot.endpoint.timeout_s) == (False, True, 5)
    page = browser.get(reverse("agent", args=[bot.public_id])).content.decode()
    assert "are sent, and marked as late" in page
    assert "Chatwoot" in page
    change = reverse("change_agent", args=[bot.public_id])
    assert 'value="off" selected' in browser.get(change).content.decode()
    browser.post(change, {**filled, "dialect": "chatwoot", "stale_gate": "on"})
    bot.refresh_from_db()
    assert bot.stale_gate is True
    assert logged_in(house.outsider).get(change).status_code == 404


def test_by_rest_a_bot_has_an_open_gate_unless_told_otherwise(api):
    given = {"name": "Bot", "url": "https://example.com/", "dialect": "chatwoot"}
    made = [
        api.admin.post("/v1/agents/", {**given, **more}).json()["stale_gate"]
        for more in ({}, {"stale_gate": True})
    ]
    assert made == [False, True]
