"""The sandbox phone in a real browser: said, seen, tapped, recorded, in every size and theme."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import (
    ActionKind,
    Article,
    CardAction,
    CarouselCard,
    Choice,
    Content,
    FieldType,
    FormField,
    Input,
    Kind,
    Section,
)
from conversations.models import Conversation, Message
from integrations import routes
from integrations.models import Receipt
from tests import pictures
from tests.browser.conftest import assert_clean, note_errors
from tests.serving import Served

pytestmark = pytest.mark.browser


class Desk:
    """The other side of the phone, in the test's own process."""

    def __init__(self, shop: SimpleNamespace) -> None:
        self.shop = shop

    def take_in(self, count: int = 1) -> None:
        """Wait for what the phone posts, and let it in as the courier would."""
        until = time.monotonic() + 10
        taken = 0
        while taken < count:
            assert time.monotonic() < until, "the phone posted nothing"
            with account_context(self.shop.account):
                for receipt in Receipt.objects.filter(state="new").order_by("pk"):
                    inbox = self.shop.inbox
                    services.receive(inbox, inbox.channel.read(receipt.body, inbox.as_config()))
                    receipt.state = "done"
                    receipt.save()
                    taken += 1
            time.sleep(0.05)

    def answer(self, content: Content, author: Any) -> None:
        with account_context(self.shop.account):
            conversation = Conversation.objects.latest("pk")
            message = services.post_message(conversation, content=content, author=author)
            Message.objects.filter(pk=message.pk).update(
                status="delivered", external_id=f"sandbox:{message.public_id}-0"
            )
            services.set_priority(conversation, "low", by=None)  # something happened: pages look

    def do(self, act: Any, **values: Any) -> None:
        with account_context(self.shop.account):
            act(Conversation.objects.latest("pk"), **values)


@pytest.fixture
def desk(shop: SimpleNamespace) -> Desk:
    return Desk(shop)


@pytest.fixture
def open_phone(chromium: Browser, server: Served, shop: SimpleNamespace) -> Iterator[Any]:
    with account_context(shop.account):
        path = f"/sandbox/{routes.create_route(shop.inbox)}/"
    contexts = []

    def open_it(*, width: int = 1280, dark: bool = False, script: bool = True) -> Page:
        context = chromium.new_context(
            base_url=server.url,
            viewport={"width": width, "height": 844},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        note_errors(page)
        page.goto(path)
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (390, True)])
def test_a_customer_talks_with_the_agent_and_then_with_a_person(
    open_phone: Any, desk: Desk, shop: SimpleNamespace, width: int, dark: bool
) -> None:
    page = open_phone(width=width, dark=dark)
    page.click(".phrase >> nth=0")
    desk.take_in()
    desk.do(services.assign, to=shop.agent.member, by=None)
    expect(page.locator("#lines .is-own")).to_have_count(1)
    expect(page.locator("#sending li")).to_have_count(0)
    expect(page.locator("#answering")).to_contain_text(shop.agent.name)
    expect(page.locator("#typing")).to_be_visible()

    buttons = (Choice("r", "Return it"), Choice("x", "Exchange it"))
    desk.answer(Content(Kind.BUTTONS, text="*What* now?", buttons=buttons), shop.agent.member)
    page.click("text=Exchange it")
    desk.take_in(2)  # the choice, and that the answer was seen
    expect(page.locator("#lines .is-own")).to_have_count(2)
    assert_clean(page)

    rows = (Choice("cj", "Cluj-Napoca", "two days"),)
    menu = Content(Kind.LIST, text="Where?", list_button="Towns", sections=(Section("RO", rows),))
    desk.answer(menu, shop.agent.member)
    page.click("text=Towns")
    expect(page.locator("text=two days")).to_be_visible()
    assert_clean(page)
    page.click("text=Cluj-Napoca")
    expect(page.locator("#sending li, #lines .is-own")).to_have_count(3)
    desk.take_in()

    desk.do(services.take_over, by=shop.person)
    expect(page.locator("#lines")).to_contain_text("A person joined")
    expect(page.locator("#answering")).to_contain_text("A person answers")
    assert_clean(page)


