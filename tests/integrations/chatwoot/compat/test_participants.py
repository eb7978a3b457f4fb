"""Participants (contract, 6.2)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts import services as accounts
from accounts.models import Account, Member
from accounts.tenancy import account_context
from conversations import services
from conversations.models import Conversation, Participant
from tests.factories import make_conversation
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.conftest import Client4, client


@pytest.fixture
def path(open_one: Conversation) -> str:
    return f"conversations/{open_one.number}/participants"


def ids(*members: Member) -> dict[str, list[int]]:
    return {"user_ids": [member.pk for member in members]}


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    contract.check(response.json(), [contract.AGENT])
    return [agent["name"] for agent in response.json()]


def test_people_begin_and_cease_to_follow(woot: SimpleNamespace, path: str) -> None:
    house, person = woot.house, woot.person
    assert names(person.get(path)) == []
    for _twice in range(2):
        assert names(person.post(path, ids(house.person, house.owner))) == ["Petra", "Olga"]
    assert names(woot.owner.get(path)) == ["Olga", "Petra"]
    assert names(person.post(path, ids(house.admin))) == ["Adam"]
    for _twice in range(2):
        assert names(person.patch(path, ids(house.owner, house.supervisor))) == ["Olga", "Sonia"]
    for _twice in range(2):
        gone = person.send("delete", path, ids(house.owner, house.person))
        assert (gone.status_code, gone.content) == (200, b"")
        assert names(person.get(path)) == ["Sonia"]
    assert names(person.patch(path, ids())) == []


def test_who_has_left_the_account_ceases_to_follow(woot: SimpleNamespace, path: str) -> None:
    house, owner = woot.house, woot.owner
    owner.post(path, ids(house.person, house.admin))
    with account_context(house.account):
        accounts.deactivate_member(house.person, by=house.owner)
    assert names(owner.get(path)) == ["Adam"]
    for method in ("post", "patch"):
        assert owner.send(method, path, ids(house.person)).status_code == 404
    for _twice in range(2):
        gone = owner.send("delete", path, ids(house.person))
        assert (gone.status_code, gone.content) == (200, b"")
    with account_context(house.account):
        assert [one.member for one in Participant.objects.all()] == [house.admin]


def test_a_list_of_what_one_follows(
    woot: SimpleNamespace, path: str, open_one: Conversation
) -> None:
    make_conversation(woot.house.inbox)
    woot.owner.post(path, ids(woot.house.person))

    def found(caller: Client4) -> list[int]:
        answer = caller.get("conversations", conversation_type="participating").json()["data"]
        assert answer["meta"]["all_count"] == len(answer["payload"])
        return [one["id"] for one in answer["payload"]]

    assert found(woot.person) == [open_one.number]
    assert found(woot.owner) == []


@pytest.mark.parametrize("method", ["post", "patch", "put", "delete"])
def test_whom_nobody_can_name(woot: SimpleNamespace, path: str, method: str) -> None:
    house = woot.house
    unknown = {"error": "Resource could not be found"}
    for pk in (house.outsider.pk, house.agent.member_id, 2**62):
        refused = woot.owner.send(method, path, {"user_ids": [pk]})
        assert (refused.status_code, refused.json()) == (404, unknown), pk
    for body in ({}, {"user_ids": ["x"]}, {"user_ids": {"a": 1}}, {"user_ids": [-1]}):
        refused = woot.owner.send(method, path, body)
        assert refused.status_code == 422, body
        assert set(refused.json()) == {"error"}
    assert names(woot.owner.get(path)) == []


@pytest.mark.parametrize("method", ["post", "patch"])
def test_who_does_not_see_a_conversation_does_not_follow_it(
    woot: SimpleNamespace, path: str, open_one: Conversation, method: str
) -> None:
    house = woot.house
    Account.objects.filter(pk=woot.account_id).update(people_see="own")
    with account_context(house.account):
        services.assign(open_one, to=house.owner, by=None)
    refused = woot.owner.send(method, path, ids(house.admin, house.person))
    assert refused.status_code == 422
    assert refused.json()["attributes"] == ["user_ids"]
    assert names(woot.owner.get(path)) == []
    for caller_method in ("get", "post", "patch", "delete"):
        hidden = woot.person.send(caller_method, path, ids(house.person))
        assert hidden.status_code == 404
    assert names(woot.owner.send(method, path, ids(house.admin))) == ["Adam"]


def test_the_walls(woot: SimpleNamespace, path: str) -> None:
    house = woot.house
    woot.owner.post(path, ids(house.person))
    own = Client4(woot.outsider.token, house.outsider.account_id)
    reading = client(house.owner, woot.account_id, scopes=["conversations:read"])
    for method in ("get", "post", "patch", "delete"):
        assert own.send(method, path, ids(house.outsider)).status_code == 404
        assert woot.outsider.send(method, path, ids(house.outsider)).status_code == 401
        narrow = reading.send(method, path, ids(house.owner))
        assert narrow.status_code == (200 if method == "get" else 401)
    with account_context(house.account):
        assert [one.member for one in Participant.objects.all()] == [house.person]
