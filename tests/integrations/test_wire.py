"""Typed reading of foreign JSON: what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.channels import UnexpectedPayloadError
from integrations.wire import MAX_DEPTH, Fields, depth_of, parse_json, unstorable_text

ORDER = Fields({"id": "a", "n": 7, "x": 1.5, "yes": True, "none": None, "lines": [{"s": 1}, 5]})


def test_values_are_read_as_what_they_are() -> None:
    assert (ORDER.text("id"), ORDER.number("x"), ORDER.number("n")) == ("a", 1.5, 7.0)
    assert (ORDER.code("id"), ORDER.code("n"), ORDER.code("none")) == ("a", "7", "")
    assert (ORDER.flag("yes"), ORDER.flag("n"), ORDER.flag("missing")) == (True, False, False)
    assert ORDER.text("none", "") == ""
    assert (ORDER.has("id"), ORDER.has("none")) == (True, False)
    assert ORDER.maybe("missing").values == {}
    assert ORDER.items("missing") == []


@pytest.mark.parametrize(
    ("read", "key", "words"),
    [
        (lambda: ORDER.text("n"), "n", "n should be a string, found int"),
        (lambda: ORDER.text("missing"), "missing", "missing should be a string, found nothing"),
        (lambda: ORDER.number("yes"), "yes", "a number, found bool"),
        (lambda: ORDER.code("x"), "x", "a string or a whole number, found float"),
        (lambda: ORDER.code("yes"), "yes", "found bool"),
        (lambda: ORDER.fields("id"), "id", "an object, found str"),
        (lambda: ORDER.maybe("lines"), "lines", "an object, found list"),
        (lambda: ORDER.items("id"), "id", "an array, found str"),
        (lambda: list(ORDER.each("lines")), "lines[1]", "an object, found int"),
        (lambda: next(ORDER.each("lines")).text("s"), "lines[0].s", "a string, found int"),
        (lambda: Fields.of([]), "body", "an object, found list"),
    ],
)
def test_a_surprise_names_its_key_and_not_its_value(
    read: Callable[[], Any], key: str, words: str
) -> None:
    with pytest.raises(UnexpectedPayloadError) as caught:
        read()
    assert caught.value.key == key
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"NaN", b"[1e999]", b"[-Infinity]", b'{"a":1,"a":2}', b"[" * 100_000],
)
def test_sx_40_what_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(UnexpectedPayloadError):
        parse_json(body)


def test_depth_is_limited() -> None:
    assert depth_of(parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)) == MAX_DEPTH
    with pytest.raises(UnexpectedPayloadError, match="too deeply"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("value", "is_bad"),
    [
        ({"a": ["b", 1, None, True]}, False),
        ({"a": [{"b": "x\x00"}]}, True),
        ({"a\x00": 1}, True),
        (["\ud800"], True),
        ("😀", False),
    ],
)
def test_sx_40_text_that_postgresql_cannot_keep_is_found(value: Any, is_bad: bool) -> None:
    assert bool(unstorable_text(value)) is is_bad


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_json_that_is_sound_comes_through_unchanged(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
