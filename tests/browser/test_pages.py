"""Every page but the desk: opened in a real browser, wide, narrow and dark, with real rows in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page

from accounts import services as people
from accounts.models import Invitation, LocalLetter, SupportSession
from accounts.permissions import Role
from accounts.tenancy import account_context
from agents import rules, system
from agents.models import AssignmentRule
from conversations.models import Attempt, Delivery, Lane
from conversations.services import outbox
from integrations import services as inboxes
from integrations.models import Receipt
from integrations.subscribers import services as webhooks
from tests import factories
from tests.browser.conftest import assert_clean
from tests.serving import Served

pytestmark = pytest.mark.browser


@pytest.fixture
def furnished(shop: SimpleNamespace) -> SimpleNamespace:
    """The shop with something on every page; `path` maps a page's name to its address."""
    with account_context(shop.account):
        whatsapp = _whatsapp(shop)
        sandbox = inboxes.connect_inbox(platform="sandbox", name="Sandbox", by=shop.owner)
        rules.create_default_rules(shop.account, shop.agent, by=shop.owner)
        failed = _deliveries(shop)
        webhook = _webhook(shop)
        people.issue_token(by=shop.owner, kind="pat", name="Nightly export")
        people.create_team(name="Night shift", by=shop.owner)
    _strangers(shop)
    agent, rule = shop.agent.public_id, _first_rule(shop)
    names: dict[str, tuple[str, ...]] = {
        "setup": (), "inboxes": (), "choose_platform": (), "connect_inbox": ("whatsapp",),
        "inbox_settings": (whatsapp.public_id,), "change_inbox": (whatsapp.public_id,),
        "agents": (), "create_agent": (), "agent": (agent,), "change_agent": (agent,),
        "take_in_agent": (_offered(),),
        "test_agent": (agent,), "deliveries": (), "delivery": (failed,),
        "rules": (), "create_rule": (), "rule": (rule,), "change_rule": (rule,),
        "team": (), "teams": (), "create_team": (), "change_team": (shop.team.public_id,),
        "settings": (), "tokens": (), "webhooks": (), "create_webhook": (),
        "webhook": (webhook,), "change_webhook": (webhook,), "support": (), "audit_log": (),
        "profile": (), "security": (), "change_password": (), "factor_on": (),
        "accounts": (), "mailbox": (), "trace": (), "attention": (),
    }  # fmt: skip
    shop.path = {name: reverse(name, args=args) for name, args in names.items()}
    for name, text in (("turn", failed), ("whole", "#1"), ("nothing", "wamid.unknown")):
        shop.path[f"trace_{name}"] = f"{reverse('trace')}?q={quote(text)}"
    shop.path["sandbox_settings"] = reverse("inbox_settings", args=[sandbox.public_id])
    return shop


def _whatsapp(shop: SimpleNamespace):
    inbox = inboxes.connect_inbox(
        platform="whatsapp",
        name="Support number",
        values={
            "phone_number_id": "1055501234567",
            "waba_id": "2099901234567",
            "access_token": "EAAtest0123456789abcd",
            "app_secret": "0123456789abcdef",
        },
        fallback_team=shop.team,
        by=shop.owner,
    )
    steps = [
        {"name": "number", "ok": True, "title": "Access token and phone number", "detail": "Shop"},
        {"name": "callback", "ok": False, "title": "Messages arrive at this inbox",
         "detail": "Meta cannot reach 127.0.0.1."},
    ]  # fmt: skip
    inboxes.note_health(inbox, "check", {"run": "r", "state": "failed", "steps": steps})
    place = outbox.take_place(
        account_id=shop.account.pk, kind=Lane.Kind.INBOUND, destination_id=inbox.pk, key="k"
    )
    for number, state in enumerate(("done", "failed", "ignored")):
        Receipt.objects.create(
            inbox=inbox, lane_id=place.lane_id, dedupe_key=f"d{number}", state=state,
            result="text is missing" if state == "failed" else "message",
        )  # fmt: skip
    return inbox


