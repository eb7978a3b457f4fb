"""The one table: what each kind becomes on a channel that cannot carry it, and what is never lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.channels import Capabilities, Channel, UnsupportedMessageError
from conversations.degrading import NEEDED, TABLE
from conversations.messages import (
    ActionKind,
    Article,
    Card,
    CardAction,
    CarouselCard,
    Choice,
    FieldType,
    FormField,
    Input,
    Kind,
    Location,
    OutboundMedia,
    OutboundMessage,
    Section,
    Template,
)
from conversations.phrasing import text_length

TEXT = frozenset({Kind.TEXT})
PICTURES = TEXT | {Kind.IMAGE}
RICH = PICTURES | {Kind.BUTTONS, Kind.LIST}
LAMP, DESK = "https://shop.example/lamp.jpg", "https://shop.example/desk.jpg"
MAP = "https://www.openstreetmap.org/?mlat=46.77&mlon=23.59#map=16/46.77/23.59"


def prepare(
    kinds: frozenset[Kind], kind: Kind, *, limits: dict[str, Any] | None = None, **parts: Any
) -> tuple[OutboundMessage, ...]:
    class Plain(Channel):
        name = "Plain"
        capabilities = Capabilities(kinds=kinds, **(limits or {}))

    return Plain().prepare(OutboundMessage("msg_1", kind, **parts))


def choices(count: int, title: str = "Choice", **parts: str) -> tuple[Choice, ...]:
    return tuple(Choice(f"id{n}", f"{title} {n}", **parts) for n in range(1, count + 1))


def link(title: str = "Look") -> CardAction:
    return CardAction(ActionKind.LINK, title, url="https://shop.example/lamp")


def postback(identifier: str, title: str = "Buy") -> CardAction:
    return CardAction(ActionKind.POSTBACK, title, id=identifier)


OFFERS = (
    CarouselCard("Lamp", "100 lei", LAMP, (postback("buy:1"), link())),
    CarouselCard("Desk", "", DESK, (postback("buy:2"),)),
)
FIELDS = (
    FormField("name", "Your name", placeholder="Ana Pop", required=True),
    FormField("mail", "", FieldType.EMAIL),
    FormField("size", "Size", FieldType.SELECT, options=(Choice("m", "M"), Choice("l", "L"))),
)
FILE = OutboundMedia(Kind.IMAGE, "image/png", path="x/y")


def media(kind: Kind) -> dict[str, Any]:
    return {"media": OutboundMedia(kind, "", path="x/y")}


WHOLE: dict[Kind, dict[str, Any]] = {
    Kind.BUTTONS: {"text": "Which?", "buttons": choices(2)},
    Kind.LIST: {"text": "Which?", "sections": (Section("", choices(2)),)},
    Kind.CAROUSEL: {"carousel": OFFERS},
    Kind.FORM: {"text": "Some questions:", "fields": FIELDS},
    Kind.INPUT: {"text": "Your e-mail?", "input": Input(FieldType.EMAIL)},
    Kind.ARTICLES: {"articles": (Article("Returns", "https://x.example/r"),)},
    Kind.LOCATION: {"location": Location(46.77, 23.59)},
    Kind.CONTACTS: {"cards": (Card("Ana"),)},
    **{kind: media(kind) for kind in (Kind.IMAGE, Kind.VIDEO, Kind.AUDIO, Kind.VOICE)},
    Kind.STICKER: media(Kind.STICKER),
}


def test_the_table_has_a_row_for_every_kind_that_can_be_said_otherwise() -> None:
    assert set(TABLE) == set(WHOLE)
    assert set(NEEDED) == set(TABLE) | {Kind.DOCUMENT, Kind.REACTION, Kind.TEMPLATE}


def test_the_guide_for_agents_tells_the_table_as_it_is() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "agents.md"
    section = guide.read_text(encoding="utf-8").split("### What a channel cannot show")[1]
    rows = re.findall(r"^\| (`.+`) \| (.+) \|$", section.split("###")[0], re.MULTILINE)
    told = {kind: becomes for kinds, becomes in rows for kind in re.findall(r"`(\w+)`", kinds)}
    assert told == {
        str(kind): "; else ".join(way.becomes for way in ways) for kind, ways in TABLE.items()
    }


@pytest.mark.parametrize("kind", list(WHOLE), ids=str)
def test_what_a_channel_carries_keeps_its_form(kind: Kind) -> None:
    (part,) = prepare(frozenset(Kind), kind, **WHOLE[kind])
    assert part == OutboundMessage("msg_1", kind, **WHOLE[kind])


def test_too_many_buttons_or_too_long_ones_are_a_list() -> None:
    for buttons in (choices(4), choices(2, "A title of some words")):
        (part,) = prepare(
            RICH, Kind.BUTTONS, text="Which?", buttons=buttons, limits={"max_row_title": 30}
        )
        assert (part.kind, part.sections) == (Kind.LIST, (Section("", buttons),))
        assert part.list_button == "Choose"


def test_what_is_no_list_either_is_numbered_lines() -> None:
    (part,) = prepare(
        RICH, Kind.BUTTONS, text="Which?", buttons=choices(11), header="H", footer="F"
    )
    assert part.kind is Kind.TEXT
    assert part.text.startswith("H\n\nWhich?\n\n1. Choice 1\n2. Choice 2\n")
    assert part.text.endswith("11. Choice 11\n\nF")
    assert dict(part.options)["11"] == Choice("id11", "Choice 11")


def test_a_list_is_buttons_where_it_loses_nothing_and_numbered_lines_elsewhere() -> None:
    kinds = TEXT | {Kind.BUTTONS}
    (part,) = prepare(kinds, Kind.LIST, text="Which?", sections=(Section("", choices(2)),))
    assert (part.kind, part.buttons) == (Kind.BUTTONS, choices(2))
    sections = (Section("Cluj", choices(1, description="open")), Section("Sibiu", choices(1)))
    (part,) = prepare(kinds, Kind.LIST, text="Which?", sections=sections)
    assert part.text == "Which?\n\nCluj\n1. Choice 1 – open\n\nSibiu\n2. Choice 1"
    assert len(part.options) == 2


def test_a_carousel_is_pictures_with_their_words_and_buttons_of_their_own() -> None:
    parts = prepare(RICH, Kind.CAROUSEL, text="Look:", carousel=OFFERS, reply_to_external_id="q")
    assert [(part.kind, part.text) for part in parts] == [
        (Kind.TEXT, "Look:"),
        (Kind.IMAGE, "Lamp\n100 lei\n\nLook: https://shop.example/lamp"),
        (Kind.BUTTONS, "Lamp"),
        (Kind.IMAGE, "Desk"),
        (Kind.BUTTONS, "Desk"),
    ]
    assert [part.buttons for part in parts if part.buttons] == [
        (Choice("buy:1", "Buy"),),
        (Choice("buy:2", "Buy"),),
    ]
    assert parts[1].media == OutboundMedia(Kind.IMAGE, "", url=LAMP)
    assert [part.reply_to_external_id for part in parts] == ["q", "", "", "", ""]
    assert not any(part.options for part in parts)


def test_a_card_is_one_message_where_a_picture_stands_above_buttons() -> None:
    parts = prepare(RICH, Kind.CAROUSEL, carousel=OFFERS, limits={"buttons_with_picture": True})
    assert [(part.kind, part.text, len(part.buttons)) for part in parts] == [
        (Kind.BUTTONS, "Lamp\n100 lei\n\nLook: https://shop.example/lamp", 1),
        (Kind.BUTTONS, "Desk", 1),
    ]
    assert [part.media.url for part in parts if part.media] == [LAMP, DESK]


def test_a_card_without_a_picture_has_its_words_above_the_buttons() -> None:
    card = CarouselCard("Lamp", "100 lei", "", tuple(postback(f"{n}", f"B{n}") for n in range(4)))
    (part,) = prepare(RICH, Kind.CAROUSEL, carousel=(card,))
    assert (part.kind, part.text, len(part.sections[0].rows)) == (Kind.LIST, "Lamp\n100 lei", 4)
    (part,) = prepare(RICH, Kind.CAROUSEL, carousel=(CarouselCard("Lamp", actions=(link(),)),))
    assert (part.kind, part.text) == (Kind.TEXT, "Lamp\n\nLook: https://shop.example/lamp")


def test_without_buttons_the_cards_are_numbered_through_all_of_them() -> None:
    parts = prepare(PICTURES, Kind.CAROUSEL, carousel=OFFERS)
    assert [(part.kind, part.text) for part in parts] == [
        (Kind.IMAGE, "Lamp\n100 lei\n1. Buy\nLook: https://shop.example/lamp"),
        (Kind.IMAGE, "Desk\n2. Buy"),
    ]
    options = (("1", Choice("buy:1", "Buy")), ("2", Choice("buy:2", "Buy")))
    assert {part.options for part in parts} == {options}


def test_one_card_that_cannot_be_tapped_numbers_them_all() -> None:
    """Two numberings in one message would give one number two meanings."""
    odd = CarouselCard("Odd", "", "", (postback("x", "A title that is too long for any row"),))
    parts = prepare(RICH, Kind.CAROUSEL, carousel=(*OFFERS, odd))
    assert {part.kind for part in parts} == {Kind.IMAGE, Kind.TEXT}
    assert [number for number, _choice in parts[0].options] == ["1", "2", "3"]


def test_on_a_text_only_channel_a_carousel_is_one_text_with_links() -> None:
    (part,) = prepare(TEXT, Kind.CAROUSEL, text="Look:", carousel=OFFERS)
    assert part.text == (
        f"Look:\n\nLamp\n100 lei\n1. Buy\nLook: https://shop.example/lamp\n{LAMP}\n\n"
        f"Desk\n2. Buy\n{DESK}"
    )
    assert len(part.options) == 2


def test_a_form_is_its_questions_and_an_asked_value_its_question() -> None:
    (part,) = prepare(TEXT, Kind.FORM, text="Some questions:", fields=FIELDS)
    assert part.text == ("Some questions:\n\n1. Your name (Ana Pop)\n2. mail\n3. Size (M / L)")
    (part,) = prepare(TEXT, Kind.INPUT, text="Your e-mail?", input=Input(FieldType.EMAIL))
    assert (part.kind, part.text, part.input) == (Kind.TEXT, "Your e-mail?", None)


def test_articles_places_and_people_are_text() -> None:
    articles = (
        Article("Returns", "https://x.example/r", "30 days"),
        Article("Shipping", "https://x.example/s"),
    )
    (part,) = prepare(TEXT, Kind.ARTICLES, text="Read:", articles=articles)
    assert part.text == (
        "Read:\n\nReturns\n30 days\nhttps://x.example/r\n\nShipping\nhttps://x.example/s"
    )
    place = Location(46.77, 23.59, "Shop", "Eroilor 1")
    (part,) = prepare(TEXT, Kind.LOCATION, location=place, text="Here.")
    assert part.text == f"Shop\nEroilor 1\n{MAP}\n\nHere."
    cards = (Card("Ana", ("+40721", "+40722")), Card("Ion"))
    (part,) = prepare(TEXT, Kind.CONTACTS, cards=cards)
    assert part.text == "Ana: +40721, +40722\nIon"


@pytest.mark.parametrize(
    ("kind", "carried", "becomes"),
    [
        (Kind.STICKER, {Kind.IMAGE, Kind.DOCUMENT}, Kind.IMAGE),
        (Kind.STICKER, {Kind.DOCUMENT}, Kind.DOCUMENT),
        (Kind.VOICE, {Kind.AUDIO, Kind.DOCUMENT}, Kind.AUDIO),
        (Kind.VOICE, {Kind.DOCUMENT}, Kind.DOCUMENT),
        (Kind.IMAGE, {Kind.DOCUMENT}, Kind.DOCUMENT),
        (Kind.VIDEO, {Kind.DOCUMENT}, Kind.DOCUMENT),
        (Kind.AUDIO, {Kind.DOCUMENT}, Kind.DOCUMENT),
    ],
)
def test_a_file_goes_as_the_nearest_kind(kind: Kind, carried: set[Kind], becomes: Kind) -> None:
    (part,) = prepare(TEXT | carried, kind, **media(kind))
    assert part.media is not None
    assert (part.kind, part.media.kind) == (becomes, becomes)


@pytest.mark.parametrize(
    ("kind", "parts", "why"),
    [
        (Kind.IMAGE, {"media": FILE}, "Plain has no way to send a message of the kind “image”"),
        (Kind.REACTION, {"target_external_id": "x", "emoji": "👍"}, "no way to send"),
        (Kind.ORDER, {}, "no way to send"),
        (Kind.TEXT, {"text": " \n"}, "nothing in this message"),
        (Kind.BUTTONS, {"text": "?"}, "Every choice needs a title"),
        (Kind.LIST, {"sections": (Section("", (Choice("a", " "),)),)}, "Every choice needs"),
        (Kind.CAROUSEL, {}, "Every card needs a title"),
        (Kind.CAROUSEL, {"carousel": (CarouselCard(" "),)}, "Every card needs a title"),
        (
            Kind.CAROUSEL,
            {"carousel": (CarouselCard("A", actions=(postback(""),)),)},
            "Every action",
        ),
        (Kind.FORM, {"text": "?"}, "Every field of a form needs a name"),
        (Kind.INPUT, {"input": Input()}, "Ask for the value in words"),
        (Kind.ARTICLES, {"articles": (Article("A", ""),)}, "a title and a link"),
        (Kind.TEMPLATE, {"template": Template("hello", "")}, "needs its name and its language"),
        (Kind.TEMPLATE, {"template": Template("hello", "en")}, "no way to send"),
        (Kind.LOCATION, {"location": Location(91, 0)}, "place on earth"),
        (Kind.CONTACTS, {"cards": (Card(""),)}, "needs a name"),
        (Kind.DOCUMENT, {}, "file of this message is missing"),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_sentence(
    kind: Kind, parts: dict[str, Any], why: str
) -> None:
    with pytest.raises(UnsupportedMessageError, match=why):
        prepare(TEXT, kind, **parts)


def test_words_that_are_too_long_go_before_what_is_tapped_and_behind_what_is_shown() -> None:
    long = "word " * 30
    kinds = RICH | {Kind.LOCATION, Kind.AUDIO}
    limits = {"max_text": 60, "max_caption": 40, "max_button_text": 30}
    buttons = prepare(kinds, Kind.BUTTONS, limits=limits, text=long, buttons=choices(2))
    assert [part.kind for part in buttons] == [Kind.TEXT] * (len(buttons) - 1) + [Kind.BUTTONS]
    assert all(text_length(part.text) <= 30 for part in buttons)
    image = prepare(kinds, Kind.IMAGE, limits=limits, text=long, media=FILE)
    assert [part.kind for part in image][:2] == [Kind.IMAGE, Kind.TEXT]
    for kind in (Kind.LOCATION, Kind.AUDIO):
        spoken = prepare(kinds, kind, limits=limits, text="Here", **WHOLE[kind])
        assert [(part.kind, part.text) for part in spoken] == [(kind, ""), (Kind.TEXT, "Here")]


# --- What is never lost ---------------------------------------------------------------------------

words = st.lists(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=15), min_size=1, max_size=8
).map(" ".join)
several = st.lists(words, min_size=1, max_size=14)


@st.composite
def messages(draw: st.DrawFn) -> OutboundMessage:
    kind = draw(st.sampled_from([Kind.BUTTONS, Kind.LIST, Kind.CAROUSEL, Kind.FORM]))
    titles = draw(several)
    rows = tuple(Choice(f"id{n}", title) for n, title in enumerate(titles))
    text = draw(words)
    if kind is Kind.BUTTONS:
        return OutboundMessage("m", kind, text=text, buttons=rows)
    if kind is Kind.LIST:
        half = draw(st.integers(0, len(rows) - 1))
        parts = [part for part in (rows[:half], rows[half:]) if part]
        return OutboundMessage(
            "m", kind, text=text, sections=tuple(Section(draw(words), part) for part in parts)
        )
    if kind is Kind.FORM:
        fields = tuple(FormField(row.id, row.title) for row in rows)
        return OutboundMessage("m", kind, text=text, fields=fields)
    cards = tuple(
        CarouselCard(
            draw(words), draw(words), draw(st.sampled_from(["", LAMP])), (postback(r.id, r.title),)
        )
        for r in rows
    )
    return OutboundMessage("m", kind, text=text, carousel=cards)


def titles_of(message: OutboundMessage) -> list[str]:
    rows = [row for section in message.sections for row in section.rows]
    return [
        *(choice.title for choice in (*message.buttons, *rows)),
        *(section.title for section in message.sections),
        *(field.label for field in message.fields),
        *(card.title for card in message.carousel),
        *(card.description for card in message.carousel),
        *(choice.title for card in message.carousel for choice in card.choices),
    ]


def choices_of(message: OutboundMessage) -> set[Choice]:
    rows = [row for section in message.sections for row in section.rows]
    carded = [choice for card in message.carousel for choice in card.choices]
    numbered = [choice for _number, choice in message.options]
    return {*message.buttons, *rows, *carded, *numbered}


@given(
    message=messages(),
    kinds=st.sampled_from([TEXT, PICTURES, RICH, TEXT | {Kind.BUTTONS}, TEXT | {Kind.LIST}]),
    most=st.integers(min_value=40, max_value=300),
)
def test_no_title_and_no_option_is_lost_and_no_word_is_cut(
    message: OutboundMessage, kinds: frozenset[Kind], most: int
) -> None:
    class Narrow(Channel):
        name = "Narrow"
        capabilities = Capabilities(kinds=kinds, max_text=most, max_caption=most)

    parts = Narrow().prepare(message)
    said = " ".join(" ".join([part.text, *titles_of(part)]) for part in parts)
    found = set(said.split())
    for title in (message.text, *titles_of(message)):
        assert set(title.split()) <= found, "a word is lost, or cut"
    assert set().union(*(choices_of(part) for part in parts)) == choices_of(message)
    assert all(text_length(part.text) <= most for part in parts)
    assert all(part.kind in kinds for part in parts)
    for options in {part.options for part in parts if part.options}:
        numbers = {int(number) for number in re.findall(r"(?<!\S)(\d+)\.(?!\S)", said)}
        assert {int(number) for number, _choice in options} <= numbers
