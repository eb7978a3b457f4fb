"""Reports: what was done in a period, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.ids import encode
from accounts.tenancy import account_context
from conversations import reports, services
from conversations.errors import FieldError
from conversations.messages import Content, DeviceEcho
from conversations.models import Conversation
from conversations.reports import MEASURES, By, Every, check_period
from conversations.standing import standing
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
            row.numbers.avg_reply_s,
        )
        for row in reports.summary(since, until, by=by)
    }


def test_the_whole_account(day: SimpleNamespace) -> None:
    assert told(By.ACCOUNT) == {"": (1, 3, 1, 1, 60.0, 600.0, 60.0)}


def test_by_inbox_and_by_label(day: SimpleNamespace) -> None:
    assert told(By.INBOX) == {"Sandbox": (1, 3, 1, 1, 60.0, 600.0, 60.0)}
    assert told(By.LABEL) == {"vip": (1, 3, 1, 1, 60.0, 600.0, 60.0)}


def test_what_happens_is_of_whoever_held_it_then(day: SimpleNamespace) -> None:
    """The first question was nobody's yet; Petra answered, and so had it when it was resolved."""
    assert told(By.MEMBER) == {
        "Petra": (1, 0, 1, 1, 60.0, 600.0, 60.0),
        "Sonia": (1, 1, 0, 0, None, None, None),
    }
    assert told(By.TEAM) == {day.team.name: (1, 0, 1, 1, 60.0, 600.0, 60.0)}


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
    assert later == {"Sonia": (0, 0, 0, 1, None, seconds, None)}


def test_a_period_without_anything(day: SimpleNamespace) -> None:
    before = START - timedelta(days=2)
    assert told(By.ACCOUNT, before, START) == {"": (0, 0, 0, 0, None, None, None)}
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
    assert counts[0] == counts[1] <= 6


def test_every_answer_counts_from_the_first_question_since_the_last(house: SimpleNamespace) -> None:
    with time_machine.travel(START, tick=False) as clock:
        thread = make_conversation(house.inbox, "Hello", visitor="ion")
        for wait, author in ((10, house.person), (40, house.supervisor)):
            clock.shift(wait)
            services.post_message(thread, content=Content(text="Hi"), author=author)
            services.post_message(thread, content=Content(text="More"), author=author)
            clock.shift(100)
            services.receive(house.inbox, said("And", visitor="ion"))
            services.receive(house.inbox, said("Another", visitor="ion"))
    assert told(By.ACCOUNT)[""][6] == 25.0  # 10 and 40
    assert [told(By.MEMBER)[name][6] for name in ("Petra", "Sonia")] == [10.0, 40.0]


def test_only_some(day: SimpleNamespace) -> None:
    mine = reports.summary(START, END, by=By.MEMBER, only=[day.person.pk])
    assert [row.name for row in mine] == ["Petra"]
    assert reports.summary(START, END, by=By.MEMBER, only=[]) == []


# --- Step by step --------------------------------------------------------------------------------

BUCHAREST = ZoneInfo("Europe/Bucharest")


def stepped(of: str, every: Every = Every.DAY, **more: Any) -> list[tuple[str, Any, int]]:
    more = {"zone": UTC, "since": START, "until": END, **more}
    points = reports.series(more.pop("since"), more.pop("until"), of=of, every=every, **more)
    return [(f"{point.since:%d %H:%M}", point.value, point.count) for point in points]


@pytest.mark.parametrize("of", list(MEASURES))
@pytest.mark.parametrize("by", list(By))
def test_a_series_of_one_step_is_the_summary(day: SimpleNamespace, of: str, by: By) -> None:
    keys = {
        By.ACCOUNT: 0, By.INBOX: day.inbox.pk, By.MEMBER: day.person.pk, By.TEAM: day.team.pk,
        By.LABEL: day.thread.labels.get().pk,
    }  # fmt: skip
    [row] = reports.summary(START, END, by=by, only=[keys[by]])
    [(_since, value, _count)] = stepped(of, Every.YEAR, by=by, key=keys[by])
    assert value == getattr(row.numbers, of)


