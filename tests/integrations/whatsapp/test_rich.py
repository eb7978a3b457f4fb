"""Offers, forms, asked values and articles on WhatsApp's wire, by the one table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.channels import UnsupportedMessageError
from conversations.messages import (
    ActionKind,
    Article,
    CardAction,
    CarouselCard,
    FieldType,
    FormField,
    Input,
    Kind,
    OutboundMessage,
)
from integrations.whatsapp.channel import WhatsAppChannel
from integrations.whatsapp.sending import body_of
from tests.fakes.graph.rules import check_message

LAMP = "https://shop.example/lamp.jpg"


def wire(kind: Kind, **parts: Any) -> list[dict[str, Any]]:
    """The bodies of all parts, each of which our Graph server's rules take."""
    bodies = []
    for part in WhatsAppChannel().prepare(OutboundMessage("msg_1", kind, **parts)):
        file = {"link": part.media.url} if part.media else {}
        body = body_of(part, {"to": "40721000111"}, file)
        check_message(body, set())
        bodies.append(body)
    return bodies


def offer(title: str, count: int, button: str = "Buy", image: str = LAMP) -> CarouselCard:
    actions = [
        CardAction(ActionKind.POSTBACK, f"{button} {n}", id=f"{title}:{n}") for n in range(count)
    ]
    link = CardAction(ActionKind.LINK, "Look", url="https://shop.example/lamp")
    return CarouselCard(title, "100 lei", image, (*actions, link))


def test_a_card_is_one_message_with_its_picture_above_and_its_buttons_below() -> None:
    (card,) = wire(Kind.CAROUSEL, carousel=(offer("Lamp", 2),))
    interactive = card["interactive"]
    assert interactive["header"] == {"type": "image", "image": {"link": LAMP}}
    assert interactive["body"] == {"text": "Lamp\n100 lei\n\nLook: https://shop.example/lamp"}
    assert [one["reply"] for one in interactive["action"]["buttons"]] == [
        {"id": "Lamp:0", "title": "Buy 0"},
        {"id": "Lamp:1", "title": "Buy 1"},
    ]


def test_a_card_without_choices_is_a_captioned_picture() -> None:
    (card,) = wire(Kind.CAROUSEL, carousel=(offer("Lamp", 0),))
    assert card["image"] == {
        "link": LAMP,
        "caption": "Lamp\n100 lei\n\nLook: https://shop.example/lamp",
    }


def test_more_than_three_actions_are_a_list_and_too_long_ones_numbers() -> None:
    picture, listed = wire(Kind.CAROUSEL, carousel=(offer("Lamp", 4),))
    assert picture["image"]["link"] == LAMP
    assert listed["interactive"]["type"] == "list"
    assert listed["interactive"]["action"]["button"] == "Choose"
    parts = wire(
        Kind.CAROUSEL,
        carousel=(offer("Lamp", 1, "Buy it now for me and my friend"), offer("Desk", 1)),
    )
    assert [part["image"]["caption"].splitlines()[2] for part in parts] == [
        "1. Buy it now for me and my friend 0",
        "2. Buy 0",
    ]


def test_forms_asked_values_and_articles_are_texts() -> None:
    fields = (
        FormField("name", "Your name"),
        FormField("mail", "E-mail", FieldType.EMAIL, placeholder="ana@shop.example"),
    )
    (form,) = wire(Kind.FORM, text="Please:", fields=fields)
    assert form["text"]["body"] == "Please:\n\n1. Your name\n2. E-mail (ana@shop.example)"
    (asked,) = wire(Kind.INPUT, text="Your e-mail?", input=Input(FieldType.EMAIL))
    assert asked["text"]["body"] == "Your e-mail?"
    (articles,) = wire(Kind.ARTICLES, articles=(Article("Returns", "https://shop.example/r"),))
    assert articles["text"] == {"body": "Returns\nhttps://shop.example/r", "preview_url": True}


def test_a_carousel_of_nothing_is_refused() -> None:
    with pytest.raises(UnsupportedMessageError, match="Every card needs a title"):
        wire(Kind.CAROUSEL, carousel=())


words = st.text(max_size=1200).filter(str.strip)
actions = st.lists(
    st.builds(
        CardAction,
        st.just(ActionKind.POSTBACK),
        st.text(max_size=30).filter(str.strip),
        id=st.text(min_size=1, max_size=300).filter(str.strip),
    ),
    max_size=5,
).map(tuple)
offers = st.builds(
    CarouselCard, words, st.text(max_size=1200), st.sampled_from(["", LAMP]), actions
)


@given(cards=st.lists(offers, min_size=1, max_size=4).map(tuple), text=st.text(max_size=50))
def test_whatever_a_carousel_holds_is_taken_with_all_of_its_choices(
    cards: tuple[CarouselCard, ...], text: str
) -> None:
    parts = WhatsAppChannel().prepare(
        OutboundMessage("msg_1", Kind.CAROUSEL, text=text, carousel=cards)
    )
    wire(Kind.CAROUSEL, text=text, carousel=cards)
    rows = {row for part in parts for section in part.sections for row in section.rows}
    tapped = {choice for part in parts for choice in part.buttons} | rows
    numbered = {choice for part in parts for _number, choice in part.options}
    assert tapped | numbered == {choice for card in cards for choice in card.choices}
    assert not (tapped and numbered), "one number must not have two meanings"
