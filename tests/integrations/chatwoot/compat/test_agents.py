"""People, who are agents in their words: invited, changed, removed."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import services
from accounts.models import ApiToken, Invitation, Member
from accounts.permissions import Role
from accounts.tenancy import account_context
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.conftest import client

NINA = {"name": "Nina Pop", "email": "Nina@Example.test", "role": "agent"}


def invite(woot: SimpleNamespace, **fields: Any) -> dict[str, Any]:
    response = woot.admin.post("agents", {**NINA, **fields})
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


def letters_link(mailoutbox: list[Any]) -> str:
    link = re.search(r"/invitation/\S+", str(mailoutbox[-1].body))
    assert link is not None
    return link[0]


def test_somebody_is_invited_and_keeps_their_number_when_they_come(
    woot: SimpleNamespace, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = invite(woot)
    contract.check(made, contract.AGENT)
    assert [letter.to for letter in mailoutbox] == [["nina@example.test"]]
    assert (made["name"], made["email"], made["role"]) == ("Nina Pop", "nina@example.test", "agent")
    assert (made["confirmed"], made["availability_status"]) == (False, "offline")
    assert not Member.objects.filter(pk=made["id"]).exists()
    assert made in woot.owner.get("agents").json()
    page = Client().get(letters_link(mailoutbox)).content.decode()
    assert "Nina Pop" in page
    Client().post(
        letters_link(mailoutbox), {"name": "Nina Popa", "password": "three blind mice run"}
    )
    come = Member.objects.get(user__email="nina@example.test")
    assert (come.pk, come.role, come.name) == (made["id"], Role.PERSON, "Nina Popa")
    shown = [one for one in woot.owner.get("agents").json() if one["id"] == made["id"]]
    assert [(one["name"], one["confirmed"]) for one in shown] == [("Nina Popa", True)]


def test_somebody_with_a_login_comes_under_their_own_name(
    woot: SimpleNamespace, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    user = woot.house.outsider.user
    with django_capture_on_commit_callbacks(execute=True):
        made = invite(woot, email=user.email, role="administrator")
    guest = Client()
    guest.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    guest.post(letters_link(mailoutbox))
    come = Member.objects.get(account=woot.house.account, user=user)
    assert (come.pk, come.role, come.name) == (made["id"], Role.ADMIN, user.name)


def test_who_is_invited_is_for_those_to_know_who_invite(woot: SimpleNamespace) -> None:
    made = invite(woot)
    for caller in (woot.bot, woot.person, woot.supervisor):
        assert made["id"] not in [one["id"] for one in caller.get("agents").json()]


def test_an_email_is_taken_by_a_member_and_by_who_is_invited(woot: SimpleNamespace) -> None:
    taken = {"message": "Email has already been taken", "attributes": ["email"]}
    made = invite(woot)
    for email in ("NINA@example.test", woot.house.person.user.email):
        response = woot.admin.post("agents", {**NINA, "email": email})
        assert (response.status_code, response.json()) == (422, taken)
    assert woot.admin.delete(f"agents/{made['id']}").status_code == 200
    assert invite(woot)["id"] == made["id"]


def test_who_let_the_letter_grow_old_is_invited_anew(woot: SimpleNamespace) -> None:
    made = invite(woot)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert made["id"] not in [one["id"] for one in woot.admin.get("agents").json()]
    assert woot.admin.patch(f"agents/{made['id']}", {"name": "N"}).status_code == 404
    assert invite(woot)["id"] == made["id"]


@pytest.mark.parametrize(
    ("wrong", "about"),
    [
        ({"email": ""}, ["email"]),
        ({"email": "nobody"}, ["email"]),
        ({"role": "owner"}, None),
        ({"role": "supervisor"}, None),
        ({"availability": "asleep"}, None),
        ({"name": "x" * 121}, None),
    ],
)
def test_what_nobody_can_be_invited_with(
    woot: SimpleNamespace, wrong: dict[str, str], about: list[str] | None
) -> None:
    response = woot.admin.post("agents", {"agent": {**NINA, **wrong}})
    assert (response.status_code, response.json().get("attributes")) == (422, about)
    assert not Invitation.objects.exists()


def test_who_is_invited_is_changed_and_the_letter_stays_good(
    woot: SimpleNamespace, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = invite(woot)
    path = f"agents/{made['id']}"
    changed = woot.admin.patch(path, {"name": "Nora", "role": "administrator"}).json()
    assert changed == {**made, "name": "Nora", "available_name": "Nora", "role": "administrator"}
    Client().post(letters_link(mailoutbox), {"name": "Nora", "password": "three blind mice run"})
    assert Member.objects.get(pk=made["id"]).role == Role.ADMIN


def test_deleting_who_is_invited_withdraws_the_letter(
    woot: SimpleNamespace, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = invite(woot)
    assert woot.admin.delete(f"agents/{made['id']}").status_code == 200
    assert made not in woot.admin.get("agents").json()
    assert woot.admin.delete(f"agents/{made['id']}").status_code == 404
    assert Client().get(letters_link(mailoutbox)).status_code == 410


def test_a_person_gets_another_name_and_role(woot: SimpleNamespace) -> None:
    path = f"agents/{woot.house.person.pk}"
    body = {"name": " Petronela ", "role": "administrator", "availability": "busy"}
    changed = woot.admin.patch(path, body).json()
    contract.check(changed, contract.AGENT)
    assert (changed["name"], changed["role"]) == ("Petronela", "administrator")
    assert changed["availability_status"] == "online"
    assert woot.admin.put(path, {"agent": {"role": "agent"}}).json()["role"] == "agent"
    assert Member.objects.get(pk=woot.house.person.pk).role == Role.PERSON
    assert woot.admin.patch(path, {"auto_offline": True}).json() == {**changed, "role": "agent"}
    for wrong in ({"name": " "}, {"role": "boss"}):
        assert woot.admin.patch(path, wrong).status_code == 422


@pytest.mark.parametrize(
    ("who", "word"),
    [("owner", "administrator"), ("admin", "administrator"), ("supervisor", "agent")],
)
def test_a_word_that_is_true_already_changes_nobodys_role(
    woot: SimpleNamespace, who: str, word: str
) -> None:
    """Clients send back what they got, and an owner is no less for that."""
    member = getattr(woot.house, who)
    response = woot.owner.patch(f"agents/{member.pk}", {"name": "Same", "role": word})
    assert (response.status_code, response.json()["role"]) == (200, word)
    assert Member.objects.get(pk=member.pk).role == member.role


def test_removing_somebody_is_what_the_dashboard_does(woot: SimpleNamespace) -> None:
    person = woot.house.person
    assert woot.admin.delete(f"agents/{person.pk}").status_code == 200
    person.refresh_from_db()
    assert not person.active
    assert person.pk not in [one["id"] for one in woot.admin.get("agents").json()]
    assert woot.person.get("agents").status_code == 401
    for response in (
        woot.admin.delete(f"agents/{person.pk}"),
        woot.admin.patch(f"agents/{person.pk}", {"name": "Ghost"}),
    ):
        assert response.status_code == 404
    assert invite(woot, email=person.user.email)["id"] == person.pk  # who they will be again


def test_who_was_let_in_again_is_not_expected_as_well(woot: SimpleNamespace) -> None:
    person = woot.house.person
    with account_context(woot.house.account):
        services.deactivate_member(person, by=woot.house.owner)
        invite(woot, email=person.user.email)
        services.reactivate_member(person, by=woot.house.owner)
    listed = [one["id"] for one in woot.admin.get("agents").json()]
    assert listed.count(person.pk) == 1


def test_the_last_owner_stays(woot: SimpleNamespace) -> None:
    path = f"agents/{woot.house.owner.pk}"
    for response in (woot.owner.delete(path), woot.owner.patch(path, {"role": "agent"})):
        assert response.status_code == 422
        assert "last owner" in response.json()["error"]
    woot.house.owner.refresh_from_db()
    assert (woot.house.owner.role, woot.house.owner.active) == (Role.OWNER, True)


REFUSED = {"error": "You are not authorized to do this action"}


def test_who_may_not(woot: SimpleNamespace) -> None:
    """By role, by kind of token, and above oneself."""
    program = client(woot.house.owner, woot.account_id, kind=ApiToken.Kind.INTEGRATION)
    theirs = f"agents/{woot.house.person.pk}"
    for caller in (woot.person, woot.supervisor, program):
        for response in (
            caller.post("agents", NINA),
            caller.patch(theirs, {"name": "Other"}),
            caller.delete(theirs),
        ):
            assert (response.status_code, response.json()) == (401, REFUSED)
    above = f"agents/{woot.house.owner.pk}"
    for response in (woot.admin.patch(above, {"name": "Low"}), woot.admin.delete(above)):
        assert (response.status_code, response.json()) == (401, REFUSED)
    assert not Invitation.objects.exists()
    assert set(Member.objects.people().filter(account=woot.account_id, active=True)) == {
        woot.house.owner, woot.house.admin, woot.house.supervisor, woot.house.person
    }  # fmt: skip


def test_others_people_bots_and_guests_are_not_there(woot: SimpleNamespace) -> None:
    with account_context(woot.house.outsider_account):
        guest, _token = services.invite(
            woot.house.outsider_account,
            email="guest@example.test",
            role=Role.PERSON,
            by=woot.house.outsider,
        )
    own = client(woot.house.outsider, woot.house.outsider_account.pk)
    assert guest.member_number in [one["id"] for one in own.get("agents").json()]
    for number in (woot.house.outsider.pk, guest.member_number, woot.house.agent.member.pk):
        assert woot.owner.patch(f"agents/{number}", {"name": "Mine"}).status_code == 404
        assert woot.owner.delete(f"agents/{number}").status_code == 404
    assert Invitation.objects.get().withdrawn_at is None
