"""Coming in: sign up, log in with and without a code, reset, invitations, the local mailbox."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
import time_machine
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import factor, services, tasks
from accounts.models import Account, Invitation, LocalLetter, Member, User
from accounts.permissions import Role
from accounts.signing_up import SLOT, code_of
from accounts.tenancy import account_context
from conversations.models import Inbox, InboxRoute
from tests import factories

pytestmark = pytest.mark.django_db
NEW = {
    "account_name": "Teapots",
    "name": "Tina",
    "email": "tina@example.test",
    "password": "three blind mice run",
}


def logged_in(member: Member) -> Client:
    client = Client()
    assert member.user is not None
    client.force_login(member.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def totp(secret: str) -> str:
    counter = list(yield_hotp_counters_from_time())[len(list(yield_hotp_counters_from_time())) // 2]
    return str(format_hotp_value(hotp_value(secret, counter)))


# --- Sign up -------------------------------------------------------------------------------------


def test_a_sign_up_with_the_code_makes_an_account_with_a_sandbox_and_logs_in() -> None:
    client = Client()
    assert client.post(reverse("sign_up"), NEW)["Location"] == reverse("sign_up_code")
    code = code_of(client.session[SLOT]["nonce"])
    answer = client.post(reverse("sign_up_code"), {"code": code})
    assert answer["Location"] == reverse("setup")
    account = Account.objects.get(name="Teapots")
    owner = Member.objects.get(account=account)
    assert (owner.role, owner.name) == (Role.OWNER, "Tina")
    with account_context(account):
        inbox = Inbox.objects.get()
        assert InboxRoute.objects.filter(inbox_id=inbox.pk, account=account).exists()
    page = client.get(reverse("setup"))
    assert page.status_code == 200
    assert "/sandbox/" in page.content.decode()


def test_nothing_is_made_before_the_code_and_the_password_is_never_in_the_session() -> None:
    client = Client()
    client.post(reverse("sign_up"), NEW)
    assert not User.objects.exists()
    assert NEW["password"] not in str(dict(client.session))


def test_a_known_email_gets_the_same_answer_and_another_letter() -> None:
    """SX-46"""
    factories.make_user("Tina", email=NEW["email"])
    client = Client()
    answer = client.post(reverse("sign_up"), NEW)
    assert answer["Location"] == reverse("sign_up_code")
    nonce = client.session[SLOT]["nonce"]
    tasks.send_sign_up_letter(NEW["email"], nonce, "en-gb")
    assert code_of(nonce) not in mail.outbox[-1].body
    assert reverse("login") in mail.outbox[-1].body
    right = client.post(reverse("sign_up_code"), {"code": code_of(nonce)})
    assert right.status_code == 422
    assert not Account.objects.exists()


def test_the_letter_of_a_new_email_carries_the_code() -> None:
    tasks.send_sign_up_letter("new@example.test", "nonce", "en-gb")
    assert code_of("nonce") in mail.outbox[-1].body


def test_the_sixth_guess_ends_a_sign_up() -> None:
    client = Client()
    client.post(reverse("sign_up"), NEW)
    right = code_of(client.session[SLOT]["nonce"])
    wrong = "000000" if right != "000000" else "000001"
    for _guess in range(5):
        assert client.post(reverse("sign_up_code"), {"code": wrong}).status_code == 422
    client.post(reverse("sign_up_code"), {"code": right})
    assert SLOT not in client.session
    assert not User.objects.exists()


def test_a_weak_password_comes_back_with_the_form() -> None:
    answer = Client().post(reverse("sign_up"), NEW | {"password": "short"})
    assert answer.status_code == 422
    assert 'value="Teapots"' in answer.content.decode()


# --- Log in --------------------------------------------------------------------------------------


def test_a_right_password_leads_to_the_desk_and_a_wrong_one_back_to_the_form() -> None:
    user = factories.make_user("Ana")
    wrong = Client().post(reverse("login"), {"email": user.email, "password": "not this one"})
    assert wrong.status_code == 422
    client = Client()
    right = client.post(reverse("login"), {"email": user.email, "password": factories.PASSWORD})
    assert right["Location"] == "/"
    assert client.get("/")["Location"] == reverse("no-account")


@pytest.mark.parametrize(
    "wanted", ["//evil.example/", "https://evil.example/", "javascript:alert(1)"]
)
def test_next_never_leads_to_another_site(wanted: str) -> None:
    """Bad input 28."""
    user = factories.make_user("Ana")
    values = {"email": user.email, "password": factories.PASSWORD, "next": wanted}
    assert Client().post(reverse("login"), values)["Location"] == "/"


def test_with_a_second_factor_the_password_alone_opens_nothing(house: SimpleNamespace) -> None:
    """SX-42, bad input 17."""
    secret = _switch_on(house.owner)
    client = Client()
    email = house.owner.user.email
    answer = client.post(reverse("login"), {"email": email, "password": factories.PASSWORD})
    assert answer["Location"] == reverse("login_code")
    assert "_auth_user_id" not in client.session
    assert client.get(reverse("team")).status_code == 302
    assert client.post(reverse("login_code"), {"code": "123"}).status_code == 422
    assert client.post(reverse("login_code"), {"code": totp(secret)})["Location"] == "/"
    assert client.get(reverse("team")).status_code == 200


def _switch_on(member: Member) -> str:
    """Through the page, as a person does; returns the secret of the app."""
    client = logged_in(member)
    client.get(reverse("factor_on"))
    secret = client.session[factor.SECRET_SLOT]
    answer = client.post(
        reverse("factor_on"), {"code": totp(secret), "current": factories.PASSWORD}
    )
    assert "recovery codes" in answer.content.decode()
    return str(secret)


def test_the_second_factor_is_switched_on_with_a_code_and_off_with_the_password(
    house: SimpleNamespace,
) -> None:
    client = logged_in(house.owner)
    page = client.get(reverse("factor_on")).content.decode()
    assert "<svg" in page
    assert "style=" not in page
    wrong = client.post(reverse("factor_on"), {"code": "000000", "current": factories.PASSWORD})
    assert wrong.status_code == 422
    _switch_on(house.owner)
    client = logged_in(house.owner)
    no = client.post(reverse("factor_off"), {"current": "not this one"})
    assert no.status_code == 422
    client.post(reverse("factor_off"), {"current": factories.PASSWORD})
    assert b"Switch on" in client.get(reverse("security")).content


def test_changing_the_second_factor_ends_other_sessions(house: SimpleNamespace) -> None:
    """SX-24"""
    elsewhere = logged_in(house.owner)
    assert elsewhere.get(reverse("team")).status_code == 200
    _switch_on(house.owner)
    assert elsewhere.get(reverse("team")).status_code == 302


def test_logging_out_needs_a_post(house: SimpleNamespace) -> None:
    client = logged_in(house.owner)
    assert client.get(reverse("logout")).status_code == 405
    assert client.post(reverse("logout"))["Location"] == reverse("login")
    assert client.get(reverse("team")).status_code == 302


# --- Reset ---------------------------------------------------------------------------------------


def test_a_reset_answers_the_same_for_known_and_unknown_and_works_once() -> None:
    """Bad inputs 20 and 21."""
    user = factories.make_user("Ana")
    known = Client().post(reverse("password_reset"), {"email": user.email})
    unknown = Client().post(reverse("password_reset"), {"email": "x@example.test"})
    assert known.status_code == unknown.status_code == 200
    assert known.content.replace(user.email.encode(), b"") == unknown.content.replace(
        b"x@example.test", b""
    )
    tasks.send_password_reset(user.email)
    found = re.search(r"(/password/\S+)", str(mail.outbox[-1].body))
    assert found is not None
    page = Client().get(found[1])
    assert page["Referrer-Policy"] == "no-referrer"
    new = {"password": "a new long password"}
    assert Client().post(found[1], new)["Location"] == reverse("login")
    assert Client().post(found[1], {"password": "yet another password"}).status_code == 410
    login = {"email": user.email, "password": new["password"]}
    assert Client().post(reverse("login"), login)["Location"] == "/"


@pytest.mark.parametrize(
    ("every", "times", "status"),
    [(timedelta(hours=13), 1, 302), (timedelta(hours=11), 3, 200), (timedelta(hours=11), 32, 302)],
)
def test_a_session_ends_half_a_day_idle_or_after_two_weeks(
    house: SimpleNamespace, every: timedelta, times: int, status: int
) -> None:
    """security.md 3"""
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        client = logged_in(house.person)
        client.get(reverse("settings"))
    for step in range(1, times + 1):
        with time_machine.travel(now + every * step, tick=False):
            answer = client.get(reverse("settings"))
    assert answer.status_code == status


def test_the_time_zone_of_one_person_is_not_the_next_ones(house: SimpleNamespace) -> None:
    User.objects.filter(pk=house.person.user_id).update(time_zone="Asia/Tokyo")
    logged_in(house.person).get(reverse("settings"))
    assert timezone.get_current_timezone_name() == "UTC"


# --- Invitations ---------------------------------------------------------------------------------


def invite(house: SimpleNamespace, email: str = "new@example.test") -> str:
    _row, token = services.invite(house.account, email=email, role=Role.PERSON, by=house.admin)
    return reverse("invitation", args=[token])


def test_somebody_new_joins_with_a_name_and_a_password_once(house: SimpleNamespace) -> None:
    path = invite(house)
    client = Client()
    page = client.get(path)
    assert page["Referrer-Policy"] == "no-referrer"
    answer = client.post(path, {"name": "Nina", "password": "three blind mice run"})
    assert answer["Location"] == reverse("home")
    joined = Member.objects.get(user__email="new@example.test")
    assert (joined.account, joined.role, joined.name) == (house.account, Role.PERSON, "Nina")
    assert Client().get(path).status_code == 410


def test_somebody_known_logs_in_first_and_then_joins(house: SimpleNamespace) -> None:
    user = house.outsider.user
    path = invite(house, user.email)
    assert reverse("login") in Client().get(path).content.decode()
    client = logged_in(house.outsider)
    client.post(path)
    assert Member.objects.filter(user=user, account=house.account, active=True).exists()
    assert house.account.name in client.get(reverse("accounts")).content.decode()


def test_a_page_above_ones_role_says_so_in_words(house: SimpleNamespace) -> None:
    answer = logged_in(house.person).get(reverse("rules"))
    assert answer.status_code == 403
    assert "Your role does not reach this page" in answer.content.decode()


def test_a_form_that_is_too_old_changes_nothing_and_says_so(house: SimpleNamespace) -> None:
    """Bad input 23."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(house.owner.user, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post(reverse("create_team"), {"name": "Night"})
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.content.decode()


