"""Account webhooks that are our webhooks in Chatwoot's words (contract, 6.8)."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tenancy import account_context
from conversations import services
from conversations.models import Delivery, Endpoint
from integrations.subscribers import services as subscribers
from tests.accounts.test_entry import logged_in
from tests.api import Caller, attrs_of
from tests.factories import make_conversation, make_webhook
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.schemas import check

PATH = "webhooks"
URL = "https://93.184.216.34/hook"
REFUSED = {"error": "You are not authorized to do this action"}
TOLD = [
    "conversation_status_changed", "conversation_updated", "conversation_created",
    "contact_created", "contact_updated", "message_created", "message_updated",
]  # fmt: skip


def make(woot: SimpleNamespace, **fields: Any) -> dict[str, Any]:
    response = woot.owner.post(PATH, {"webhook": {"url": URL, **fields}})
    assert response.status_code == 200, response.content
    made: dict[str, Any] = response.json()["payload"]["webhook"]
    return made


def told(woot: SimpleNamespace, made: dict[str, Any]) -> list[Delivery]:
    with account_context(woot.house.account):
        return list(Delivery.objects.filter(endpoint=made["id"]).order_by("pk"))


def endpoint(woot: SimpleNamespace, made: dict[str, Any]) -> Endpoint:
    with account_context(woot.house.account):
        return Endpoint.objects.get(pk=made["id"])


def test_a_webhook_is_made_listed_changed_and_taken_away(woot: SimpleNamespace) -> None:
    given = {"name": "CRM", "subscriptions": ["message_created", "conversation_created"]}
    made = make(woot, **given)
    contract.check(made, contract.WEBHOOK)
    assert {**given, "url": URL}.items() <= made.items()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert woot.admin.get(PATH).json() == {"payload": {"webhooks": [made]}}  # shown once (SX-31)
    path = f"{PATH}/{made['id']}"
    change = {"subscriptions": ["message_updated"], "url": f"{URL}/2"}
    for method, body in (("patch", change), ("put", {"webhook": change})):
        changed = woot.owner.send(method, path, body).json()
        assert changed == {"payload": {"webhook": {**made, **change}}}
    gone = woot.owner.delete(path)
    assert (gone.status_code, gone.content) == (200, b"")
    assert woot.owner.get(PATH).json() == {"payload": {"webhooks": []}}
    assert woot.owner.delete(path).status_code == 404
    with account_context(woot.house.account):
        acts = AuditEntry.objects.filter(action__startswith="webhook.").order_by("pk")
        assert [one.action for one in acts] == [
            "webhook.created", "webhook.updated", "webhook.deleted",
        ]  # fmt: skip


def test_without_a_choice_it_hears_all_that_is_told(woot: SimpleNamespace) -> None:
    made = make(woot)
    assert (made["subscriptions"], made["name"]) == (TOLD, URL)
    never = ["webwidget_triggered", "inbox_created", "inbox_updated"]
    assert make(woot, url=f"{URL}/2", subscriptions=never)["subscriptions"] == never


@pytest.mark.parametrize(
    ("change", "attribute", "names"),
    [
        ({"url": "ftp://a.example/"}, "url", "Url is invalid"),
        ({"url": "javascript:alert(1)"}, "url", "Url is invalid"),
        ({"url": "https://169.254.169.254/"}, "url", ""),
        ({"url": "https://user:pass@93.184.216.34/"}, "url", "password"),
        ({"url": ""}, "url", "full address"),
        ({"url": URL}, "url", "Url has already been taken"),
        ({"name": "x" * 121}, "name", "120"),
        ({"subscriptions": []}, "subscriptions", "Invalid events"),
        ({"subscriptions": "message_created"}, "subscriptions", "Invalid events"),
        ({"subscriptions": ["message.created"]}, "subscriptions", "Invalid events"),
        ({"subscriptions": [{}]}, "subscriptions", "Invalid events"),
        ({"inbox_id": 1}, "inbox_id", "every inbox"),
    ],
    ids=str,
)
def test_a_webhook_that_cannot_be(
    woot: SimpleNamespace, change: dict[str, Any], attribute: str, names: str
) -> None:
    make(woot)
    other = make(woot, url=f"{URL}/2")
    for response in (
        woot.owner.post(PATH, {"url": f"{URL}/3", **change}),
        woot.owner.patch(f"{PATH}/{other['id']}", change),
    ):
        assert response.status_code == 422, response.content
        assert response.json()["attributes"] == [attribute]
        assert names in response.json()["message"]
    assert len(woot.owner.get(PATH).json()["payload"]["webhooks"]) == 2


def test_who_may(woot: SimpleNamespace) -> None:
    """Administrators only."""
    made = make(woot)
    path = f"{PATH}/{made['id']}"
    for caller in (woot.person, woot.supervisor):
        for method, target in (("get", PATH), ("post", PATH), ("patch", path), ("delete", path)):
            assert caller.send(method, target, {"url": URL}).json() == REFUSED
    own = woot.outsider.__class__(woot.outsider.token, woot.house.outsider.account_id)
    for method in ("patch", "delete"):
        assert own.send(method, path, {"url": URL}).status_code == 404
    assert own.get(PATH).json() == {"payload": {"webhooks": []}}


def test_webhooks_of_our_own_words_are_none_of_theirs(woot: SimpleNamespace) -> None:
    ours = make_webhook(woot.house.account)
    assert woot.owner.get(PATH).json() == {"payload": {"webhooks": []}}
    for method in ("patch", "delete"):
        assert woot.owner.send(method, f"{PATH}/{ours.pk}", {"url": URL}).status_code == 404


def test_what_happens_is_told_in_their_words(woot: SimpleNamespace) -> None:
    """Also what is told by several: the bodies of the bots' dialect, each once, in their order."""
    made = make(woot, subscriptions=[name for name in TOLD if "contact" not in name])
    ours = make_webhook(woot.house.account)
    conversation = make_conversation(woot.house.inbox, "Hello")
    with account_context(woot.house.account):
        services.add_labels(conversation, ["lamps"], by=woot.house.person)
        services.resolve(conversation, by=woot.house.person)
        natively = list(Delivery.objects.filter(endpoint=ours).order_by("pk"))
    rows = told(woot, made)
    bodies = [json.loads(one.body) for one in rows]
    for body in bodies:
        check(body)
    assert [one["event"] for one in bodies] == [one.event_type for one in rows]
    assert [one["event"] for one in bodies] == [
        "conversation_created", "message_created", "conversation_updated",
        "conversation_status_changed", "conversation_updated",
    ]  # fmt: skip
    assert bodies[1]["content"] == "Hello"
    assert bodies[2]["labels"] == ["lamps"]
    assert bodies[3]["status"] == "resolved"
    assert len({one.wire_id for one in rows}) == len(rows)
    assert [one.sequence for one in rows] == [1, 2, 3, 4, 5]
    assert all(one.schedule == Delivery.Schedule.DURABLE for one in rows)
    assert [one.event_type for one in natively] == [
        "conversation.created", "message.created", "conversation.updated",
        "conversation.resolved",
    ]  # fmt: skip


