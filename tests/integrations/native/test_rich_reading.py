"""Reading what an agent says beyond words and buttons: offers, forms, asked values, articles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.actions import Say
from agents.dialects import UnreadableAnswerError, get
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
)

URL = "https://shop.example/lamp"
LINK = {"kind": "link", "title": "Look", "url": URL}
POSTBACK = {"kind": "postback", "title": "Buy", "id": "buy:1"}


def read(message: dict[str, Any]) -> Content:
    body = json.dumps({"messages": [message]}).encode()
    (say,) = get("native").read_answer(200, {}, body).actions
    assert isinstance(say, Say)
    return say.content


def test_a_carousel_is_read_with_its_actions() -> None:
    card = {
        "title": "Lamp",
        "description": "100 lei",
        "image_url": f"{URL}.jpg",
        "actions": [LINK, POSTBACK],
    }
    actions = (
        CardAction(ActionKind.LINK, "Look", url=URL),
        CardAction(ActionKind.POSTBACK, "Buy", id="buy:1"),
    )
    assert read(
        {"kind": "carousel", "text": "Look:", "cards": [card, {"title": "Desk"}]}
    ) == Content(
        kind=Kind.CAROUSEL,
        text="Look:",
        carousel=(
            CarouselCard("Lamp", "100 lei", f"{URL}.jpg", actions),
            CarouselCard("Desk"),
        ),
    )


def test_a_form_is_read_with_its_fields() -> None:
    fields = [
        {"name": "name"},
        {
            "name": "mail", "label": "E-mail", "type": "email", "placeholder": "P", "default": "D",
            "required": True, "pattern": ".+@.+", "error": "E",
        },
        {"name": "size", "type": "select", "options": [{"id": "m", "title": "M"}]},
    ]  # fmt: skip
    assert read({"kind": "form", "text": "Please:", "fields": fields}) == Content(
        kind=Kind.FORM,
        text="Please:",
        fields=(
            FormField("name"),
            FormField("mail", "E-mail", FieldType.EMAIL, "P", "D", True, ".+@.+", "E"),
            FormField("size", type=FieldType.SELECT, options=(Choice("m", "M"),)),
        ),
    )


def test_an_asked_value_and_articles_are_read() -> None:
    asked = {"kind": "input", "text": "Your e-mail?", "type": "email", "placeholder": "a@b.c"}
    assert read(asked).input == Input(FieldType.EMAIL, "a@b.c")
    assert read({"kind": "input", "text": "Why?"}).input == Input(FieldType.TEXT)
    article = {"title": "Returns", "description": "30 days", "link": URL}
    assert read({"kind": "articles", "articles": [article]}).articles == (
        Article("Returns", URL, "30 days"),
    )


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ({"kind": "carousel", "cards": []}, "cards should be an array with at least one card"),
        (
            {"kind": "carousel", "cards": [{"title": "A"}] * 11},
            "cards should be an array of at most",
        ),
        ({"kind": "carousel", "cards": [{"title": " "}]}, "cards[0].title should be"),
        ({"kind": "carousel", "cards": [{"title": "A", "price": 1}]}, "price is not known here"),
        (
            {"kind": "carousel", "cards": [{"title": "A", "image_url": "javascript:alert(1)"}]},
            "cards[0].image_url should be an http or https address",
        ),
        (
            {"kind": "carousel", "cards": [{"title": "A", "actions": [{**LINK, "id": "x"}]}]},
            "cards[0].actions[0].id is not known here",
        ),
        (
            {"kind": "carousel", "cards": [{"title": "A", "actions": [{**POSTBACK, "kind": "x"}]}]},
            "cards[0].actions[0].kind should be one of link, postback",
        ),
        ({"kind": "form", "fields": []}, "fields should be an array with at least one field"),
        (
            {"kind": "form", "fields": [{"name": "a"}, {"name": "a"}]},
            "fields should be an array whose names are different",
        ),
        (
            {"kind": "form", "fields": [{"name": "a", "type": "date"}]},
            "fields[0].type should be one of text, email, text_area, select",
        ),
        (
            {"kind": "form", "fields": [{"name": "a", "required": "yes"}]},
            "fields[0].required should be true or false",
        ),
        ({"kind": "form", "fields": [{"name": "a", "type": "select"}]}, "options should be there"),
        (
            {"kind": "form", "fields": [{"name": "a", "options": [{"id": "a", "title": "A"}]}]},
            "fields[0].options should be there for a select",
        ),
        (
            {"kind": "input", "text": "?", "type": "select"},
            "type should be text, email or text_area",
        ),
        ({"kind": "input", "type": "email"}, "text should be a string"),
        ({"kind": "articles", "articles": []}, "articles should be an array with at least one"),
        (
            {"kind": "articles", "articles": [{"title": "A", "link": "ftp://x.example"}]},
            "articles[0].link should be an http or https address",
        ),
    ],
    ids=str,
)
def test_a_mistake_is_named_at_its_place(message: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UnreadableAnswerError) as refused:
        read(message)
    assert sentence in str(refused.value)
