"""Logging in: what gives a session, and what never does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.http import HttpRequest
from django.test import RequestFactory

from accounts import identity, limits
from accounts.identity import LoggedIn, Refused, SecondFactorNeeded, log_in, verify_second_factor
from accounts.limits import Limit, Patience
from accounts.models import AuditEntry, RateBucket, User
from accounts.origin import client_ip, ip_prefix
from accounts.tenancy import account_context
from tests.factories import PASSWORD, make_account, make_person, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return make_user("Vera", email="vera@example.test")


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def a_request(ip: str = "203.0.113.5") -> HttpRequest:
    request = RequestFactory(REMOTE_ADDR=ip).post("/")
    request.session = SessionStore()
    return request


def totp(user: User) -> str:
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def code_of(secret: str, *, step: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step))


def needed(user: User, ip: str = "203.0.113.5") -> str:
    outcome = log_in(a_request(ip), user.email, PASSWORD)
    assert isinstance(outcome, SecondFactorNeeded)
    return outcome.token


def test_a_right_password_starts_a_session_with_a_new_key(user: User) -> None:
    """SX-22"""
    request = a_request()
    request.session["before"] = True
    request.session.save()
    old = request.session.session_key
    assert isinstance(log_in(request, " VERA@example.test ", PASSWORD), LoggedIn)
    assert request.session.session_key != old
    assert old is not None
    assert not SessionStore().exists(old)
    assert request.session["_auth_user_id"] == str(user.pk)


def test_a_login_stands_in_the_audit_log_of_each_account(user: User) -> None:
    account = make_account()
    member = make_person(account)
    assert member.user is not None
    log_in(a_request("203.0.113.77"), member.user.email, PASSWORD)
    with account_context(account):
        entry = AuditEntry.objects.get(action="login")
    assert (entry.member, entry.ip) == (member, "203.0.113.0/24")


def test_what_somebody_does_with_their_login_stands_in_the_audit_log() -> None:
    """security.md 10: logging out, a new password, a spent recovery code."""
    account = make_account()
    user = make_person(account).user
    assert user is not None
    request = a_request("203.0.113.77")
    request.user = AnonymousUser()
    log_in(request, user.email, PASSWORD)
    identity.change_password(request, user, "another long passphrase")
    identity.log_out(request)
    identity.check_code(user, RecoveryCodes.activate(user).get_unused_codes()[0])
    with account_context(account):
        told = AuditEntry.objects.order_by("pk").values_list("action", "ip")
        assert list(told) == [
            ("login", "203.0.113.0/24"),
            ("password.changed", "203.0.113.0/24"),
            ("logout", "203.0.113.0/24"),
            ("factor.recovery_code_used", ""),
        ]


def test_unknown_and_known_emails_get_the_same_refusal(user: User) -> None:
    """SX-46"""
    known = log_in(a_request(), user.email, "wrong")
    assert isinstance(known, Refused)
    assert known == log_in(a_request(), "nobody@example.test", "wrong")
    user.is_active = False
    user.save()
    assert known == log_in(a_request(), user.email, PASSWORD)


def test_the_password_alone_gives_no_session_when_a_factor_is_there(user: User) -> None:
    """SX-42, bad input 17"""
    totp(user)
    request = a_request()
    assert isinstance(log_in(request, user.email, PASSWORD), SecondFactorNeeded)
    assert "_auth_user_id" not in request.session


def test_token_and_code_give_a_session_once(user: User) -> None:
    """SX-42"""
    secret, token = totp(user), needed(user)
    request = a_request()
    assert isinstance(verify_second_factor(request, token, code_of(secret)), LoggedIn)
    assert request.session["_auth_user_id"] == str(user.pk)
    codes = RecoveryCodes.activate(user).get_unused_codes()
    again = verify_second_factor(a_request(), token, codes[0])
    assert isinstance(again, Refused)
    assert again.code == "login_expired"


def test_a_code_is_good_for_one_login_even_for_another_process(user: User) -> None:
    """bad input 18"""
    secret = totp(user)
    code = code_of(secret)
    assert isinstance(verify_second_factor(a_request(), needed(user), code), LoggedIn)
    cache.clear()  # allauth's own memory is per process
    again = verify_second_factor(a_request(), needed(user), code)
    assert isinstance(again, Refused)
    assert (again.code, again.status) == ("invalid_code", 400)


def test_a_recovery_code_works_once(user: User) -> None:
    totp(user)
    code = RecoveryCodes.activate(user).get_unused_codes()[3]
    assert isinstance(verify_second_factor(a_request(), needed(user), code), LoggedIn)
    assert isinstance(verify_second_factor(a_request(), needed(user), code), Refused)


def test_the_sixth_guess_of_a_code_is_too_many_and_the_token_is_dead(user: User) -> None:
    """bad input 19"""
    secret, token = totp(user), needed(user)
    statuses = []
    for guess in range(6):
        refused = verify_second_factor(a_request(f"198.51.{guess}.9"), token, f"00000{guess}")
        assert isinstance(refused, Refused)
        statuses.append(refused.status)
    assert statuses == [400] * 5 + [429]
    assert isinstance(verify_second_factor(a_request(), token, code_of(secret)), Refused)


def test_new_tokens_give_no_new_guesses(user: User) -> None:
    """bad input 19"""
    totp(user)
    statuses = []
    for guess in range(6):
        refused = verify_second_factor(a_request(), needed(user), f"00000{guess}")
        assert isinstance(refused, Refused)
        statuses.append(refused.status)
    assert statuses[-1] == 429


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é" * 50])
def test_a_forged_token_is_refused(token: str) -> None:
    refused = verify_second_factor(a_request(), token, "123456")
    assert isinstance(refused, Refused)
    assert refused.code == "login_expired"


def test_a_token_dies_with_a_change_of_password(user: User) -> None:
    secret, token = totp(user), needed(user)
    identity.end_other_sessions(user)
    assert isinstance(verify_second_factor(a_request(), token, code_of(secret)), Refused)


def test_five_wrong_passwords_bring_a_growing_delay_for_this_network_only(user: User) -> None:
    """SX-44"""
    for _guess in range(5):
        refused = log_in(a_request(), user.email, "wrong")
        assert isinstance(refused, Refused)
        assert refused.status == 400
    refused = log_in(a_request(), user.email, PASSWORD)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.wait) == (429, 5)
    assert isinstance(log_in(a_request("198.51.100.1"), user.email, PASSWORD), LoggedIn)


def test_the_delay_is_the_same_for_an_unknown_email() -> None:
    """SX-46"""
    outcomes = [log_in(a_request(), "nobody@example.test", "wrong") for _guess in range(6)]
    assert [getattr(one, "status", 0) for one in outcomes] == [400] * 5 + [429]


def test_fifty_failures_from_one_network_are_too_many(user: User) -> None:
    """SX-44, bad input 30: another X-Forwarded-For changes nothing"""
    for guess in range(50):
        log_in(a_request(), f"nobody{guess}@example.test", "wrong")
    request = a_request()
    request.META["HTTP_X_FORWARDED_FOR"] = "8.8.8.8"
    refused = log_in(request, user.email, PASSWORD)
    assert isinstance(refused, Refused)
    assert refused.status == 429


def test_totp_secrets_are_stored_sealed(user: User) -> None:
    """SX-41"""
    secret = totp(user)
    RecoveryCodes.activate(user)
    stored = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in stored
    found = Authenticator.objects.get(user=user, type=Authenticator.Type.TOTP)
    with context.request_context(a_request()):
        assert found.wrap().validate_code(code_of(secret))


def test_a_changed_password_ends_other_sessions_and_keeps_this_one(user: User) -> None:
    """SX-24"""
    request = a_request()
    log_in(request, user.email, PASSWORD)
    request.user = user
    version = user.auth_version
    identity.change_password(request, user, "another good long one")
    assert user.auth_version == version + 1
    assert request.session["auth_version"] == user.auth_version


def test_a_reset_link_works_once(user: User) -> None:
    """bad input 20"""
    from django.contrib.auth.tokens import default_token_generator

    uid, token = user.public_id, default_token_generator.make_token(user)
    assert identity.reset_password(uid, token, "another good long one") == user
    assert identity.reset_password(uid, token, "yet another long one") is None
    assert identity.reset_password("usr_0000000000000", token, "x") is None
    user.refresh_from_db()
    assert user.check_password("another good long one")


def test_a_bucket_gives_its_capacity_and_says_how_long_to_wait() -> None:
    """SX-61"""
    limit = Limit("test", capacity=3, per_second=0.1)
    taken = [limits.take(limit, "a") for _n in range(4)]
    assert [one.allowed for one in taken] == [True, True, True, False]
    assert 8 <= taken[3].wait <= 10
    assert limits.take(limit, "b").allowed
    limits.give_back(limit, "a")
    assert limits.take(limit, "a").allowed


def test_a_bucket_fills_up_with_time() -> None:
    limit = Limit("test", capacity=2, per_second=1)
    for _n in range(2):
        limits.take(limit, "a")
    assert not limits.take(limit, "a").allowed
    age_bucket("test:a", 1.5)
    assert limits.take(limit, "a").allowed
    assert not limits.take(limit, "a").allowed


def test_a_delay_doubles_and_is_forgotten_after_the_window() -> None:
    patience = Patience("test", free=2, first=10, window=100)
    assert [limits.begin_attempt(patience, "a") for _n in range(3)] == [0, 0, 10]
    age_bucket("test:a", 10)
    assert limits.begin_attempt(patience, "a") == 0
    assert 19 <= limits.begin_attempt(patience, "a") <= 20
    age_bucket("test:a", 101)
    assert [limits.begin_attempt(patience, "a") for _n in range(3)] == [0, 0, 10]


def test_old_buckets_are_deleted() -> None:
    limits.take(Limit("test", capacity=3, per_second=1), "old")
    age_bucket("test:old", 90_000)
    limits.take(Limit("test", capacity=3, per_second=1), "new")
    assert limits.prune() == 1


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (0, "8.8.8.8", "10.0.0.1"),
        (1, "8.8.8.8, 203.0.113.9", "203.0.113.9"),
        (2, "8.8.8.8, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (1, "", "10.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_where_a_request_comes_from(
    settings, proxies: int, forwarded: str, found: str
) -> None:
    """SX-62"""
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory(REMOTE_ADDR="10.0.0.1").get(
        "/", headers={"x-forwarded-for": forwarded}
    )
    assert client_ip(request) == found


def test_networks_are_named_by_prefix() -> None:
    assert ip_prefix("203.0.113.77") == ip_prefix("203.0.113.1") == "203.0.113.0/24"
    assert ip_prefix("2001:db8::1:2") == "2001:db8::/64"
    assert ip_prefix("::ffff:203.0.113.77") == "203.0.113.0/24"
    assert ip_prefix("what") == "unknown"


def age_bucket(key: str, seconds: float) -> None:
    from datetime import timedelta

    bucket = RateBucket.objects.get(key=key)
    bucket.updated_at -= timedelta(seconds=seconds)
    bucket.save()
