"""Small parts of the house: checks, health, headers, log lines, problem answers, the login link."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core import checks as django_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, NotAuthenticated

from accounts.models import User
from accounts.redaction import HIDDEN, redact, redact_headers
from config import checks, health, login_link, problems
from config.environment import read_env_file, write_env_file
from config.logs import RedactFilter
from config.middleware import STAFF, STRICT, policy_for
from conversations.models import Courier, Lane
from integrations import measures
from integrations.models import Measure

GOOD_KEY = "k1:" + "B" * 43 + "="


def ids(messages: list[django_checks.CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


@pytest.fixture
def safe(settings: Any) -> Any:
    settings.SECRET_KEY = "s" * 60
    settings.FIELD_KEYS = [GOOD_KEY]
    settings.PUBLIC_URL = "https://desk.example.com"
    settings.ALLOWED_HOSTS = ["desk.example.com"]
    settings.DEBUG = settings.EMBEDDED = settings.GENERATED_KEYS = False
    settings.OUTBOUND_ALLOW, settings.ALLOW_HTTP_TARGETS = [], False
    settings.CELERY_BROKER_URL = ""
    settings.TRUSTED_PROXIES = 1
    settings.ADMIN_ALLOW = ["10.1.0.0/16", "203.0.113.7", "2001:db8::/32"]
    return settings


ALL = (
    checks.check_secrets,
    checks.check_addresses,
    checks.check_outbound,
    checks.check_admin_networks,
    checks.check_metrics_token,
    checks.check_broker,
)


def test_safe_settings_pass_every_check(safe: Any) -> None:
    assert [message for check in ALL for message in check(None)] == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SECRET_KEY", "insecure-only-for-tools-and-tests", "config.E001"),
        ("SECRET_KEY", "short", "config.E001"),
        ("METRICS_TOKEN", "short", "config.E014"),
        ("FIELD_KEYS", ["tools:" + "A" * 43 + "="], "config.E002"),
        ("FIELD_KEYS", [GOOD_KEY, "nonsense"], "config.E002"),
        ("FIELD_KEYS", [], "config.E002"),
        ("GENERATED_KEYS", True, "config.E003"),
        ("PUBLIC_URL", "desk.example.com", "config.E004"),
        ("PUBLIC_URL", "http://desk.example.com", "config.E005"),
        ("DEBUG", True, "config.E006"),
        ("ALLOWED_HOSTS", ["other.example.com"], "config.E007"),
        ("ALLOWED_HOSTS", ["*"], "config.E008"),
        ("CELERY_BROKER_URL", "kafka://somewhere", "config.E009"),
        ("TRUSTED_PROXIES", 0, "config.W002"),
        ("ADMIN_ALLOW", ["10.0.0.0/8", "the office"], "config.E013"),
        ("ADMIN_ALLOW", ["10.0.0.0/40"], "config.E013"),
        ("OUTBOUND_ALLOW", ["127.0.0.0/8"], "config.W001"),
        ("ALLOW_HTTP_TARGETS", True, "config.W001"),
    ],
)
def test_an_unsafe_setting_is_refused_with_id_and_hint(
    safe: Any, name: str, value: object, expected: str
) -> None:
    """SX-52 and the boot checks of the house."""
    setattr(safe, name, value)
    found = [message for check in ALL for message in check(None)]
    assert ids(found) == [expected]
    assert found[0].hint


def test_plain_http_on_this_machine_is_fine(safe: Any) -> None:
    safe.PUBLIC_URL = "http://127.0.0.1:8000"
    safe.ALLOWED_HOSTS = ["127.0.0.1"]
    safe.OUTBOUND_ALLOW = ["127.0.0.0/8"]
    assert [message for check in ALL for message in check(None)] == []


def test_the_app_role_is_accepted(db: None) -> None:
    assert checks.check_database_role(None, databases=["default"]) == []


def test_a_role_that_row_level_security_does_not_hold_is_refused(db: None, settings: Any) -> None:
    """SX-04: an error, not a warning, unless it is asked for by name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin LIMIT 1")
        superuser = cursor.fetchone()[0]
    error = checks._bypass_error(superuser, True)
    assert (error.id, error.is_serious()) == ("config.E012", True)
    assert "DATABASE_OWNER_URL" in str(error.hint)


