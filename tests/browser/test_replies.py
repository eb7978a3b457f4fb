"""Saved replies in the composer: found and put in by keyboard, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from accounts.tenancy import account_context
from conversations import services
from conversations.models import Conversation
from tests.browser.conftest import assert_clean
from tests.factories import make_conversation

pytestmark = pytest.mark.browser
Opener = Callable[..., Page]


@pytest.fixture
def conversation(shop: SimpleNamespace) -> Conversation:
    with account_context(shop.account):
        for code, text in (
            ("hours", "Hello {{contact.first_name}},\nwe are open from 9 to 17."),
            ("refund", "You get it back in two days, {{contact.name}}."),
        ):
            services.create_saved_reply(code=code, text=text, by=shop.owner)
        return make_conversation(shop.inbox, "Are you open?", contact_name="Ion Popescu")


def with_menu(page: Page) -> tuple[Page, Locator]:
    """The page with the menu opened by a slash, and where one writes."""
    message = page.get_by_label("Message", exact=True)
    message.click()
    page.keyboard.type("/")
    expect(page.get_by_role("button", name="/hours")).to_be_visible()
    expect(page.get_by_role("button", name="/refund")).to_be_visible()
    return page, message


def test_a_slash_finds_one_and_enter_puts_it_in(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    page = open_page(shop.person, f"/inbox/{conversation.public_id}/")
    message = page.get_by_label("Message", exact=True)
    message.click()
    page.keyboard.type("and/or ")
    expect(page.locator("#reply-menu")).to_be_hidden()
    page.keyboard.type("/")
    expect(page.get_by_role("button", name="/refund")).to_be_visible()
    page.keyboard.type("op")
    expect(page.get_by_role("button", name="/refund")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(message).to_have_value("and/or Hello Ion,\nwe are open from 9 to 17.")
    expect(message).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("/")
    expect(page.get_by_role("button", name="/refund")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(message).to_have_value("You get it back in two days, Ion Popescu.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#thread").get_by_text("You get it back in two days")).to_be_visible()
    assert page.errors == []  # type: ignore[attr-defined]


def test_enter_is_never_quicker_than_the_search(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    page, message = with_menu(open_page(shop.person, f"/inbox/{conversation.public_id}/"))
    page.keyboard.type("refu")
    page.keyboard.press("Enter")
    expect(message).to_have_value("You get it back in two days, Ion Popescu.")


def test_enter_waits_for_the_last_word_when_an_older_one_is_answered(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    page, message = with_menu(open_page(shop.person, f"/inbox/{conversation.public_id}/"))

    held: list[Route] = []
    page.route("**/replies/?q=re", lambda route: held.append(route))
    page.keyboard.type("re")
    while not held:
        page.wait_for_timeout(5)
    page.keyboard.type("f")
    page.keyboard.press("Enter")
    held[0].continue_()
    expect(message).to_have_value("You get it back in two days, Ion Popescu.")


def test_a_menu_opened_again_at_once_looks_for_nothing(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    page = open_page(shop.person, f"/inbox/{conversation.public_id}/")
    page.get_by_role("button", name="Saved replies").click()
    page.get_by_label("Find a saved reply").fill("op")
    expect(page.get_by_role("button", name="/refund")).to_be_hidden()
    page.evaluate(
        "() => { const menu = document.getElementById('reply-menu');"
        " menu.hidePopover(); document.getElementById('reply-button').click(); }"
    )
    expect(page.get_by_label("Find a saved reply")).to_have_value("")
    expect(page.get_by_role("button", name="/refund")).to_be_visible()


def test_escape_leaves_the_slash_and_goes_on(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    page, message = with_menu(open_page(shop.person, f"/inbox/{conversation.public_id}/"))
    page.keyboard.press("Escape")
    expect(page.locator("#reply-menu")).to_be_hidden()
    expect(message).to_be_focused()
    page.keyboard.type("x")
    expect(message).to_have_value("/x")


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_sheet_on_a_phone(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener, dark: bool
) -> None:
    page = open_page(shop.person, f"/inbox/{conversation.public_id}/", width=390, dark=dark)
    page.get_by_role("button", name="Saved replies").click()
    chosen = page.get_by_role("button", name="/hours")
    expect(chosen).to_be_visible()
    assert_clean(page)
    chosen.click()
    expect(page.get_by_label("Message", exact=True)).to_have_value(
        "Hello Ion,\nwe are open from 9 to 17."
    )


@pytest.mark.parametrize("width", [390, 1440])
def test_the_settings_hold_at_every_width(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener, width: int
) -> None:
    page = open_page(shop.owner, "/settings/replies/", width=width, dark=width == 390)
    expect(page.get_by_text("/hours")).to_be_visible()
    assert_clean(page)
    page.get_by_role("link", name="New saved reply").click()
    expect(page.get_by_label("Short code")).to_be_visible()
    assert_clean(page)
