"""Reports with a row for each: summaries, and tables to be downloaded."""

from __future__ import annotations

import csv
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine

from accounts import services as accounts
from accounts.models import Member
from accounts.tenancy import account_context
from conversations import services
from conversations.models import Inbox, Label
from integrations.chatwoot.compat.report_lists import spelt_out
from tests.factories import make_conversation, make_inbox, make_team
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.conftest import Client4, client
from tests.integrations.chatwoot.compat.test_reports import (  # noqa: F401 - the fixture
    DAY,
    REPORTS,
    START,
    day,
    times,
)

SUMMARIES = "/api/v2/accounts/<account_id>/summary_reports"
TABLES = ("agents", "inboxes", "labels", "teams")
PATHS = [
    *(f"{REPORTS}/{name}" for name in TABLES),
    *(f"{SUMMARIES}/{kind}" for kind in ("agent", "inbox", "label", "team")),
]
CHANNELS = f"{SUMMARIES}/channel"
ZEROS = {
    "conversations_count": 0, "resolved_conversations_count": 0, "avg_resolution_time": None,
    "avg_first_response_time": None, "avg_reply_time": None,
}  # fmt: skip
DONE = {
    "conversations_count": 1, "resolved_conversations_count": 1, "avg_resolution_time": 600.0,
    "avg_first_response_time": 60.0, "avg_reply_time": 60.0,
}  # fmt: skip
FIGURES = [
    "Avg first response time", "Avg resolution time", "Avg customer waiting time",
    "Resolution Count",
]  # fmt: skip
FIRST_DAY = ["Reporting period 2026-03-02 to 2026-03-03"]
NOTHING, ALL = ["0", "", "", "", "0"], ["1", "1 minute", "10 minutes", "1 minute", "1"]


def table(answer: Any, name: str) -> list[list[str]]:
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == f"attachment; filename={name}_report.csv"
    return list(csv.reader(StringIO(answer.content.decode(), newline="")))


def test_every_person_has_a_row(day: SimpleNamespace) -> None:  # noqa: F811
    house = day.house
    rows = day.owner.get(f"{SUMMARIES}/agent", **times(), business_hours="true").json()
    contract.check(rows, contract.SUMMARY_ROWS)
    idle = [{"id": one.pk, **ZEROS} for one in (house.admin, house.owner)]
    assert rows == [*idle, {"id": house.person.pk, **DONE}, {"id": house.supervisor.pk, **ZEROS}]
    assert table(day.admin.get(f"{REPORTS}/agents", **times()), "agents") == [
        FIRST_DAY, [], ["Agent name", "Assigned conversations", *FIGURES],
        ["Adam", *NOTHING], ["Olga", *NOTHING], ["Petra", *ALL], ["Sonia", *NOTHING],
    ]  # fmt: skip


def test_every_inbox_has_a_row(day: SimpleNamespace) -> None:  # noqa: F811
    other = make_inbox(day.house.account, name="Another")
    rows = day.owner.get(f"{SUMMARIES}/inbox", **times()).json()
    contract.check(rows, contract.SUMMARY_ROWS)
    assert rows == [{"id": other.pk, **ZEROS}, {"id": day.keys["inbox"], **DONE}]
    assert table(day.owner.get(f"{REPORTS}/inboxes", **times()), "inboxes") == [
        FIRST_DAY, [], ["Inbox name", "Inbox type", "No. of conversations", *FIGURES],
        ["Another", "Sandbox phone", *NOTHING], ["Sandbox", "Sandbox phone", *ALL],
    ]  # fmt: skip


def test_every_team_has_a_row(day: SimpleNamespace) -> None:  # noqa: F811
    house = day.house
    other = make_team(house.account, name="Zebras")
    rows = day.owner.get(f"{SUMMARIES}/team", **times()).json()
    contract.check(rows, contract.SUMMARY_ROWS)
    assert rows == [{"id": house.team.pk, **DONE}, {"id": other.pk, **ZEROS}]
    assert table(day.owner.get(f"{REPORTS}/teams", **times()), "teams")[2:] == [
        ["Team name", "Conversations count", *FIGURES],
        [house.team.name, *ALL], [other.name, *NOTHING],
    ]  # fmt: skip


def test_every_label_has_a_row(day: SimpleNamespace) -> None:  # noqa: F811
    with account_context(day.house.account):
        again = Label.objects.create(name="again")
    rows = day.owner.get(f"{SUMMARIES}/label", **times()).json()
    contract.check(rows, contract.LABEL_ROWS)
    assert rows == [
        {"id": again.pk, "name": "again", **ZEROS},
        {"id": day.keys["label"], "name": "vip", **DONE},
    ]
    assert table(day.owner.get(f"{REPORTS}/labels", **times()), "labels") == [
        FIRST_DAY, [], ["Label", "No. of conversations", *FIGURES],
        ["again", *NOTHING], ["vip", *ALL],
    ]  # fmt: skip


