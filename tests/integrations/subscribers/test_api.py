"""`/v1/webhooks/`: shapes, refusals, and that no secret is ever in an answer but the one that makes it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.tenancy import account_context
from conversations.models import Delivery, Endpoint
from integrations.subscribers.catalogue import EVENT_TYPES
from tests import factories
from tests.api import attrs_of, caller, code_of

# A public address that needs no name server.
URL = "https://93.184.215.14/hook"


def made(api: SimpleNamespace, **fields: Any) -> Any:
    response = api.admin.post("/v1/webhooks/", {"name": "CRM", "url": URL, **fields})
    assert response.status_code == 201, response.content
    return response.json()


def test_a_webhook_is_made_read_changed_and_deleted(api: SimpleNamespace) -> None:
    webhook = made(api, event_types=["message.status", "message.created"], strict_order=True)
    address = f"/v1/webhooks/{webhook['id']}/"
    assert webhook["id"].startswith("end_")
    assert webhook["event_types"] == ["message.created", "message.status"]
    assert (webhook["state"], webhook["timeout_s"]) == ("enabled", 15)
    read = api.owner.get(address)
    assert read.json() == {name: value for name, value in webhook.items() if name != "secret"}
    changes = {"name": "CRM 2", "event_types": [], "timeout_s": 30}
    stale = api.owner.patch(address, changes, headers={"If-Match": '"other"'})
    assert stale.status_code == 412
    changed = api.owner.patch(address, changes, headers={"If-Match": read["ETag"]}).json()
    assert (changed["name"], changed["event_types"], changed["timeout_s"]) == ("CRM 2", [], 30)
    assert api.owner.post(f"{address}disable/").json()["state"] == "disabled"
    assert api.owner.post(f"{address}enable/").json()["state"] == "enabled"
    assert [one["id"] for one in api.owner.get("/v1/webhooks/").json()["results"]] == [
        webhook["id"]
    ]
    assert api.owner.delete(address).status_code == 204
    assert api.owner.get(address).status_code == 404


def test_a_secret_is_in_the_answer_that_makes_it_and_in_no_other(api: SimpleNamespace) -> None:
    """DL-72, SX-51."""
    webhook = made(api)
    address = f"/v1/webhooks/{webhook['id']}/"
    rotated = api.admin.post(f"{address}rotate_secret/", {"grace_hours": 1}).json()["secret"]
    assert webhook["secret"].startswith("whsec_")
    assert rotated not in ("", webhook["secret"])
    test = api.admin.post(f"{address}test/")
    delivery = f"/v1/deliveries/{test.json()['id']}/"
    answers = [
        api.admin.get(address), api.admin.get("/v1/webhooks/"), api.admin.patch(address, {}), test,
        api.admin.get(delivery), api.admin.post(f"{address}disable/"),
        api.admin.get(f"/v1/deliveries/?endpoint={webhook['id']}"),
    ]  # fmt: skip
    for answer in answers:
        text = answer.content.decode()
        assert webhook["secret"] not in text
        assert rotated not in text
        assert answer.status_code < 300, text
    hints = api.admin.get(address).json()["secrets"]
    assert [hint["ends_in"] for hint in hints] == [rotated[-4:], webhook["secret"][-4:]]
    assert hints[0]["expires_at"] is None
    assert hints[1]["expires_at"]
    too_long = api.admin.post(f"{address}rotate_secret/", {"grace_hours": 169})
    assert attrs_of(too_long) == {"grace_hours"}


def test_its_deliveries_are_found_by_it(api: SimpleNamespace) -> None:
    webhook = made(api)
    factories.make_conversation(api.house.inbox)
    found = api.supervisor.get(f"/v1/deliveries/?endpoint={webhook['id']}").json()["results"]
    assert {one["endpoint"] for one in found} == {webhook["id"]}
    assert [one["event_type"] for one in found] == ["message.created", "conversation.created"]
    assert {(one["kind"], one["parked"]) for one in found} == {("subscriber", False)}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://2130706433/",
        "https://0x7f.1/", "https://127.1/", "https://[::ffff:127.0.0.1]/", "https://0/",
        "https://169.254.169.254/latest", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
        "https://user:pass@93.184.215.14/", "file:///etc/passwd", "gopher://93.184.215.14/",
        "ftp://93.184.215.14/", "https://93.184.215.14:6379/", "https://93.184.215.14/a b",
        "https://93.184.215.14/\r\nX: 1", "https://93.184.215.14/#part", "crm.example.com", "",
    ],
)  # fmt: skip
def test_bad_inputs_43_and_47_an_address_we_would_not_call_is_refused_at_save(
    api: SimpleNamespace, url: str
) -> None:
    response = api.admin.post("/v1/webhooks/", {"name": "CRM", "url": url})
    assert (response.status_code, attrs_of(response)) == (400, {"url"})
    address = f"/v1/webhooks/{made(api)['id']}/"
    assert api.admin.patch(address, {"url": url}).status_code == 400
    assert api.admin.get(address).json()["url"] == URL


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a\r\nb"),
        ("name", ""),
        ("event_types", ["nonsense"]),
        ("event_types", ["message.created\nX: 1"]),
        ("event_types", "message.created"),
        ("timeout_s", 60),
        ("state", "disabled"),
        ("secret", "whsec_mine"),
        ("kind", "agent"),
    ],
)
def test_bad_input_51_what_cannot_be_kept_is_refused_by_name(
    api: SimpleNamespace, field: str, value: Any
) -> None:
    response = api.admin.post("/v1/webhooks/", {"name": "CRM", "url": URL, field: value})
    assert (response.status_code, attrs_of(response)) == (400, {field})
    with account_context(api.house.account):
        assert not Endpoint.objects.filter(kind="subscriber").exists()


def test_an_agents_endpoint_is_no_webhook(api: SimpleNamespace) -> None:
    with account_context(api.house.account):
        endpoint = api.house.agent.endpoint.public_id
    assert api.owner.get(f"/v1/webhooks/{endpoint}/").status_code == 404
    assert api.owner.delete(f"/v1/webhooks/{endpoint}/").status_code == 404


def test_who_may(api: SimpleNamespace) -> None:
    """security.md 2: owners and admins, and programs with the scope."""
    for somebody in (api.supervisor, api.person, api.agent):
        assert somebody.get("/v1/webhooks/").status_code == 403
        assert somebody.post("/v1/webhooks/", {"name": "x", "url": URL}).status_code == 403
    reading = caller(api.house.admin, kind="int", scopes=["webhooks:read"])
    assert reading.get("/v1/webhooks/").status_code == 200
    assert reading.post("/v1/webhooks/", {"name": "x", "url": URL}).status_code == 403
    writing = caller(api.house.admin, kind="int", scopes=["webhooks:read", "webhooks:write"])
    assert writing.post("/v1/webhooks/", {"name": "x", "url": URL}).status_code == 201


def test_tests_are_limited_and_refused_while_it_is_off(api: SimpleNamespace) -> None:
    """Bad input 48."""
    address = f"/v1/webhooks/{made(api)['id']}/"
    for _ in range(10):
        assert api.admin.post(f"{address}test/").status_code == 202
    refused = api.admin.post(f"{address}test/")
    assert (refused.status_code, code_of(refused)) == (429, "throttled")
    assert int(refused["Retry-After"]) >= 1
    with account_context(api.house.account):
        assert Delivery.objects.filter(event_type="webhook.test").count() == 10
    api.admin.post(f"{address}disable/")
    assert code_of(api.admin.post(f"{address}test/")) == "wrong_state"


def test_what_can_be_subscribed_to_is_told(api: SimpleNamespace) -> None:
    known = api.admin.get("/v1/webhooks/event_types/").json()
    assert [one["type"] for one in known] == list(EVENT_TYPES)
    assert all(one["description"] for one in known)