def test_hours_and_days_have_their_points(day: SimpleNamespace) -> None:
    hours = stepped("incoming_messages", Every.HOUR)
    assert hours[:3] == [("02 09:00", 1, 1), ("02 10:00", 2, 2), ("02 11:00", 0, 0)]
    assert len(hours) == 24
    assert stepped("avg_first_reply_s") == [("02 00:00", 60.0, 1), ("03 00:00", None, 0)]


def test_a_day_begins_where_the_reader_is(day: SimpleNamespace) -> None:
    east = timezone(timedelta(hours=14))
    assert stepped("incoming_messages", zone=east) == [
        ("01 10:00", 1, 1), ("02 10:00", 2, 2),
    ]  # fmt: skip
    west = timezone(-timedelta(hours=9, minutes=30))
    assert stepped("incoming_messages", zone=west) == [
        ("01 09:30", 1, 1), ("02 09:30", 2, 2),
    ]  # fmt: skip
    assert stepped("incoming_messages", zone=BUCHAREST)[0] == ("01 22:00", 3, 3)


@pytest.mark.parametrize(
    ("name", "noon", "points"),
    [
        # The clock was put back from one to midnight.
        ("Atlantic/Azores", (2025, 10, 26), [("26 00:00", 1, 1), ("27 01:00", 0, 0)]),
        # Without its summer, PostgreSQL's abbreviation; with it, a zone.
        ("EET", (2025, 7, 1), [("30 21:00", 1, 1), ("01 21:00", 0, 0)]),
    ],
)
def test_every_day_has_one_point_wherever_clocks_stand(
    house: SimpleNamespace, name: str, noon: tuple[int, int, int], points: list[Any]
) -> None:
    zone, thread = ZoneInfo(name), make_conversation(house.inbox)
    day = datetime(*noon, tzinfo=zone)
    with account_context(house.account):
        Conversation.objects.filter(pk=thread.pk).update(created_at=day + timedelta(hours=12))
        found = stepped("conversations", zone=zone, since=day, until=day + timedelta(hours=36))
    assert found == points


def test_steps_follow_the_calendar() -> None:
    until = datetime(2026, 4, 30, tzinfo=UTC)
    found = {every: list(reports.steps(START, until, every, BUCHAREST)) for every in Every}
    days = [f"{step:%d %H:%M}" for step in found[Every.DAY]]
    # Summer begins there on the 29th of March.
    assert days[26:30] == ["27 22:00", "28 22:00", "29 21:00", "30 21:00"]
    assert [f"{step:%m-%d}" for step in found[Every.WEEK]][:2] == ["03-01", "03-08"]
    assert [f"{step:%m-%d %H}" for step in found[Every.MONTH]] == ["02-28 22", "03-31 21"]
    assert [f"{step:%Y-%m-%d}" for step in found[Every.YEAR]] == ["2025-12-31"]
    assert len(found[Every.HOUR]) == (until - START) // timedelta(hours=1)


def test_a_series_is_one_statement(day: SimpleNamespace) -> None:
    for of in MEASURES:
        with CaptureQueriesContext(connection) as queries:
            stepped(of, Every.HOUR)
        assert len(queries) == 1


@pytest.mark.parametrize("length", [timedelta(0), timedelta(days=-1), timedelta(days=367)], ids=str)
def test_a_period_that_cannot_be_counted(length: timedelta) -> None:
    with pytest.raises(FieldError):
        check_period(START, START + length)


# --- Now -----------------------------------------------------------------------------------------


def stands(by: By, **more: Any) -> dict[str, tuple[int, int, int, int]]:
    return {
        row.name: (
            row.numbers.open, row.numbers.with_ai, row.numbers.unassigned, row.numbers.waiting,
        )
        for row in standing(by=by, **more)
    }  # fmt: skip


def test_what_is_open_now(house: SimpleNamespace) -> None:
    """One that the AI agent has, one that Petra answered, one that waits for the team, one that is done."""
    ai, hers, teams, done = (make_conversation(house.inbox) for _ in range(4))
    services.assign(ai, to=house.agent.member, by=None)
    services.post_message(hers, content=Content(text="Hi"), author=house.person)
    services.assign(teams, to=house.team, by=None)
    services.add_labels(teams, ["vip"], by=None)
    services.resolve(done, by=house.owner)
    assert stands(By.ACCOUNT) == {"": (3, 1, 1, 1)}
    assert stands(By.INBOX) == {"Sandbox": (3, 1, 1, 1)}
    assert stands(By.MEMBER) == {house.agent.name: (1, 1, 0, 0), "Petra": (1, 0, 0, 0)}
    assert stands(By.TEAM) == {house.team.name: (1, 0, 1, 1)}
    assert stands(By.LABEL) == {"vip": (1, 0, 1, 1)}
    assert stands(By.MEMBER, only=[house.person.pk]) == {"Petra": (1, 0, 0, 0)}
    with account_context(house.outsider_account):
        assert stands(By.ACCOUNT) == {"": (0, 0, 0, 0)}
        assert stands(By.INBOX) == {}


