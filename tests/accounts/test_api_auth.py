"""`/v1/auth/`: no session on the password alone, by no path."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from accounts.tasks import send_password_reset
from tests.api import Caller, attrs_of, code_of
from tests.factories import PASSWORD

LOGIN, VERIFY = "/v1/auth/login/", "/v1/auth/mfa/verify/"


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def user(api: SimpleNamespace) -> User:
    return api.house.owner.user


def guarded(user: User) -> str:
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    RecoveryCodes.activate(user)
    return secret


def code_now(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def has_session(caller: Caller) -> bool:
    return caller.get("/v1/me/").status_code == 200


def log_in(caller: Caller, user: User, password: str = PASSWORD):
    return caller.post(LOGIN, {"email": user.email, "password": password})


def test_e_mail_and_password_start_a_session(user: User) -> None:
    browser = Caller()
    response = log_in(browser, user)
    assert (response.status_code, response.json()) == (200, {"mfa_required": False})
    assert has_session(browser)
    assert browser.get("/v1/auth/user/").json()["email"] == user.email


def test_the_answer_holds_no_token(user: User) -> None:
    """SX-42: sessions only; tokens are made at /v1/tokens/"""
    assert set(log_in(Caller(), user).json()) == {"mfa_required"}


def test_with_a_second_factor_the_password_gives_a_token_for_the_code(user: User) -> None:
    """bad input 17"""
    secret, browser = guarded(user), Caller()
    answer = log_in(browser, user).json()
    assert answer["mfa_required"] is True
    assert answer["expires_in"] == 300
    assert not has_session(browser)
    body = {"ephemeral_token": answer["ephemeral_token"], "code": code_now(secret)}
    assert browser.post(VERIFY, body).json() == {"mfa_required": False}
    assert has_session(browser)


def test_a_recovery_code_is_good_instead(user: User) -> None:
    guarded(user)
    browser = Caller()
    code = RecoveryCodes.activate(user).get_unused_codes()[0]
    token = log_in(browser, user).json()["ephemeral_token"]
    assert browser.post(VERIFY, {"ephemeral_token": token, "code": code}).status_code == 200
    assert has_session(browser)


def test_a_code_does_not_log_in_twice(user: User) -> None:
    """bad input 18"""
    code = code_now(guarded(user))
    for expected in (200, 400):
        browser = Caller()
        token = log_in(browser, user).json()["ephemeral_token"]
        response = browser.post(VERIFY, {"ephemeral_token": token, "code": code})
        assert response.status_code == expected
    assert code_of(response) == "invalid_code"
    assert not has_session(browser)


def test_the_sixth_guess_is_429(user: User) -> None:
    """bad input 19"""
    guarded(user)
    browser = Caller()
    token = log_in(browser, user).json()["ephemeral_token"]
    body = {"ephemeral_token": token, "code": "000000"}
    statuses = [browser.post(VERIFY, body).status_code for _guess in range(6)]
    assert statuses == [400] * 5 + [429]


def login_paths() -> list[str]:
    """Every route that has to do with logging in, wherever it is mounted."""
    words = ("login", "auth", "mfa", "signin", "account/")
    return [path for path in _paths(get_resolver()) if any(word in path for word in words)]


def _paths(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for each in resolver.url_patterns:
        path = prefix + str(each.pattern).lstrip("^").replace("/?$", "/").rstrip("$")
        if isinstance(each, URLPattern):
            yield "/" + path
        else:
            yield from _paths(each, path)


def test_no_path_at_all_gives_a_session_on_the_password_alone(user: User) -> None:
    """bad input 17: web, dj-rest-auth, admin, and whatever is mounted later"""
    guarded(user)
    user.is_staff = user.is_superuser = True
    user.save()
    tried = [path for path in login_paths() if "<" not in path and "(" not in path]
    assert {"/v1/auth/login/", "/login/", "/admin/login/"} <= set(tried)
    fields = {"email": user.email, "username": user.email, "login": user.email,
              "password": PASSWORD, "next": "/admin/"}  # fmt: skip
    for path in tried:
        client = Client(raise_request_exception=False)
        client.post(path, fields)
        client.post(path, fields, content_type="application/json")
        assert "_auth_user_id" not in client.session, path


def test_the_admin_has_no_login_of_its_own(user: User) -> None:
    """bad input 17, SX-25"""
    client = Client()
    response = client.get("/admin/login/?next=/admin/")
    assert (response.status_code, response["Location"]) == (302, "/login/?next=/admin/")
    client.force_login(user)
    assert client.get("/admin/login/").status_code == 403


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_nobody_is_sent_elsewhere_after_logging_in(db: None, where: str) -> None:
    """bad input 28"""
    response = Client().get("/admin/login/", {"next": where})
    assert response["Location"] == "/login/?next=/admin/"


def test_an_unknown_e_mail_gets_the_same_answer(user: User) -> None:
    """SX-46"""
    wrong = log_in(Caller(), user, "wrong password")
    body = {"email": "nobody@example.test", "password": "wrong password"}
    unknown = Caller().post(LOGIN, body)
    assert (wrong.status_code, code_of(wrong)) == (400, "invalid_login")
    a, b = wrong.json(), unknown.json()
    del a["request_id"], b["request_id"]
    assert a == b


def test_guessing_is_slowed_down(user: User) -> None:
    """SX-44"""
    statuses = [log_in(Caller(), user, "wrong").status_code for _guess in range(6)]
    assert statuses == [400] * 5 + [429]
    assert int(log_in(Caller(), user)["Retry-After"]) >= 1


def test_the_session_key_is_new_after_login(user: User) -> None:
    """bad input 22"""
    browser = Caller()
    session = browser.client.session
    session["planted"] = True
    session.save()
    browser.client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key or ""
    log_in(browser, user)
    new = browser.client.cookies[settings.SESSION_COOKIE_NAME].value
    assert new != session.session_key
    stolen = Caller()
    stolen.client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key or ""
    assert not has_session(stolen)


def test_logging_out_ends_the_session(user: User) -> None:
    browser = Caller()
    log_in(browser, user)
    copy = Caller()
    copy.client.cookies.update(browser.client.cookies)
    assert browser.post("/v1/auth/logout/").status_code == 200
    assert not has_session(copy)
    assert browser.get("/v1/auth/logout/").status_code == 405


def test_a_new_password_ends_the_other_sessions(user: User) -> None:
    """SX-24"""
    here, elsewhere = Caller(), Caller()
    log_in(here, user)
    log_in(elsewhere, user)
    body = {"old_password": PASSWORD, "new_password": "a much better one"}
    version = user.auth_version
    assert here.post("/v1/auth/password/change/", body).status_code == 200
    assert has_session(here)
    assert not has_session(elsewhere)
    user.refresh_from_db()
    assert user.auth_version == version + 1
    assert user.check_password("a much better one")


def test_a_new_password_needs_the_old_one_and_some_strength(user: User) -> None:
    browser = Caller()
    log_in(browser, user)
    path = "/v1/auth/password/change/"
    wrong = browser.post(path, {"old_password": "no", "new_password": "a much better one"})
    assert (wrong.status_code, code_of(wrong)) == (400, "wrong_password")
    weak = browser.post(path, {"old_password": PASSWORD, "new_password": "password"})
    assert attrs_of(weak) == {"new_password"}
    assert has_session(browser)


def test_an_api_token_cannot_change_a_password(api: SimpleNamespace) -> None:
    body = {"old_password": PASSWORD, "new_password": "a much better one"}
    assert api.owner.post("/v1/auth/password/change/", body).status_code in (401, 403)
    assert api.owner.get("/v1/auth/user/").status_code in (401, 403)


def test_people_change_their_own_name_and_language_only(user: User) -> None:
    browser = Caller()
    log_in(browser, user)
    path = "/v1/auth/user/"
    assert browser.patch(path, {"name": "Olga P.", "language": "ro"}).json()["name"] == "Olga P."
    wrong: tuple[object, ...] = (
        {"email": "x@example.test"},
        {"is_staff": True},
        {"time_zone": "Mars"},
        5,
        [{}],
    )
    for body in wrong:
        assert browser.patch(path, body).status_code == 400
    assert browser.put(path, {}).status_code == 405


def test_a_reset_answers_the_same_for_known_and_unknown(user: User, mailoutbox: list) -> None:
    """bad input 21: the letter is a job for both"""
    answers = [
        Caller().post("/v1/auth/password/reset/", {"email": email})
        for email in (user.email, "nobody@example.test")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert mailoutbox == []
    assert send_password_reset("nobody@example.test") is False
    assert send_password_reset(user.email) is True
    assert [letter.to for letter in mailoutbox] == [[user.email]]
    assert settings.PUBLIC_URL in mailoutbox[0].body


def test_too_many_resets_of_one_address_are_refused(user: User) -> None:
    statuses = [
        Caller().post("/v1/auth/password/reset/", {"email": user.email}).status_code
        for _letter in range(4)
    ]
    assert statuses == [200, 200, 200, 429]


def test_a_reset_link_works_once_and_starts_no_session(user: User) -> None:
    """bad input 20"""
    link = {"uid": user.public_id, "token": default_token_generator.make_token(user)}
    path, browser = "/v1/auth/password/reset/confirm/", Caller()
    assert browser.post(path, {**link, "new_password": "short"}).status_code == 400
    assert browser.post(path, {**link, "new_password": "a much better one"}).status_code == 200
    assert not has_session(browser)
    again = browser.post(path, {**link, "new_password": "yet another good one"})
    assert (again.status_code, attrs_of(again)) == (400, {"token"})
    user.refresh_from_db()
    assert user.check_password("a much better one")


def test_a_forged_host_gets_no_letter(user: User, mailoutbox: list) -> None:
    """bad input 27"""
    client = Client(headers={"host": "evil.example"})
    path = "/v1/auth/password/reset/"
    response = client.post(path, {"email": user.email}, content_type="application/json")
    assert response.status_code == 400
    assert mailoutbox == []


@pytest.mark.parametrize("path", [LOGIN, VERIFY, "/v1/auth/password/reset/"])
def test_forms_are_not_accepted_so_that_other_sites_cannot_post_them(db: None, path: str) -> None:
    for body in ({"email": "a@example.test"}, None):
        response = Client().post(path, body)
        assert response.status_code == 415
    assert Client().get(path).status_code == 405
