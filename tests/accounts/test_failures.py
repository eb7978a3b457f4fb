"""Failed logins in the audit logs: of known people, counted, and told to no stranger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import limits, tasks
from accounts.models import AuditEntry, Member, RateBucket
from accounts.permissions import Role
from accounts.tenancy import account_context
from tests import factories
from tests.accounts.test_entry import logged_in
from tests.accounts.test_proof import guarded
from tests.api import Caller

NOBODY = "nobody@example.test"


@pytest.fixture
def clock(house: SimpleNamespace) -> Iterator[Any]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def entries(house: SimpleNamespace) -> list[AuditEntry]:
    with account_context(house.account):
        return list(AuditEntry.objects.filter(action="login.failed").order_by("pk"))


def guess(email: str, *, ip: str = "203.0.113.7") -> Any:
    values = {"email": email, "password": "not this one"}
    return Client(REMOTE_ADDR=ip).post(reverse("login"), values)


def test_a_wrong_password_stands_in_the_log_of_each_account(house: SimpleNamespace) -> None:
    Member.objects.create(
        account=house.outsider_account, user=house.person.user, name="Petra", role=Role.PERSON
    )
    guess(house.person.user.email)
    (entry,) = entries(house)
    assert (entry.actor_kind, entry.member, entry.actor_name) == ("stranger", None, "")
    assert (entry.object_id, entry.ip) == (house.person.public_id, "203.0.113.0/24")
    assert entry.changes == {"attempts": 1, "step": "password"}
    with account_context(house.outsider_account):
        assert AuditEntry.objects.filter(action="login.failed").count() == 1
    page = logged_in(house.owner).get(reverse("audit_log")).content.decode()
    assert "login.failed" in page
    assert "203.0.113.0/24" in page


def test_the_api_writes_the_same_line(house: SimpleNamespace) -> None:
    body = {"email": house.person.user.email, "password": "not this one"}
    Caller().post("/v1/auth/login/", body)
    assert [entry.changes["step"] for entry in entries(house)] == ["password"]


@pytest.mark.parametrize("by_api", [True, False], ids=["api", "page"])
def test_a_wrong_code_is_a_failed_login_too(house: SimpleNamespace, by_api: bool) -> None:
    guarded(house.owner.user)
    values = {"email": house.owner.user.email, "password": factories.PASSWORD}
    if by_api:
        caller = Caller()
        token = caller.post("/v1/auth/login/", values).json()["ephemeral_token"]
        caller.post("/v1/auth/mfa/verify/", {"ephemeral_token": token, "code": "000000"})
    else:
        client = Client()
        client.post(reverse("login"), values)
        client.post(reverse("login_code"), {"code": "000000"})
    assert [entry.changes for entry in entries(house)] == [{"attempts": 1, "step": "second factor"}]


def test_a_wrong_proof_inside_a_session_is_written_too(house: SimpleNamespace) -> None:
    logged_in(house.owner).post(reverse("prove"), {"proof": "not this one"})
    assert [entry.changes["step"] for entry in entries(house)] == ["present password"]


def test_a_flood_makes_one_line_a_minute_and_its_number_is_told(
    house: SimpleNamespace, clock: Any
) -> None:
    email = house.person.user.email
    for number in range(20):
        guess(email, ip=f"198.51.{number}.7")
    assert [entry.changes["attempts"] for entry in entries(house)] == [1]
    clock.shift(timedelta(seconds=61))
    guess(email, ip="198.51.99.7")
    assert [entry.changes["attempts"] for entry in entries(house)] == [1, 20]
    assert AuditEntry.objects.filter(action="login.failed").count() == 2


def test_what_was_only_counted_is_written_down_later(house: SimpleNamespace, clock: Any) -> None:
    for number in range(4):
        guess(house.person.user.email, ip=f"198.51.{number}.7")
    assert tasks.write_down_failed_logins() == 0
    clock.shift(timedelta(minutes=2))
    assert tasks.write_down_failed_logins() == 1
    assert [entry.changes["attempts"] for entry in entries(house)] == [1, 3]
    clock.shift(timedelta(minutes=2))
    assert tasks.write_down_failed_logins() == 0
    assert len(entries(house)) == 2


def test_somebody_who_is_no_member_any_more_fills_no_log(house: SimpleNamespace) -> None:
    Member.objects.filter(pk=house.person.pk).update(active=False)
    guess(house.person.user.email)
    assert entries(house) == []


def test_a_stranger_learns_nothing_from_the_answer(house: SimpleNamespace) -> None:
    """SX-46"""
    known, unknown = guess(house.person.user.email), guess(NOBODY)
    bodies = [
        answer.content.decode().replace(email, "").partition("csrfmiddlewaretoken")[2][100:]
        for answer, email in ((known, house.person.user.email), (unknown, NOBODY))
    ]
    assert known.status_code == unknown.status_code == 422
    assert bodies[0] == bodies[1] != ""
    body = {"password": "not this one"}
    api = [
        Caller().post("/v1/auth/login/", body | {"email": email})
        for email in (house.person.user.email, NOBODY)
    ]
    assert api[0].status_code == api[1].status_code == 400
    assert api[0].json()["errors"] == api[1].json()["errors"]


def test_an_unknown_e_mail_is_counted_like_a_known_one_and_forgotten(
    house: SimpleNamespace,
) -> None:
    """SX-46: the same work, and nothing that stays."""
    guess(NOBODY)
    guess(NOBODY)
    row = RateBucket.objects.get(key__startswith="login-failed-stranger:")
    assert row.tokens == 1
    assert NOBODY not in row.key
    RateBucket.objects.update(updated_at=timezone.now() - timedelta(days=2))
    limits.prune()
    assert not RateBucket.objects.exists()


def test_known_and_unknown_take_the_same_work_but_for_the_line_itself(
    house: SimpleNamespace, clock: Any
) -> None:
    """SX-46: beside the hash, which both take, the one line a minute is all that differs."""
    work: list[list[int]] = []
    for email in (house.person.user.email, NOBODY):
        work.append([])
        for _twice in range(2):
            with CaptureQueriesContext(connection) as queries:
                guess(email)
            work[-1].append(len(queries))
    known, unknown = work
    assert known[0] - unknown[0] <= 7  # the memberships, a savepoint, the context and back, a row
    assert known[1] == unknown[1]