def test_healthz_answers_without_the_database(client: Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_readyz_is_ready_when_a_courier_was_seen_and_looks_for_work(client: Client) -> None:
    Courier.objects.create(host="here", pid=1)
    Measure.objects.create(name=measures.SWEEP, value=1)
    answer = client.get("/readyz")
    assert answer.json() == {"ready": True, "checks": dict.fromkeys(health.CHECKS, "ok")}
    assert answer.status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("swept", [None, timedelta(seconds=31)])
def test_readyz_names_the_silent_sweep(client: Client, swept: timedelta | None) -> None:
    Courier.objects.create(host="here", pid=1)
    if swept:
        Measure.objects.create(name=measures.SWEEP, value=1, updated_at=timezone.now() - swept)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert "looked for work" in checks.pop("sweep")
    assert set(checks.values()) == {"ok"}


@pytest.mark.parametrize(
    ("late", "lane", "ready"),
    [
        (61, {"kind": "agent"}, False),
        (61, {"kind": "send"}, False),
        (50, {"kind": "send"}, True),
        (-5, {"kind": "send"}, True),
        (61, {"kind": "subscriber"}, True),
        (61, {"kind": "send", "blocked_reason": "inbox_disabled"}, True),
        (61, {"kind": "agent", "lease_token": uuid.uuid4()}, True),
    ],
)
def test_readyz_names_the_backlog_that_customers_wait_for(
    house: SimpleNamespace, client: Client, late: int, lane: dict[str, Any], ready: bool
) -> None:
    """Delivery contract, section 15; starting does not wait for it (P15)."""
    Courier.objects.create(host="here", pid=1)
    Measure.objects.create(name=measures.SWEEP, value=1)
    due = timezone.now() - timedelta(seconds=late)
    Lane.objects.create(destination_id=1, key="k", due_at=due, **lane)
    answer = client.get("/readyz")
    assert answer.status_code == (200 if ready else 503)
    assert (answer.json()["checks"]["backlog"] == "ok") is ready
    without = client.get("/readyz?exclude=backlog")
    assert without.status_code == 200
    assert "backlog" not in without.json()["checks"]


@pytest.mark.django_db
@pytest.mark.parametrize("seen", [None, timedelta(seconds=61)])
def test_readyz_names_the_missing_courier(client: Client, seen: timedelta | None) -> None:
    if seen:
        Courier.objects.create(host="here", pid=1, last_seen_at=timezone.now() - seen)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "ok"
    assert "courier" in answer.json()["checks"]["courier"]


@pytest.mark.django_db
def test_readyz_names_the_missing_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_known_leaves", lambda: {("accounts", "0999_unborn")})
    assert "accounts.0999_unborn" in health.failing_checks(health.CHECKS)["migrations"]


@pytest.mark.django_db
def test_a_database_newer_than_the_code_is_refused() -> None:
    from config.management.commands.migrate import refuse_newer_schema

    refuse_newer_schema("default")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied)"
            " VALUES ('conversations', '0999_from_the_future', now())"
        )
    with pytest.raises(CommandError, match=r"conversations\.0999_from_the_future"):
        refuse_newer_schema("default")


def test_pages_get_the_strict_policy_and_staff_their_own(client: Client) -> None:
    answer = client.get("/healthz")
    assert answer["Content-Security-Policy"] == STRICT
    assert "camera=()" in answer["Permissions-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert policy_for("/admin/login/") == STAFF
    assert "unsafe" not in STRICT


def test_what_a_known_caller_was_shown_is_not_cached(client: Client) -> None:
    anonymous = client.get("/nowhere/")
    known = client.get("/nowhere/", headers={"Authorization": "Bearer x"})
    assert "Cache-Control" not in anonymous
    assert known["Cache-Control"] == "no-store"


def test_a_request_keeps_a_well_formed_id_and_gets_a_new_one_otherwise(client: Client) -> None:
    kept = client.get("/healthz", headers={"X-Request-ID": "abc-12345"})
    made = client.get("/healthz", headers={"X-Request-ID": "<script>"})
    assert kept["X-Request-ID"] == "abc-12345"
    assert made["X-Request-ID"].startswith("req_")


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("Authorization: Bearer abcdefghijk", "abcdefghijk"),
        ("api_access_token=abcdef tail", "abcdef"),
        ("GET /live/?ticket=eyJhIjox:1u:AbC", "eyJhIjox"),
        ('{"access_token": "EAAGabc", "x": 1}', "EAAGabc"),
        ("X-Hub-Signature-256: sha256=00ff00ff", "00ff00ff"),
        ("hub.verify_token=sesame", "sesame"),
        ("password='open sesame'", "sesame"),
        ("Cookie: sb_session=abc", "abc"),
        ("key sb_pat_abcdefgh_secret0123456789", "secret0123456789"),
        ("secret whsec_c2VjcmV0c2VjcmV0", "c2VjcmV0c2VjcmV0"),
        ("POST /api/callback/AbCdEf0123456789_-", "AbCdEf0123456789"),
        ("POST /hooks/whatsapp/AbCdEf0123456789", "AbCdEf0123456789"),
        ("from +40 712 345 678 today", "712 345"),
        ("wa_id 40712345678", "40712345"),
        ("mail ana.pop@example.com", "ana.pop"),
        ('text="vreau un om"', "vreau"),
        ("body: {'text': {'body': 'hello there'}}", "hello"),
    ],
)
def test_a_log_line_loses_what_must_not_stand_in_it(line: str, secret: str) -> None:
    """SX-90."""
    assert secret not in redact(line)


