"""The settings of the desk and the merging of customers, at every width and in the dark."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect

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
        services.create_label(
            by=shop.owner, name="vip", colour="#1f93ff", description="Pays more than others"
        )
        services.define_attribute(
            of="contact", key="size", name="Size", kind="list", values=["S", "L"], by=shop.owner
        )
        services.create_contact(by=shop.owner, name="Ionel Popescu", email="ion@example.test")
        made = make_conversation(shop.inbox, "Hello", contact_name="Ion Popescu")
        services.add_labels(made, ["vip"], by=shop.owner)
        services.add_contact_labels(made.contact, ["vip"])
        services.set_attributes(made, {"size": "L", "order": 1017}, by=shop.owner)
    return made


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_every_page_is_clean(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener, width: int, dark: bool
) -> None:
    page = open_page(shop.owner, "/settings/labels/", width=width, dark=dark)
    for path, words in (
        ("/settings/labels/", "Pays more than others"),
        ("/settings/labels/new/", "Offer it as a filter of the inbox"),
        ("/settings/attributes/", "one of a list"),
        ("/settings/attributes/new/", "Values of the list"),
        (f"/inbox/{conversation.public_id}/merge/?q=ionel", "ion@example.test"),
    ):
        page.goto(path)
        expect(page.get_by_text(words).first).to_be_visible()
        assert_clean(page)


def test_two_customers_become_one(
    shop: SimpleNamespace, conversation: Conversation, open_page: Opener
) -> None:
    page = open_page(shop.owner, f"/inbox/{conversation.public_id}/")
    expect(page.get_by_text("Labels of the customer")).to_be_visible()
    expect(page.get_by_text("Size", exact=True)).to_be_visible()
    assert_clean(page)
    page.get_by_role("link", name="Merge with another customer").click()
    page.get_by_label("A name, phone number, e-mail or identifier").fill("ionel")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Ionel Popescu").click()
    expect(page.get_by_text("This cannot be undone")).to_be_visible()
    assert_clean(page)
    page.get_by_role("button", name="Merge them").click()
    expect(page.get_by_text("They are one customer now.")).to_be_visible()
    expect(page.get_by_text("ion@example.test")).to_be_visible()