def _deliveries(shop: SimpleNamespace) -> str:
    """A conversation that the agent holds; the first delivery to it failed once."""
    factories.make_conversation(shop.inbox, "Do you ship to Cluj?")
    delivery = Delivery.objects.filter(kind="agent").order_by("pk").first()
    assert delivery is not None
    now = timezone.now()
    Attempt.objects.create(
        delivery=delivery, n=1, started_at=now, ended_at=now, outcome="http_error", status=500,
        latency_ms=412, request_headers={"webhook-id": delivery.wire_id},
        response_body='{"error": "down"}', next_due_at=now + timedelta(seconds=5),
    )  # fmt: skip
    Delivery.objects.filter(pk=delivery.pk).update(state="retry_wait", attempts=1)
    other = Delivery.objects.filter(kind="agent").exclude(pk=delivery.pk)
    other.update(state="dead", finished_at=now, dead_reason="HTTP 500")
    return delivery.public_id


def _webhook(shop: SimpleNamespace) -> str:
    """One that was tested and failed since, beside one that its own answer switched off."""
    webhook = factories.make_webhook(
        shop.account,
        name="CRM",
        url="https://crm.example.com/switchboard/events?key=1",
        event_types=["conversation.resolved", "message.created", "message.draft_discarded"],
        strict_order=True,
        last_success_at=timezone.now() - timedelta(hours=3),
        last_failure_at=timezone.now() - timedelta(minutes=2),
        consecutive_failures=2,
        last_error="http_error 503",
    )
    gone = factories.make_webhook(shop.account, name="Old data warehouse")
    webhooks.switch_off(gone, by=None, reason="its endpoint answered 410 Gone")
    webhooks.rotate_secret(webhook, by=shop.owner)
    factories.make_conversation(shop.inbox, "Is it still on offer?")
    test = webhooks.send_test(webhook, by=shop.owner)
    now = timezone.now()
    Attempt.objects.create(
        delivery=test, n=1, started_at=now, ended_at=now, outcome="http_error", status=404,
        latency_ms=87, response_body='{"error": "no such page"}',
    )  # fmt: skip
    Delivery.objects.filter(pk=test.pk).update(
        state="dead", attempts=1, finished_at=now, dead_reason="http_error 404"
    )
    return webhook.public_id


