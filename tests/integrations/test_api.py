"""Inboxes over REST, and an agent's later answer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from accounts.tenancy import account_context
from conversations import services
from conversations.models import Conversation, Delivery, Inbox, Message
from tests.api import attrs_of, code_of
from tests.factories import make_conversation

FIELDS = {
    "phone_number_id": "106540352242922",
    "waba_id": "102290129340398",
    "access_token": "EAAGm0PX4ZCpsBAKZCqWxyz-secret",
    "app_secret": "0123456789abcdef0123456789abcdef",
}
NEW = {"platform": "whatsapp", "name": "Our number", "fields": FIELDS}


def test_a_channel_says_what_it_asks_for(api: SimpleNamespace) -> None:
    platforms = {each["slug"]: each for each in api.person.get("/v1/platforms/").json()}
    secret = {field["name"] for field in platforms["whatsapp"]["fields"] if field["secret"]}
    assert {"access_token", "app_secret"} <= secret


def test_what_there_is_to_choose_is_named_and_nothing_else_is_taken(api: SimpleNamespace) -> None:
    platforms = {each["slug"]: each for each in api.person.get("/v1/platforms/").json()}
    choices = {field["name"]: list(field["choices"]) for field in platforms["chatwoot"]["fields"]}
    assert (choices["people"], choices["inboxes"]) == (["chatwoot", "desk"], [])
    fields = {"base_url": "https://chatwoot.test", "account_number": "1", "user_token": "t"}
    new = {"platform": "chatwoot", "name": "Chatwoot", "fields": {**fields, "people": "elsewhere"}}
    refused = api.admin.post("/v1/inboxes/", new)
    assert refused.status_code == 400
    assert "fields.people" in attrs_of(refused)


def test_an_inbox_is_connected_and_its_secrets_are_never_read(api: SimpleNamespace) -> None:
    """SX-51"""
    response = api.admin.post("/v1/inboxes/", NEW)
    assert response.status_code == 201, response.content
    made = response.json()
    address = f"/v1/inboxes/{made['id']}/"
    for text in (response.content.decode(), api.owner.get(address).content.decode()):
        assert FIELDS["access_token"] not in text
        assert FIELDS["app_secret"] not in text
    hints = {each["name"]: each["ends_in"] for each in made["secrets"]}
    assert hints == {"access_token": "cret", "app_secret": "cdef"}
    assert made["config"]["phone_number_id"] == FIELDS["phone_number_id"]
    assert "/hooks/whatsapp/" in made["hook_url"]


def test_the_secret_address_is_for_those_who_set_inboxes_up(api: SimpleNamespace) -> None:
    made = api.admin.post("/v1/inboxes/", NEW).json()
    address = f"/v1/inboxes/{made['id']}/"
    assert api.person.get(address).json()["hook_url"] is None
    assert made["hook_url"] == api.owner.get(address).json()["hook_url"]
    token = made["hook_url"].rsplit("/", 1)[1]
    assert token not in api.owner.get("/v1/inboxes/").content.decode()
    rotated = api.owner.post(f"{address}rotate_address/").json()
    assert rotated["hook_url"] != made["hook_url"]


def test_changing_leaves_what_is_not_named(api: SimpleNamespace) -> None:
    made = api.admin.post("/v1/inboxes/", NEW).json()
    address, team = f"/v1/inboxes/{made['id']}/", api.house.team.public_id
    body = {"name": "Shop", "fallback_team": team, "fields": {"access_token": "new-token-9999"}}
    changed = api.admin.patch(address, body).json()
    assert (changed["name"], changed["fallback_team"]) == ("Shop", team)
    assert {s["name"]: s["ends_in"] for s in changed["secrets"]} == {
        "access_token": "9999",
        "app_secret": "cdef",
    }
    same = api.admin.patch(address, {"fields": {"access_token": ""}}).json()
    assert same["secrets"] == changed["secrets"]
    assert same["fallback_team"] == team


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"platform": "pigeon"}, "platform"), ({"name": ""}, "name"),
        ({"fields": {}}, "fields"), ({"fields": {**FIELDS, "api_base": "https://x"}}, "fields"),
        ({"fields": {**FIELDS, "app_secret": " "}}, "fields"), ({"credentials": {}}, "credentials"),
        ({"fallback_team": "tem_x"}, "fallback_team"), ({"fields": {**FIELDS, "waba_id": {}}}, "fields"),
    ],
)  # fmt: skip
def test_inboxes_that_cannot_work_are_refused(
    api: SimpleNamespace, change: dict, place: str
) -> None:
    response = api.owner.post("/v1/inboxes/", {**NEW, **change})
    assert response.status_code == 400, response.content
    assert {str(attr).split(".")[0] for attr in attrs_of(response)} == {place}


def test_an_inbox_is_switched_off_and_on(api: SimpleNamespace) -> None:
    address = f"/v1/inboxes/{api.house.inbox.public_id}/"
    assert api.owner.post(f"{address}disable/").json()["state"] == "disabled"
    assert api.owner.get("/v1/inboxes/", state="active").json()["results"] == []
    assert api.owner.post(f"{address}enable/").json()["state"] == "active"
    assert api.supervisor.post(f"{address}disable/").status_code == 403


def test_a_connection_is_tested_in_a_job(api: SimpleNamespace) -> None:
    address = f"/v1/inboxes/{api.house.inbox.public_id}/"
    response = api.owner.post(f"{address}check/")
    assert (response.status_code, response.json()["health"]["check"]["state"]) == (202, "running")


# --- A later answer ------------------------------------------------------------------------------


@pytest.fixture
def held(api: SimpleNamespace) -> Conversation:
    thread = make_conversation(api.house.inbox, "Do you ship to Cluj?")
    with account_context(api.house.account):
        return services.assign(thread, to=api.house.agent.member, by=api.house.owner)


def answer(held: Conversation) -> str:
    return f"/v1/conversations/{held.public_id}/actions/"


def test_an_answer_comes_later_in_the_form_of_the_webhooks(
    api: SimpleNamespace, held: Conversation
) -> None:
    body = {
        "epoch": held.assignment_epoch,
        "reply": "Yes, in two days.",
        "actions": [
            {"type": "label", "names": ["shipping"]},
            {"type": "hand_off", "reason": "wants a discount", "summary": "Cluj, two days"},
        ],
    }
    response = api.agent.post(answer(held), body)
    assert response.status_code == 200, response.content
    assert [message["text"] for message in response.json()["messages"]] == ["Yes, in two days."]
    shown = api.person.get(f"/v1/conversations/{held.public_id}/").json()
    assert (shown["labels"], shown["assignee"]) == (["shipping"], None)


def test_the_same_answer_twice_says_it_once(api: SimpleNamespace, held: Conversation) -> None:
    for _time in range(2):
        assert api.agent.post(answer(held), {"reply": "once"}, key="a1").status_code == 200
    with account_context(api.house.account):
        assert Message.objects.filter(text="once").count() == 1


def test_all_of_an_answer_or_nothing(api: SimpleNamespace, held: Conversation) -> None:
    body = {"reply": "hello", "actions": [{"type": "assign", "team": "Nobody"}]}
    response = api.agent.post(answer(held), body)
    assert (response.status_code, code_of(response)) == (400, "mistaken_action")
    with account_context(api.house.account):
        assert not Message.objects.filter(text="hello").exists()


@pytest.mark.parametrize(
    "body",
    [
        [], "x", {"reply": 1}, {"answer": "x"}, {"epoch": "1"}, {"epoch": True},
        {"messages": [{"kind": "smell"}]}, {"actions": [{"type": "assign"}]},
    ],
)  # fmt: skip
def test_answers_that_cannot_be_read_are_refused(
    api: SimpleNamespace, held: Conversation, body: object
) -> None:
    response = api.agent.post(answer(held), body)
    assert response.status_code == 400, response.content
    code_of(response)


def test_an_answer_after_the_take_over_is_kept(api: SimpleNamespace, held: Conversation) -> None:
    """bad input 14, DL-63"""
    api.person.post(f"/v1/conversations/{held.public_id}/take_over/")
    response = api.agent.post(answer(held), {"reply": "late"})
    assert (response.status_code, code_of(response)) == (409, "not_assigned")
    with account_context(api.house.account):
        assert Message.objects.get(text="late").direction == "draft"
        assert not Delivery.objects.filter(message__text="late").exists()
    response = api.agent.post(answer(held), {"actions": [{"type": "resolve"}]})
    assert (response.status_code, code_of(response)) == (409, "not_assigned")


def test_only_agents_answer_so(api: SimpleNamespace, held: Conversation) -> None:
    assert api.owner.post(answer(held), {"reply": "x"}).status_code == 403
    other = make_conversation(api.house.inbox)
    assert api.agent.post(answer(other), {"reply": "x"}).status_code == 404


def test_inboxes_of_others_are_not_there(api: SimpleNamespace) -> None:
    address = f"/v1/inboxes/{api.house.inbox.public_id}/"
    assert api.outsider.get(address).status_code == 404
    assert api.outsider.post(f"{address}disable/").status_code == 404
    with account_context(api.house.account):
        assert Inbox.objects.get(pk=api.house.inbox.pk).state == "active"
