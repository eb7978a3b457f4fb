"""The way back: what a customer taps, types or fills in is tied to the message that offered it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import (
    ActionKind,
    CardAction,
    CarouselCard,
    Choice,
    Content,
    FieldType,
    FormField,
    Identifier,
    InboundMessage,
    Input,
    Kind,
    Section,
)
from conversations.models import Conversation, Delivery, Event, Inbox, Message
from conversations.services.answering import value_in
from tests.factories import make_inbox, said

RETURN, EXCHANGE = Choice("r", "Return it"), Choice("x", "Schimbă-l")
BUTTONS = Content(Kind.BUTTONS, text="What now?", buttons=(RETURN, EXCHANGE))
TOWNS = Content(
    Kind.LIST,
    text="Where?",
    list_button="Towns",
    sections=(Section("RO", (Choice("cj", "Cluj"), Choice("sb", "Sibiu"))),),
)
OFFERS = Content(
    Kind.CAROUSEL,
    carousel=tuple(
        CarouselCard(name, actions=(CardAction(ActionKind.POSTBACK, "Buy", id=f"buy:{n}"),))
        for n, name in enumerate(("Lamp", "Desk"), start=1)
    ),
)
EMAIL = Content(Kind.INPUT, text="Your e-mail?", input=Input(FieldType.EMAIL))
FORM = Content(
    Kind.FORM,
    text="Some questions:",
    fields=(FormField("name", "Your name"), FormField("mail", type=FieldType.EMAIL)),
)
MANY = Content(
    Kind.BUTTONS, text="Which?", buttons=tuple(Choice(f"id{n}", f"Size {n}") for n in range(1, 13))
)


class Talk:
    """One customer of one inbox."""

    def __init__(self, inbox: Inbox, author: Any) -> None:
        self.inbox, self.author = inbox, author
        self.says("Hello")

    def hears(self, content: Content, external_id: str = "") -> Message:
        message = services.post_message(self.conversation, content=content, author=self.author)
        Message.objects.filter(pk=message.pk).update(external_id=external_id)
        return message

    def says(self, text: str = "", **fields: Any) -> Message:
        inbound: InboundMessage = said(text, **fields)
        if self.inbox.platform == "whatsapp":
            inbound = replace(inbound, identifiers=(Identifier("phone", "+40721000111"),))
        services.receive(self.inbox, inbound)
        return Message.objects.select_related("reply_to").get(external_id=inbound.external_id)

    def taps(self, choice: Choice, **fields: Any) -> Message:
        return self.says(choice.title, kind=Kind.BUTTON_REPLY, choice=choice, **fields)

    @property
    def conversation(self) -> Conversation:
        return Conversation.objects.get(inbox=self.inbox)


@pytest.fixture
def phone(house: SimpleNamespace) -> Talk:
    """A customer of the sandbox, which carries everything."""
    return Talk(house.inbox, house.owner)


@pytest.fixture
def whatsapp(house: SimpleNamespace) -> Talk:
    return Talk(make_inbox(house.account, "whatsapp"), house.owner)


def submitted(message: Message) -> Any:
    message.refresh_from_db()
    return message.content.get("submitted")


def test_a_tapped_button_is_written_on_the_message_that_offered_it(phone: Talk) -> None:
    offered = phone.hears(BUTTONS, "ext-offer")
    answer = phone.taps(RETURN, reply_to_external_id="ext-offer")
    assert submitted(offered) == [{"title": "Return it", "value": "r"}]
    assert answer.content["choice"]["id"] == "r"
    events = Event.objects.filter(conversation=phone.conversation).order_by("-sequence")[:2]
    updated, created = events
    assert (created.type, updated.type) == ("message.created", "message.updated")
    assert updated.data == {
        "message": offered.public_id,
        "answer": answer.public_id,
        "submitted": [{"title": "Return it", "value": "r"}],
    }


def test_a_tap_that_quotes_nothing_answers_what_was_offered_last(phone: Talk) -> None:
    offered = phone.hears(TOWNS)
    phone.says("Sibiu", kind=Kind.LIST_REPLY, choice=Choice("sb", "Sibiu"))
    assert submitted(offered) == [{"title": "Sibiu", "value": "sb"}]


@pytest.mark.parametrize("typed", ["schimba-l", "SCHIMBĂ-L", " Schimbă-l. "])
def test_a_typed_title_is_the_choice_in_any_spelling(phone: Talk, typed: str) -> None:
    offered = phone.hears(BUTTONS)
    answer = phone.says(typed)
    assert (answer.kind, answer.text) == ("button_reply", "Schimbă-l")
    assert answer.content["choice"] == {"id": "x", "title": "Schimbă-l"}
    assert submitted(offered) == [{"title": "Schimbă-l", "value": "x"}]


def test_a_number_means_a_choice_only_where_the_choices_were_numbered(
    phone: Talk, whatsapp: Talk
) -> None:
    phone.hears(BUTTONS)
    assert phone.says("2").kind == "text"
    numbered = whatsapp.hears(MANY)
    answer = whatsapp.says("(12)")
    assert answer.content["choice"] == {"id": "id12", "title": "Size 12"}
    assert submitted(numbered) == [{"title": "Size 12", "value": "id12"}]


def test_of_cards_with_the_same_words_only_the_number_tells_which(whatsapp: Talk) -> None:
    long = tuple(
        replace(
            card, actions=(replace(card.actions[0], title="Buy it now and here, with a ribbon"),)
        )
        for card in OFFERS.carousel
    )
    offered = whatsapp.hears(replace(OFFERS, carousel=long))
    assert whatsapp.says("Buy it now and here, with a ribbon").kind == "text"
    assert submitted(offered) is None
    offered = whatsapp.hears(replace(OFFERS, carousel=long))
    assert whatsapp.says("2").content["choice"]["id"] == "buy:2"
    assert submitted(offered)[0]["value"] == "buy:2"


def test_a_tapped_postback_of_a_card_that_was_a_later_part_finds_its_message(
    whatsapp: Talk,
) -> None:
    """WhatsApp names the part that was tapped, and our message has the id of its first part."""
    offered = whatsapp.hears(OFFERS, "wamid.1")
    later = Delivery.objects.get(message=offered, part=1)
    Delivery.objects.filter(pk=later.pk).update(provider_message_id="wamid.2")
    whatsapp.says("thinking")  # the options of the last message are over
    answer = whatsapp.taps(Choice("buy:2", "Buy"), reply_to_external_id="wamid.2")
    assert answer.reply_to == offered
    assert submitted(offered) == [{"title": "Buy", "value": "buy:2"}]


def test_a_later_answer_replaces_the_first(phone: Talk) -> None:
    offered = phone.hears(BUTTONS, "ext-offer")
    phone.taps(RETURN, reply_to_external_id="ext-offer")
    phone.taps(EXCHANGE, reply_to_external_id="ext-offer")
    assert submitted(offered) == [{"title": "Schimbă-l", "value": "x"}]


def test_a_choice_that_was_never_offered_is_written_nowhere(phone: Talk) -> None:
    offered = phone.hears(BUTTONS, "ext-offer")
    answer = phone.taps(Choice("else", "Return it"), reply_to_external_id="ext-offer")
    assert answer.content["choice"]["id"] == "else"
    assert submitted(offered) is None


def test_another_conversations_message_is_never_answered(house: SimpleNamespace) -> None:
    phone = Talk(house.inbox, house.owner)
    offered = phone.hears(BUTTONS, "ext-offer")
    services.receive(
        house.inbox,
        said("Return it", visitor="bob", kind=Kind.BUTTON_REPLY, choice=RETURN,
             reply_to_external_id="ext-offer"),
    )  # fmt: skip
    assert submitted(offered) is None


def test_the_outsiders_customer_cannot_answer_ours(house: SimpleNamespace) -> None:
    phone = Talk(house.inbox, house.owner)
    offered = phone.hears(EMAIL)
    theirs = make_inbox(house.outsider_account)
    with account_context(house.outsider_account):
        services.receive(theirs, said("x"))
        options = {"(?)": {"id": "", "title": "", "message": offered.public_id}}
        Conversation.objects.filter(inbox=theirs).update(options=options)
        services.receive(theirs, said("a@b.example"))
    assert submitted(offered) is None


def test_a_filled_in_form_is_written_on_the_form_with_its_labels(phone: Talk) -> None:
    asked = phone.hears(FORM)
    form = {"name": "Ana", "mail": "ana@shop.example", "evil": "x"}
    answer = phone.says(kind=Kind.FORM_REPLY, form=form)
    assert answer.content["form"] == form
    assert submitted(asked) == [
        {"name": "name", "title": "Your name", "value": "Ana"},
        {"name": "mail", "title": "mail", "value": "ana@shop.example"},
    ]


def test_an_asked_value_waits_for_an_answer_that_is_one(phone: Talk) -> None:
    asked = phone.hears(EMAIL)
    phone.says("What for?")
    assert submitted(asked) is None
    answer = phone.says("ok, it is <ana@shop.example>.")
    assert (answer.kind, answer.text) == ("text", "ok, it is <ana@shop.example>.")
    assert submitted(asked) == [{"value": "ana@shop.example"}]
    phone.says("or bob@shop.example")
    assert submitted(asked) == [{"value": "ana@shop.example"}]


def test_a_question_stays_open_while_something_older_is_answered(phone: Talk) -> None:
    offered = phone.hears(BUTTONS, "ext-offer")
    asked = phone.hears(EMAIL)
    phone.taps(RETURN, reply_to_external_id="ext-offer")
    assert submitted(offered) == [{"title": "Return it", "value": "r"}]
    phone.says("ana@shop.example")
    assert submitted(asked) == [{"value": "ana@shop.example"}]


def test_the_text_that_follows_an_open_question_is_its_answer(phone: Talk) -> None:
    asked = phone.hears(replace(EMAIL, text="What is wrong?", input=Input(FieldType.TEXT_AREA)))
    phone.says(" It is broken.\nTwice. ")
    assert submitted(asked) == [{"value": "It is broken.\nTwice."}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ana@shop.example", "ana@shop.example"),
        ("mail me: (ana.pop+x@shop.co.example)!", "ana.pop+x@shop.co.example"),
        ("ana@shop", ""),
        ("@ana", ""),
        ("ana at shop.example", ""),
        ("a@b@c.example", ""),
        ("x" * 300 + "@shop.example", ""),
        ("", ""),
    ],
)
def test_an_address_is_known_by_its_form(text: str, value: str) -> None:
    assert value_in(text, "email") == value


def test_what_answers_nothing_costs_nothing_and_many_answers_cost_as_one(
    house: SimpleNamespace,
) -> None:
    def asked(visitors: list[str]) -> None:
        for name in visitors:
            services.receive(house.inbox, said("Hello", visitor=name))
            last = Conversation.objects.latest("pk")
            services.post_message(last, content=BUTTONS, author=house.owner)

    def queries(text: str, visitors: list[str]) -> int:
        asked(visitors)
        with CaptureQueriesContext(connection) as found:
            services.receive_messages(house.inbox, [said(text, visitor=name) for name in visitors])
        return len(found)

    nothing = queries("whatever", ["a"])
    one = queries("Return it", ["b"])
    assert one - nothing <= 2
    assert queries("Return it", ["c", "d", "e"]) - queries("whatever", ["f", "g", "h"]) <= 2
    assert Message.objects.filter(content__has_key="submitted").count() == 4