@pytest.mark.parametrize(
    "line",
    [
        "delivered delivery=dlv_0123456789abc status=200 took=12ms",
        "2026-11-20 11:48:08,733 INFO started on 127.0.0.1:8000",
        "conversation=cnv_abc attempt=3 of 12",
    ],
)
def test_a_harmless_log_line_stays(line: str) -> None:
    assert redact(line) == line


def test_a_phone_number_keeps_its_last_three_digits_and_a_mail_its_domain() -> None:
    assert redact("+40712345678") == "…678"
    assert redact("ana@example.com") == "a…@example.com"


def test_secret_headers_are_hidden_by_name() -> None:
    headers = {"Authorization": "x", "webhook-signature": "v1,abc", "Accept": "*/*"}
    assert redact_headers(headers) == {
        "Authorization": HIDDEN,
        "webhook-signature": HIDDEN,
        "Accept": "*/*",
    }


def test_a_traceback_is_redacted_too() -> None:
    try:
        raise ValueError("token=verysecret")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "failed %s", ("token=other",), info)
    assert RedactFilter().filter(record)
    line = logging.Formatter("%(message)s").format(record)
    assert "verysecret" not in line
    assert "other" not in line
    assert "ValueError" in line


def test_an_api_error_is_a_problem() -> None:
    request = RequestFactory().get("/v1/x")
    request.request_id = "req_1"  # type: ignore[attr-defined]
    detail = {"name": [ErrorDetail("This field is required.", code="required")]}
    context: Any = {"view": None, "args": (), "kwargs": {}, "request": request}
    answer = problems.exception_handler(serializers.ValidationError(detail), context)
    assert answer
    assert answer.content_type == "application/problem+json"
    assert answer.data == {
        "type": "/v1/problems/required",
        "title": "Bad Request",
        "status": 400,
        "detail": "This field is required.",
        "request_id": "req_1",
        "errors": [{"code": "required", "detail": "This field is required.", "attr": "name"}],
    }
    refused = problems.exception_handler(NotAuthenticated(), context)
    assert refused
    assert refused.data["errors"][0]["code"] == "not_authenticated"


def test_an_unknown_api_address_is_a_problem(client: Client) -> None:
    answer = client.get("/v1/no-such-thing/")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert json.loads(answer.content)["request_id"] == answer["X-Request-ID"]


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ana@example.com", "a long password")


def link_path(user: User) -> str:
    return "/" + login_link.make_link(user).split("/", 3)[3]


def test_a_login_link_logs_in_once(client: Client, user: User) -> None:
    path = link_path(user)
    answer = client.get(path)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.session["_auth_user_id"] == str(user.pk)
    assert Client().get(path).status_code == 410


def test_a_login_link_dies_after_ten_minutes(client: Client, user: User) -> None:
    with time_machine.travel(timezone.now() - timedelta(minutes=11)):
        path = link_path(user)
    assert client.get(path).status_code == 410


def test_any_login_spends_the_link(client: Client, user: User) -> None:
    path = link_path(user)
    other = Client()
    other.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(path).status_code == 410


def test_a_forged_or_retired_users_link_is_refused(client: Client, user: User) -> None:
    path = link_path(user)
    assert client.get(path[:-4] + "xxx/").status_code == 410
    user.is_active = False
    user.save()
    assert client.get(path).status_code == 410


def test_the_login_link_command_prints_a_working_link(
    client: Client, user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("login_link", user.email)
    printed = capsys.readouterr().out.strip()
    assert client.get("/" + printed.split("/", 3)[3]).status_code == 302


def test_no_link_goes_round_a_second_factor(client: Client, user: User) -> None:
    """SX-42, bad input 17: the link asks for the code, also when the factor came after the link."""
    path = link_path(user)
    TOTP.activate(user, generate_totp_secret())
    codes = RecoveryCodes.activate(user).get_unused_codes()
    answer = client.get(path)
    assert (answer.status_code, answer["Location"]) == (302, reverse("login_code"))
    assert "_auth_user_id" not in client.session
    assert Client().get(path).status_code == 410
    answer = client.post(answer["Location"], {"code": codes[0]})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.session["_auth_user_id"] == str(user.pk)


def test_the_kept_environment_is_private_and_survives_a_round_trip(tmp_path: Any) -> None:
    """SX-52."""
    path = tmp_path / "switchboard.env"
    values = {"SECRET_KEY": "a=b+/", "FIELD_KEYS": GOOD_KEY}
    write_env_file(path, values)
    write_env_file(path, values)
    assert read_env_file(path) == values
    assert path.stat().st_mode & 0o777 == 0o600
