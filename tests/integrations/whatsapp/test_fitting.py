"""What WhatsApp can say, what is degraded, what is refused; and Markdown in WhatsApp's marks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.channels import UnsupportedMessageError
from conversations.messages import (
    Card,
    Choice,
    Kind,
    Location,
    OutboundMedia,
    OutboundMessage,
    Section,
)
from conversations.phrasing import text_length
from integrations.whatsapp.channel import WhatsAppChannel
from integrations.whatsapp.markup import to_whatsapp
from integrations.whatsapp.sending import body_of
from tests.fakes.graph.rules import check_message

channel = WhatsAppChannel()


def message(kind: Kind, **parts: Any) -> OutboundMessage:
    return OutboundMessage(reference="msg_1", kind=kind, **parts)


def prepare(kind: Kind, **parts: Any) -> tuple[OutboundMessage, ...]:
    return channel.prepare(message(kind, **parts))


def choices(count: int, title: str = "Choice", **parts: str) -> tuple[Choice, ...]:
    return tuple(Choice(f"id{n}", f"{title} {n}", **parts) for n in range(1, count + 1))


def accepted(parts: tuple[OutboundMessage, ...]) -> list[dict[str, Any]]:
    """The bodies of all parts, each of which our Graph server's rules take."""
    bodies = []
    for part in parts:
        file = {"id": "1"} if part.media else {}
        body = body_of(part, {"to": "40721000111"}, file)
        check_message(body, {"1"})
        bodies.append(body)
    return bodies


def test_a_short_text_is_one_message() -> None:
    (body,) = accepted(prepare(Kind.TEXT, text="Salut", reply_to_external_id="wamid.A"))
    assert body == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "40721000111",
        "type": "text",
        "text": {"body": "Salut", "preview_url": False},
        "context": {"message_id": "wamid.A"},
        "biz_opaque_callback_data": "msg_1",
    }


def test_a_text_with_a_link_gets_a_preview() -> None:
    (body,) = accepted(prepare(Kind.TEXT, text="See https://example.com"))
    assert body["text"]["preview_url"] is True


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_empty_text_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UnsupportedMessageError, match="nothing in this message"):
        prepare(Kind.TEXT, text=text)


def test_a_long_text_becomes_parts_and_only_the_first_quotes() -> None:
    text = "\n\n".join(f"Paragraph {n}. " + "word " * 200 for n in range(12))
    parts = prepare(Kind.TEXT, text=text, reply_to_external_id="wamid.A")
    assert len(parts) > 2
    assert [bool(part.reply_to_external_id) for part in parts] == [True] + [False] * (
        len(parts) - 1
    )
    assert " ".join(part.text for part in parts).split() == text.split()
    accepted(parts)


def test_emoji_count_twice() -> None:
    parts = prepare(Kind.TEXT, text="😀" * 3000)
    assert [text_length(part.text) for part in parts] == [4096, 1904]
    accepted(parts)


@pytest.mark.parametrize(
    ("count", "kind"), [(1, "button"), (3, "button"), (4, "list"), (10, "list")]
)
def test_up_to_three_choices_are_buttons_and_up_to_ten_a_list(count: int, kind: str) -> None:
    (body,) = accepted(prepare(Kind.BUTTONS, text="Which?", buttons=choices(count)))
    assert body["interactive"]["type"] == kind


def test_more_than_ten_choices_are_numbered_lines_with_their_meaning_kept() -> None:
    (part,) = prepare(Kind.BUTTONS, text="Which?", buttons=choices(11))
    assert part.kind is Kind.TEXT
    assert part.text.startswith("Which?\n\n1. Choice 1\n2. Choice 2\n")
    assert dict(part.options)["11"] == Choice("id11", "Choice 11")
    accepted((part,))


@pytest.mark.parametrize(
    ("title", "kind"), [("x" * 18, "button"), ("x" * 22, "list"), ("x" * 30, "text")]
)
def test_a_title_too_long_for_a_button_makes_a_list_and_then_lines(title: str, kind: str) -> None:
    (body,) = accepted(prepare(Kind.BUTTONS, text="Which?", buttons=choices(2, title)))
    assert body.get("interactive", {"type": "text"})["type"] == kind
    if kind == "text":
        assert title in body["text"]["body"]


