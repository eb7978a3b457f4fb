"""Patterns that tenants write: the same answers as `re`, in time that cannot explode."""

from __future__ import annotations

import random
import re

import pytest

from agents.patterns import (
    MAX_TEXT,
    OutOfTimeError,
    PatternError,
    compile_pattern,
    fold,
)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"comanda\s+#?\d{4,}", "Unde e Comanda #12345?", True),
        (r"comanda\s+#?\d{4,}", "comanda 12", False),
        (r"^(da|yes)$", "DA", True),
        (r"^(da|yes)$", "da, dar", False),
        (r"\bom\b", "vorbesc cu un om.", True),
        (r"\bom\b", "omul", False),
        ("plata", "Plată", True),
        ("Plată", "plata", True),
        ("[a-c]x", "Bx", True),
        ("[^a-c]x", "bx", False),
        ("colou?r", "my COLOR", True),
        ("stra(ss|ß)e", "Straße", True),
        ("a.c", "a\nc", False),
        (r"1\.5", "1x5", False),
        ("x{2,3}y", "xy", False),
        ("(?:ab)+c", "ababc", True),
        ("|nothing", "anything", True),
    ],
)
def test_a_pattern_finds_what_it_says(pattern: str, text: str, found: bool) -> None:
    assert compile_pattern(pattern).found_in(text) is found


def test_patterns_agree_with_the_standard_library() -> None:
    atoms = ["a", "b", "[ab]", "[^a]", ".", r"\d", r"\w", r"\s", "(a|b)", "(?:ab|1)"]
    places = ["^", "$", r"\b"]
    chance = random.Random(7)  # noqa: S311 - a repeatable sample, nothing secret
    for _ in range(1500):
        pattern = ""
        for _ in range(chance.randint(1, 5)):
            if chance.random() < 0.2:
                pattern += chance.choice(places)
                continue
            pattern += chance.choice(atoms)
            pattern += chance.choice(["", "", "*", "+", "?", "{2}", "{1,2}", "{2,}", "+?"])
        text = "".join(chance.choice("ab1 _") for _ in range(chance.randint(0, 9)))
        expected = bool(re.search(pattern.replace("$", r"\Z"), text))
        assert compile_pattern(pattern).found_in(text) is expected, (pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a*)*", "((a|b)+c)+", "(a{1,9}){2}", "a**", r"(a)\1", "(?=a)", "(?i)a", "(?P<n>a)",
        "(a", "a)", "[a", "*a", "a{3,2}", "a{,3}", "a{1000}", "(a{50}){50}", r"\q", "\\", "[z-a]",
        r"\b*", "", "a" * 201, "(" * 12 + "a" + ")" * 12,
    ],
)  # fmt: skip
def test_what_is_outside_the_subset_is_refused_with_a_sentence(pattern: str) -> None:
    """SX-59"""
    with pytest.raises(PatternError) as refused:
        compile_pattern(pattern)
    assert len(str(refused.value)) > 10


@pytest.mark.parametrize("pattern", ["a*a*a*a*a*b", ".*.*.*.*x", "(?:a|b|ab)*c", "(a?){30}b"])
def test_a_long_hostile_text_takes_one_pass(pattern: str) -> None:
    """SX-59: counted in turns of the machine's clock, not in seconds of this machine."""
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return 0.0

    assert compile_pattern(pattern).found_in("a" * 50_000, clock=clock) is False
    assert looks == 1 + MAX_TEXT // 64


def test_a_search_over_its_budget_is_given_up() -> None:
    """SX-59"""
    ticks = iter(range(1000))
    with pytest.raises(OutOfTimeError):
        compile_pattern("b").found_in("a" * 4000, clock=lambda: float(next(ticks)))


def test_folding_takes_case_and_accents_away() -> None:
    assert fold("Vreau SĂ știu, Élan") == "vreau sa stiu, elan"
