"""The number that an invited person will go by."""

from __future__ import annotations

from types import SimpleNamespace

from django.test import Client
from django.urls import reverse

from accounts import services
from accounts.models import AuditEntry, Invitation, Member
from accounts.permissions import Role
from tests.accounts.test_entry import logged_in
from tests.factories import make_person

JOINING = {"name": "Nina", "password": "three blind mice run"}


def invite(house: SimpleNamespace, email: str, name: str = "") -> tuple[Invitation, str]:
    return services.invite(house.account, email=email, role=Role.PERSON, name=name, by=house.admin)


def test_who_comes_has_the_number_that_was_told(house: SimpleNamespace) -> None:
    first, _token = invite(house, "new@example.test")
    offer, token = invite(house, "new@example.test")
    others = {make_person(house.account).pk for _n in range(3)}
    Client().post(reverse("invitation", args=[token]), JOINING)
    come = Member.objects.get(user__email="new@example.test")
    assert come.pk == offer.member_number == first.member_number
    assert come.pk not in others


def test_who_was_here_before_comes_back_with_theirs(house: SimpleNamespace) -> None:
    services.deactivate_member(house.person, by=house.owner)
    offer, token = invite(house, house.person.user.email)
    assert offer.member_number == house.person.pk
    logged_in(house.person).post(reverse("invitation", args=[token]))
    house.person.refresh_from_db()
    assert house.person.active


def test_a_number_that_somebody_has_is_given_to_nobody_else(house: SimpleNamespace) -> None:
    """Somebody was invited back under an e-mail that is another's by now."""
    services.deactivate_member(house.person, by=house.owner)
    offer, token = invite(house, house.person.user.email)
    house.person.user.email = "moved@example.test"
    house.person.user.save()
    Client().post(reverse("invitation", args=[token]), JOINING)
    come = Member.objects.get(user__email=offer.email)
    house.person.refresh_from_db()
    assert come.pk != house.person.pk == offer.member_number
    assert (come.name, house.person.name, house.person.active) == ("Nina", "Petra", False)


def test_an_invitation_without_a_number_is_good_as_well(house: SimpleNamespace) -> None:
    """As older processes write them."""
    offer, token = invite(house, "new@example.test")
    Invitation.objects.update(member_number=None)
    assert offer not in Invitation.objects.awaited()
    Client().post(reverse("invitation", args=[token]), JOINING)
    assert Member.objects.filter(user__email="new@example.test").exists()


def test_they_are_called_as_they_were_invited_until_they_say_it(house: SimpleNamespace) -> None:
    _row, token = invite(house, "new@example.test", "Mrs Pop")
    assert "Mrs Pop" in logged_in(house.admin).get(reverse("team")).content.decode()
    assert "Mrs Pop" in Client().get(reverse("invitation", args=[token])).content.decode()
    Client().post(reverse("invitation", args=[token]), JOINING)
    assert Member.objects.get(user__email="new@example.test").name == "Nina"


def test_changing_an_invitation_is_noted(house: SimpleNamespace) -> None:
    offer, _token = invite(house, "new@example.test")
    services.change_invitation(offer, by=house.owner, name="Nina", role=Role.ADMIN)
    entry = AuditEntry.objects.get(action="member.invitation_changed")
    assert entry.changes == {"name": ["", "Nina"], "role": ["person", "admin"]}