@pytest.mark.parametrize(
    "buttons",
    [
        (Choice("a", "Same"), Choice("b", "Same")),
        (Choice("a", "One"), Choice("a", "Two")),
        (Choice("", "One"),),
        (Choice(" a", "One"),),
        (Choice("a" * 257, "One"),),
    ],
    ids=["same title", "same id", "no id", "blank in id", "long id"],
)
def test_choices_that_whatsapp_refuses_are_numbered(buttons: tuple[Choice, ...]) -> None:
    (part,) = prepare(Kind.BUTTONS, text="Which?", buttons=buttons)
    assert part.kind is Kind.TEXT
    assert [choice for _number, choice in part.options] == list(buttons)
    accepted((part,))


def test_a_button_with_a_description_is_a_row() -> None:
    (body,) = accepted(
        prepare(Kind.BUTTONS, text="Which?", buttons=choices(2, description="100 RON"))
    )
    rows = body["interactive"]["action"]["sections"][0]["rows"]
    assert rows[0] == {"id": "id1", "title": "Choice 1", "description": "100 RON"}


def test_a_list_keeps_its_sections_and_gets_a_button() -> None:
    sections = (Section("First", choices(2)), Section("Second", (Choice("z", "Last"),)))
    (body,) = accepted(prepare(Kind.LIST, text="Which?", sections=sections, list_button=""))
    action = body["interactive"]["action"]
    assert action["button"] == "Choose"
    assert [section["title"] for section in action["sections"]] == ["First", "Second"]


@pytest.mark.parametrize(
    "sections",
    [
        (Section("", choices(2)), Section("Second", (Choice("z", "Last"),))),
        (Section("x" * 25, choices(2)),),
        (Section("One", choices(2, description="x" * 73)),),
        (Section("One", choices(2)), Section("Two", ())),
        (Section("One", choices(6)), Section("Two", choices(6, "Other"))),
    ],
    ids=["no title", "long title", "long description", "empty section", "twelve rows"],
)
def test_a_list_that_whatsapp_refuses_is_numbered(sections: tuple[Section, ...]) -> None:
    parts = prepare(Kind.LIST, text="Which?", sections=sections)
    assert {part.kind for part in parts} == {Kind.TEXT}
    assert len(parts[0].options) == sum(len(section.rows) for section in sections)
    accepted(parts)


def test_a_long_text_above_buttons_is_said_before_them() -> None:
    text = "A sentence of some words. " * 100
    parts = prepare(Kind.BUTTONS, text=text, buttons=choices(2), reply_to_external_id="wamid.A")
    assert [part.kind for part in parts] == [Kind.TEXT, Kind.TEXT, Kind.BUTTONS]
    assert [bool(part.buttons) for part in parts] == [False, False, True]
    accepted(parts)


def test_a_long_header_or_footer_moves_into_the_text() -> None:
    (body,) = accepted(
        prepare(Kind.BUTTONS, text="Which?", buttons=choices(1), header="h" * 61, footer="f" * 61)
    )
    assert body["interactive"]["body"]["text"] == f"{'h' * 61}\n\nWhich?\n\n{'f' * 61}"
    (short,) = accepted(
        prepare(Kind.BUTTONS, text="Which?", buttons=choices(1), header="Head", footer="Foot")
    )
    assert short["interactive"]["header"] == {"type": "text", "text": "Head"}
    assert short["interactive"]["footer"] == {"text": "Foot"}


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"kind": Kind.BUTTONS, "text": "Which?"}, "needs a title"),
        ({"kind": Kind.BUTTONS, "text": "Which?", "buttons": (Choice("a", " "),)}, "needs a title"),
        ({"kind": Kind.BUTTONS, "buttons": choices(1)}, "needs a text"),
        ({"kind": Kind.LIST, "text": "Which?"}, "needs a title"),
        ({"kind": Kind.IMAGE}, "file of this message is missing"),
        ({"kind": Kind.LOCATION}, "place on earth"),
        ({"kind": Kind.LOCATION, "location": Location(91, 0)}, "place on earth"),
        ({"kind": Kind.LOCATION, "location": Location(float("nan"), 0)}, "place on earth"),
        ({"kind": Kind.CONTACTS}, "needs a name"),
        ({"kind": Kind.CONTACTS, "cards": (Card(""),)}, "needs a name"),
        ({"kind": Kind.REACTION, "emoji": "👍"}, "needs the message"),
        ({"kind": Kind.ORDER}, "no way to send"),
        ({"kind": Kind.SYSTEM}, "no way to send"),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_sentence(parts: dict[str, Any], why: str) -> None:
    with pytest.raises(UnsupportedMessageError, match=why):
        prepare(**parts)


