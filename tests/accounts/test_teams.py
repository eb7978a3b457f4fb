"""Who is in a team, over REST."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from accounts.models import AuditEntry, Member
from accounts.permissions import Role
from accounts.tenancy import account_context
from tests.factories import make_person


def team_of(api: SimpleNamespace, *path: str) -> str:
    return "/".join(("/v1/teams", api.house.team.public_id, *path)) + "/"


def ids(*members: Member) -> list[str]:
    return [member.public_id for member in sorted(members, key=lambda member: member.pk)]


def test_several_come_and_go_at_once(api: SimpleNamespace) -> None:
    house = api.house
    body = {"add": ids(house.admin, house.owner), "remove": ids(house.person, house.supervisor)}
    changed = api.supervisor.post(team_of(api, "members"), body)
    assert changed.status_code == 200
    assert changed.json()["members"] == ids(house.owner, house.admin)
    again = api.supervisor.post(team_of(api, "members"), body)
    assert again.json()["members"] == ids(house.owner, house.admin)
    with account_context(house.account):
        [entry] = AuditEntry.objects.filter(action="team.changed")
        assert entry.changes == {"added": ["Olga", "Adam"], "removed": ["Petra"]}


def test_the_whole_team_is_set(api: SimpleNamespace) -> None:
    address, owner = team_of(api, "members"), ids(api.house.owner)
    assert api.owner.post(address, {"set": owner}).json()["members"] == owner
    assert api.owner.post(address, {"set": []}).json()["members"] == []
    assert api.owner.post(address, {"set": owner, "add": owner}).status_code == 400


def test_one_comes_and_goes(api: SimpleNamespace) -> None:
    address = team_of(api, "members", api.house.owner.public_id)
    assert api.owner.put(address).json()["members"] == ids(api.house.owner, api.house.person)
    assert api.owner.delete(address).json()["members"] == ids(api.house.person)


def test_only_active_people_of_the_account_can_be_in_a_team(api: SimpleNamespace) -> None:
    house, address = api.house, team_of(api, "members")
    gone = make_person(house.account, Role.PERSON, "Gone")
    Member.objects.filter(pk=gone.pk).update(active=False)
    for member in (house.outsider, house.agent.member, gone):
        for word in ("add", "set"):
            assert api.owner.post(address, {word: ids(member)}).status_code == 400
    body: dict[str, Any] = {"add": ids(house.person)}
    assert api.outsider.post(address, body).status_code == 404
    assert api.person.post(address, body).status_code == 403


def test_members_are_listed_by_team(api: SimpleNamespace) -> None:
    house = api.house

    def found(caller: Any, team: str) -> list[str]:
        return [row["name"] for row in caller.get("/v1/members/", team=team).json()["results"]]

    assert found(api.person, house.team.public_id) == ["Petra"]
    assert found(api.outsider, house.team.public_id) == []
    assert api.person.get("/v1/members/", team="x").status_code == 400
