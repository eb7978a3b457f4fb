"""Filters that members keep."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.tenancy import account_context
from conversations.models import Conversation
from integrations.chatwoot.compat import custom_filters
from integrations.chatwoot.models import CustomFilter
from tests.integrations.chatwoot.compat import contract

PATH = "custom_filters"


def row(key: str, operator: str, *values: Any, then: str | None = None) -> dict[str, Any]:
    return {
        "attribute_key": key, "filter_operator": operator, "values": list(values),
        "query_operator": then, "custom_attribute_type": "",
    }  # fmt: skip


PENDING = {
    "name": "With a bot",
    "filter_type": "conversation",
    "query": {"payload": [row("status", "equal_to", "pending")]},
}


def test_a_filter_is_kept_listed_changed_and_taken_away(woot: SimpleNamespace) -> None:
    made = woot.person.post(PATH, {"custom_filter": PENDING})
    assert made.status_code == 200, made.content
    contract.check(made.json(), contract.CUSTOM_FILTER)
    assert PENDING.items() <= made.json().items()
    path = f"{PATH}/{made.json()['id']}"
    assert woot.person.get(path).json() == made.json()
    assert woot.person.get(PATH).json() == [made.json()]
    query = {"payload": [row("labels", "is_present")]}
    changed = woot.person.patch(path, {"query": query}).json()
    assert (changed["query"], changed["name"]) == (query, PENDING["name"])
    gone = woot.person.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert woot.person.get(path).status_code == 404


def test_each_type_has_a_list_of_its_own(woot: SimpleNamespace) -> None:
    query = {"payload": [row("email", "contains", "@example.test")]}
    kept = {"name": "Ours", "filter_type": "contact", "query": query}
    contact = woot.person.post(PATH, kept).json()
    conversation = woot.person.post(PATH, PENDING).json()
    assert woot.person.get(PATH, filter_type="contact").json() == [contact]
    assert woot.person.get(PATH, filter_type="conversation").json() == [conversation]
    assert woot.person.get(PATH).json() == [conversation]


def test_what_is_kept_can_be_asked(woot: SimpleNamespace, held: Conversation) -> None:
    kept = woot.person.post(PATH, PENDING).json()
    found = woot.owner.post("conversations/filter", kept["query"]).json()["payload"]
    assert [one["id"] for one in found] == [held.number]


def test_nobody_sees_those_of_others(woot: SimpleNamespace) -> None:
    path = f"{PATH}/{woot.person.post(PATH, PENDING).json()['id']}"
    own = woot.outsider.__class__(woot.outsider.token, woot.house.outsider.account_id)
    for caller in (woot.owner, own):
        assert caller.get(PATH).json() == []
        for method in ("get", "patch", "delete"):
            assert caller.send(method, path, {"name": "x"}).status_code == 404
    with account_context(woot.house.account):
        assert CustomFilter.objects.get().name == PENDING["name"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 251},
        {"filter_type": "report"},
        {"query": {}},
        {"query": {"payload": "all"}},
        {"query": {"payload": [row("status", "equal_to", "asleep")]}},
        {"query": {"payload": [row("status", "contains", "open")]}},
        {"query": {"payload": [row("labels", "is_present")], "more": "x" * 20_000}},
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_filter_that_cannot_be(woot: SimpleNamespace, change: dict[str, Any]) -> None:
    made = woot.person.post(PATH, PENDING).json()
    for response in (
        woot.person.post(PATH, {**PENDING, **change}),
        woot.person.patch(f"{PATH}/{made['id']}", change),
    ):
        assert response.status_code == 422, response.content
    assert woot.person.get(PATH).json() == [made]


def test_there_is_an_end(woot: SimpleNamespace) -> None:
    with account_context(woot.house.account):
        kept = {"member": woot.house.person, "name": "x", "of": "contact"}
        CustomFilter.objects.bulk_create(
            CustomFilter(**kept, account=woot.house.account)
            for _ in range(custom_filters.MAX_FILTERS)
        )
    refused = woot.person.post(PATH, PENDING)
    assert refused.status_code == 422
    assert "1000" in refused.json()["message"]
    assert woot.owner.post(PATH, PENDING).status_code == 200