def media(kind: Kind, mime: str, size: int | None = 1000, filename: str = "") -> OutboundMedia:
    return OutboundMedia(kind, mime, path="x/y", size=size, filename=filename)


@pytest.mark.parametrize(
    ("kind", "mime", "size", "wire"),
    [
        (Kind.IMAGE, "image/jpeg", 1000, "image"),
        (Kind.IMAGE, "image/gif", 1000, "document"),
        (Kind.IMAGE, "image/png", 6 * 1024 * 1024, "document"),
        (Kind.VIDEO, "video/mp4", None, "video"),
        (Kind.VIDEO, "video/quicktime", 1000, "document"),
        (Kind.VIDEO, "video/mp4", 17 * 1024 * 1024, "document"),
        (Kind.AUDIO, "audio/mpeg", 1000, "audio"),
        (Kind.AUDIO, "audio/flac", 1000, "document"),
        (Kind.VOICE, "audio/opus", 1000, "audio"),
        (Kind.STICKER, "image/webp", 1000, "sticker"),
        (Kind.STICKER, "image/webp", 600_000, "document"),
        (Kind.DOCUMENT, "application/pdf", 1000, "document"),
        (Kind.DOCUMENT, "application/x-odd", 1000, "document"),
    ],
)
def test_a_file_goes_as_what_whatsapp_takes_it_for(
    kind: Kind, mime: str, size: int | None, wire: str
) -> None:
    (body,) = accepted(prepare(kind, media=media(kind, mime, size)))
    assert body["type"] == wire
    if wire == "document":
        assert body["document"]["filename"].startswith("file")


def test_browser_recordings_are_named_rightly_and_webm_is_refused() -> None:
    (part,) = prepare(Kind.VOICE, media=media(Kind.VOICE, "audio/opus"))
    assert part.media is not None
    assert part.media.mime == "audio/ogg; codecs=opus"
    (body,) = accepted((part,))
    assert body["audio"]["voice"] is True
    for mime in ("audio/webm", "audio/webm;codecs=opus", "video/webm"):
        with pytest.raises(UnsupportedMessageError, match="WebM"):
            prepare(Kind.VOICE, media=media(Kind.VOICE, mime))


def test_a_voice_note_of_another_format_is_plain_audio() -> None:
    (body,) = accepted(prepare(Kind.VOICE, media=media(Kind.VOICE, "audio/mpeg")))
    assert body["audio"] == {"id": "1"}


def test_a_file_over_a_hundred_megabytes_is_refused() -> None:
    with pytest.raises(UnsupportedMessageError, match="100 MB"):
        prepare(Kind.DOCUMENT, media=media(Kind.DOCUMENT, "application/pdf", 101 * 1024 * 1024))


def test_a_caption_goes_with_its_file_when_it_can() -> None:
    image = media(Kind.IMAGE, "image/png")
    (body,) = accepted(prepare(Kind.IMAGE, media=image, text="**Offer**"))
    assert body["image"] == {"id": "1", "caption": "*Offer*"}
    parts = prepare(Kind.IMAGE, media=image, text="word " * 300, reply_to_external_id="wamid.A")
    assert [part.kind for part in parts] == [Kind.IMAGE, Kind.TEXT]
    audio = prepare(Kind.AUDIO, media=media(Kind.AUDIO, "audio/mpeg"), text="Listen")
    assert [part.kind for part in audio] == [Kind.AUDIO, Kind.TEXT]
    accepted(parts)
    accepted(audio)


