"""Reading answers: every form, and every mistake at its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.actions import (
    AddLabels,
    Answer,
    Assign,
    HandOff,
    Note,
    RemoveLabels,
    Resolve,
    Say,
    SetAttributes,
    Typing,
)
from agents.dialects import UnreadableAnswerError, get
from conversations.messages import (
    Card,
    Choice,
    Content,
    Kind,
    Location,
    OutboundMedia,
    Section,
)


def read(body: Any, status: int = 200) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return get("native").read_answer(status, {}, raw)


FORMS: list[tuple[Any, tuple[Any, ...]]] = [
    ({"reply": "Hi"}, (Say(Content(text="Hi")),)),
    ({"messages": [{"text": "Hi"}]}, (Say(Content(text="Hi")),)),
    (
        {"messages": [{"text": "Hi", "reply_to": "msg_1", "client_id": "c"}]},
        (Say(Content(text="Hi"), reply_to="msg_1", client_id="c"),),
    ),
    (
        {"messages": [{"kind": "buttons", "text": "T", "buttons": [{"id": "a", "title": "A"}]}]},
        (Say(Content(kind=Kind.BUTTONS, text="T", buttons=(Choice("a", "A"),))),),
    ),
    (
        {
            "messages": [
                {
                    "kind": "list",
                    "text": "T",
                    "button": "Choose",
                    "header": "H",
                    "footer": "F",
                    "sections": [
                        {"title": "S", "rows": [{"id": "1", "title": "O", "description": "D"}]}
                    ],
                }
            ]
        },
        (
            Say(
                Content(
                    kind=Kind.LIST,
                    text="T",
                    sections=(Section("S", (Choice("1", "O", "D"),)),),
                    list_button="Choose",
                    header="H",
                    footer="F",
                )
            ),
        ),
    ),
    (
        {
            "messages": [
                {
                    "kind": "image",
                    "url": "https://shop.example/a.jpg",
                    "text": "Lamp",
                    "mime": "image/jpeg",
                    "filename": "a.jpg",
                }
            ]
        },
        (
            Say(
                Content(
                    kind=Kind.IMAGE,
                    text="Lamp",
                    media=(
                        OutboundMedia(
                            Kind.IMAGE, "image/jpeg", "a.jpg", url="https://shop.example/a.jpg"
                        ),
                    ),
                )
            ),
        ),
    ),
    (
        {"messages": [{"kind": "location", "latitude": 46, "longitude": 23.6, "name": "Cluj"}]},
        (Say(Content(kind=Kind.LOCATION, location=Location(46.0, 23.6, "Cluj"))),),
    ),
    (
        {"messages": [{"kind": "contacts", "contacts": [{"name": "Ana", "phones": ["+40"]}]}]},
        (Say(Content(kind=Kind.CONTACTS, cards=(Card("Ana", ("+40",)),))),),
    ),
    (
        {
            "actions": [
                {"type": "label", "names": ["a", "b"]},
                {"type": "unlabel", "names": ["c"]},
                {"type": "attribute", "values": {"a": 1, "b": None}},
                {"type": "attribute", "on": "conversation", "values": {"a": [1]}},
                {"type": "assign", "team": "Sales"},
                {"type": "assign", "member": "mem_1", "reason": "R"},
                {"type": "hand_off"},
                {"type": "hand_off", "reason": "R", "summary": "S", "team": "Sales"},
                {"type": "resolve"},
                {"type": "note", "text": "N"},
                {"type": "typing"},
            ]
        },
        (
            AddLabels(("a", "b")),
            RemoveLabels(("c",)),
            SetAttributes({"a": 1, "b": None}),
            SetAttributes({"a": [1]}, "conversation"),
            Assign(team="Sales"),
            Assign(member="mem_1", reason="R"),
            HandOff(),
            HandOff("R", "S", "Sales"),
            Resolve(),
            Note("N"),
            Typing(),
        ),
    ),
    ({"reply": "Hi", "actions": [{"type": "resolve"}]}, (Say(Content(text="Hi")), Resolve())),
    ({"reply": None, "messages": [], "actions": None}, ()),
]


@pytest.mark.parametrize(("body", "actions"), FORMS, ids=lambda value: str(value)[:60])
def test_every_form_of_an_answer_is_read(body: Any, actions: tuple[Any, ...]) -> None:
    assert read(body).actions == actions


@pytest.mark.parametrize(
    ("status", "body"), [(204, b"x"), (200, b""), (202, b"  "), (200, b"null")]
)
def test_an_empty_answer_asks_for_nothing(status: int, body: bytes) -> None:
    assert not read(body, status)


CHOICE = {"id": "a", "title": "A"}
MISTAKES: list[tuple[Any, str]] = [
    (b"OK", "the body is not JSON"),
    (b"<html>", "the body is not JSON"),
    (b"\xff\xfe", "the body is not JSON"),
    (b"[" * 100_000, "the body"),
    (b'{"reply": 1e999}', "a number is too large"),
    (b'{"reply": "a", "reply": "b"}', "a key is given twice"),
    ([], "body should be an object"),
    ("Hi", "body should be an object"),
    ({"replies": "Hi"}, "replies is not known here; known are reply, messages, actions"),
    ({"ok": True}, "ok is not known here"),
    ({"reply": 7}, "reply should be a string"),
    ({"reply": " "}, "reply should be a text that is not empty"),
    ({"reply": "a\u0000b"}, "NUL"),
    ({"reply": "\ud800"}, "surrogate"),
    ({"reply": "x" * 20_001}, "reply should be at most 20000"),
    ({"reply": "a", "messages": [{"text": "b"}]}, "reply should be left out"),
    ({"messages": {"text": "a"}}, "messages should be an array"),
    ({"messages": ["a"]}, "messages[0] should be an object"),
    ({"messages": [{"text": "a"}] * 11}, "messages should be an array of at most 10"),
    ({"messages": [{}]}, "messages[0].text should be a string"),
    ({"messages": [{"kind": "smell"}]}, "messages[0].kind should be one of text"),
    ({"messages": [{"kind": "order"}]}, "messages[0].kind should be one of text"),
    ({"messages": [{"text": "a", "url": "b"}]}, "messages[0].url is not known here"),
    ({"messages": [{"kind": "buttons", "text": "a"}]}, "messages[0].buttons should be an array"),
    (
        {"messages": [{"kind": "buttons", "text": "a", "buttons": [{"id": "a"}]}]},
        "messages[0].buttons[0].title should be a string",
    ),
    (
        {"messages": [{"kind": "buttons", "text": "a", "buttons": [CHOICE] * 51}]},
        "messages[0].buttons should be an array of at most 50",
    ),
    (
        {"messages": [{"kind": "list", "text": "a", "sections": [{"rows": []}]}]},
        "messages[0].sections[0].rows should be",
    ),
    ({"messages": [{"kind": "list", "text": "a"}]}, "messages[0].sections should be"),
    ({"messages": [{"kind": "image"}]}, "messages[0].url should be an http"),
    ({"messages": [{"kind": "image", "url": "file:///x"}]}, "messages[0].url should be an http"),
    ({"messages": [{"kind": "image", "url": "http://[x"}]}, "messages[0].url should be an http"),
    (
        {"messages": [{"kind": "location", "latitude": "46", "longitude": 2}]},
        "messages[0].latitude should be a number",
    ),
    (
        {"messages": [{"kind": "location", "latitude": 91, "longitude": 2}]},
        "messages[0].latitude should be between",
    ),
    ({"messages": [{"kind": "contacts", "contacts": []}]}, "messages[0].contacts should be"),
    ({"actions": [{"type": "resolve"}] * 21}, "actions should be an array of at most 20"),
    ({"actions": [{}]}, "actions[0].type should be a string"),
    ({"actions": [{"type": "explode"}]}, "actions[0].type should be one of label"),
    ({"actions": [{"type": "resolve", "now": 1}]}, "actions[0].now is not known here"),
    ({"actions": [{"type": "label", "names": "a"}]}, "actions[0].names should be an array"),
    ({"actions": [{"type": "label", "names": []}]}, "actions[0].names should be an array"),
    ({"actions": [{"type": "label", "names": ["a", 1]}]}, "actions[0].names[1] should be a string"),
    ({"actions": [{"type": "attribute", "values": []}]}, "actions[0].values should be an object"),
    (
        {"actions": [{"type": "attribute", "on": "moon", "values": {}}]},
        "actions[0].on should be contact or conversation",
    ),
    (
        {"actions": [{"type": "attribute", "values": {"a": "x" * 4001}}]},
        "actions[0].values.a should be at most",
    ),
    ({"actions": [{"type": "assign"}]}, "actions[0] should name either a member or a team"),
    (
        {"actions": [{"type": "assign", "member": "a", "team": "b"}]},
        "actions[0] should name either a member or a team",
    ),
    ({"actions": [{"type": "note"}]}, "actions[0].text should be a string"),
    ({"actions": [{"type": "hand_off", "reason": 1}]}, "actions[0].reason should be a string"),
]


@pytest.mark.parametrize(("body", "sentence"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_named_at_its_place(body: Any, sentence: str) -> None:
    with pytest.raises(UnreadableAnswerError) as refused:
        read(body)
    assert sentence in str(refused.value)
