"""People who follow a conversation, over REST and below it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from accounts.services import deactivate_member
from accounts.tenancy import account_context
from conversations import services
from conversations.errors import FieldError
from conversations.models import Conversation, Participant
from tests.factories import make_agent, make_conversation, make_person


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [one["name"] for one in response.json()["participants"]]


def test_people_are_added_removed_and_set(api: SimpleNamespace) -> None:
    house = api.house
    thread, other = make_conversation(house.inbox), make_conversation(house.inbox)
    path = f"/v1/conversations/{thread.public_id}/participants/"
    petra, olga, adam = (m.public_id for m in (house.person, house.owner, house.admin))
    for _twice in range(2):
        assert names(api.person.post(path, {"add": [petra, olga]})) == ["Olga", "Petra"]
    assert names(api.person.get(path)) == ["Olga", "Petra"]
    found = api.owner.get("/v1/conversations/", participant=petra).json()["results"]
    assert [one["id"] for one in found] == [thread.public_id]
    assert api.owner.get("/v1/conversations/", participant=adam).json()["results"] == []
    assert names(api.person.post(path, {"add": [adam], "remove": [petra]})) == ["Adam", "Olga"]
    assert names(api.person.post(path, {"set": [petra]})) == ["Petra"]
    assert names(api.person.get(path.replace(thread.public_id, other.public_id))) == []


@pytest.mark.parametrize(
    "body", [{"add": ["mem_x"]}, {"add": "all"}, {"set": [], "add": ["$PETRA"]}, {"users": []}]
)
def test_a_change_that_makes_no_sense(api: SimpleNamespace, body: dict[str, Any]) -> None:
    thread = make_conversation(api.house.inbox)
    petra = api.house.person.public_id
    body = {k: [petra] if v == ["$PETRA"] else v for k, v in body.items()}
    path = f"/v1/conversations/{thread.public_id}/participants/"
    assert api.owner.post(path, body).status_code == 400
    assert api.owner.get(path, who="me").status_code == 400
    assert api.owner.get("/v1/conversations/", participant="me").status_code == 400


def test_neither_agents_nor_strangers(api: SimpleNamespace) -> None:
    house = api.house
    thread = make_conversation(house.inbox)
    with account_context(house.account):
        services.assign(thread, to=house.agent.member, by=None)
    path = f"/v1/conversations/{thread.public_id}/participants/"
    for member in (house.agent.member, house.outsider):
        assert api.owner.post(path, {"add": [member.public_id]}).status_code == 400
    assert api.agent.get(path).status_code == 403
    assert api.agent.post(path, {"add": []}).status_code == 403
    assert api.outsider.get(path).status_code == 404
    assert api.outsider.post(path, {"add": [house.outsider.public_id]}).status_code == 404


def test_only_who_sees_it_can_follow(house: SimpleNamespace) -> None:
    Account.objects.filter(pk=house.account.pk).update(people_see="teams")
    thread = make_conversation(house.inbox)
    services.assign(thread, to=house.team, by=None)
    services.change_participants(thread, add=[house.person])
    stranger, agent = house.outsider, make_agent(house.account).member
    for member in (house.supervisor, stranger, agent):  # no member of the team; no person of ours
        with pytest.raises(FieldError):
            services.change_participants(thread, add=[house.owner, member])
    assert services.participants_of(thread) == [house.person]


def test_following_opens_nothing(house: SimpleNamespace) -> None:
    thread = make_conversation(house.inbox)
    services.change_participants(thread, add=[house.person])
    assert Conversation.objects.visible_to(house.person).followed_by(house.person).exists()
    house.account.people_see = "own"
    house.account.save()
    house.person.refresh_from_db()
    services.assign(thread, to=house.owner, by=None)
    assert not Conversation.objects.visible_to(house.person).followed_by(house.person).exists()


def test_who_has_left_follows_no_more(house: SimpleNamespace) -> None:
    thread = make_conversation(house.inbox)
    services.change_participants(thread, add=[house.person, house.owner])
    deactivate_member(house.person, by=house.owner)
    assert services.participants_of(thread) == [house.owner]
    services.set_participants(thread, [])
    assert not Participant.objects.exists()
    with pytest.raises(FieldError):
        services.set_participants(thread, [house.admin, house.person])


def test_many_take_the_same_statements(house: SimpleNamespace) -> None:
    thread, counts = make_conversation(house.inbox), []
    for number in (1, 9):
        people = [make_person(house.account) for _ in range(number)]
        with CaptureQueriesContext(connection) as queries:
            services.set_participants(thread, people)
        counts.append(len(queries))
    assert counts[0] == counts[1]