def test_a_reset_address_is_not_in_logs() -> None:
    from accounts.redaction import redact

    assert "c2xkfj-token" not in redact("GET /password/usr_abcdefghjkmnp/c2xkfj-token/ 200")


def test_an_invitation_is_not_for_another_login(house: SimpleNamespace) -> None:
    path = invite(house)
    answer = logged_in(house.outsider).post(path)
    assert answer.status_code == 410
    assert not Member.objects.filter(user=house.outsider.user, account=house.account).exists()
    assert Invitation.objects.get().accepted_at is None


def test_a_withdrawn_invitation_is_over(house: SimpleNamespace) -> None:
    path = invite(house)
    row = Invitation.objects.get()
    logged_in(house.admin).post(reverse("withdraw_invitation", args=[row.public_id]))
    assert Client().get(path).status_code == 410


def test_an_invitation_is_worth_no_more_than_its_sender_is_now(house: SimpleNamespace) -> None:
    """An admin who has lost that role hands out no admins by an old letter."""
    _row, token = services.invite(
        house.account, email="late@example.test", role=Role.ADMIN, by=house.admin
    )
    services.change_role(house.admin, Role.PERSON, by=house.owner)
    form = {"name": "Lena", "password": "three blind mice run"}
    assert Client().post(reverse("invitation", args=[token]), form).status_code == 410
    assert not Member.objects.filter(user__email="late@example.test").exists()