OFFERS = Content(
    Kind.CAROUSEL,
    text="Two lamps:",
    carousel=tuple(
        CarouselCard(
            name,
            "129 lei, in stock",
            "https://shop.example/lamp.png",
            (
                CardAction(ActionKind.LINK, "See it", url="https://shop.example/lamp"),
                CardAction(ActionKind.POSTBACK, f"Order the {name.lower()}", id=f"order:{name}"),
            ),
        )
        for name in ("Desk lamp", "Floor lamp")
    ),
)
FORM = Content(
    Kind.FORM,
    text="Where do we send it?",
    fields=(
        FormField("name", "Your name", required=True, placeholder="Ana Pop"),
        FormField(
            "size", "Size", FieldType.SELECT, options=(Choice("m", "Medium"), Choice("l", "Large"))
        ),
        FormField("note", "Anything else", FieldType.TEXT_AREA),
    ),
)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_offers_forms_and_questions_are_answered_where_they_stand(
    open_phone: Any, open_page: Any, desk: Desk, shop: SimpleNamespace, dark: bool
) -> None:
    page = open_phone(width=390, dark=dark)
    page.click(".phrase >> nth=0")
    desk.take_in()
    desk.answer(OFFERS, shop.owner)
    expect(page.locator(".offer")).to_have_count(2)
    assert_clean(page)
    page.click("text=Order the desk lamp")
    desk.take_in(2)  # the choice, and that the offers were seen
    desk.answer(FORM, shop.owner)
    page.fill("[data-answer=name]", "Ion")
    desk.do(services.set_priority, priority="high", by=None)  # pages look, and leave it alone
    page.select_option("[data-answer=size]", "m")
    assert_clean(page)
    page.click(".ask button")
    desk.take_in(2)
    expect(page.locator(".ask")).to_have_count(0)
    expect(page.locator("#lines .is-own dd").first).to_have_text("Ion")
    asked = Input(FieldType.EMAIL, "you@example.com")
    desk.answer(Content(Kind.INPUT, text="Your e-mail?", input=asked), shop.owner)
    page.fill(".ask input[type=email]", "ion@shop.example")
    page.click(".ask button")
    desk.take_in(2)
    article = Article("Returns", "https://shop.example/returns", "30 days")
    desk.answer(Content(Kind.ARTICLES, text="This may help:", articles=(article,)), shop.owner)
    expect(page.locator("text=30 days")).to_be_visible()
    assert_clean(page)
    with account_context(shop.account):
        conversation = Conversation.objects.latest("pk")
    inbox = open_page(shop.owner, f"/inbox/{conversation.public_id}/", width=390, dark=dark)
    expect(inbox.locator(".offer .is-chosen")).to_contain_text("Order the desk lamp")
    expect(inbox.locator(".answer")).to_have_text("ion@shop.example")
    expect(inbox.locator(".facts dd", has_text="Medium")).to_have_count(2)
    assert_clean(inbox)


def test_a_picture_and_a_typed_message(open_phone: Any, desk: Desk) -> None:
    page = open_phone(width=390)
    file = {"name": "lamp.png", "mimeType": "image/png", "buffer": pictures.png(40, 40)}
    page.set_input_files("input[type=file]", file)
    desk.take_in()
    expect(page.locator("#lines img")).to_have_js_property("naturalWidth", 40)
    page.fill("textarea", "two\nlines")
    page.keyboard.press("Enter")
    expect(page.locator("textarea")).to_have_value("")
    desk.take_in()
    expect(page.locator("#lines .text")).to_have_text("two\nlines")
    assert_clean(page)


def test_what_is_refused_is_said_on_the_phone(open_phone: Any) -> None:
    page = open_phone()
    file = {"name": "x.html", "mimeType": "text/html", "buffer": b"<script>alert(1)</script>"}
    page.set_input_files("input[type=file]", file)
    expect(page.locator("#refusal")).to_have_text("Files of this type are not taken.")
    expect(page.locator("#sending li")).to_have_count(0)


def test_a_message_that_did_not_leave_can_be_sent_again(open_phone: Any, desk: Desk) -> None:
    page = open_phone()
    page.context.set_offline(True)
    page.fill("textarea", "hello from the tunnel")
    page.keyboard.press("Enter")
    failed = page.locator("#sending .is-failed")
    expect(failed).to_contain_text("Not sent")
    page.context.set_offline(False)
    failed.click()
    desk.take_in()
    expect(page.locator("#lines")).to_contain_text("hello from the tunnel")


def test_starting_over_empties_the_phone(open_phone: Any, desk: Desk) -> None:
    page = open_phone()
    page.fill("textarea", "first")
    page.keyboard.press("Enter")
    desk.take_in()
    expect(page.locator("#lines")).to_contain_text("first")
    page.click(".about-button")
    expect(page.locator("#hello")).to_be_visible()


def test_without_script_a_form_and_a_reload_are_enough(open_phone: Any, desk: Desk) -> None:
    page = open_phone(script=False)
    page.fill("textarea", "no script here")
    page.click(".round-send >> nth=0")
    desk.take_in()
    page.reload()
    expect(page.locator("#lines")).to_contain_text("no script here")
    expect(page.locator("#record")).to_be_hidden()
