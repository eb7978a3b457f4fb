"""Long texts in parts, choices as numbered lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.messages import Choice, Section
from conversations.phrasing import chosen, numbered, numbered_text, split_text, text_length


def test_a_text_that_fits_is_one_part() -> None:
    assert split_text("  Salut \n", 10) == ["Salut"]
    assert split_text("", 10) == []
    assert split_text(" \n ", 10) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One two.\n\nThree four.", ["One two.", "Three four."]),
        ("One two\nthree four", ["One two", "three four"]),
        ("One two. Three four.", ["One two.", "Three four."]),
        ('She said "go." Then left', ['She said "go."', "Then left"]),
        ("one two three four", ["one two three", "four"]),
        ("abcdefghijklmnopqrst", ["abcdefghijklmno", "pqrst"]),
    ],
    ids=["paragraph", "line", "sentence", "quote", "word", "no place at all"],
)
def test_a_text_is_cut_at_the_best_place(text: str, parts: list[str]) -> None:
    assert split_text(text, 15) == parts


def test_a_cut_that_would_leave_a_scrap_is_not_taken() -> None:
    parts = split_text("Hi.\n\n" + "word " * 30, 50)
    assert len(parts[0]) > 25


def test_length_counts_utf_16_units_and_emoji_stay_whole() -> None:
    assert text_length("a😀é") == 4
    assert split_text("😀" * 5, 4) == ["😀😀", "😀😀", "😀"]
    family = "👨\u200d👩\u200d👧"
    assert split_text(f"abc{family}", 8) == ["abc", family]
    assert split_text("ab" + "e\u0301", 3) == ["ab", "e\u0301"]


@given(st.text(max_size=400), st.integers(min_value=2, max_value=60))
def test_no_part_is_too_long_and_no_word_is_lost(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert all(0 < text_length(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


COLOURS = (Choice("r", "Roșu"), Choice("g", "Verde", "ca iarba"), Choice("2", "Doi"))


def test_choices_are_numbered_through_all_sections() -> None:
    sections = (Section("Culori", COLOURS[:2]), Section("", COLOURS[2:]))
    assert numbered_text("Care?", sections) == (
        "Care?\n\nCulori\n1. Roșu\n2. Verde – ca iarba\n\n3. Doi"
    )


@pytest.mark.parametrize(
    ("answer", "identifier"),
    [
        ("1", "r"),
        (" 2. ", "g"),
        ("(3)", "2"),
        ("rosu", "r"),
        ("ROŞU", "r"),
        ("verde!", "g"),
        ("2\ufe0f\u20e3", "g"),
    ],
)
def test_an_answer_in_words_is_the_choice_it_names(answer: str, identifier: str) -> None:
    choice = chosen(answer, numbered(COLOURS))
    assert choice is not None
    assert choice.id == identifier


def test_a_title_that_two_choices_have_names_neither_and_a_title_goes_before_a_number() -> None:
    twice = (Choice("a", "Buy"), Choice("b", "Buy"), Choice("c", "1"))
    assert chosen("buy", numbered(twice)) is None
    assert chosen("2", numbered(twice)) == twice[1]
    assert chosen("1", numbered(twice)) == twice[2]


@pytest.mark.parametrize("answer", ["", "  ", "4", "0", "11", "maybe 1", "verde sau roșu"])
def test_any_other_answer_is_no_choice(answer: str) -> None:
    assert chosen(answer, numbered(COLOURS)) is None
