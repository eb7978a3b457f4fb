"""A safe subset of regular expressions for rules that tenants write.

Python's `re` backtracks and cannot be stopped, so one rule like `(a+)+$` could hold a worker for
hours. Patterns here are compiled to a small machine that reads the text once and keeps every possible
state side by side: time grows with text times pattern, never exponentially, and a clock is watched on
the way. Letters match in any case and with or without accents.

Understood: literals, `.`, `[a-z]`, `[^…]`, `\\d \\w \\s` and their opposites, `\\b ^ $`, `( )`, `(?: )`, `|`,
`* + ? {m} {m,} {m,n}`. Not understood, and refused with a sentence: back references, look-around, flags,
repetition inside repetition.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from django.utils.translation import gettext as _

MAX_PATTERN = 200
MAX_TEXT = 4096
MAX_COUNT = 100
MAX_STEPS = 1000
MAX_DEPTH = 10
BUDGET_S = 0.05

Test = Callable[[str], bool]


class PatternError(Exception):
    """The pattern is outside of the subset; the sentence says why."""


class OutOfTimeError(Exception):
    """The text could not be searched within the budget."""


def fold(text: str) -> str:
    """Lower case, without accents: `Vreau SĂ` → `vreau sa`."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


# --- What a pattern is made of -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _One:
    """One character that passes the test."""

    test: Test


@dataclass(frozen=True, slots=True)
class _Place:
    """A place between characters: `^`, `$` or `b`."""

    kind: str


@dataclass(frozen=True, slots=True)
class _Row:
    items: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Either:
    options: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    item: _Node
    least: int
    most: int | None


_Node = _One | _Place | _Row | _Either | _Repeat


def _repeats(node: _Node) -> bool:
    """Whether something inside has a varying number of turns."""
    match node:
        case _Row(items) | _Either(items):
            return any(_repeats(item) for item in items)
        case _Repeat(item, least, most):
            return most is None or (most > 1 and most != least) or _repeats(item)
    return False


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.rest = pattern
        self.at = 0
        self.depth = 0

    def parse(self) -> _Node:
        node = self._either()
        if self.at < len(self.rest):
            raise PatternError(_("there is a “)” without its “(”"))
        return node

    def _peek(self) -> str:
        return self.rest[self.at : self.at + 1]

    def _take(self) -> str:
        character = self._peek()
        self.at += 1
        return character

    def _accept(self, wanted: str) -> bool:
        if self.rest.startswith(wanted, self.at):
            self.at += len(wanted)
            return True
        return False

    def _either(self) -> _Node:
        options = [self._row()]
        while self._accept("|"):
            options.append(self._row())
        return options[0] if len(options) == 1 else _Either(tuple(options))

    def _row(self) -> _Node:
        items: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._quantified(self._atom()))
        return _Row(tuple(items))

    def _atom(self) -> _Node:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return _One(self._set())
        if character == ".":
            return _One(lambda letter: letter != "\n")
        if character in "^$":
            return _Place(character)
        if character in "*+?":
            raise PatternError(_("“%(sign)s” has nothing to repeat") % {"sign": character})
        if character == "\\":
            return self._escape()
        return _literal(character)

    def _group(self) -> _Node:
        if self._accept("?") and not self._accept(":"):
            raise PatternError(_("look-around, flags and named groups are not supported"))
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise PatternError(_("the groups are nested too deeply"))
        node = self._either()
        if not self._accept(")"):
            raise PatternError(_("a “(” is not closed"))
        self.depth -= 1
        return node

    def _escape(self) -> _Node:
        character = self._take()
        if character in _CLASSES:
            return _One(_CLASSES[character])
        if character == "b":
            return _Place("b")
        return _literal(self._escaped_literal(character))

    def _escaped_literal(self, character: str) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if not character:
            raise PatternError(_("the pattern ends with a single “\\”"))
        if character.isdigit():
            raise PatternError(_("back references are not supported"))
        if character.isalpha():
            raise PatternError(_("“\\%(letter)s” is not supported") % {"letter": character})
        return character

    def _set(self) -> Test:
        negated = self._accept("^")
        tests: list[Test] = []
        singles: set[str] = set()
        first = True
        while first or self._peek() != "]":
            if not self._peek():
                raise PatternError(_("a “[” is not closed"))
            first = False
            low = self._set_item(tests)
            if low is None:
                continue
            if self._peek() == "-" and self.rest[self.at + 1 : self.at + 2] not in ("]", ""):
                self._take()
                high = self._set_item(tests)
                tests.append(_range(low, high))
            else:
                singles.update(fold(low))
        self._take()
        letters = frozenset(singles)

        def inside(letter: str) -> bool:
            return letter in letters or any(test(letter) for test in tests)

        return (lambda letter: not inside(letter)) if negated else inside

    def _set_item(self, tests: list[Test]) -> str | None:
        """The next single character of a set; None when it was a class, which is added."""
        character = self._take()
        if character != "\\":
            return character
        escaped = self._take()
        if escaped in _CLASSES:
            tests.append(_CLASSES[escaped])
            return None
        return self._escaped_literal(escaped)

    def _quantified(self, node: _Node) -> _Node:
        bounds = self._quantifier()
        if bounds is None:
            return node
        self._accept("?")  # lazy or greedy: whether it matches is the same
        least, most = bounds
        if isinstance(node, _Place):
            raise PatternError(_("a place such as “^” or “\\b” cannot be repeated"))
        if self._quantifier() is not None or ((most is None or most > 1) and _repeats(node)):
            raise PatternError(_("repetition inside repetition is not allowed; write it out"))
        return _Repeat(node, least, most)

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in _SIGNS.items():
            if self._accept(sign):
                return bounds
        if self._peek() != "{":
            return None
        end = self.rest.find("}", self.at)
        least, comma, most = self.rest[self.at + 1 : max(end, self.at + 1)].partition(",")
        if end < 0 or not least.isdecimal() or not (most.isdecimal() or not most):
            raise PatternError(_("a “{” must be followed by a number, as in “{2}” or “{2,5}”"))
        self.at = end + 1
        low = int(least)
        high = (int(most) if most else None) if comma else low
        if low > MAX_COUNT or (high or 0) > MAX_COUNT or (high is not None and high < low):
            raise PatternError(
                _("a repetition counts from 0 to %(most)d, the smaller number first")
                % {"most": MAX_COUNT}
            )
        return low, high


_SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


_CLASSES: dict[str, Test] = {
    "d": str.isdecimal,
    "D": lambda letter: not letter.isdecimal(),
    "w": _is_word,
    "W": lambda letter: not _is_word(letter),
    "s": str.isspace,
    "S": lambda letter: not letter.isspace(),
}


def _literal(character: str) -> _Node:
    letters = fold(character)
    if len(letters) == 1:
        return _One(letters.__eq__)
    return _Row(tuple(_One(letter.__eq__) for letter in letters))


def _range(low: str, high: str | None) -> Test:
    first, last = fold(low), fold(high or "")
    if len(first) != 1 or len(last) != 1 or first > last:
        raise PatternError(_("a range in “[…]” goes from a smaller to a larger character"))
    return lambda letter: first <= letter <= last


# --- The machine ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Step:
    """Read a character (`test`), be at a place (`place`), or go both ways (neither)."""

    test: Test | None = None
    place: str = ""
    ways: tuple[int, ...] = ()


class Pattern:
    """A compiled pattern; `compile_pattern` makes it."""

    def __init__(self, source: str) -> None:
        if not source or len(source) > MAX_PATTERN:
            raise PatternError(_("a pattern has 1 to %(most)d characters") % {"most": MAX_PATTERN})
        self.source = source
        self._steps: list[_Step] = []
        self._compile(_Parser(source).parse())
        self._end = len(self._steps)

    def found_in(self, text: str, *, clock: Callable[[], float] = time.monotonic) -> bool:
        """Whether the pattern occurs in the text's first part. Raises `OutOfTimeError`."""
        letters = fold(text[:MAX_TEXT])
        until = clock() + BUDGET_S
        states: set[int] = set()
        for at in range(len(letters) + 1):
            reached = self._closure({0} | states, letters, at)
            if self._end in reached:
                return True
            if at % 64 == 63 and clock() > until:
                raise OutOfTimeError
            if at == len(letters):
                break
            letter = letters[at]
            states = {
                state + 1
                for state in reached
                if (test := self._steps[state].test) is not None and test(letter)
            }
        return False

    def _closure(self, states: set[int], letters: str, at: int) -> set[int]:
        """Everything reachable without reading."""
        reached: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state in reached:
                continue
            reached.add(state)
            if state == self._end:
                continue
            step = self._steps[state]
            if step.ways:
                waiting.extend(step.ways)
            elif step.place and _is_at(step.place, letters, at):
                waiting.append(state + 1)
        return reached

    def _add(self, step: _Step) -> int:
        if len(self._steps) >= MAX_STEPS:
            raise PatternError(_("the pattern is too large when its repetitions are written out"))
        self._steps.append(step)
        return len(self._steps) - 1

    def _compile(self, node: _Node) -> None:
        match node:
            case _One(test):
                self._add(_Step(test=test))
            case _Place(kind):
                self._add(_Step(place=kind))
            case _Row(items):
                for item in items:
                    self._compile(item)
            case _Either(options):
                self._compile_either(options)
            case _Repeat(item, least, most):
                self._compile_repeat(item, least, most)

    def _compile_either(self, options: tuple[_Node, ...]) -> None:
        ends = []
        for option in options[:-1]:
            fork = self._add(_Step())
            self._compile(option)
            ends.append(self._add(_Step()))
            self._steps[fork].ways = (fork + 1, len(self._steps))
        self._compile(options[-1])
        for end in ends:
            self._steps[end].ways = (len(self._steps),)

    def _compile_repeat(self, item: _Node, least: int, most: int | None) -> None:
        for _turn in range(least):
            self._compile(item)
        if most is None:
            fork = self._add(_Step())
            self._compile(item)
            self._add(_Step(ways=(fork,)))
            self._steps[fork].ways = (fork + 1, len(self._steps))
            return
        forks = []
        for _turn in range(most - least):
            forks.append(self._add(_Step()))
            self._compile(item)
        for fork in forks:
            self._steps[fork].ways = (fork + 1, len(self._steps))


def _is_at(place: str, letters: str, at: int) -> bool:
    if place == "^":
        return at == 0
    if place == "$":
        return at == len(letters)
    before = at > 0 and _is_word(letters[at - 1])
    after = at < len(letters) and _is_word(letters[at])
    return before != after


@lru_cache(maxsize=512)
def compile_pattern(source: str) -> Pattern:
    """Raises `PatternError`."""
    return Pattern(source)