# --- REST ----------------------------------------------------------------------------------------


def ask(caller: Any, report: str = "summary", /, **query: str) -> Any:
    return caller.get(f"/v1/reports/{report}/", **query)


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
        {"until": "0001-01-01T00:00:00Z"},
    ],
)  # fmt: skip
def test_a_period_that_makes_no_sense_is_an_error(
    api: SimpleNamespace, query: dict[str, str]
) -> None:
    assert ask(api.owner, **query).status_code == 400


def test_a_series_over_rest(api: SimpleNamespace) -> None:
    house = api.house
    thread = make_conversation(house.inbox)
    with account_context(house.account):
        services.post_message(thread, content=Content(text="Hi"), author=house.person)
    answer = ask(api.owner, "series", of="outgoing_messages").json()
    assert answer["time_zone"] == house.account.time_zone
    assert (answer["type"], answer["id"], answer["every"]) == ("account", None, "day")
    assert len(answer["results"]) in (
        8,
        9,
    )  # a week touches eight days, and nine when a clock changes
    assert sum(point["value"] for point in answer["results"]) == 1
    hers = {"of": "outgoing_messages", "type": "member", "id": house.person.public_id}
    assert sum(p["value"] for p in ask(api.person, "series", **hers).json()["results"]) == 1
    hers["id"] = house.supervisor.public_id
    assert sum(p["value"] for p in ask(api.owner, "series", **hers).json()["results"]) == 0
    assert ask(api.person, "series", **hers).status_code == 404
    assert ask(api.agent, "series", **hers).status_code == 403
    for kind, public_id in (
        ("member", house.person.public_id), ("team", house.team.public_id),
        ("inbox", house.inbox.public_id), ("label", encode("lbl", 1)),
    ):  # fmt: skip
        theirs = ask(api.outsider, "series", of="conversations", type=kind, id=public_id)
        assert theirs.status_code == 404, kind


@pytest.mark.parametrize(
    "query",
    [
        {}, {"of": "money"}, {"of": "conversations", "every": "minute"},
        {"of": "conversations", "time_zone": "Mars/Olympus"},
        {"of": "conversations", "time_zone": "localtime"},
        {"of": "conversations", "type": "inbox"}, {"of": "conversations", "business_hours": "true"},
        {"of": "conversations", "since": "2024-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"of": "conversations", "since": "0001-01-01T00:00:00Z", "until": "0001-01-02T00:00:00Z"},
        {"of": "conversations", "since": "9999-12-30T00:00:00Z", "until": "9999-12-31T00:00:00Z"},
    ],
    ids=str,
)  # fmt: skip
def test_a_series_that_makes_no_sense_is_an_error(
    api: SimpleNamespace, query: dict[str, str]
) -> None:
    assert ask(api.owner, "series", **query).status_code == 400


def test_what_is_open_now_over_rest(api: SimpleNamespace) -> None:
    house = api.house
    thread, _other = make_conversation(house.inbox), make_conversation(house.inbox)
    with account_context(house.account):
        services.assign(thread, to=house.person, by=None)
    [row] = ask(api.admin, "now").json()["results"]
    assert row == {
        "id": None, "name": "", "open": 2, "with_ai": 0, "unassigned": 1, "waiting": 2,
    }  # fmt: skip
    assert [row["id"] for row in ask(api.person, "now").json()["results"]] == [
        house.person.public_id
    ]
    assert ask(api.supervisor, "now", type="member").json()["results"] == []
    assert ask(api.person, "now", type="account").status_code == 403
    assert ask(api.agent, "now").status_code == 403
    assert ask(api.outsider, "now").json()["results"][0]["open"] == 0
    assert ask(api.owner, "now", type="planet").status_code == 400