def test_places_people_and_reactions_are_native() -> None:
    place = Location(44.4, 26.1, name="Piața Unirii")
    (body,) = accepted(prepare(Kind.LOCATION, location=place))
    assert body["location"] == {"latitude": 44.4, "longitude": 26.1, "name": "Piața Unirii"}
    (body,) = accepted(prepare(Kind.REACTION, target_external_id="wamid.A", emoji="👍"))
    assert body["reaction"] == {"message_id": "wamid.A", "emoji": "👍"}
    (body,) = accepted(prepare(Kind.REACTION, target_external_id="wamid.A", emoji=""))
    assert body["reaction"]["emoji"] == ""
    cards = tuple(Card(f"Ion {n}", phones=("+40721000222",)) for n in range(7))
    bodies = accepted(prepare(Kind.CONTACTS, cards=cards, text="Our people"))
    assert [body["type"] for body in bodies] == ["contacts", "contacts", "text"]
    assert [len(body.get("contacts", [])) for body in bodies] == [5, 2, 0]


@given(
    text=st.text(max_size=6000),
    titles=st.lists(st.text(max_size=30), min_size=1, max_size=12),
    kind=st.sampled_from([Kind.TEXT, Kind.BUTTONS, Kind.LIST]),
)
def test_whatever_is_prepared_is_taken_and_only_empty_words_are_refused(
    text: str, titles: list[str], kind: Kind
) -> None:
    rows = tuple(Choice(f"id{n}", title) for n, title in enumerate(titles))
    wanted = message(kind, text=text, buttons=rows, sections=(Section("", rows),))
    if not text.strip() or (kind is not Kind.TEXT and not all(title.strip() for title in titles)):
        with pytest.raises(UnsupportedMessageError):
            channel.prepare(wanted)
        return
    parts = channel.prepare(wanted)
    accepted(parts)
    assert channel.prepare(wanted) == parts


@pytest.mark.parametrize(
    ("markdown", "whatsapp"),
    [
        ("**bold** and __bold__", "*bold* and *bold*"),
        ("*italic* and _italic_", "_italic_ and _italic_"),
        ("***both***", "*_both_*"),
        ("**bold *and* italic**", "*bold _and_ italic*"),
        ("~~gone~~", "~gone~"),
        ("`**code**` stays", "`**code**` stays"),
        ("```python\na = b ** c ** d\n```", "```\na = b ** c ** d\n```"),
        ("# Title\ntext", "*Title*\ntext"),
        ("## **Title** ##", "*Title*"),
        ("* one\n* **two**", "- one\n- *two*"),
        ("[our shop](https://example.com/a_b)", "our shop (https://example.com/a_b)"),
        ("[https://example.com](https://example.com)", "https://example.com"),
        ("![photo](https://example.com/a.png)", "photo (https://example.com/a.png)"),
        ("2 * 3 * 4 = 24, 2*3*4", "2 * 3 * 4 = 24, 2*3*4"),
        ("snake__case__name and a**b**c", "snake__case__name and a**b**c"),
        ("https://example.com/__init__/x", "https://example.com/__init__/x"),
        ("** not bold **", "** not bold **"),
        ("5 ** 2", "5 ** 2"),
        ("#hashtag", "#hashtag"),
        ("plain", "plain"),
        ("**Preț:** 100 lei", "*Preț:* 100 lei"),
    ],
)
def test_markdown_becomes_whatsapp_marks(markdown: str, whatsapp: str) -> None:
    assert to_whatsapp(markdown) == whatsapp


@given(st.text(alphabet="ab *_~`#[]()!\n-", max_size=200))
def test_marks_never_make_a_text_longer(text: str) -> None:
    assert len(to_whatsapp(text)) <= len(text)


def test_a_reference_is_sent_and_nothing_is_sent_without_one() -> None:
    part = message(Kind.TEXT, text="Salut")
    assert "biz_opaque_callback_data" in body_of(part, {"to": "40721000111"}, {})
    without = body_of(replace(part, reference=""), {"to": "40721000111"}, {})
    assert "biz_opaque_callback_data" not in without
