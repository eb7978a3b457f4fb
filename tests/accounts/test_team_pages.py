"""The team and the settings, through their pages."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from django.core import mail
from django.urls import reverse

from accounts.models import ApiToken, AuditEntry, Invitation, Member, Team
from accounts.permissions import Role
from accounts.tokens import find_token
from conversations import services as desk
from conversations.models import Conversation
from tests import factories
from tests.accounts.test_entry import logged_in


def test_an_admin_invites_and_the_letter_goes_out(
    house: SimpleNamespace, django_capture_on_commit_callbacks
) -> None:
    client = logged_in(house.admin)
    values = {"email": "New@Example.test", "role": Role.SUPERVISOR}
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(reverse("invite"), values)["Location"] == reverse("team")
    assert mail.outbox[-1].to == ["new@example.test"]
    link = re.search(r"/invitation/\S+", str(mail.outbox[-1].body))
    assert link is not None
    assert client.get(link[0]).status_code == 200
    row = Invitation.objects.get()
    assert (row.email, row.role, row.invited_by) == ("new@example.test", "supervisor", house.admin)
    assert "new@example.test" in client.get(reverse("team")).content.decode()


def test_an_admin_makes_no_owners(house: SimpleNamespace) -> None:
    """Bad input 12."""
    client = logged_in(house.admin)
    answer = client.post(reverse("invite"), {"email": "x@example.test", "role": Role.OWNER})
    assert answer.status_code == 422
    client.post(reverse("change_role", args=[house.admin.public_id]), {"role": Role.OWNER})
    client.post(reverse("deactivate_member", args=[house.owner.public_id]))
    house.admin.refresh_from_db()
    house.owner.refresh_from_db()
    assert house.admin.role == Role.ADMIN
    assert house.owner.active


def test_the_last_owner_stays(house: SimpleNamespace) -> None:
    client = logged_in(house.owner)
    client.post(reverse("deactivate_member", args=[house.owner.public_id]))
    client.post(reverse("change_role", args=[house.owner.public_id]), {"role": Role.ADMIN})
    house.owner.refresh_from_db()
    assert (house.owner.role, house.owner.active) == (Role.OWNER, True)


def test_who_is_switched_off_is_out_and_their_conversations_wait(house: SimpleNamespace) -> None:
    conversation = factories.make_conversation(house.inbox)
    desk.assign(conversation, to=house.person, by=house.owner)
    theirs = logged_in(house.person)
    assert theirs.get(reverse("home")).status_code == 200
    logged_in(house.owner).post(reverse("deactivate_member", args=[house.person.public_id]))
    assert theirs.get(reverse("home"))["Location"] == reverse("no-account")
    conversation = Conversation.objects.get(pk=conversation.pk)
    assert conversation.assignee is None
    logged_in(house.owner).post(reverse("reactivate_member", args=[house.person.public_id]))
    assert theirs.get(reverse("home")).status_code == 200


@pytest.mark.parametrize("role", ["supervisor", "person"])
def test_who_may_not_invite_sees_no_form_and_gets_403(house: SimpleNamespace, role: str) -> None:
    client = logged_in(getattr(house, role))
    assert reverse("invite") not in client.get(reverse("team")).content.decode()
    answer = client.post(reverse("invite"), {"email": "x@example.test", "role": Role.PERSON})
    assert answer.status_code == 403
    assert not Invitation.objects.exists()


def test_teams_are_made_changed_and_deleted(house: SimpleNamespace) -> None:
    client = logged_in(house.admin)
    values = {"name": "Night", "description": "", "members": [house.person.pk]}
    client.post(reverse("create_team"), values)
    team = Team.objects.get(name="Night")
    assert list(team.members.all()) == [house.person]
    again = client.post(reverse("create_team"), values)
    assert again.status_code == 422
    path = reverse("change_team", args=[team.public_id])
    client.post(path, {"name": "Day", "description": "", "members": []})
    team.refresh_from_db()
    assert (team.name, team.members.count()) == ("Day", 0)
    client.post(reverse("delete_team", args=[team.public_id]))
    assert not Team.objects.filter(name="Day").exists()


def test_a_member_of_another_account_is_in_no_team_here(house: SimpleNamespace) -> None:
    answer = logged_in(house.admin).post(
        reverse("create_team"), {"name": "Night", "members": [house.outsider.pk]}
    )
    assert answer.status_code == 422


# --- Settings ------------------------------------------------------------------------------------


def settings_values(**changes: object) -> dict[str, object]:
    values = {
        "name": "Shop", "locale": "ro", "time_zone": "Europe/Bucharest", "country": "ro",
        "languages": ["ro", "en"],
    }  # fmt: skip
    return values | changes


def test_the_owner_changes_the_account_and_the_log_says_so(house: SimpleNamespace) -> None:
    client = logged_in(house.owner)
    client.post(reverse("settings"), settings_values(name="New name"))
    house.account.refresh_from_db()
    assert (house.account.name, house.account.country) == ("New name", "RO")
    assert house.account.languages == ["en", "ro"] or house.account.languages == ["ro", "en"]
    page = client.get(reverse("audit_log")).content.decode()
    assert "account.changed" in page
    assert "New name" in page


def test_a_wrong_time_zone_comes_back_and_changes_nothing(house: SimpleNamespace) -> None:
    answer = logged_in(house.owner).post(
        reverse("settings"), settings_values(time_zone="Mars/Base", name="Elsewhere")
    )
    assert answer.status_code == 422
    house.account.refresh_from_db()
    assert house.account.name == "Shop"


def test_only_the_owner_writes_the_account(house: SimpleNamespace) -> None:
    client = logged_in(house.admin)
    assert client.get(reverse("settings")).status_code == 200
    assert client.post(reverse("settings"), settings_values()).status_code == 403
    assert client.post(reverse("switch_support"), {"on": "0"}).status_code == 403


def test_support_is_kept_out_by_a_switch(house: SimpleNamespace) -> None:
    """SX-10"""
    logged_in(house.owner).post(reverse("switch_support"), {"on": "0"})
    house.account.refresh_from_db()
    assert house.account.support_access is False


def test_a_token_is_shown_once_works_and_is_revoked(house: SimpleNamespace) -> None:
    """SX-31"""
    client = logged_in(house.owner)
    values = {"name": "Export", "kind": "pat", "days": "90", "scopes": ["conversations:read"]}
    shown = client.post(reverse("tokens"), values).content.decode()
    found = re.search(r"sb_pat_[a-z2-9]{8}_[A-Za-z0-9_-]{49}", shown)
    assert found is not None
    token = find_token(found[0])
    assert token is not None
    assert token.scopes == ["conversations:read"]
    assert found[0] not in client.get(reverse("tokens")).content.decode()
    client.post(reverse("revoke_token", args=[token.public_id]))
    assert find_token(found[0]) is None


def test_a_person_neither_sees_nor_revokes_the_tokens_of_others(house: SimpleNamespace) -> None:
    from accounts.services import issue_token

    token, _clear = issue_token(by=house.owner, kind="pat", name="Secret plan")
    client = logged_in(house.person)
    assert b"Secret plan" not in client.get(reverse("tokens")).content
    assert client.post(reverse("revoke_token", args=[token.public_id])).status_code == 404
    assert ApiToken.objects.get(pk=token.pk).revoked_at is None


def test_the_audit_log_is_for_admins(house: SimpleNamespace) -> None:
    assert logged_in(house.admin).get(reverse("audit_log")).status_code == 200
    assert logged_in(house.supervisor).get(reverse("audit_log")).status_code == 403


def test_the_audit_log_goes_on_page_by_page(house: SimpleNamespace) -> None:
    from accounts.audit import audit

    for number in range(60):
        audit(f"thing.{number:02}", by=house.owner)
    first = logged_in(house.owner).get(reverse("audit_log")).content.decode()
    assert "thing.59" in first
    assert "thing.05" not in first
    before = re.search(r"\?before=(\d+)", first)
    assert before is not None
    second = logged_in(house.owner).get(reverse("audit_log") + before[0]).content.decode()
    assert "thing.05" in second
    assert AuditEntry.objects.count() >= 60


def test_names_of_people_are_shown_as_text(house: SimpleNamespace) -> None:
    """Bad input 53."""
    Member.objects.filter(pk=house.person.pk).update(name="<script>alert(1)</script>")
    page = logged_in(house.owner).get(reverse("team")).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_profile_changes_language_and_shortcuts(house: SimpleNamespace) -> None:
    client = logged_in(house.person)
    client.post(reverse("profile"), {"name": "Petra P", "language": "ro", "time_zone": ""})
    house.person.user.refresh_from_db()
    assert (house.person.user.language, house.person.user.shortcuts_enabled) == ("ro", False)


def test_the_password_changes_with_the_present_one(house: SimpleNamespace) -> None:
    client = logged_in(house.person)
    path = reverse("change_password")
    no = client.post(path, {"current": "wrong", "password": "a new long password"})
    assert no.status_code == 422
    client.post(path, {"current": factories.PASSWORD, "password": "a new long password"})
    house.person.user.refresh_from_db()
    assert house.person.user.check_password("a new long password")
    assert client.get(reverse("profile")).status_code == 200