def _strangers(shop: SimpleNamespace) -> None:
    Invitation.objects.create(
        account=shop.account,
        email="new@example.test",
        role=Role.PERSON,
        token_sha256=b"x" * 32,
        invited_by=shop.owner,
        expires_at=timezone.now() + timedelta(hours=70),
    )
    SupportSession.objects.create(
        account=shop.account,
        user=factories.make_user("Sam"),
        reason="Ticket 4711: messages do not arrive",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    LocalLetter.objects.create(to="a@example.test", subject="123456 is your code", body="123456")


def _offered() -> str:
    made = system.define(
        name="Parcel tracker",
        description="Answers where an order is, in the customer's own language, from the carrier's pages",
        url="https://93.184.215.14/",
        dialect="native",
    )
    return made.system.public_id


def _first_rule(shop: SimpleNamespace) -> str:
    with account_context(shop.account):
        first = AssignmentRule.objects.first()
        assert first is not None
        return first.public_id


def test_every_page_is_accessible_and_fits_wide_narrow_and_dark(
    furnished: SimpleNamespace, open_page: Callable[..., Page]
) -> None:
    problems = []
    for width, dark in ((1440, False), (390, False), (1440, True)):
        page = open_page(furnished.owner, furnished.path["setup"], width=width, dark=dark)
        for name, path in furnished.path.items():
            page.goto(path)
            try:
                assert_clean(page)
            except AssertionError as error:
                problems.append((name, width, dark, str(error)[:700]))
            page.errors.clear()  # type: ignore[attr-defined]  # set by open_page
    assert problems == []


def test_the_own_menu_is_accessible(shop: SimpleNamespace, open_page: Callable[..., Page]) -> None:
    for width, dark in ((1440, False), (390, False), (1440, True)):
        page = open_page(shop.owner, reverse("team"), width=width, dark=dark)
        page.click("[popovertarget=user-menu]")
        page.get_by_role("button", name="Log out").wait_for()
        assert_clean(page)


CUT = """() => [...document.querySelectorAll("a, button, label, summary, h1, h2, th, dt, .chip")]
  .filter((node) => node.checkVisibility() && node.clientWidth > 1)
  .filter((node) => node.scrollWidth > node.clientWidth + 1)
  .map((node) => `${node.className}: ${node.innerText.slice(0, 60)}`)"""


def test_every_page_fits_in_romanian_too(
    furnished: SimpleNamespace, open_page: Callable[..., Page]
) -> None:
    furnished.owner.user.language = "ro"
    furnished.owner.user.save()
    problems = []
    for width in (1440, 390):
        page = open_page(furnished.owner, "/", width=width)
        assert page.get_by_role("link", name="Ale mele").is_visible()
        for name, path in furnished.path.items():
            page.goto(path)
            sideways = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            if sideways or (cut := page.evaluate(CUT)):
                problems.append((name, width, sideways or cut))
    assert problems == []


@pytest.mark.parametrize("name", ["login", "sign_up", "password_reset"])
def test_pages_before_the_login_are_accessible(
    chromium: Browser, server: Served, name: str
) -> None:
    for width in (1440, 390):
        page = chromium.new_page(
            base_url=server.url,
            viewport={"width": width, "height": 860},
            color_scheme="light" if width == 1440 else "dark",
        )
        page.errors = []  # type: ignore[attr-defined]  # read by assert_clean
        page.goto(reverse(name))
        assert_clean(page)
        page.close()


def test_a_rule_is_written_in_the_browser_and_fields_follow_each_other(
    furnished: SimpleNamespace, open_page: Callable[..., Page]
) -> None:
    page = open_page(furnished.owner, furnished.path["create_rule"])
    page.fill("#rule-name", "VIPs on WhatsApp")
    page.get_by_role("button", name="Condition", exact=True).click()
    page.select_option("[name='field-0.0']", "channel")
    page.wait_for_selector("select[name='value-0.0']")
    page.select_option("[name='op-0.0']", "in")
    page.check("input[name='value-0.0'][value=whatsapp]")
    page.select_option("[name='action-0']", "reply")
    page.fill("textarea[name='text-0']", "Hello there")
    page.get_by_role("button", name="Group", exact=True).click()
    page.fill("[name='value-0.1.0']", "vip")
    assert page.input_value("#rule-name") == "VIPs on WhatsApp"
    assert_clean(page)
    page.locator(".card-foot").get_by_role("button", name="Save").click()
    page.get_by_text("What it did lately").wait_for()
    assert "text contains “vip”: reply “Hello there”" in page.inner_text("main")
    assert page.errors == []  # type: ignore[attr-defined]  # set by open_page


def test_what_a_swap_brings_is_alive_the_moment_it_is_seen(
    furnished: SimpleNamespace, open_page: Callable[..., Page]
) -> None:
    """A change made in the very instant in which the field appears is not lost."""
    page = open_page(furnished.owner, furnished.path["create_rule"])
    page.evaluate(
        """() => new MutationObserver((_, observer) => {
            const field = document.querySelector("[name='field-0.0']");
            if (!field) return;
            observer.disconnect();
            field.value = "channel";
            field.dispatchEvent(new Event("change", {bubbles: true}));
        }).observe(document.body, {childList: true, subtree: true})"""
    )
    page.get_by_role("button", name="Condition", exact=True).click()
    page.wait_for_selector("select[name='value-0.0']", timeout=10_000)


def test_what_was_done_is_undone_from_the_toast(
    furnished: SimpleNamespace, open_page: Callable[..., Page]
) -> None:
    page = open_page(furnished.owner, furnished.path["agents"])
    page.get_by_role("button", name="Pause all").first.click()
    page.locator("#pause-all").get_by_role("button", name="Pause all").click()
    page.get_by_text("Every AI agent is paused. People get all conversations.").wait_for()
    assert_clean(page)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.get_by_text("AI agents work again").wait_for()
    assert page.errors == []  # type: ignore[attr-defined]  # set by open_page