def test_an_old_letter_changes_no_role_of_somebody_who_is_back(house: SimpleNamespace) -> None:
    second = factories.make_person(house.account, Role.OWNER, "Otto")
    services.deactivate_member(second, by=house.owner)
    assert second.user is not None
    path = invite(house, second.user.email)
    services.reactivate_member(second, by=house.owner)
    assert logged_in(second).post(path).status_code == 410
    second.refresh_from_db()
    assert second.role == Role.OWNER


# --- Accounts ------------------------------------------------------------------------------------


def test_one_changes_over_only_to_accounts_one_is_in(house: SimpleNamespace) -> None:
    second = services.create_account("Second", owner=house.owner.user)
    client = logged_in(house.owner)
    client.post(reverse("switch_account"), {"member": second.public_id})
    assert "Second" in client.get(reverse("settings")).content.decode()
    client.post(reverse("switch_account"), {"member": house.outsider.public_id})
    assert "Second" in client.get(reverse("settings")).content.decode()


# --- The local mailbox ---------------------------------------------------------------------------


def test_letters_are_read_on_this_machine_only(settings) -> None:
    from accounts.mailbox import LocalMailboxBackend

    settings.LOCAL_MAILBOX = True
    letter = mail.EmailMessage("123456 is your code", "Hello\n123456", to=["a@example.test"])
    LocalMailboxBackend().send_messages([letter])
    row = LocalLetter.objects.get()
    here = Client(HTTP_HOST="127.0.0.1:8000")
    assert b"123456 is your code" in here.get(reverse("mailbox")).content
    assert b"Hello" in here.get(reverse("letter", args=[row.pk])).content
    elsewhere = Client(HTTP_HOST="127.0.0.1:8000", REMOTE_ADDR="192.0.2.7")
    assert elsewhere.get(reverse("mailbox")).status_code == 404
    # A tunnel that runs on this machine is a loopback peer as well.
    assert Client(HTTP_HOST="testserver").get(reverse("mailbox")).status_code == 404
    handed_on = {"x-forwarded-for": "198.51.100.7"}
    assert here.get(reverse("mailbox"), headers=handed_on).status_code == 404
    settings.LOCAL_MAILBOX = False
    assert here.get(reverse("mailbox")).status_code == 404