def test_only_what_was_subscribed_to_is_told(woot: SimpleNamespace) -> None:
    made = make(woot, subscriptions=["conversation_status_changed", "webwidget_triggered"])
    second = make(woot, url=f"{URL}/2", subscriptions=["conversation_status_changed"])
    conversation = make_conversation(woot.house.inbox, "Hello")
    with account_context(woot.house.account):
        services.assign(conversation, to=woot.house.agent.member, by=None)
    for webhook in (made, second):
        [one] = told(woot, webhook)
        assert json.loads(one.body)["changed_attributes"] == [
            {"status": {"previous_value": "open", "current_value": "pending"}}
        ]


def test_what_is_told_of_a_customer_goes_with_them(woot: SimpleNamespace) -> None:
    made = make(woot)
    conversation = make_conversation(woot.house.inbox, "Hello")
    with account_context(woot.house.account):
        services.erase_contact(conversation.contact, by=woot.house.owner)
    rows = told(woot, made)
    assert rows
    assert not any(one.body_sealed for one in rows)
    assert {one.state for one in rows} == {Delivery.State.CANCELED}


def test_the_dashboard_keeps_what_it_is_subscribed_to(woot: SimpleNamespace) -> None:
    made = make(woot, subscriptions=["message_created"])
    webhook = endpoint(woot, made)
    browser = logged_in(woot.house.owner)
    assert (
        "message_created"
        in browser.get(reverse("webhook", args=[webhook.public_id])).content.decode()
    )
    form = reverse("change_webhook", args=[webhook.public_id])
    assert "event_types" not in browser.get(form).content.decode()
    given = {"name": "CRM", "url": URL, "timeout_s": "5", "event_types": ["message.created"]}
    assert browser.post(form, given).status_code == 302
    webhook = endpoint(woot, made)
    assert (webhook.name, webhook.event_types) == ("CRM", ["message_created"])


def test_our_own_api_cannot_give_it_words_of_ours(woot: SimpleNamespace) -> None:
    made = make(woot, subscriptions=["message_created"])
    path = f"/v1/webhooks/{endpoint(woot, made).public_id}/"
    ours = Caller(woot.owner.token)
    refused = ours.patch(path, {"event_types": ["message.created"]})
    assert (refused.status_code, attrs_of(refused)) == (400, {"event_types"})
    assert ours.patch(path, {"name": "CRM"}).json()["event_types"] == ["message_created"]


def test_one_that_is_switched_off_hears_nothing(woot: SimpleNamespace) -> None:
    made = make(woot)
    webhook = endpoint(woot, made)
    with account_context(woot.house.account):
        subscribers.switch_off(webhook, by=woot.house.owner)
    make_conversation(woot.house.inbox, "Hello")
    assert told(woot, made) == []
