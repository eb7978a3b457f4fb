"""Sensitive acts want a proof that is not older than ten minutes (SX-43)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import services
from accounts.models import Account, ApiToken, AuditEntry, Member, User
from accounts.permissions import Role
from accounts.tenancy import account_context
from agents import system
from agents.models import Agent
from config.login_link import make_link
from conversations.models import Contact, Conversation, Endpoint, EndpointSecret, Inbox, InboxRoute
from tests import factories
from tests.accounts.test_dashboard_permissions import pages
from tests.accounts.test_entry import logged_in, totp
from tests.api import Caller, caller, code_of
from tests.test_api_permissions import ROUTES

LATER = timedelta(minutes=10, seconds=2)
TOKEN = {"name": "Export", "kind": "pat", "days": "90"}


@pytest.fixture
def clock(house: SimpleNamespace) -> Iterator[Any]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def guarded(user: User | None) -> str:
    assert user is not None
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return str(secret)


def stale(member: Member, clock: Any) -> Client:
    """A session of somebody whose last proof is more than ten minutes old."""
    client = logged_in(member)
    client.get(reverse("profile"))
    clock.shift(LATER)
    return client


# --- The dashboard -------------------------------------------------------------------------------


def thread_of(house: SimpleNamespace) -> Conversation:
    """A conversation of the house with its contact."""
    with account_context(house.account):
        made = factories.make_conversation(house.inbox)
        return Conversation.objects.select_related("contact").get(pk=made.pk)


def acts(house: SimpleNamespace) -> dict[str, tuple[str, dict[str, str]]]:
    """Every sensitive act of the dashboard: its address, and what is posted there."""
    agent = house.agent.public_id
    webhook = factories.make_webhook(house.account).public_id
    offered = system.define(name="Ours", url="https://93.184.215.14/", dialect="native").system
    guarded(house.person.user)
    return {
        "tokens": (reverse("tokens"), TOKEN),
        "create_agent": (
            reverse("create_agent"),
            {
                "name": "Nora",
                "dialect": "native",
                "url": "https://93.184.215.14/",
                "patience_s": "90",
            },
        ),
        "change_agent": (
            reverse("change_agent", args=[agent]),
            {
                "name": "Lumi",
                "dialect": "native",
                "url": "https://93.184.215.15/",
                "patience_s": "90",
                "timeout_s": "15",
            },
        ),
        "take_in_agent": (
            reverse("take_in_agent", args=[offered.public_id]),
            {"patience_s": "90"},
        ),
        "rotate_agent_secret": (reverse("rotate_agent_secret", args=[agent]), {}),
        "rotate_agent_token": (reverse("rotate_agent_token", args=[agent]), {}),
        "delete_agent": (reverse("delete_agent", args=[agent]), {}),
        "change_role": (
            reverse("change_role", args=[house.person.public_id]),
            {"role": Role.SUPERVISOR},
        ),
        "remove_factor": (reverse("remove_factor", args=[house.person.public_id]), {}),
        "rotate_address": (reverse("rotate_address", args=[house.inbox.public_id]), {}),
        "remove_inbox": (reverse("remove_inbox", args=[house.inbox.public_id]), {}),
        "create_webhook": (
            reverse("create_webhook"),
            {"name": "CRM", "url": "https://93.184.215.14/", "timeout_s": "15"},
        ),
        "change_webhook": (
            reverse("change_webhook", args=[webhook]),
            {"name": "CRM", "url": "https://93.184.215.15/", "timeout_s": "15"},
        ),
        "erase_contact": (reverse("erase_contact", args=[thread_of(house).public_id]), {}),
        "show_webhook_secret": (reverse("show_webhook_secret", args=[webhook]), {}),
        "rotate_webhook_secret": (
            reverse("rotate_webhook_secret", args=[webhook]),
            {"grace_hours": "24"},
        ),
        "delete_webhook": (reverse("delete_webhook", args=[webhook]), {}),
    }


def state(house: SimpleNamespace) -> list[Any]:
    """What the acts above would change."""
    with account_context(house.account):
        return [
            sorted(ApiToken.objects.values_list("pk", "revoked_at")),
            sorted(Agent.objects.values_list("pk", "state")),
            sorted(EndpointSecret.objects.values_list("pk", flat=True)),
            sorted(Member.objects.values_list("pk", "role", "active")),
            sorted(Authenticator.objects.values_list("pk", flat=True)),
            sorted(InboxRoute.objects.values_list("pk", flat=True)),
            sorted(Inbox.objects.values_list("pk", "state")),
            sorted(Endpoint.objects.values_list("pk", "url")),
            sorted(Contact.objects.values_list("pk", "erased_at")),
        ]


def test_the_table_below_names_every_page_that_wants_a_fresh_proof(house: SimpleNamespace) -> None:
    wanting = {p.name for p in pages() if getattr(p.callback, "fresh", False)}
    assert wanting == set(acts(house))


def test_a_fresh_login_is_asked_nothing(house: SimpleNamespace) -> None:
    for name, (path, values) in acts(house).items():
        answer = logged_in(house.owner).post(path, values)
        assert answer.status_code in (200, 302), name
        assert b"Is it you?" not in answer.content, name


def test_ten_minutes_later_each_act_asks_first_and_nothing_is_done(
    house: SimpleNamespace, clock: Any
) -> None:
    table = acts(house)
    client = stale(house.owner, clock)
    before = state(house)
    for name, (path, values) in table.items():
        answer = client.post(path, values)
        assert answer.status_code == 403, name
        assert b"Is it you?" in answer.content, name
    assert state(house) == before


def test_the_question_carries_the_form_along_and_the_act_goes_on(
    house: SimpleNamespace, clock: Any
) -> None:
    client = stale(house.owner, clock)
    values = TOKEN | {"name": 'Nightly "export"', "scopes": ["rules:read", "conversations:read"]}
    page = client.post(reverse("tokens"), values).content.decode()
    kept = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    assert ("name", "Nightly &quot;export&quot;") in kept
    assert [value for name, value in kept if name == "scopes"] == values["scopes"]
    assert "csrfmiddlewaretoken" in page
    wrong = client.post(reverse("tokens"), values | {"proof": "not this one"})
    assert wrong.status_code == 422
    assert not ApiToken.objects.exists()
    right = client.post(reverse("tokens"), values | {"proof": factories.PASSWORD})
    assert b"sb_pat_" in right.content
    assert ApiToken.objects.get().scopes == ["rules:read", "conversations:read"]
    # And for ten minutes nobody asks again.
    assert b"sb_pat_" in client.post(reverse("tokens"), TOKEN).content


def test_somebody_with_a_second_factor_is_asked_for_it_and_not_for_the_password(
    house: SimpleNamespace, clock: Any
) -> None:
    secret = guarded(house.owner.user)
    client = stale(house.owner, clock)
    assert b"one-time-code" in client.post(reverse("tokens"), TOKEN).content
    no = client.post(reverse("tokens"), TOKEN | {"proof": factories.PASSWORD})
    assert no.status_code == 422
    yes = client.post(reverse("tokens"), TOKEN | {"proof": totp(secret)})
    assert b"sb_pat_" in yes.content


def test_a_code_that_was_used_proves_nothing(house: SimpleNamespace, clock: Any) -> None:
    """Bad input 18."""
    secret = guarded(house.owner.user)
    client = stale(house.owner, clock)
    code = totp(secret)
    assert client.post(reverse("prove"), {"proof": code}).status_code == 302
    assert client.post(reverse("prove"), {"proof": code}).status_code == 422


def test_guesses_are_few(house: SimpleNamespace, clock: Any) -> None:
    """Bad input 19: the sixth within five minutes."""
    guarded(house.owner.user)
    client = stale(house.owner, clock)
    for _guess in range(5):
        assert client.post(reverse("tokens"), TOKEN | {"proof": "000000"}).status_code == 422
    answer = client.post(reverse("tokens"), TOKEN | {"proof": "000000"})
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0


def test_who_may_not_do_it_is_refused_and_not_asked(house: SimpleNamespace, clock: Any) -> None:
    client = stale(house.person, clock)
    answer = client.post(reverse("delete_agent", args=[house.agent.public_id]))
    assert answer.status_code == 403
    assert b"Is it you?" not in answer.content


@pytest.mark.parametrize("name", ["factor_off", "recovery_codes"])
def test_pages_of_the_second_factor_ask_before_they_show_their_form(
    house: SimpleNamespace, clock: Any, name: str
) -> None:
    secret = guarded(house.owner.user)
    client = stale(house.owner, clock)
    path = reverse(name)
    way = client.get(path)["Location"]
    assert way == f"{reverse('prove')}?next={path.replace('/', '%2F')}"
    page = client.get(way).content.decode()
    assert f'name="next" value="{path}"' in page
    assert client.post(way, {"proof": "000000", "next": path}).status_code == 422
    assert client.post(way, {"proof": totp(secret), "next": path})["Location"] == path
    assert client.get(path).status_code == 200


def test_the_present_password_is_never_written_into_the_question(
    house: SimpleNamespace, clock: Any
) -> None:
    guarded(house.owner.user)
    client = stale(house.owner, clock)
    answer = client.post(reverse("factor_off"), {"current": factories.PASSWORD})
    assert answer.status_code == 403
    assert factories.PASSWORD not in answer.content.decode()
    assert Authenticator.objects.filter(user=house.owner.user).exists()


def test_htmx_is_led_to_the_question_and_back_to_its_page(
    house: SimpleNamespace, clock: Any
) -> None:
    client = stale(house.owner, clock)
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/settings/tokens/?a=b"}
    answer = client.post(reverse("tokens"), TOKEN, headers=headers)
    assert answer["HX-Redirect"].startswith("/login/confirm/?next=http%3A%2F%2Ftestserver")
    values = {"proof": factories.PASSWORD, "again": "1"}
    values["next"] = "http://testserver/settings/tokens/?a=b"
    back = client.post(reverse("prove"), values, follow=True)
    assert back.redirect_chain[-1][0] == "http://testserver/settings/tokens/?a=b"
    assert "do it again now" in back.content.decode()
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("page", ["https://evil.example/", "//evil.example/x"])
def test_the_question_leads_to_no_other_site(house: SimpleNamespace, clock: Any, page: str) -> None:
    """Bad input 28."""
    client = stale(house.owner, clock)
    headers = {"HX-Request": "true", "HX-Current-URL": page}
    answer = client.post(reverse("tokens"), TOKEN, headers=headers)
    assert answer["HX-Redirect"] == "/login/confirm/?next=%2F&again=1"
    values = {"proof": factories.PASSWORD, "next": page}
    assert client.post(reverse("prove"), values)["Location"] == "/"


def test_a_stranger_is_sent_to_the_login(db: None) -> None:
    assert Client().get(reverse("prove"))["Location"].startswith("/login/?next=")


def test_every_way_in_counts_as_a_proof(house: SimpleNamespace) -> None:
    by_link, by_password = Client(), Client()
    by_link.get(make_link(house.owner.user).removeprefix("http://127.0.0.1:8000"))
    by_password.post(
        reverse("login"), {"email": house.owner.user.email, "password": factories.PASSWORD}
    )
    for client in (by_link, by_password):
        assert b"sb_pat_" in client.post(reverse("tokens"), TOKEN).content


def test_a_proof_does_not_lengthen_the_working_day_of_staff(
    house: SimpleNamespace, clock: Any
) -> None:
    """security.md 3: staff log in again after eight hours, whatever they proved meanwhile."""
    user = factories.make_user("Sam", is_staff=True)
    secret = guarded(user)
    client = Client()
    client.force_login(user)
    for _half_hour in range(17):
        clock.shift(timedelta(minutes=30))
        assert client.get(reverse("admin:accounts_account_changelist")).status_code == 200
    client.post(reverse("prove"), {"proof": totp(secret)})
    clock.shift(timedelta(minutes=5))
    answer = client.get(reverse("admin:accounts_account_changelist"))
    assert answer["Location"].startswith("/login/")


# --- The secrets of an inbox ---------------------------------------------------------------------


def test_address_and_verify_token_of_an_inbox_are_shown_after_a_fresh_proof_only(
    house: SimpleNamespace, clock: Any
) -> None:
    from integrations import routes
    from integrations.services import VERIFY_TOKEN

    inbox = factories.make_inbox(house.account, "whatsapp")
    inbox.credentials = {VERIFY_TOKEN: "tell-nobody"}
    inbox.save()
    routes.create_route(inbox)
    address, url = f"/v1/inboxes/{inbox.public_id}/", routes.hook_url(inbox)
    path = reverse("inbox_settings", args=[inbox.public_id])
    client = logged_in(house.owner)
    assert b"tell-nobody" in client.get(path).content
    assert client.get(address).json()["hook_url"] == url
    clock.shift(LATER)
    page = client.get(path).content.decode()
    assert "tell-nobody" not in page
    assert url not in page
    assert client.get(address).json()["hook_url"] is None
    assert caller(house.owner).get(address).json()["hook_url"] == url
    way = re.search(r'href="(/login/confirm/[^"]+)"', page)
    assert way is not None
    client.post(way[1], {"proof": factories.PASSWORD, "next": path})
    assert b"tell-nobody" in client.get(path).content


# --- REST ----------------------------------------------------------------------------------------


def calls(house: SimpleNamespace) -> dict[str, tuple[str, str, Any]]:
    """Every sensitive act of the API: method, path, body."""
    agent, person = f"/v1/agents/{house.agent.public_id}/", house.person.public_id
    webhook = f"/v1/webhooks/{factories.make_webhook(house.account).public_id}/"
    guarded(house.person.user)
    return {
        "token": ("post", "/v1/tokens/", {"name": "x"}),
        "agent": ("post", "/v1/agents/", {"name": "Nora", "url": "https://93.184.215.14/"}),
        "secret": ("post", f"{agent}rotate_secret/", {}),
        "agent's token": ("post", f"{agent}rotate_token/", {}),
        "role": ("patch", f"/v1/members/{person}/", {"role": "supervisor"}),
        "factor": ("post", f"/v1/members/{person}/remove_factor/", {}),
        "address": ("post", f"/v1/inboxes/{house.inbox.public_id}/rotate_address/", {}),
        "inbox": ("delete", f"/v1/inboxes/{house.inbox.public_id}/", None),
        "agent's url": ("patch", agent, {"url": "https://93.184.215.15/"}),
        "delete": ("delete", agent, None),
        "webhook": ("post", "/v1/webhooks/", {"name": "CRM", "url": "https://93.184.215.14/"}),
        "webhook's secret": ("post", f"{webhook}rotate_secret/", {}),
        "webhook's url": ("patch", webhook, {"url": "https://93.184.215.15/"}),
        "webhook's end": ("delete", webhook, None),
        "contact": ("delete", f"/v1/contacts/{thread_of(house).contact.public_id}/", None),
    }


def send(caller: Caller, method: str, path: str, body: Any) -> Any:
    return caller.delete(path) if body is None else getattr(caller, method)(path, body)


def session_of(member: Member) -> Caller:
    caller = Caller()
    caller.client = logged_in(member)
    return caller


def test_the_table_above_names_every_call_that_wants_a_fresh_proof(
    house: SimpleNamespace,
) -> None:
    wanting = {(route.view, route.action) for route in ROUTES}
    fresh = {(view, action) for view, action in wanting if action in view.fresh_actions}
    # The role and two addresses are fields of calls that are not sensitive otherwise.
    assert len(fresh) == len(calls(house)) - 3


def test_a_stale_session_gets_403_with_a_code_and_what_to_do(
    house: SimpleNamespace, clock: Any
) -> None:
    table = calls(house)
    caller = session_of(house.owner)
    caller.get("/v1/me/")
    clock.shift(LATER)
    before = state(house)
    for name, (method, path, body) in table.items():
        answer = send(caller, method, path, body)
        assert (answer.status_code, code_of(answer)) == (403, "fresh_factor_required"), name
        assert "/v1/auth/confirm/" in answer.json()["detail"]
    assert state(house) == before
    assert caller.patch(f"/v1/members/{house.person.public_id}/", {"name": "P"}).status_code == 200


def test_after_the_confirmation_the_same_calls_pass(house: SimpleNamespace, clock: Any) -> None:
    table = calls(house)
    caller = session_of(house.owner)
    caller.get("/v1/me/")
    clock.shift(LATER)
    assert code_of(caller.post("/v1/auth/confirm/", {"proof": "wrong"})) == "wrong_password"
    answer = caller.post("/v1/auth/confirm/", {"proof": factories.PASSWORD})
    assert answer.json() == {"fresh_for": 600}
    for name, (method, path, body) in table.items():
        assert send(caller, method, path, body).status_code < 300, name


def test_a_token_is_judged_by_its_scopes_however_old_it_is(api: SimpleNamespace) -> None:
    table = calls(api.house)
    with time_machine.travel(timezone.now() + timedelta(days=2), tick=False):
        for name, (method, path, body) in table.items():
            assert send(api.owner, method, path, body).status_code < 300, name


def test_the_confirmation_is_for_sessions_alone(api: SimpleNamespace) -> None:
    answer = api.owner.post("/v1/auth/confirm/", {"proof": factories.PASSWORD})
    assert answer.status_code in (401, 403)


# --- Removing the factor of somebody who lost it -----------------------------------------------------


def test_an_admin_removes_the_factor_of_a_person_and_their_sessions_end(
    house: SimpleNamespace,
) -> None:
    guarded(house.person.user)
    theirs = logged_in(house.person)
    assert theirs.get(reverse("team")).status_code == 200
    client = logged_in(house.admin)
    path = reverse("remove_factor", args=[house.person.public_id])
    assert path in client.get(reverse("team")).content.decode()
    client.post(path)
    assert not Authenticator.objects.exists()
    assert theirs.get(reverse("team"))["Location"].startswith("/login/")
    entry = AuditEntry.objects.get(action="member.factor_removed")
    assert (entry.member, entry.object_id) == (house.admin, house.person.public_id)
    assert path not in client.get(reverse("team")).content.decode()


@pytest.mark.parametrize(
    ("by", "of"), [("admin", "owner"), ("owner", "owner"), ("supervisor", "person")]
)
def test_nobody_removes_a_factor_above_their_role_or_their_own(
    house: SimpleNamespace, by: str, of: str
) -> None:
    target = getattr(house, of)
    guarded(target.user)
    logged_in(getattr(house, by)).post(reverse("remove_factor", args=[target.public_id]))
    assert Authenticator.objects.filter(user=target.user).exists()


def test_no_account_decides_over_the_login_of_somebody_elses_member(
    house: SimpleNamespace,
) -> None:
    """Else an account could be opened, its owner invited, and their factor taken from them."""
    guarded(house.person.user)
    Member.objects.create(
        account=house.outsider_account, user=house.person.user, name="Petra", role=Role.OWNER
    )
    client = logged_in(house.owner)
    path = reverse("remove_factor", args=[house.person.public_id])
    assert "another account" in client.post(path, follow=True).content.decode()
    assert Authenticator.objects.filter(user=house.person.user).exists()


# --- The account's policy ------------------------------------------------------------------------


def test_owners_and_admins_without_a_factor_are_led_to_it_where_the_account_wants_one(
    house: SimpleNamespace,
) -> None:
    Account.objects.update(factor_required=True)
    for member in (house.owner, house.admin):
        client = logged_in(member)
        for path in ("/", reverse("agents"), reverse("settings")):
            assert client.get(path)["Location"] == reverse("factor_on"), path
        assert "Switch yours on first" in client.get(reverse("factor_on")).content.decode()
        assert code_of(session_of(member).get("/v1/agents/")) == "factor_required"
        guarded(member.user)
        assert client.get("/").status_code == 200
        assert session_of(member).get("/v1/agents/").status_code == 200
    for member in (house.supervisor, house.person):
        assert logged_in(member).get("/").status_code == 200


def test_the_owner_switches_it_on_with_a_factor_of_their_own_only(house: SimpleNamespace) -> None:
    values = {
        "name": "Shop", "locale": "ro", "time_zone": "Europe/Bucharest", "country": "ro",
        "factor_required": "on",
    }  # fmt: skip
    client = logged_in(house.owner)
    answer = client.post(reverse("settings"), values)
    assert answer.status_code == 422
    assert "your own second factor first" in answer.content.decode()
    guarded(house.owner.user)
    assert client.post(reverse("settings"), values)["Location"] == reverse("settings")
    house.account.refresh_from_db()
    assert house.account.factor_required
    entry = AuditEntry.objects.filter(action="account.changed").latest("pk")
    assert entry.changes["factor_required"] == [False, True]


def test_the_profile_nudges_who_runs_the_account_with_a_password_alone(
    house: SimpleNamespace,
) -> None:
    nudge = "Switch on a second factor"
    assert nudge in logged_in(house.admin).get(reverse("profile")).content.decode()
    assert nudge not in logged_in(house.person).get(reverse("profile")).content.decode()
    guarded(house.admin.user)
    assert nudge not in logged_in(house.admin).get(reverse("profile")).content.decode()


def test_accounts_are_told_of_a_required_factor_by_the_api(api: SimpleNamespace) -> None:
    assert api.owner.get("/v1/account/").json()["factor_required"] is False
    refused = api.owner.patch("/v1/account/", {"factor_required": True})
    assert (refused.status_code, code_of(refused)) == (403, "not_allowed")
    guarded(api.house.owner.user)
    changed = api.owner.patch("/v1/account/", {"factor_required": True})
    assert changed.json()["factor_required"] is True
    with account_context(api.house.account):
        services.update_account(api.house.account, by=api.house.owner, factor_required=False)
