"""Fitting words to what a channel can carry: long texts in parts, choices as numbered lines.

Pure functions, shared by all channels. Lengths are UTF-16 code units, the strictest way platforms
count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from conversations.messages import Choice, Section

# Where a text may be cut, best first: paragraph, line, sentence, word.
_CUTS = tuple(
    re.compile(pattern)
    for pattern in (r"\n[ \t]*\n\s*", r"\n\s*", r"(?<=[.!?…])[\"'”»)]*\s+", r"\s+")
)


def text_length(text: str) -> int:
    """Length in UTF-16 code units: an emoji counts two."""
    return len(text) + sum(character > "\uffff" for character in text)


def split_text(text: str, limit: int) -> list[str]:
    """Cut a text into parts of at most `limit`, at a paragraph, else a sentence, else a word.

    Only a single word longer than the limit is cut inside. Parts have no blanks at their ends; an
    empty text has no parts.
    """
    parts = []
    rest = text.strip()
    while text_length(rest) > limit:
        head, rest = _cut(rest, limit)
        parts.append(head)
    return [*parts, rest] if rest else parts


def _cut(text: str, limit: int) -> tuple[str, str]:
    """The first part, and what remains."""
    room = _fitting(text, limit)
    for cut in _CUTS:
        # A cut in the first half would leave a scrap; then the next finer kind of cut is better.
        places = [match for match in cut.finditer(text, 0, room + 1) if match.start() >= room // 2]
        if places:
            place = places[-1].end()
            return text[:place].rstrip(), text[place:].lstrip()
    words = [match.start() for match in _CUTS[-1].finditer(text, 0, room + 1) if match.start()]
    place = words[-1] if words else room
    return text[:place].rstrip(), text[place:].lstrip()


def _fitting(text: str, limit: int) -> int:
    """How many characters fit into `limit` code units without splitting an emoji's joined parts."""
    used = 0
    for index, character in enumerate(text):
        used += 2 if character > "\uffff" else 1
        if used > limit:
            while index > 1 and _joined(text[index - 1], text[index]):
                index -= 1
            return max(index, 1)
    return len(text)


def _joined(before: str, character: str) -> bool:
    joiner = "\u200d"
    return joiner in (before, character) or bool(unicodedata.combining(character))


def numbered(choices: Sequence[Choice]) -> tuple[tuple[str, Choice], ...]:
    """The numbering of choices, as kept with the message: "1" → the first one."""
    return tuple((str(number), choice) for number, choice in enumerate(choices, start=1))


def numbered_text(text: str, sections: Iterable[Section]) -> str:
    """A text with its choices as numbered lines below, titles in full."""
    blocks = [text.strip()] if text.strip() else []
    number = 0
    for section in sections:
        lines = [section.title] if section.title else []
        for row in section.rows:
            number += 1
            description = f" – {row.description}" if row.description else ""
            lines.append(f"{number}. {row.title}{description}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def chosen(answer: str, options: Iterable[tuple[str, Choice]]) -> Choice | None:
    """The choice an answer in words stands for: its title in any spelling, or its number.

    A title that several choices have names none of them.
    """
    said = _plain(answer)
    if not said:
        return None
    options = tuple(options)
    titled = {choice.id: choice for _number, choice in options if _plain(choice.title) == said}
    if len(titled) == 1:
        return next(iter(titled.values()))
    return next((choice for number, choice in options if number == said), None)


def map_link(latitude: float, longitude: float) -> str:
    """Where a map shows the place."""
    marker = f"mlat={latitude}&mlon={longitude}"
    return f"https://www.openstreetmap.org/?{marker}#map=16/{latitude}/{longitude}"


# What makes a digit a key with it: “2️⃣” is how some answer on a phone.
_KEYCAP = "\ufe0f\u20e3"


def _plain(text: str) -> str:
    """Lower case without accents and without the blanks, dots and brackets around."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(letters.split()).strip(" .!)(" + _KEYCAP)
