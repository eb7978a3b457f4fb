"""The desk in a real browser: one journey, two people, every look, and no script at all."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Content
from conversations.models import Conversation, Message
from tests.browser.conftest import assert_clean
from tests.factories import make_conversation, make_inbox, said
from tests.serving import Served

pytestmark = pytest.mark.browser
Opener = Callable[..., Page]


@pytest.fixture
def conversation(shop: SimpleNamespace) -> Conversation:
    """Ion talks to the AI agent, which has just handed him over to people."""
    with account_context(shop.account):
        inbox = make_inbox(shop.account, "whatsapp", name="WhatsApp RO")
        made = make_conversation(
            inbox, "Comanda mea nu a ajuns.", contact_name="Ion Popescu", visitor="ion"
        )
        agent = shop.agent.member
        # The agent of these tests has no server: it spoke earlier, and people have it now.
        Message.objects.create(
            conversation=made, inbox=inbox, direction="outbound", author=agent, status="read",
            text="A plecat *ieri* din depozit.",
        )  # fmt: skip
        Conversation.objects.filter(pk=made.pk).update(last_agent=agent)
        services.receive(inbox, said("Vreau un om", visitor="ion"))
        services.hand_off(
            made, by=None, to=shop.team, detail="asked for a person", summary="Order 12345"
        )
        services.add_note(made, text="The hub is open until 18:00.", author=shop.owner)
        services.keep_draft(
            made, content=Content(text="Mâine după 10."), author=agent, reason="stale_epoch"
        )
        services.add_labels(made, ["delivery"], by=shop.owner)
    return made


def test_from_the_list_to_an_answer_and_to_resolved_by_keyboard(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    """Read, take over, answer, resolve, undo: nothing but keys."""
    page = open_page(shop.person)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ion Popescu")).to_be_visible()
    page.keyboard.press("t")
    expect(page.get_by_text("You have this conversation now.")).to_be_visible()
    page.keyboard.press("r")
    page.keyboard.type("Da, până la 18.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#thread").get_by_text("Da, până la 18.")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    page.locator("#thread-scroll").click(position={"x": 5, "y": 5})
    page.keyboard.press("e")
    expect(page.locator("#thread").get_by_text("Resolved by Petra")).to_be_visible()
    page.get_by_role("status").filter(has_text="Resolved.").get_by_role(
        "button", name="Undo"
    ).last.click()
    expect(page.get_by_role("button", name="Resolve", exact=True)).to_be_visible()
    assert page.errors == []  # type: ignore[attr-defined]


def test_a_message_appears_on_two_pages_within_a_second(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    """Show 7"""
    pages = [
        open_page(member, f"/inbox/{conversation.public_id}/")
        for member in (shop.person, shop.owner)
    ]
    for page in pages:
        expect(page.locator("html")).to_have_attribute("data-live", "on")
        page.get_by_label("Message", exact=True).fill("half a sentence")
        page.wait_for_load_state("networkidle")
    with account_context(shop.account):
        services.receive(conversation.inbox, said("Mai sunteți acolo?", visitor="ion"))
    start = time.monotonic()
    for page in pages:
        expect(page.locator("#thread").get_by_text("Mai sunteți acolo?")).to_be_visible(
            timeout=1000
        )
        expect(page.locator("#rows").get_by_text("Mai sunteți acolo?")).to_be_visible(timeout=1000)
    assert time.monotonic() - start < 1
    for page in pages:
        assert page.get_by_label("Message", exact=True).input_value() == "half a sentence"


@pytest.mark.parametrize(
    ("width", "dark"), [(1440, False), (1440, True), (900, False), (390, True)]
)
def test_the_desk_looks_right_to_everybody(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener, width: int, dark: bool
) -> None:
    """No axe violation, no console error, nothing sideways: list, thread, menus, details."""
    page = open_page(shop.person, f"/inbox/{conversation.public_id}/", width=width, dark=dark)
    assert_clean(page)
    page.keyboard.press("a")
    expect(page.get_by_label("Find somebody")).to_be_focused()
    assert_clean(page)
    page.keyboard.press("Escape")
    if width < 1100:
        page.get_by_role("button", name="Details").click()
        expect(page.get_by_role("heading", name="Why is it here?")).to_be_visible()
        assert_clean(page)
        page.get_by_role("complementary").get_by_role("button", name="Close").click()
    page.goto("/")
    assert_clean(page)


@pytest.mark.parametrize("dark", [False, True])
def test_the_catalogue_of_parts_is_clean(
    shop: SimpleNamespace, open_page: Opener, dark: bool
) -> None:
    for width in (1440, 390):
        assert_clean(open_page(shop.person, "/ui/", width=width, dark=dark))


def test_the_palette_goes_to_a_customer(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    page = open_page(shop.person)
    page.keyboard.press("Control+k")
    page.keyboard.type("popes")
    expect(page.get_by_role("option", name="Ion Popescu")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/inbox/{conversation.public_id}/$"))


def test_the_way_back_leads_to_the_list(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    page = open_page(shop.person, width=390)
    page.get_by_role("link", name="Ion Popescu").click()
    expect(page.get_by_role("heading", name="Ion Popescu")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    page.get_by_role("link", name="Ion Popescu").click()
    page.get_by_role("link", name="Back to the list").click()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    assert page.errors == []  # type: ignore[attr-defined]


def test_without_script_people_still_read_and_answer(
    shop: SimpleNamespace, conversation: Conversation, chromium: Browser, server: Served
) -> None:
    client = Client()
    client.force_login(shop.person.user, backend="django.contrib.auth.backends.ModelBackend")
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    context = chromium.new_context(base_url=server.url, java_script_enabled=False)
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": server.url}])
    page = context.new_page()
    page.goto("/")
    page.get_by_role("link", name="Ion Popescu").click()
    page.get_by_role("button", name="Take over").click()
    page.get_by_label("Message", exact=True).fill("Da, până la 18.")
    page.get_by_role("button", name="Send", exact=False).last.click()
    expect(page.locator("#thread").get_by_text("Da, până la 18.")).to_be_visible()
    context.close()
