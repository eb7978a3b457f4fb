"""Rows of a filter as clients of theirs send them (contract, 6.2 and 6.5): attributes, times, numbers."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from accounts.tenancy import account_context
from conversations import services
from conversations.models import Contact, Conversation
from tests.factories import make_conversation
from tests.integrations.chatwoot.compat import contract

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "gold": {"plan": "Gold Big", "seats": 5, "vip": True, "since": "2026-03-01", "5": "five"},
    "silver": {"plan": "silver", "seats": "12", "vip": False, "since": "2026-09-30"},
    "none": {},
}


def row(key: str, operator: str, *values: Any) -> dict[str, Any]:
    return {"attribute_key": key, "filter_operator": operator, "values": list(values)}


ROWS = [
    (row("plan", "equal_to", "gold big"), {"gold"}),
    (row("plan", "equal_to", "Gold Big", "SILVER"), {"gold", "silver"}),
    (row("plan", "not_equal_to", "gold big"), {"silver", "none"}),
    (row("plan", "contains", "BIG"), {"gold"}),
    (row("plan", "contains", "%"), set()),
    (row("plan", "does_not_contain", "big"), {"silver", "none"}),
    (row("plan", "is_present"), {"gold", "silver"}),
    (row("plan", "is_not_present"), {"none"}),
    (row("seats", "equal_to", "5"), {"gold"}),
    (row("seats", "equal_to", 12), {"silver"}),
    (row("seats", "is_greater_than", "5"), {"silver"}),
    (row("seats", "is_less_than", 5.5), {"gold"}),
    (row("vip", "equal_to", "true"), {"gold"}),
    (row("vip", "equal_to", False), {"silver"}),
    (row("since", "is_greater_than", "2026-03-01"), {"silver"}),
    (row("since", "is_less_than", "2026-09-30"), {"gold"}),
    (row("plan", "is_less_than", "2026-09-30"), set()),
    (row("5", "equal_to", "five"), {"gold"}),
]
NAMES = [f"{r['attribute_key']} {r['filter_operator']} {r['values']}" for r, _ in ROWS]


@pytest.fixture
def conversations(woot: SimpleNamespace) -> dict[int, str]:
    """The number of each conversation, and whose attributes it and its contact have."""
    found = {}
    for name, values in ATTRIBUTES.items():
        made = make_conversation(woot.house.inbox)
        with account_context(woot.house.account):
            services.set_attributes(made, values, by=None, on="conversation")
            services.update_contact(made.contact, by=None, name=name, attributes=values)
        found[made.number] = name
    return found


@pytest.mark.parametrize(("asked", "expected"), ROWS, ids=NAMES)
def test_attributes_of_conversations_and_contacts_compare_alike(
    woot: SimpleNamespace, conversations: dict[int, str], asked: Any, expected: set[str]
) -> None:
    body = woot.owner.post("conversations/filter", {"payload": [asked]}).json()
    contract.check(body, {"meta": contract.COUNTS, "payload": [contract.CONVERSATION]})
    assert {conversations[one["id"]] for one in body["payload"]} == expected
    people = woot.owner.post("contacts/filter", {"payload": [asked]}).json()
    contract.check(people["payload"], [contract.CONTACT])
    assert {one["name"] for one in people["payload"]} == expected


def test_a_day_some_days_ago(woot: SimpleNamespace, conversations: dict[int, str]) -> None:
    today = timezone.localdate()
    with account_context(woot.house.account):
        for number, name in conversations.items():
            day = today - timedelta(days={"gold": 10, "silver": 2}.get(name, 5))
            services.set_attributes(
                Conversation.objects.get(number=number),
                {"paid": day.isoformat()},
                by=None,
                on="conversation",
            )
    body = woot.owner.post(
        "conversations/filter", {"payload": [row("paid", "days_before", "5")]}
    ).json()
    assert {conversations[one["id"]] for one in body["payload"]} == {"gold"}


@pytest.mark.parametrize("path", ["conversations/filter", "contacts/filter"])
@pytest.mark.parametrize(
    "asked",
    [
        row("seats", "is_greater_than", "many"), row("seats", "is_greater_than"),
        row("since", "days_before", "x"), row("plan", "starts_with", "g"), row("plan", "", "g"),
        row("seats", "is_less_than", "nan"), row("created_at", "is_less_than", "soon"),
        row("created_at", "equal_to", "2026-01-01"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_compared_is_422(woot: SimpleNamespace, path: str, asked: Any) -> None:
    response = woot.owner.post(path, {"payload": [asked]})
    assert response.status_code == 422, response.content
    contract.check(response.json(), {"error": str})


@pytest.fixture
def contacts(woot: SimpleNamespace) -> None:
    """Somebody who was made long ago and wrote just now, and somebody new who never wrote."""
    with account_context(woot.house.account):
        wrote = make_conversation(woot.house.inbox).contact
        services.update_contact(wrote, by=None, name="wrote")
        long_ago = timezone.now() - timedelta(days=30)
        Contact.objects.filter(pk=wrote.pk).update(created_at=long_ago, phone="+14155550123")
        Contact.objects.create(name="new", phone="+40722000111", blocked=True)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (row("created_at", "days_before", 3), {"wrote"}),
        (row("created_at", "is_greater_than", "2020-01-01T10:00:00Z"), {"wrote", "new"}),
        (row("last_activity_at", "is_greater_than", "2020-01-01"), {"wrote"}),
        (row("last_activity_at", "is_less_than", "2020-01-01"), set()),
        (row("phone_number", "equal_to", "+14155550123"), {"wrote"}),
        (row("phone_number", "equal_to", "14155550123"), {"wrote"}),
        (row("phone_number", "not_equal_to", "14155550123"), {"new"}),
        (row("phone_number", "starts_with", "+1415"), {"wrote"}),
        (row("phone_number", "starts_with", "4072"), {"new"}),
        (row("phone_number", "contains", "0011"), {"new"}),
        (row("blocked", "equal_to", "true"), {"new"}),
        (row("blocked", "not_equal_to", True), {"wrote"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_contacts_by_times_and_numbers(
    woot: SimpleNamespace, contacts: None, asked: Any, expected: set[str]
) -> None:
    body = woot.owner.post("contacts/filter", {"payload": [asked]}).json()
    contract.check(
        body, {"meta": {"count": int, "current_page": int}, "payload": [contract.CONTACT]}
    )
    assert {one["name"] for one in body["payload"]} == expected
    assert body["meta"]["count"] == len(expected)


@pytest.mark.parametrize("operator", ["is_present", "contains", "nonsense", ""])
def test_blocked_is_so_or_not(woot: SimpleNamespace, operator: str) -> None:
    body = {"payload": [row("blocked", operator, True)]}
    assert woot.owner.post("contacts/filter", body).status_code == 422
