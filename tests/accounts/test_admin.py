"""The staff admin: accounts by name only, and what is in one during a visit (SX-10, SX-25, SX-43)."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib import admin
from django.db.models import BinaryField
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, SupportSession, User
from accounts.staff import ContentAdmin, StaffAdmin
from accounts.tenancy import account_context
from accounts.tokens import create_token
from agents.models import AssignmentRule, Decision
from conversations import services
from conversations.messages import Content
from conversations.models import Contact, Delivery, EndpointSecret, Lane
from integrations import routes
from integrations.models import Receipt
from tests import factories

CANARY = "kanarienvogel"
REASON = "Ticket 4711: chats stay unassigned"
SECRET_NAMES = re.compile(
    r"sealed|sha256|secret|token|password|credential|body|packed|row_key|key_id|dedupe", re.I
)
CONTENT = [model for model, page in admin.site._registry.items() if isinstance(page, ContentAdmin)]


def staff_client(**rights: Any) -> Client:
    user = factories.make_user("Sam", is_staff=True, **rights)
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "x"})
    client = Client()
    client.force_login(user)
    client.user = user  # type: ignore[attr-defined]
    return client


@pytest.fixture
def support(house: SimpleNamespace) -> Client:
    """Support staff with a second factor, in no account."""
    return staff_client()


@pytest.fixture
def shop(house: SimpleNamespace) -> SimpleNamespace:
    """The account with something in every table that staff may read."""
    house.inbox.name = f"{CANARY} inbox"
    house.inbox.credentials = {"access_token": "hush-access-token", "app_secret": "hush-app-secret"}
    house.inbox.save()
    house.route = routes.create_route(house.inbox)
    house.conversation = factories.make_conversation(
        house.inbox, f"{CANARY} said", contact_name=f"{CANARY} +40 722 123 456"
    )
    Contact.objects.update(
        phone="+40722123456", email="maria@shop.test", attributes={"call": "+40722999888"}
    )
    services.add_note(house.conversation, text=f"{CANARY} note", author=house.person)
    services.post_message(
        house.conversation, content=Content(text="<script>alert(1)</script>"), author=house.owner
    )
    AssignmentRule.objects.create(name=f"{CANARY} rule")
    Decision.objects.create(
        conversation=house.conversation, event_id="evt_1", event_type="message.created",
        outcome=f"{CANARY} outcome", facts={"phone": "+40722123456"},
        trace=[{"name": "r", "matched": True, "leaf": {"field": "text", "op": "is", "actual": "x"}}],
    )  # fmt: skip
    lane = Lane.objects.create(kind="agent", destination_id=1, key="x")
    delivery = Delivery(lane=lane, kind="agent", schedule="live", wire_id="w", sequence=1,
                        due_at=timezone.now(), endpoint=house.agent.endpoint)  # fmt: skip
    delivery.body = b"hush-body"
    delivery.save()
    Receipt.objects.create(
        inbox=house.inbox, lane_id=lane.pk, dedupe_key="m:+40722123456:1",
        body_packed=Receipt.pack(b"hush-receipt"), result="from +40722123456",
    )  # fmt: skip
    _token, house.token = create_token(house.owner, kind="pat", name="mine")
    house.secret = EndpointSecret.objects.get(endpoint=house.agent.endpoint).value
    AuditEntry.objects.create(actor_kind="user", actor_name="Olga", action="test.done")
    factories.make_webhook(
        house.account, name=f"{CANARY} webhook", url="https://crm.example.com/?key=hush-key"
    )
    return house


def enter(client: Client, account: Any, reason: str = REASON) -> Any:
    return client.post(reverse("admin:account_enter", args=[account.pk]), {"reason": reason})


def lists() -> list[str]:
    return [reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in CONTENT]


def pages_of(account: Any) -> list[str]:
    """The page of every row staff may read."""
    with account_context(account):
        return [
            reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_change", args=[row.pk])
            for m in CONTENT
            for row in m._base_manager.filter(account=account)
        ]


# --- Coming in ---------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_our_own_login(house):
    response = Client().get("/admin/", follow=True)
    assert response.redirect_chain[-1][0].startswith("/login/?next=/admin/")


def test_a_member_who_is_no_staff_is_refused(house):
    client = Client()
    client.force_login(house.owner.user)
    response = client.get("/admin/accounts/account/", follow=True)
    assert response.status_code == 403


def test_staff_without_a_second_factor_are_told_to_set_one_up(house):
    """SX-43."""
    client = Client()
    client.force_login(factories.make_user("Sam", is_staff=True, is_superuser=True))
    response = client.get("/admin/accounts/account/", follow=True)
    assert response.status_code == 403
    assert reverse("security") in response.content.decode()


def test_password_and_code_on_our_login_page_open_the_admin(house):
    """Bad input 17: the admin has no way in of its own."""
    user = factories.make_user("Sam", is_staff=True)
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    client = Client()
    credentials = {"email": user.email, "password": factories.PASSWORD, "next": "/admin/"}
    asked = client.post("/login/", credentials)
    assert client.get("/admin/accounts/account/").status_code == 302
    with time_machine.travel(timezone.now(), tick=False):  # the code's half minute does not end
        code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
        opened = client.post(asked["Location"], {"code": code})
    assert opened["Location"] == "/admin/"
    assert client.get("/admin/accounts/account/").status_code == 200


def test_recovery_codes_alone_are_no_second_factor(house):
    client = Client()
    user = factories.make_user("Sam", is_staff=True)
    Authenticator.objects.create(
        user=user, type=Authenticator.Type.RECOVERY_CODES, data={"seed": "x"}
    )
    client.force_login(user)
    assert client.get("/admin/accounts/account/", follow=True).status_code == 403


def test_a_staff_session_ends_after_an_idle_hour_and_after_a_day(support):
    """Section 3 of the security contract: 1 h idle, 8 h in all."""
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        assert support.get("/admin/accounts/account/").status_code == 200
        clock.shift(timedelta(minutes=61))
        assert support.get("/admin/accounts/account/")["Location"].startswith("/login/")
        assert "_auth_user_id" not in support.session


# --- Without a visit ---------------------------------------------------------------------------------


def test_without_a_visit_staff_see_accounts_by_name_and_nothing_in_them(shop, support):
    """SX-10, bad input 10."""
    accounts = support.get("/admin/accounts/account/").content.decode()
    assert shop.account.name in accounts
    assert CANARY not in accounts
    for path in [*lists(), *pages_of(shop.account)]:
        response = support.get(path)
        assert response.status_code == 403, path
        assert CANARY not in response.content.decode(), path


def test_a_superuser_sees_nothing_more_of_an_account_without_a_visit(shop):
    client = staff_client(is_superuser=True)
    for path in [*lists(), *pages_of(shop.account)]:
        assert client.get(path).status_code == 403, path


# --- A visit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["", "   ", "why", "\n\n\t "])
def test_a_visit_needs_a_reason(shop, support, reason):
    response = enter(support, shop.account, reason)
    assert response.status_code == 422
    assert not SupportSession.objects.exists()
    assert support.get(lists()[0]).status_code == 403


def test_a_visit_is_in_the_accounts_own_audit_log(shop, support):
    """SX-10: who, when, why; and what was opened."""
    assert enter(support, shop.account).status_code == 302
    path = reverse("admin:conversations_conversation_change", args=[shop.conversation.pk])
    assert support.get(path).status_code == 200
    support.post(reverse("admin:leave"))
    entries = AuditEntry.objects.filter(actor_kind="support").order_by("pk")
    assert [entry.action for entry in entries] == [
        "support.entered", "support.viewed", "support.left",
    ]  # fmt: skip
    assert {entry.reason for entry in entries} == {REASON}
    assert {entry.actor_name for entry in entries} == {support.user.email}
    assert entries[1].object_id == shop.conversation.public_id


def test_during_a_visit_staff_read_agents_inboxes_conversations_and_rules(shop, support):
    enter(support, shop.account)
    for path in lists():
        response = support.get(path)
        assert response.status_code == 200, path
        assert "You are inside" in response.content.decode(), path
    thread = support.get(
        reverse("admin:conversations_conversation_change", args=[shop.conversation.pk])
    ).content.decode()
    for text in (f"{CANARY} said", f"{CANARY} note", f"{CANARY} inbox"):
        assert text in thread
    rules = support.get(reverse("admin:agents_assignmentrule_changelist")).content.decode()
    assert f"{CANARY} rule" in rules


def test_everything_can_be_opened_and_nothing_can_be_changed(shop, support):
    enter(support, shop.account)
    for path in pages_of(shop.account):
        assert support.get(path).status_code == 200, path
        assert support.post(path, {"name": "changed"}).status_code == 403, path
        assert support.post(path.replace("change", "delete"), {"post": "yes"}).status_code == 403
    for path in lists():
        assert support.get(f"{path}add/").status_code == 403, path


def test_no_secret_is_on_any_page(shop, support):
    """SX-25."""
    enter(support, shop.account)
    secrets = (
        "hush-", shop.route, shop.token, shop.token.split("_")[2], shop.secret,
        shop.owner.user.password,
    )  # fmt: skip
    for path in [*lists(), *pages_of(shop.account)]:
        html = support.get(path).content.decode()
        assert not [secret for secret in secrets if secret in html], path


def test_phone_numbers_and_e_mails_are_masked_in_titles_and_json_too(shop, support):
    enter(support, shop.account)
    for path in [*lists(), *pages_of(shop.account)]:
        html = support.get(path).content.decode()
        for clear in ("0722123456", "722123456", "722 123 456", "722999888", "maria@shop.test"):
            assert clear not in html, f"{clear} on {path}"
    contact = Contact.objects.get(pk=shop.conversation.contact_id)
    path = reverse("admin:conversations_contact_change", args=[contact.pk])
    assert "…456" in support.get(path).content.decode()
    assert contact.phone == "+40722123456"


def test_what_customers_write_is_shown_as_text(shop, support):
    """Bad input 53."""
    enter(support, shop.account)
    html = support.get(
        reverse("admin:conversations_conversation_change", args=[shop.conversation.pk])
    ).content.decode()
    assert "<script>alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_a_visit_shows_one_account_only(shop, support):
    enter(support, shop.outsider_account)
    for path in lists():
        assert CANARY not in support.get(path).content.decode(), path
    for path in pages_of(shop.account):
        response = support.get(path)
        assert response.status_code in (302, 403, 404), path
        assert CANARY not in response.content.decode(), path


def test_a_visit_ends_after_an_hour(shop, support):
    with time_machine.travel(timezone.now(), tick=False) as clock:
        enter(support, shop.account)
        for _quarter in range(3):
            clock.shift(timedelta(minutes=15))
            assert support.get(lists()[0]).status_code == 200
        clock.shift(timedelta(minutes=16))
        assert support.get(lists()[0]).status_code == 403


def test_the_owner_can_shut_support_out_at_once(shop, support):
    """SX-10."""
    enter(support, shop.account)
    shop.account.support_access = False
    shop.account.save()
    assert support.get(lists()[0]).status_code == 403
    assert enter(support, shop.account).status_code == 422
    assert "keeps support out" in support.get("/admin/accounts/account/").content.decode()


def test_the_owner_sees_who_was_in_and_why(shop, support):
    enter(support, shop.account)
    client = Client()
    client.force_login(shop.owner.user)
    page = client.get(reverse("support")).content.decode()
    assert REASON in page
    assert support.user.email in page


def test_entering_a_second_account_leaves_the_first(shop, support):
    enter(support, shop.account)
    enter(support, shop.outsider_account)
    first = SupportSession.objects.get(account=shop.account)
    assert first.ended_at is not None
    assert CANARY not in support.get(lists()[0]).content.decode()


def test_a_visit_cannot_be_borrowed_by_another_staff_member(shop, support):
    enter(support, shop.account)
    other = staff_client()
    session = other.session
    session["support_session"] = SupportSession.objects.get().pk
    session.save()
    assert other.get(lists()[0]).status_code == 403


def test_leaving_needs_a_post(shop, support):
    enter(support, shop.account)
    assert support.get(reverse("admin:leave")).status_code == 405
    assert support.get(lists()[0]).status_code == 200


# --- Superusers --------------------------------------------------------------------------------------


def test_support_sends_what_ended_again_with_a_reason(shop, support):
    """DL-80: the one act of staff in an account; its owner reads who it was and why."""
    conversation = services.assign(shop.conversation, to=shop.agent.member, by=shop.owner)
    told = Delivery.objects.filter(kind="agent", conversation=conversation)
    told.update(state="delivered", attempts=1)
    first = told.order_by("pk")[0]
    page = reverse("admin:delivery_replay", args=[first.pk])
    assert support.get(page).status_code == 403
    enter(support, shop.account)
    shown = support.get(reverse("admin:conversations_delivery_change", args=[first.pk]))
    assert page in shown.content.decode()
    assert support.get(page).status_code == 200
    assert support.post(page, {"reason": "why"}).status_code == 422
    assert not Delivery.objects.filter(replay_of=first).exists()
    assert support.post(page, {"reason": REASON}).status_code == 302
    again = Delivery.objects.get(replay_of=first)
    entry = AuditEntry.objects.get(action="delivery.replayed")
    assert (entry.actor_kind, entry.actor_name) == ("support", support.user.email)
    assert (entry.reason, entry.changes) == (REASON, {"replay": again.public_id})
    refused = support.post(page, {"reason": REASON})
    assert refused.status_code == 422
    assert "on its way again already" in refused.content.decode()


def test_support_sends_nothing_again_in_an_account_it_does_not_visit(shop, support):
    other = factories.make_account("Other")
    first = Delivery.objects.order_by("pk")[0]
    enter(support, other)
    page = reverse("admin:delivery_replay", args=[first.pk])
    assert support.post(page, {"reason": REASON}).status_code == 404


def test_support_cannot_manage_accounts_users_or_plans(shop, support):
    account = reverse("admin:accounts_account_change", args=[shop.account.pk])
    assert support.get(account).status_code == 200
    assert support.post(account, {"name": "x"}).status_code == 403
    assert support.get(reverse("admin:accounts_user_changelist")).status_code == 403
    assert support.get(reverse("admin:accounts_supportsession_changelist")).status_code == 403
    assert support.get(reverse("admin:accounts_plan_add")).status_code == 403


def test_a_superuser_changes_name_and_plan_but_not_the_owners_switch(shop):
    client = staff_client(is_superuser=True)
    shop.account.support_access = False
    shop.account.save()
    path = reverse("admin:accounts_account_change", args=[shop.account.pk])
    data = {"name": "New name", "support_access": "on", "slug": "other"}
    assert client.post(path, data).status_code == 302
    shop.account.refresh_from_db()
    assert shop.account.name == "New name"
    assert shop.account.slug != "other"
    assert not shop.account.support_access
    assert AuditEntry.objects.filter(action="account.changed", actor_kind="support").exists()


def test_a_user_whose_rights_change_loses_their_sessions(house):
    """SX-24."""
    client = staff_client(is_superuser=True)
    other = Client()
    user = house.person.user
    other.force_login(user)
    assert other.get("/").status_code == 200
    path = reverse("admin:accounts_user_change", args=[user.pk])
    data = {"email": user.email, "name": user.name, "language": "en-gb", "is_active": "on",
            "is_staff": "on"}  # fmt: skip
    assert client.post(path, data).status_code == 302
    assert other.get("/").status_code == 302
    user.refresh_from_db()
    assert user.is_staff


def test_a_new_user_has_no_password_until_they_choose_one(house):
    client = staff_client(is_superuser=True)
    data = {"email": "New@Operator.test", "name": "New", "language": "en-gb", "is_active": "on"}
    assert client.post(reverse("admin:accounts_user_add"), data).status_code == 302
    user = User.objects.get(email="new@operator.test")
    assert not user.has_usable_password()


# --- The site itself ---------------------------------------------------------------------------------


def test_every_page_of_the_site_is_one_of_ours():
    """Packages register pages of their own; theirs know nothing of visits."""
    foreign = [m for m, page in admin.site._registry.items() if not isinstance(page, StaffAdmin)]
    assert not foreign


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda m: m._meta.label)
def test_no_page_names_a_secret_field(model):
    """SX-25: neither in a form, nor in a list, nor as a search or filter."""
    page = admin.site._registry[model]
    named = [
        str(name)
        for group in (page.fields or (), page.list_display, page.list_filter, page.search_fields)
        for name in group
    ]
    assert page.fields, "list the fields by name: a new column must not appear by itself"
    assert not [name for name in named if SECRET_NAMES.search(name)]
    binary = {f.name for f in model._meta.fields if isinstance(f, BinaryField)}
    assert not binary & set(named)


def test_content_of_accounts_is_registered_as_such():
    for model, page in admin.site._registry.items():
        has_account = any(field.name == "account" for field in model._meta.fields)
        assert isinstance(page, ContentAdmin) == (has_account and model is not SupportSession), (
            model
        )


# --- From where ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "peer", "forwarded", "proxies", "status"),
    [
        ([], "198.51.100.9", "", 0, 200),
        (["203.0.113.0/24"], "203.0.113.7", "", 0, 200),
        (["198.51.100.9"], "198.51.100.9", "", 0, 200),
        (["203.0.113.0/24"], "::ffff:203.0.113.7", "", 0, 200),
        (["2001:db8::/32", "10.0.0.0/8"], "2001:db8::5", "", 0, 200),
        (["203.0.113.0/24"], "198.51.100.9", "", 0, 404),
        (["203.0.113.0/24"], "", "", 0, 404),
        (["nonsense"], "203.0.113.7", "", 0, 404),
        # Bad input 30: what the caller writes is not believed.
        (["203.0.113.0/24"], "198.51.100.9", "203.0.113.7", 0, 404),
        (["203.0.113.0/24"], "10.0.0.1", "203.0.113.7, 198.51.100.9", 1, 404),
        (["203.0.113.0/24"], "10.0.0.1", "198.51.100.9, 203.0.113.7", 1, 200),
    ],
)
def test_the_admin_is_there_for_the_allowed_networks_only(
    support: Client, settings: Any, allowed: list[str], peer: str, forwarded: str, proxies: int,
    status: int,
) -> None:  # fmt: skip
    """SX-25, SX-62"""
    settings.ADMIN_ALLOW, settings.TRUSTED_PROXIES = allowed, proxies
    path = reverse("admin:accounts_account_changelist")
    answer = support.get(path, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert answer.status_code == status


@pytest.mark.parametrize("method", ["get", "post", "put"])
@pytest.mark.parametrize(
    "page", ["/admin/", "/admin/login/", "/admin/accounts/account/", "/admin/x"]
)
def test_elsewhere_it_answers_like_an_address_that_is_not_there(
    support: Client, settings: Any, method: str, page: str
) -> None:
    """SX-25: nothing tells that there is an admin, its policy neither."""
    settings.ADMIN_ALLOW = ["203.0.113.0/24"]
    for client in (support, Client(), Client(enforce_csrf_checks=True)):
        refused, nothing = (getattr(client, method)(path) for path in (page, "/nothing-here/"))
        assert (refused.status_code, nothing.status_code) == (404, 404)
        assert refused["Content-Security-Policy"] == nothing["Content-Security-Policy"]
        assert set(refused.headers) == set(nothing.headers)
        bare = [
            re.sub(rb"req_[0-9a-f]+|ticket=[^\"]+|csrf[^>]+>", b"", a.content)
            for a in (refused, nothing)
        ]
        assert bare[0].replace(page.encode(), b"") == bare[1].replace(b"/nothing-here/", b"")
