"""What AI agents did in a period: how much they got, said, finished, and gave to people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Member, Team
from accounts.tenancy import account_context
from agents import services as agents
from conversations import services
from conversations.ai_reports import AINumbers, ai_numbers
from conversations.messages import Content, DeviceEcho
from conversations.models import Conversation, Inbox
from conversations.services import Reason
from conversations.standing import Fate, fates
from tests.factories import make_agent, make_conversation, make_inbox, said

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
END = START + timedelta(days=1)


def told(since: datetime = START, until: datetime = END) -> tuple[int, int, int, int]:
    found = ai_numbers(since, until)
    return found.conversations, found.messages, found.resolved, found.handed_off


@pytest.fixture
def house(house: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """The house in the middle of the period."""
    with time_machine.travel(START + timedelta(hours=1), tick=True):
        yield house


def with_agent(house: SimpleNamespace, visitor: str = "ion") -> Conversation:
    conversation = make_conversation(house.inbox, "Hello", visitor=visitor)
    return services.assign(conversation, to=house.agent.member, by=None, reason=Reason.RULE)


def says(conversation: Conversation, author: Member | None, text: str = "Hi") -> None:
    services.post_message(conversation, content=Content(text=text), author=author)


def lost(conversation: Conversation, to: Member | Team | None, by: Member | None) -> None:
    services.hand_off(conversation, to=to, by=by)


def test_nothing_is_nothing(house: SimpleNamespace) -> None:
    says(make_conversation(house.inbox), house.person)
    assert told() == (0, 0, 0, 0)
    none = AINumbers(0, 0, 0, 0)
    assert (none.resolved_percent, none.handed_off_percent) == (0, 0)


def test_what_an_agent_finishes_alone_is_its_own(house: SimpleNamespace) -> None:
    agent = house.agent.member
    alone, helped, phoned, answered = (with_agent(house, visitor=f"v{n}") for n in range(4))
    for conversation in (alone, helped, phoned):
        says(conversation, agent)
        says(conversation, agent, "More")
    says(helped, house.person)
    services.assign(helped, to=agent, by=house.person)
    services.receive(house.inbox, DeviceEcho(said("From the phone", visitor="v2")))
    services.assign(phoned, to=agent, by=house.person)
    says(answered, house.person)
    for conversation in (alone, helped, phoned):
        services.resolve(conversation, by=agent)
    services.resolve(answered, by=house.person)
    assert told() == (4, 6, 1, 0)
    # Where a person resolves what it has, it was the agent's work, too.
    more = with_agent(house, visitor="v9")
    services.resolve(more, by=house.owner)
    assert told() == (5, 6, 2, 0)


def test_what_it_finishes_twice_counts_once_and_each_time_by_itself(
    house: SimpleNamespace,
) -> None:
    agent, conversation = house.agent.member, with_agent(house)
    says(conversation, agent)
    services.resolve(conversation, by=agent)
    services.receive(house.inbox, said("Again", visitor="ion"))
    says(conversation, house.person)
    assert told() == (1, 1, 1, 0)
    services.resolve(conversation, by=house.person)
    services.receive(house.inbox, said("And again", visitor="ion"))
    services.assign(conversation, to=agent, by=None)
    services.resolve(conversation, by=agent)  # people wrote, but before the resolution before
    assert told() == (1, 1, 1, 0)


def test_what_it_gives_away_and_what_is_taken_from_it(house: SimpleNamespace) -> None:
    agent, other = house.agent.member, make_agent(house.account).member
    given = [with_agent(house, visitor=f"given{n}") for n in range(3)]
    lost(given[0], None, agent)
    lost(given[1], house.team, None)
    lost(given[2], house.person, agent)
    taken = [with_agent(house, visitor=f"taken{n}") for n in range(4)]
    services.take_over(taken[0], by=house.person)
    services.assign(taken[1], to=house.team, by=house.owner)
    services.assign(taken[2], to=other, by=None)
    says(taken[3], house.person)
    assert told() == (7, 0, 0, 3)
    # Once more is still once.
    services.assign(given[0], to=agent, by=house.person)
    lost(given[0], None, agent)
    assert told() == (7, 0, 0, 3)
    agents.pause_agent(house.agent, by=house.owner)
    assert told() == (7, 0, 0, 3)
    assert AINumbers(*told()).handed_off_percent == 42


def test_another_time_and_another_account_are_not_counted(house: SimpleNamespace) -> None:
    conversation = with_agent(house)
    says(conversation, house.agent.member)
    with time_machine.travel(END + timedelta(hours=1), tick=False):
        services.resolve(conversation, by=house.agent.member)
    assert told() == (1, 1, 0, 0)
    assert told(END, END + timedelta(days=1)) == (0, 0, 0, 0)
    assert told(START - timedelta(days=1), START) == (0, 0, 0, 0)
    with account_context(house.outsider_account):
        assert told() == (0, 0, 0, 0)


def test_it_is_one_statement(house: SimpleNamespace) -> None:
    with CaptureQueriesContext(connection) as queries:
        ai_numbers(START, END)
    assert len(queries) == 1


# --- What became of what began -------------------------------------------------------------------


def fated(since: datetime = START, until: datetime = END) -> dict[str, Fate]:
    return fates(since, until)


def test_how_what_began_in_a_period_stands_now(house: SimpleNamespace) -> None:
    plain: Inbox = make_inbox(house.account, platform="api")
    ai, waits, sleeps, done = (make_conversation(house.inbox, visitor=f"v{n}") for n in range(4))
    make_conversation(plain)
    services.assign(ai, to=house.agent.member, by=None)
    services.snooze(sleeps, by=house.person, until=END)
    services.resolve(done, by=house.person)
    assert waits.assignee is None
    with time_machine.travel(END, tick=False):
        make_conversation(house.inbox, visitor="late")
    assert fated() == {
        "sandbox": Fate(open=1, with_ai=1, snoozed=1, resolved=1),
        "api": Fate(open=1),
    }
    assert fated(START - timedelta(days=1), START) == {}
    with account_context(house.outsider_account):
        assert fated() == {}
