"""The question before a sensitive act, and what people see, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.urls import reverse
from playwright.sync_api import Page

from accounts.models import Account, Member
from accounts.sessions import PROVED
from accounts.tenancy import account_context
from conversations import services
from conversations.models import Conversation
from tests import factories
from tests.accounts.test_entry import totp
from tests.browser.conftest import assert_clean

pytestmark = pytest.mark.browser
LOOKS = ((1440, False), (390, False), (1440, True))


def age(page: Page) -> None:
    """The last proof of the page's session is an hour old."""
    cookies = {one["name"]: one["value"] for one in page.context.cookies()}
    session = SessionStore(cookies[settings.SESSION_COOKIE_NAME])
    session[PROVED] = int(time.time()) - 3600
    session.save()


def forget_refusals(page: Any) -> None:
    """Chromium notes a page that came with 403 or 422 as an error, and so does htmx; here it is what was
    wanted."""
    noted = ("status of 4", "Response Status Error Code 4")
    page.errors[:] = [text for text in page.errors if not any(words in text for words in noted)]


def test_an_interrupted_form_goes_on_after_the_question(
    shop: SimpleNamespace, open_page: Callable[..., Page]
) -> None:
    secret = str(generate_totp_secret())
    TOTP.activate(shop.owner.user, secret)
    page = open_page(shop.owner, reverse("tokens"))
    page.fill("[name=name]", 'Nightly "export"')
    page.select_option("[name=days]", "90")
    age(page)
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="Is it you?").wait_for()
    forget_refusals(page)
    assert_clean(page)
    page.fill("[name=proof]", "000000")
    page.get_by_role("button", name="Go on").click()
    page.get_by_text("This code is not valid").wait_for()
    page.fill("[name=proof]", totp(secret))
    page.get_by_role("button", name="Go on").click()
    page.get_by_text('Nightly "export"').first.wait_for()
    assert "sb_pat_" in page.inner_text("main")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_question_and_the_changed_pages_fit_and_are_accessible(
    shop: SimpleNamespace, open_page: Callable[..., Page], width: int, dark: bool
) -> None:
    TOTP.activate(shop.person.user, str(generate_totp_secret()))
    page = open_page(shop.owner, reverse("prove"), width=width, dark=dark)
    assert_clean(page)
    for name in ("settings", "team", "profile"):
        page.goto(reverse(name))
        assert_clean(page)
    assert page.get_by_role("link", name="Switch on a second factor").is_visible()


def test_a_conversation_that_goes_to_others_leaves_the_screen(
    shop: SimpleNamespace, open_page: Callable[..., Page]
) -> None:
    other = factories.make_team(shop.account, "Other")
    Account.objects.update(people_see=Account.PeopleSee.TEAMS)
    conversation = theirs(shop, shop.person)
    page = open_page(shop.person, reverse("conversation", args=[conversation.public_id]))
    page.get_by_text("A private matter").first.wait_for()
    page.wait_for_function("document.documentElement.dataset.live === 'on'")
    with account_context(shop.account):
        services.assign(conversation, to=other, by=shop.owner)
    page.wait_for_url(lambda url: url.endswith("/"))
    page.get_by_text("This conversation is with others now.").wait_for()
    assert "A private matter" not in page.inner_text("body")
    assert page.locator(".toast-danger").count() == 0  # nobody did anything that failed
    forget_refusals(page)
    assert_clean(page)


def theirs(shop: SimpleNamespace, holder: Member) -> Conversation:
    conversation = factories.make_conversation(shop.inbox, "A private matter")
    with account_context(shop.account):
        return services.assign(conversation, to=holder, by=shop.owner)
