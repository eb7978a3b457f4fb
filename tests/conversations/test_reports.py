"""Reports: what was done in a period, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.ids import encode
from accounts.tenancy import account_context
from conversations import reports, services
from conversations.messages import Content, DeviceEcho
from conversations.models import Conversation
from conversations.reports import By
from tests.factories import make_conversation, make_inbox, make_team, said

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
END = START + timedelta(days=1)


@pytest.fixture
def day(house: SimpleNamespace) -> SimpleNamespace:
    """A customer asks; Petra of the team answers after a minute and resolves after ten; it comes
    again, and Sonia has it."""
    with time_machine.travel(START, tick=False) as clock:
        house.thread = make_conversation(house.inbox, "Hello", visitor="ion")
        clock.shift(1)
        services.add_labels(house.thread, ["vip"], by=None)
        services.assign(house.thread, to=house.team, by=None)
        clock.shift(59)
        services.post_message(house.thread, content=Content(text="Hi"), author=house.person)
        clock.shift(540)
        services.resolve(house.thread, by=house.person)
        clock.shift(3600)
        services.receive(house.inbox, said("Again", visitor="ion"))
        clock.shift(1)
        services.assign(house.thread, to=house.supervisor, by=house.owner)
        clock.shift(60)
        services.receive(house.inbox, said("And again", visitor="ion"))
        house.quiet_inbox = make_inbox(house.account, name="Quiet")
    with time_machine.travel(END + timedelta(hours=1), tick=False):
        services.resolve(Conversation.objects.get(pk=house.thread.pk), by=house.supervisor)
        make_conversation(house.quiet_inbox, "After the period")
    return house


def told(by: By, since: datetime = START, until: datetime = END) -> dict[str, tuple[Any, ...]]:
    return {
        row.name: (
            row.numbers.conversations,
            row.numbers.incoming_messages,
            row.numbers.outgoing_messages,
            row.numbers.resolutions,
            row.numbers.avg_first_reply_s,
            row.numbers.avg_resolution_s,
        )
        for row in reports.summary(since, until, by=by)
    }


def test_the_whole_account(day: SimpleNamespace) -> None:
    assert told(By.ACCOUNT) == {"": (1, 3, 1, 1, 60.0, 600.0)}


def test_by_inbox_and_by_label(day: SimpleNamespace) -> None:
    assert told(By.INBOX) == {"Sandbox": (1, 3, 1, 1, 60.0, 600.0)}
    assert told(By.LABEL) == {"vip": (1, 3, 1, 1, 60.0, 600.0)}


def test_what_happens_is_of_whoever_held_it_then(day: SimpleNamespace) -> None:
    """The first question was nobody's yet; Petra answered, and so had it when it was resolved."""
    assert told(By.MEMBER) == {
        "Petra": (1, 0, 1, 1, 60.0, 600.0),
        "Sonia": (1, 1, 0, 0, None, None),
    }
    assert told(By.TEAM) == {day.team.name: (1, 0, 1, 1, 60.0, 600.0)}


def test_what_the_house_says_by_itself_is_no_reply_and_what_the_device_says_is(
    house: SimpleNamespace,
) -> None:
    with time_machine.travel(START, tick=False) as clock:
        thread = make_conversation(house.inbox, "Hello", visitor="ion")
        clock.shift(5)
        services.post_message(thread, content=Content(text="We are closed"), author=None)
        assert told(By.ACCOUNT)[""][4] is None
        clock.shift(85)
        services.receive(house.inbox, DeviceEcho(said("Hi, Ion", visitor="ion")))
    assert told(By.ACCOUNT)[""][4] == 90.0


def test_the_second_resolution_counts_from_the_second_question(day: SimpleNamespace) -> None:
    later = told(By.MEMBER, END, END + timedelta(days=1))
    asked = START + timedelta(seconds=60 + 540 + 3600)
    seconds = (END + timedelta(hours=1) - asked).total_seconds()
    assert later == {"Sonia": (0, 0, 0, 1, None, seconds)}


def test_a_period_without_anything(day: SimpleNamespace) -> None:
    before = START - timedelta(days=2)
    assert told(By.ACCOUNT, before, START) == {"": (0, 0, 0, 0, None, None)}
    assert told(By.MEMBER, before, START) == {}


@pytest.mark.parametrize("by", list(By))
def test_any_number_of_rows_takes_the_same_statements(house: SimpleNamespace, by: By) -> None:
    counts = []
    for _round in range(2):
        for _each in range(3):
            inbox, team = make_inbox(house.account), make_team(house.account)
            thread = make_conversation(inbox)
            services.add_labels(thread, [team.name], by=None)
            services.assign(thread, to=team, by=house.owner)
        now = datetime.now(UTC)
        with CaptureQueriesContext(connection) as queries:
            reports.summary(now - timedelta(days=1), now + timedelta(days=1), by=by)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 5


# --- REST ----------------------------------------------------------------------------------------


def ask(caller: Any, **query: str) -> Any:
    return caller.get("/v1/reports/summary/", **query)


def test_each_role_reads_what_the_table_says(api: SimpleNamespace) -> None:
    house = api.house
    with account_context(house.account):
        thread = make_conversation(house.inbox)
        services.assign(thread, to=house.team, by=house.owner)
        services.post_message(thread, content=Content(text="Hi"), author=house.person)
        other = make_conversation(house.inbox)
        services.post_message(other, content=Content(text="Hi"), author=house.supervisor)
        services.assign(make_conversation(house.inbox), to=make_team(house.account), by=house.owner)
    summary = ask(api.owner).json()
    assert summary["type"] == "account"
    [row] = summary["results"]
    assert (row["id"], row["conversations"], row["outgoing_messages"]) == (None, 3, 2)
    assert len(ask(api.owner, type="team").json()["results"]) == 2
    assert [row["id"] for row in ask(api.admin, type="inbox").json()["results"]] == [
        house.inbox.public_id
    ]

    def names(caller: Any, **query: str) -> list[str]:
        return [row["name"] for row in ask(caller, **query).json()["results"]]

    assert names(api.owner, type="member") == ["Petra", "Sonia"]
    assert names(api.person) == ["Petra"]
    assert names(api.supervisor) == []
    assert names(api.supervisor, type="member") == ["Sonia"]
    with account_context(house.account):
        house.team.memberships.create(member=house.supervisor)
    assert names(api.supervisor) == [house.team.name]
    assert names(api.supervisor, type="member") == ["Petra", "Sonia"]
    for caller, kind in ((api.person, "team"), (api.person, "account"), (api.supervisor, "inbox")):
        assert ask(caller, type=kind).status_code == 403
    assert ask(api.agent).status_code == 403
    [theirs] = ask(api.outsider).json()["results"]
    assert theirs["conversations"] == 0
    assert encode("mem", house.person.pk) not in ask(api.outsider, type="member").content.decode()


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"}, {"type": "agent"}, {"from": "2026-01-01"},
        {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2024-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
    ],
)  # fmt: skip
def test_a_period_that_makes_no_sense_is_an_error(
    api: SimpleNamespace, query: dict[str, str]
) -> None:
    assert ask(api.owner, **query).status_code == 400
