"""Agents, rules and decisions over REST."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import account_context
from agents.models import Agent, AssignmentRule, Decision
from conversations import services
from conversations.models import Conversation, Endpoint
from tests.api import Caller, attrs_of, code_of
from tests.factories import make_agent, make_conversation

URL = "https://8.8.8.8/hook"
NEW = {"name": "Helper", "url": URL}


@pytest.fixture
def address(api: SimpleNamespace) -> str:
    return f"/v1/agents/{api.house.agent.public_id}/"


# --- Agents --------------------------------------------------------------------------------------


def test_secret_and_token_are_shown_once(api: SimpleNamespace) -> None:
    response = api.admin.post("/v1/agents/", {**NEW, "inboxes": [api.house.inbox.public_id]})
    assert response.status_code == 201, response.content
    made = response.json()
    assert made["secret"].startswith("whsec_")
    assert made["inboxes"] == [api.house.inbox.public_id]
    assert Caller(made["token"]).get("/v1/me/").json()["member"]["kind"] == "agent"
    shown = api.admin.get(f"/v1/agents/{made['id']}/")
    assert made["secret"] not in shown.content.decode()
    assert made["token"] not in shown.content.decode()
    assert shown.json()["secrets"][0]["ends_in"] == made["secret"][-4:]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1", "https://127.0.0.1", "https://localhost", "https://[::1]",
        "https://2130706433", "https://0x7f.1", "https://127.1", "https://[::ffff:127.0.0.1]",
        "https://0", "https://169.254.169.254", "https://[64:ff9b::7f00:1]",
        "https://[2002:7f00:1::]", "https://user:pass@8.8.8.8/", "file:///etc/passwd",
        "gopher://8.8.8.8", "ftp://8.8.8.8/x", "https://8.8.8.8:6379/", "https://8.8.8.8/\r\nX: y",
        "not an address", "",
    ],
)  # fmt: skip
def test_addresses_we_would_not_call_are_refused(api: SimpleNamespace, url: str) -> None:
    """bad inputs 43, 47, 51"""
    response = api.owner.post("/v1/agents/", {"name": "x", "url": url})
    assert (response.status_code, attrs_of(response)) == (400, {"url"})
    address = f"/v1/agents/{api.house.agent.public_id}/"
    assert api.owner.patch(address, {"url": url}).status_code == 400
    with account_context(api.house.account):
        assert Agent.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"patience_s": 9}, {"patience_s": 1801}, {"timeout_s": 61}, {"dialect": "klingon"},
        {"name": ""}, {"name": "x" * 121}, {"state": "paused"}, {"secret": "x"},
        {"fallback_team": "tem_x"}, {"inboxes": ["inb_x"]}, {"description": "a\r\nb" * 100},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(
    api: SimpleNamespace, address: str, change: dict
) -> None:
    """bad inputs 51, 53"""
    response = api.owner.patch(address, change)
    assert response.status_code == 400, response.content
    assert {str(attr).split(".")[0] for attr in attrs_of(response)} == set(change)


def test_who_changed_an_old_state_gets_412(api: SimpleNamespace, address: str) -> None:
    tag = api.owner.get(address)["ETag"]
    first = api.owner.patch(address, {"name": "New name"}, headers={"if-match": tag})
    assert (first.status_code, first.json()["name"]) == (200, "New name")
    second = api.admin.patch(address, {"name": "Other"}, headers={"if-match": tag})
    assert (second.status_code, code_of(second)) == (412, "changed_meanwhile")
    fresh = {"if-match": first["ETag"]}
    assert api.admin.patch(address, {"name": "Other"}, headers=fresh).status_code == 200
    assert api.admin.delete(address, headers={"if-match": tag}).status_code == 412


def test_pausing_gives_its_conversations_to_people_and_resuming_takes_them_back(
    api: SimpleNamespace, address: str
) -> None:
    thread = make_conversation(api.house.inbox)
    with account_context(api.house.account):
        services.assign(thread, to=api.house.agent.member, by=api.house.owner)
    assert api.supervisor.post(f"{address}pause/").json() == {"conversations": 1}
    assert api.owner.get(address).json()["state"] == "paused"
    assert api.supervisor.post(f"{address}resume/").status_code == 403
    assert api.admin.post(f"{address}resume/").json() == {"conversations": 1}


def test_all_agents_are_silenced_at_once(api: SimpleNamespace) -> None:
    assert api.supervisor.post("/v1/agents/pause_everywhere/").status_code == 200
    assert api.owner.get("/v1/account/").json()["agents_paused"] is True
    assert api.admin.post("/v1/agents/resume_everywhere/").status_code == 200
    assert api.owner.get("/v1/account/").json()["agents_paused"] is False


def test_a_deleted_agent_is_gone_and_can_be_restored(api: SimpleNamespace, address: str) -> None:
    assert api.owner.delete(address).status_code == 204
    assert api.owner.get(address).status_code == 404
    assert api.agent.get("/v1/me/").status_code == 401
    assert api.owner.get("/v1/agents/").json()["results"] == []
    assert api.owner.post(f"{address}restore/").status_code == 200
    assert api.owner.get(address).json()["state"] == "active"


def test_keys_are_rotated(api: SimpleNamespace, address: str) -> None:
    old = api.agent
    new = Caller(api.admin.post(f"{address}rotate_token/").json()["token"])
    assert old.get("/v1/me/").status_code == 401
    assert new.get("/v1/me/").status_code == 200
    secret = api.admin.post(f"{address}rotate_secret/", {"grace_hours": 1}).json()["secret"]
    shown = api.admin.get(address).json()["secrets"]
    assert (len(shown), shown[0]["ends_in"]) == (2, secret[-4:])
    assert api.admin.post(f"{address}rotate_secret/", {"grace_hours": 169}).status_code == 400


def test_health_counts_what_was_delivered(api: SimpleNamespace, address: str) -> None:
    thread = make_conversation(api.house.inbox)
    with account_context(api.house.account):
        services.assign(thread, to=api.house.agent.member, by=api.house.owner)
    health = api.person.get(f"{address}health/").json()
    assert (health["state"], health["open_conversations"]) == ("active", 1)
    assert sum(health["deliveries_last_hour"].values()) >= 1
    assert health["endpoint"]["state"] == "enabled"


def test_an_endpoint_that_was_switched_off_is_switched_on(
    api: SimpleNamespace, address: str
) -> None:
    with account_context(api.house.account):
        Endpoint.objects.update(state="disabled", disabled_reason="410")
    assert api.admin.post(f"{address}enable/").json()["health"]["state"] == "enabled"


@pytest.mark.parametrize("path", ["/v1/agents/", "/v1/rules/"])
def test_lists_take_the_same_number_of_queries_at_any_length(
    api: SimpleNamespace, path: str
) -> None:
    def fill(count: int) -> None:
        for _number in range(count):
            make_agent(api.house.account)
            make_rule(api)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.owner.get(path, limit=100).status_code == 200
        return len(captured)

    fill(5)
    queries()
    few = queries()
    fill(20)
    assert queries() == few


# --- Rules ---------------------------------------------------------------------------------------


def make_rule(api: SimpleNamespace, **fields) -> dict:
    body = {"name": "Prices", "actions": [{"type": "label", "names": ["price"]}], **fields}
    response = api.owner.post("/v1/rules/", body)
    assert response.status_code == 201, response.content
    return response.json()


def test_rules_are_made_changed_ordered_and_deleted(api: SimpleNamespace) -> None:
    leaf = {"field": "text", "op": "contains", "value": "price"}
    rule, other = make_rule(api, condition={"all": [leaf]}), make_rule(api, name="Other")
    address = f"/v1/rules/{rule['id']}/"
    response = api.owner.get(address)
    assert (response.json(), response["ETag"]) == (rule, '"1"')
    changed = api.owner.patch(address, {"enabled": False}, headers={"if-match": '"1"'})
    assert (changed.json()["version"], changed["ETag"]) == (2, '"2"')
    stale = api.owner.patch(address, {"stop": False}, headers={"if-match": '"1"'})
    assert (stale.status_code, code_of(stale)) == (412, "changed_meanwhile")
    ordered = api.owner.post("/v1/rules/order/", {"order": [other["id"], rule["id"]]}).json()
    assert [each["id"] for each in ordered][:2] == [other["id"], rule["id"]]
    listed = [each["id"] for each in api.owner.get("/v1/rules/").json()["results"]]
    assert listed == [each["id"] for each in ordered]
    assert api.owner.delete(address).status_code == 204
    assert api.owner.get(address).status_code == 404


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"event": "moon.full"}, "event"),
        ({"condition": {"field": "text", "op": "explodes", "value": 1}}, "condition"),
        ({"condition": {"field": "text", "op": "matches", "value": "(a+)+$"}}, "condition"),
        ({"actions": []}, "actions"),
        ({"actions": [{"type": "assign", "team": "tem_x"}]}, "actions[0].team"),
        ({"actions": [{"type": "shout"}]}, "actions[0].type"),
        ({"actions": [{"type": ["x"]}]}, "actions[0].type"),
    ],
    ids=["event", "operator", "expression", "no actions", "nobody", "unknown", "odd"],
)
def test_rules_that_cannot_work_are_refused_and_the_place_is_named(
    api: SimpleNamespace, change: dict, place: str
) -> None:
    """bad input 59"""
    body = {"event": "message.created", "actions": [{"type": "resolve"}], **change}
    for response in (
        api.owner.post("/v1/rules/validate/", body),
        api.owner.post("/v1/rules/", {"name": "x", **body}),
    ):
        assert response.status_code == 400, response.content
        assert all(str(attr).startswith(place) for attr in attrs_of(response)), attrs_of(response)
    with account_context(api.house.account):
        assert not AssignmentRule.objects.exists()


def test_a_rule_is_tried_without_being_kept(api: SimpleNamespace) -> None:
    body = {"actions": [{"type": "label", "names": ["a"]}], "condition": {}}
    assert api.owner.post("/v1/rules/validate/", body).json() == {"valid": True}
    assert api.owner.get("/v1/rules/").json()["results"] == []


def test_a_stranger_is_no_target(api: SimpleNamespace) -> None:
    """bad input 2"""
    target = {"type": "assign", "member": api.house.outsider.public_id}
    response = api.owner.post("/v1/rules/", {"name": "x", "actions": [target]})
    assert (response.status_code, attrs_of(response)) == (400, {"actions[0].member"})


def test_an_order_names_rules_there_are(api: SimpleNamespace) -> None:
    response = api.owner.post("/v1/rules/order/", {"order": ["rul_0000000000000"]})
    assert (response.status_code, attrs_of(response)) == (400, {"order"})


# --- Decisions -----------------------------------------------------------------------------------


def test_why_it_is_here_can_be_read(api: SimpleNamespace) -> None:
    make_rule(api)
    thread: Conversation = make_conversation(api.house.inbox, "What is the price?")
    with account_context(api.house.account):
        assert Decision.objects.filter(conversation=thread).exists()
    found = api.person.get(f"/v1/conversations/{thread.public_id}/decisions/").json()["results"]
    assert found[-1]["trace"][0]["name"] == "Prices"
    assert found[-1]["trace"][0]["matched"] is True
    foreign = api.outsider.get(f"/v1/conversations/{thread.public_id}/decisions/")
    assert foreign.status_code == 404
