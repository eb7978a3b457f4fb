"""Lists of conversations (contract, 6.2): what is in them, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Content
from conversations.models import Conversation, Message
from integrations.chatwoot import reading
from tests.factories import make_conversation, make_inbox
from tests.integrations.chatwoot.compat import contract


@pytest.fixture
def many(woot: SimpleNamespace) -> dict[str, Conversation]:
    """One conversation in each state, by its name."""
    house = woot.house
    names = ("nobodys", "mine", "others", "bots", "resolved", "snoozed")
    made = {name: make_conversation(house.inbox, f"I am {name}") for name in names}
    with account_context(house.account):
        services.assign(made["mine"], to=house.owner, by=None)
        services.assign(made["others"], to=house.person, by=None)
        services.assign(made["bots"], to=house.agent.member, by=None)
        services.resolve(made["resolved"], by=None)
        later = timezone.now() + timedelta(hours=1)
        services.snooze(made["snoozed"], by=None, until=later)
        services.set_priority(made["others"], "urgent", by=None)
        services.add_labels(made["mine"], ["vip"], by=None)
        services.set_attributes(made["mine"], {"order": "A-1"}, by=None, on="conversation")
    return made


def names(payload: list[dict[str, Any]], many: dict[str, Conversation]) -> set[str]:
    by_number = {conversation.number: name for name, conversation in many.items()}
    return {by_number[one["id"]] for one in payload}


def in_order(value: object) -> str:
    """A test's name is the same in every process; a set's text is not."""
    return ",".join(sorted(value)) if isinstance(value, set) else str(value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"nobodys", "mine", "others"}),
        ({"status": "pending"}, {"bots"}),
        ({"status": "resolved"}, {"resolved"}),
        ({"status": "snoozed"}, {"snoozed"}),
        ({"status": "all"}, {"nobodys", "mine", "others", "bots", "resolved", "snoozed"}),
        ({"assignee_type": "me"}, {"mine"}),
        ({"assignee_type": "unassigned"}, {"nobodys"}),
        ({"assignee_type": "assigned", "status": "all"}, {"mine", "others", "bots"}),
        ({"labels[]": "vip"}, {"mine"}),
        ({"q": "I am others"}, {"others"}),
        ({"conversation_type": "unattended"}, {"nobodys", "mine", "others"}),
        ({"team_id": 987_654}, set()),
        ({"source_id": "nobody"}, set()),
        ({"updated_within": 3600}, {"nobodys", "mine", "others"}),
    ],
    ids=in_order,
)
def test_what_a_list_shows(
    woot: SimpleNamespace, many: dict[str, Conversation], query: Any, expected: set[str]
) -> None:
    body = woot.owner.get("conversations", **query).json()
    contract.check(body, {"data": {"meta": contract.COUNTS, "payload": [contract.CONVERSATION]}})
    assert names(body["data"]["payload"], many) == expected
    if "assignee_type" not in query:
        assert body["data"]["meta"]["all_count"] == len(expected)


def test_the_numbers_count_without_the_tab(
    woot: SimpleNamespace, many: dict[str, Conversation]
) -> None:
    expected = {"mine_count": 1, "assigned_count": 2, "unassigned_count": 1, "all_count": 3}
    listed = woot.owner.get("conversations", assignee_type="me").json()["data"]["meta"]
    alone = woot.owner.get("conversations/meta").json()
    contract.check(alone, {"meta": contract.COUNTS})
    assert listed == alone["meta"] == expected


@pytest.mark.parametrize("caller", ["owner", "person"])
@pytest.mark.parametrize("inbox", [True, False])
@pytest.mark.parametrize("status", ["open", "pending", "resolved", "snoozed", "all"])
def test_the_numbers_are_those_of_what_there_is(
    woot: SimpleNamespace, many: dict[str, Conversation], status: str, inbox: bool, caller: str
) -> None:
    """Whoever sees all of the account is told what was counted before; `updated_within` counts anew."""
    house = woot.house
    make_conversation(make_inbox(house.account))
    with account_context(house.account):
        services.assign(many["snoozed"], to=house.team, by=None)
    client = getattr(woot, caller)
    query = {"status": status} | ({"inbox_id": house.inbox.pk} if inbox else {})
    body = client.get("conversations", **query).json()["data"]
    anew = client.get("conversations", **query, updated_within=3600).json()["data"]
    assert body["meta"] == anew["meta"]
    assert body["meta"]["all_count"] == len(body["payload"])
    rows = [row("status", "equal_to", status, then="AND" if inbox else None)]
    rows += [row("inbox_id", "equal_to", house.inbox.pk)] if inbox else []
    filtered = client.post("conversations/filter", {"payload": rows}).json()
    assert filtered["meta"] == body["meta"]


def test_whoever_does_not_see_all_is_told_of_what_they_see(
    woot: SimpleNamespace, many: dict[str, Conversation]
) -> None:
    account = woot.house.account
    account.people_see = "own"
    account.save()
    body = woot.person.get("conversations").json()["data"]
    assert names(body["payload"], many) == {"nobodys", "others"}
    expected = {"mine_count": 1, "assigned_count": 1, "unassigned_count": 1, "all_count": 2}
    payload = [row("status", "equal_to", "open")]
    filtered = woot.person.post("conversations/filter", {"payload": payload}).json()
    assert body["meta"] == filtered["meta"] == expected


def test_a_page_is_what_the_orm_reads(woot: SimpleNamespace, many: dict[str, Conversation]) -> None:
    """Whoever sees all is answered by a question that was written once: in the order of the list, with
    labels, last words, names and holders."""
    house = woot.house
    with account_context(house.account):
        services.add_note(many["mine"], text="A private word", author=house.owner)
        rows = Conversation.objects.order_by("created_at", "id")
        page = reading.page_of(rows, house.owner, 5, skip=1)
        same = list(reading.whole(rows, house.owner)[1:6])
        assert [one.pk for one in page] == [one.pk for one in same]
        shown = reading.conversations_json(page, house.owner)
        assert shown == reading.conversations_json(same, house.owner)
        assert any(one["last_non_activity_message"] for one in shown)


def test_the_numbers_of_many_cost_no_more(
    woot: SimpleNamespace, many: dict[str, Conversation]
) -> None:
    """No conversation is read to be counted."""
    with CaptureQueriesContext(connection) as asked:
        woot.owner.get("conversations/meta")
    assert not [one for one in asked if 'COUNT("conversations_conversation' in one["sql"]]
    assert [one for one in asked if 'SUM("conversations_conversationtally' in one["sql"]]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "nonsense"}, {"assignee_type": "x"}, {"sort_by": "user__password"},
        {"inbox_id": "x"}, {"conversation_type": "mention"}, {"updated_within": "-1"},
    ],
    ids=str,
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_422(woot: SimpleNamespace, query: dict[str, str]) -> None:
    response = woot.owner.get("conversations", **query)
    assert response.status_code == 422
    contract.check(response.json(), {"error": str})


def test_sorting(woot: SimpleNamespace, many: dict[str, Conversation]) -> None:
    for sort, first in (
        ("priority_desc", "others"),
        ("created_at_asc", "nobodys"),
        ("created_at_desc", "others"),
        ("last_activity_at_asc", "nobodys"),
        ("waiting_since_asc", "nobodys"),
    ):
        payload = woot.owner.get("conversations", sort_by=sort).json()["data"]["payload"]
        assert payload[0]["id"] == many[first].number, sort


def test_searching(woot: SimpleNamespace, many: dict[str, Conversation]) -> None:
    body = woot.owner.get("conversations/search", q="I am bots").json()
    three = {name: n for name, n in contract.COUNTS.items() if name != "assigned_count"}
    contract.check(body, {"meta": three, "payload": [contract.CONVERSATION]})
    assert names(body["payload"], many) == {"bots"}


def row(key: str, operator: str, *values: Any, then: str | None = None) -> dict[str, Any]:
    return {
        "attribute_key": key, "filter_operator": operator, "values": list(values),
        "query_operator": then,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("status", "equal_to", "pending", "snoozed")], {"bots", "snoozed"}),
        ([row("status", "not_equal_to", "open")], {"bots", "snoozed", "resolved"}),
        ([row("priority", "equal_to", "urgent")], {"others"}),
        ([row("labels", "is_present")], {"mine"}),
        ([row("labels", "equal_to", "vip")], {"mine"}),
        ([row("order", "equal_to", "A-1")], {"mine"}),
        (
            [row("labels", "equal_to", "vip", then="OR"), row("priority", "is_present")],
            {"mine", "others"},
        ),
        (
            [row("status", "equal_to", "open", then="AND"), row("assignee_id", "is_not_present")],
            {"nobodys"},
        ),
        (
            [
                row("labels", "equal_to", "vip", then="OR"),
                row("priority", "is_present", then="AND"),
                row("status", "equal_to", "resolved"),
            ],
            {"mine"},  # AND binds tighter
        ),
        ([row("created_at", "days_before", 1)], set()),
        (
            [
                row("created_at", "is_greater_than", "2020-01-01", then="AND"),
                row("status", "equal_to", "resolved"),
            ],
            {"resolved"},
        ),
    ],
    ids=lambda value: json.dumps(value)[:70] if isinstance(value, list) else "",
)
def test_filtering(
    woot: SimpleNamespace, many: dict[str, Conversation], rows: Any, expected: set[str]
) -> None:
    body = woot.owner.post("conversations/filter", {"payload": rows}).json()
    contract.check(body, {"meta": contract.COUNTS, "payload": [contract.CONVERSATION]})
    assert names(body["payload"], many) == expected


@pytest.mark.parametrize(
    "rows",
    [
        None, "x", [1], [row("status", "equal_to", "nonsense")], [row("status", "like", "open")],
        [row("created_at", "is_less_than", "soon")], [row("inbox_id", "equal_to", "x")],
        [row("", "equal_to", "x")], [row("order", "matches", "x")],
        [row("status", "equal_to", "open", then="XOR")], [row("created_at", "days_before", 10**9)],
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_422(woot: SimpleNamespace, rows: Any) -> None:
    response = woot.owner.post("conversations/filter", {"payload": rows})
    assert response.status_code == 422
    assert set(response.json()) == {"error"}


def test_no_column_is_reachable_by_a_filters_key(
    woot: SimpleNamespace, many: dict[str, Conversation]
) -> None:
    """Bad inputs 4 and 60: a key names an attribute, never a path of the ORM."""
    for key in ("contact__name", "inbox__credentials_sealed", 'x"]=1', "attributes__order"):
        body = woot.owner.post(
            "conversations/filter", {"payload": [row(key, "equal_to", "I am mine")]}
        ).json()
        assert body["payload"] == []


# --- What it costs -------------------------------------------------------------------------------


def fill(woot: SimpleNamespace, n: int) -> None:
    """Conversations of every kind: held by people, bots and nobody, with labels, teams and files."""
    house = woot.house
    for place in range(n):
        conversation = make_conversation(house.inbox)
        with account_context(house.account):
            holder = (house.owner, house.agent.member, house.team, None)[place % 4]
            if holder is not None:
                services.assign(conversation, to=holder, by=None)
            services.add_labels(conversation, [f"label {place % 3}"], by=None)
            services.post_message(
                conversation,
                content=Content(text="Hi"),
                author=house.agent.member if place % 4 == 1 else None,
            )


def queries_of(ask: Callable[[], Any]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as found:
        response = ask()
    assert response.status_code == 200
    return len(found)


def test_a_list_costs_the_same_with_few_and_with_100_rows(woot: SimpleNamespace) -> None:
    asks: list[Callable[[], Any]] = [
        lambda: woot.owner.get("conversations", status="all"),
        lambda: woot.owner.get("conversations", status="all", updated_within=3600),
        lambda: woot.owner.get("conversations/search", q=""),
        lambda: woot.owner.post("conversations/filter", {"payload": [row("status", "equal_to", "all")]}),
        lambda: woot.owner.get("contacts"),
        lambda: woot.owner.get("teams"),
        lambda: woot.owner.get("inboxes"),
        lambda: woot.owner.get("agent_bots"),
    ]  # fmt: skip
    fill(woot, 5)
    asks[0]()  # the first use of a token is noted
    few = [queries_of(ask) for ask in asks]
    fill(woot, 95)
    make_inbox(woot.house.account)
    for place, ask in enumerate(asks):
        assert queries_of(ask) == few[place], place
    shown = woot.owner.get("conversations", status="all", updated_within=3600).json()
    assert len(shown["data"]["payload"]) == 100
    pages = [woot.owner.get("conversations", status="all", page=n).json() for n in (1, 2, 4, 5)]
    ids = [[one["id"] for one in page["data"]["payload"]] for page in pages]
    assert [len(page) for page in ids] == [25, 25, 25, 0]
    assert not set(ids[0]) & set(ids[1])


def test_a_thread_costs_the_same_with_few_and_with_many_messages(
    woot: SimpleNamespace, held: Conversation
) -> None:
    path = f"conversations/{held.number}/messages"
    with account_context(woot.house.account):
        first = Message.objects.filter(conversation=held)[0].pk
        services.add_note(held, text="one", author=woot.house.owner)
    woot.owner.get(path)  # the first use of a token is noted
    few = queries_of(lambda: woot.owner.get(path, after=first))
    with account_context(woot.house.account):
        for n in range(50):
            author = (woot.house.owner, woot.house.agent.member)[n % 2]
            services.add_note(held, text=str(n), author=author)
    assert queries_of(lambda: woot.owner.get(path, after=first)) == few


# --- Acts of people ------------------------------------------------------------------------------


def test_looking_at_it_clears_the_counter(woot: SimpleNamespace, held: Conversation) -> None:
    assert woot.owner.get(f"conversations/{held.number}").json()["unread_count"] == 1
    body = woot.owner.post(f"conversations/{held.number}/update_last_seen").json()
    contract.check(body, contract.CONVERSATION)
    assert body["unread_count"] == 0
    body = woot.owner.post(f"conversations/{held.number}/unread").json()
    contract.check(body, contract.CONVERSATION)
    assert body["unread_count"] == 1


def test_a_message_is_taken_out_of_the_thread(woot: SimpleNamespace, held: Conversation) -> None:
    said = woot.bot.post(f"conversations/{held.number}/messages", {"content": "Oops"}).json()
    path = f"conversations/{held.number}/messages/{said['id']}"
    body = woot.owner.delete(path).json()
    contract.check(body, contract.MESSAGE)
    assert body["content"] == "This message was deleted"
    assert body["content_attributes"] == {"deleted": True}
    with account_context(woot.house.account):
        inbound = Message.objects.get(conversation=held, direction="inbound")
    assert (
        woot.owner.delete(f"conversations/{held.number}/messages/{inbound.pk}").status_code == 422
    )
    assert woot.owner.delete(f"conversations/{held.number}/messages/987654").status_code == 404


def test_a_status_from_outside_is_for_channels_of_their_kind(
    woot: SimpleNamespace, held: Conversation
) -> None:
    with account_context(woot.house.account):
        message = Message.objects.filter(conversation=held)[0]
    response = woot.owner.patch(
        f"conversations/{held.number}/messages/{message.pk}", {"status": "read"}
    )
    assert response.status_code == 403
    assert response.json() == {"error": "Message status update is only allowed for API inboxes"}


def test_muting_blocks_and_resolves(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.owner.post(f"conversations/{held.number}/mute")
    assert (response.status_code, response.content) == (200, b"")
    shown = woot.owner.get(f"conversations/{held.number}").json()
    assert (shown["muted"], shown["status"]) == (True, "resolved")
    woot.owner.post(f"conversations/{held.number}/unmute")
    assert woot.owner.get(f"conversations/{held.number}").json()["muted"] is False


# --- Many at once --------------------------------------------------------------------------------


def test_of_a_person_and_a_team_the_person_gets_them(
    woot: SimpleNamespace, many: dict[str, Conversation]
) -> None:
    """As with one alone."""
    number = many["nobodys"].number
    fields = {"assignee_id": woot.house.person.pk, "team_id": woot.house.team.pk}
    assert woot.owner.post("bulk_actions", {"ids": [number], "fields": fields}).status_code == 200
    shown = woot.owner.get(f"conversations/{number}").json()["meta"]
    assert (shown["assignee"]["id"], "team" in shown) == (woot.house.person.pk, False)


def test_many_are_changed_at_once(woot: SimpleNamespace, many: dict[str, Conversation]) -> None:
    wanted = [many["nobodys"].number, many["bots"].number]
    response = woot.owner.post(
        "bulk_actions",
        {
            "type": "Conversation",
            "ids": wanted,
            "fields": {"assignee_id": woot.house.person.pk, "status": "resolved"},
            "labels": {"add": ["done"]},
        },
    )
    assert (response.status_code, response.content) == (200, b"")
    for number in wanted:
        shown = woot.owner.get(f"conversations/{number}").json()
        assert (shown["status"], shown["labels"]) == ("resolved", ["done"])


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"ids": [1, 987_654]}, 404),
        ({"ids": ["x"]}, 422),
        ({"ids": list(range(1, 102))}, 422),
        ({"type": "Contact"}, 422),
        ({"fields": {"status": "nonsense"}}, 422),
        ({"fields": "x", "labels": "x"}, 200),
    ],
    ids=str,
)
def test_all_of_them_or_none(
    woot: SimpleNamespace, many: dict[str, Conversation], change: dict[str, Any], status: int
) -> None:
    """Bad input 5."""
    body = {"type": "Conversation", "ids": [1], "labels": {"add": ["done"]}, **change}
    assert woot.owner.post("bulk_actions", body).status_code == status
    if status != 200:
        assert woot.owner.get("conversations/1/labels").json() == {"payload": []}