def test_every_channel_says_how_it_stands(day: SimpleNamespace) -> None:  # noqa: F811
    house = day.house
    others = [make_inbox(house.account, platform=slug) for slug in ("whatsapp", "api")]
    with time_machine.travel(START, tick=True):
        with_bot = make_conversation(house.inbox, visitor="b")
        for inbox in others:
            make_conversation(inbox)
    with account_context(house.account):
        services.assign(with_bot, to=house.agent.member, by=None)
    found = day.owner.get(CHANNELS, **times()).json()
    contract.check(list(found.values()), [contract.CHANNEL_COUNTS])
    none = {"open": 0, "resolved": 0, "pending": 0, "snoozed": 0}
    assert found == {
        "Channel::Api": {**none, "open": 1, "resolved": 1, "pending": 1, "total": 3},
        "Channel::Whatsapp": {**none, "open": 1, "total": 1},
    }
    later = times(START + DAY, START + 2 * DAY)
    assert day.owner.get(CHANNELS, **later).json() == {}
    own = Client4(day.outsider.token, house.outsider.account_id)
    assert own.get(CHANNELS, **times()).json() == {}


def test_what_was_done_at_another_time_is_not_counted(day: SimpleNamespace) -> None:  # noqa: F811
    later = times(START + DAY, START + 2 * DAY)
    rows = day.owner.get(f"{SUMMARIES}/agent", **later).json()
    assert [{**row, "id": 0} for row in rows] == [{"id": 0, **ZEROS}] * 4


def test_who_has_left_has_no_row(day: SimpleNamespace) -> None:  # noqa: F811
    with account_context(day.house.account):
        accounts.deactivate_member(day.house.person, by=day.house.owner)
    rows = day.owner.get(f"{SUMMARIES}/agent", **times()).json()
    assert day.house.person.pk not in [row["id"] for row in rows]
    assert "Petra" not in day.owner.get(f"{REPORTS}/agents", **times()).content.decode()


def test_a_name_is_no_formula(woot: SimpleNamespace) -> None:
    house, formula = woot.house, '=HYPERLINK("https://x.example","Ana")'
    Member.objects.filter(pk=house.person.pk).update(name=formula)
    with account_context(house.account):
        Inbox.objects.filter(pk=house.inbox.pk).update(name="@SUM(A1)")
        Label.objects.create(name="+1")
    make_team(house.account, name="-1")
    for name, cell in (
        ("agents", formula), ("inboxes", "@SUM(A1)"), ("labels", "+1"), ("teams", "-1"),
    ):  # fmt: skip
        cells = [row[0] for row in table(woot.owner.get(f"{REPORTS}/{name}", **times()), name)[3:]]
        assert any(one.startswith(f"'{cell}") for one in cells)
        assert not any(one.startswith(cell) for one in cells)


@pytest.mark.parametrize("path", [*PATHS, CHANNELS])
def test_lists_are_for_administrators(woot: SimpleNamespace, path: str) -> None:
    for caller in (woot.owner, woot.admin):
        assert caller.get(path, **times()).status_code == 200
    for caller in (woot.supervisor, woot.person):
        refused = caller.get(path, **times())
        assert refused.status_code == 401
        assert refused.json() == {"error": "You are not authorized to do this action"}
    foreign = woot.outsider.get(path, **times())
    assert foreign.json() == {"error": "You are not authorized to access this account"}
    narrow = client(woot.house.owner, woot.account_id, scopes=["conversations:read"])
    assert narrow.get(path, **times()).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_what_others_have_has_no_row(day: SimpleNamespace, path: str) -> None:  # noqa: F811
    own = Client4(day.outsider.token, day.house.outsider.account_id)
    found = own.get(path, **times()).content.decode()
    for name in ("Petra", "Sandbox", "vip", day.house.team.name):
        assert name not in found
    if path.startswith(SUMMARIES):
        ids = [row["id"] for row in own.get(path, **times()).json()]
        assert ids == ([day.house.outsider.pk] if path.endswith("agent") else [])


@pytest.mark.parametrize("path", [*PATHS, CHANNELS])
def test_a_list_needs_a_period(woot: SimpleNamespace, path: str) -> None:
    wrong = [{"since": ""}, {"until": ""}, {"since": "yesterday"}, times(START + DAY, START)]
    for one in wrong:
        refused = woot.owner.get(path, **{**times(), **one})
        assert refused.status_code == 422, one
        assert refused.json().keys() & {"error", "message"}


def test_a_list_takes_no_longer_for_more_rows(
    woot: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    for n in range(3):
        make_conversation(make_inbox(woot.house.account, name=f"Inbox {n}"))
    with django_assert_max_num_queries(25):
        assert len(woot.owner.get(f"{SUMMARIES}/inbox", **times()).json()) == 4


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (None, ""), (0.4, "0 seconds"), (1, "1 second"), (59.9, "59 seconds"), (3600, "1 hour"),
        (3725, "1 hour 2 minutes"), (timedelta(days=2, seconds=1).total_seconds(), "2 days 1 second"),
    ],
)  # fmt: skip
def test_a_mean_in_words(length: float | None, words: str) -> None:
    assert spelt_out(length) == words
