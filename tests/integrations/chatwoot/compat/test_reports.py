"""Reports: summaries, series, and what is open now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Content
from conversations.models import Label
from tests.factories import make_conversation
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.conftest import Client4, client

REPORTS = "/api/v2/accounts/<account_id>/reports"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def day(woot: SimpleNamespace) -> SimpleNamespace:
    """A customer asks; Petra of the team answers after a minute and resolves after ten."""
    house = woot.house
    with time_machine.travel(START, tick=False) as clock:
        thread = make_conversation(house.inbox, "Hello")
        with account_context(house.account):
            services.add_labels(thread, ["vip"], by=None)
            services.assign(thread, to=house.team, by=None)
            clock.shift(60)
            services.post_message(thread, content=Content(text="Hi"), author=house.person)
            clock.shift(540)
            services.resolve(thread, by=house.person)
    with account_context(house.account):
        label = Label.objects.get()
    woot.keys = {
        "account": "", "agent": house.person.pk, "inbox": house.inbox.pk, "label": label.pk,
        "team": house.team.pk,
    }  # fmt: skip
    return woot


def times(since: datetime = START, until: datetime = START + DAY) -> dict[str, str]:
    return {"since": str(int(since.timestamp())), "until": str(int(until.timestamp()))}


NOTHING = {
    "conversations_count": 0, "incoming_messages_count": 0, "outgoing_messages_count": 0,
    "resolutions_count": 0, "avg_first_response_time": None, "avg_resolution_time": None,
    "reply_time": None,
}  # fmt: skip
ALL = {
    "conversations_count": 1, "incoming_messages_count": 1, "outgoing_messages_count": 1,
    "resolutions_count": 1, "avg_first_response_time": 60.0, "avg_resolution_time": 600.0,
    "reply_time": 60.0,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["account", "agent", "inbox", "label", "team"])
def test_a_summary_and_the_time_before(day: SimpleNamespace, kind: str) -> None:
    """What came in before Petra had it is not hers; the team had it at that very moment."""
    asked = {"type": kind, "id": day.keys[kind]}
    wanted = {**ALL, "incoming_messages_count": 0} if kind == "agent" else ALL
    now = day.owner.get(f"{REPORTS}/summary", **asked, **times())
    assert now.status_code == 200, now.content
    contract.check(now.json(), contract.SUMMARY)
    assert now.json() == {**wanted, "previous": NOTHING}
    later = day.admin.get(f"{REPORTS}/summary", **asked, **times(START + DAY, START + 2 * DAY))
    assert later.json() == {**NOTHING, "previous": wanted}


def test_the_summary_of_somebody_who_did_nothing(day: SimpleNamespace) -> None:
    asked = {"type": "agent", "id": day.house.supervisor.pk, "group_by": "day"}
    summary = day.owner.get(f"{REPORTS}/summary", **asked, **times(), business_hours="true").json()
    assert summary == {**NOTHING, "previous": NOTHING}


@pytest.mark.parametrize(("metric", "value"), ALL.items())
def test_a_series_has_a_point_for_every_day(day: SimpleNamespace, metric: str, value: Any) -> None:
    asked = {"metric": metric, "type": "account", **times(until=START + 2 * DAY)}
    series = day.owner.get(REPORTS, **asked)
    assert series.status_code == 200, series.content
    contract.check(series.json(), contract.SERIES)
    midnight = int(START.replace(hour=0).timestamp())
    means = metric in ("avg_first_response_time", "avg_resolution_time", "reply_time")
    assert series.json() == [
        {"value": number, "timestamp": midnight + n * 86400, **({"count": count} if means else {})}
        for n, (number, count) in enumerate([(value, 1), (0, 0), (0, 0)])
    ]


def test_a_series_of_one_inbox_in_hours_of_the_reader(day: SimpleNamespace) -> None:
    asked = {
        "metric": "resolutions_count", "type": "inbox", "id": day.keys["inbox"],
        "group_by": "hour", "timezone_offset": "5.5", **times(until=START + timedelta(hours=1)),
    }  # fmt: skip
    series = day.owner.get(REPORTS, **asked).json()
    half_past = int(START.timestamp()) - 1800
    assert series == [
        {"value": 1, "timestamp": half_past}, {"value": 0, "timestamp": half_past + 3600},
    ]  # fmt: skip


def test_what_is_open_now(woot: SimpleNamespace) -> None:
    house = woot.house
    bots, hers, _nobodys = (make_conversation(house.inbox) for _ in range(3))
    with account_context(house.account):
        services.assign(bots, to=house.agent.member, by=None)
        services.post_message(hers, content=Content(text="Hi"), author=house.person)
    now = woot.owner.get(f"{REPORTS}/conversations", type="account").json()
    contract.check(now, contract.STANDING)
    assert now == {"open": 2, "unattended": 1, "unassigned": 1, "pending": 1}
    people = woot.owner.get(f"{REPORTS}/conversations", type="agent").json()
    contract.check(people, contract.STANDINGS)
    assert [(one["name"], one["metric"]["open"]) for one in people] == [
        ("Petra", 1), ("Adam", 0), ("Olga", 0), ("Sonia", 0),
    ]  # fmt: skip
    assert woot.owner.get(f"{REPORTS}/conversations", type="agent", page="2").json() == []


def test_what_bots_did(woot: SimpleNamespace) -> None:
    house = woot.house
    asked = times(START - DAY, START + DAY)
    assert woot.owner.get(f"{REPORTS}/bot_metrics", **asked).json() == {
        "conversation_count": 0, "message_count": 0, "resolution_rate": 0, "handoff_rate": 0,
    }  # fmt: skip
    with time_machine.travel(START, tick=True):
        done, lost, kept = (make_conversation(house.inbox) for _ in range(3))
        with account_context(house.account):
            for thread in (done, lost, kept):
                services.assign(thread, to=house.agent.member, by=None)
        for thread, act in ((done, "resolved"), (lost, "open")):
            woot.bot.post(f"conversations/{thread.number}/messages", {"content": "Hi"})
            path = f"conversations/{thread.number}/toggle_status"
            assert woot.bot.post(path, {"status": act}).status_code == 200
    answer = woot.admin.get(f"{REPORTS}/bot_metrics", **asked)
    assert answer.status_code == 200, answer.content
    contract.check(answer.json(), contract.BOT_METRICS)
    assert answer.json() == {
        "conversation_count": 3, "message_count": 2, "resolution_rate": 33, "handoff_rate": 33,
    }  # fmt: skip
    own = Client4(woot.outsider.token, house.outsider.account_id)
    assert own.get(f"{REPORTS}/bot_metrics", **asked).json()["conversation_count"] == 0
    for wrong in ({"since": ""}, {"until": ""}, {"since": "x"}, times(START, START - DAY)):
        refused = woot.owner.get(f"{REPORTS}/bot_metrics", **{**asked, **wrong})
        assert refused.status_code == 422, wrong


@pytest.mark.parametrize("below", ["", "/summary", "/conversations", "/bot_metrics"])
def test_reports_are_for_administrators(woot: SimpleNamespace, below: str) -> None:
    asked = {"type": "account", "metric": "conversations_count", **times()}
    for caller in (woot.owner, woot.admin):
        assert caller.get(REPORTS + below, **asked).status_code == 200
    for caller in (woot.supervisor, woot.person):
        refused = caller.get(REPORTS + below, **asked)
        assert refused.status_code == 401
        assert refused.json() == {"error": "You are not authorized to do this action"}
    foreign = woot.outsider.get(REPORTS + below, **asked)
    assert foreign.json() == {"error": "You are not authorized to access this account"}
    narrow = client(woot.house.owner, woot.account_id, scopes=["conversations:read"])
    assert narrow.get(REPORTS + below, **asked).status_code == 401


def test_what_others_did_is_not_counted(day: SimpleNamespace) -> None:
    own = Client4(day.outsider.token, day.house.outsider.account_id)
    asked = {"type": "account", **times()}
    assert own.get(f"{REPORTS}/summary", **asked).json() == {**NOTHING, "previous": NOTHING}
    assert own.get(f"{REPORTS}/conversations", type="account").json()["open"] == 0
    for kind in ("agent", "inbox", "label", "team"):
        asked = {"type": kind, "id": day.keys[kind], "metric": "reply_time", **times()}
        for path in (f"{REPORTS}/summary", REPORTS):
            refused = own.get(path, **asked)
            assert refused.status_code == 404, kind
            assert refused.json() == {"error": "Resource could not be found"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": ""}, {"type": "planet"}, {"type": "inbox"}, {"type": "inbox", "id": "x"},
        {"since": ""}, {"until": ""}, {"since": "yesterday"},
        times(START + DAY, START), times(START - 400 * DAY),
        {"since": "0001-01-01", "until": "0001-01-02"}, {"since": "9999-12-30", "until": "9999-12-31"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_reported(woot: SimpleNamespace, wrong: dict[str, str]) -> None:
    asked = {"type": "account", "metric": "reply_time", **times(), **wrong}
    for path in (f"{REPORTS}/summary", REPORTS):
        refused = woot.owner.get(path, **asked)
        assert refused.status_code == 422, refused.content
        assert refused.json().keys() & {"error", "message"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": ""}, {"metric": "money"}, {"metric": "bot_handoffs_count"},
        {"group_by": "minute"}, {"timezone_offset": "x"}, {"timezone_offset": "15"},
        {"timezone_offset": "nan"}, {"timezone_offset": "-1e400"},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_series_can_be_of(woot: SimpleNamespace, wrong: dict[str, str]) -> None:
    asked = {"type": "account", "metric": "reply_time", **times(), **wrong}
    refused = woot.owner.get(REPORTS, **asked)
    assert refused.status_code == 422, refused.content
    assert set(refused.json()) == {"error"}


def test_of_whom_it_is_open(woot: SimpleNamespace) -> None:
    for kind in ("", "inbox", "team"):
        assert woot.owner.get(f"{REPORTS}/conversations", type=kind).status_code == 422
