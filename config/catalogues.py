"""Translations: `locale/<language>/LC_MESSAGES/*.po`, compiled to the `.mo` files that gettext reads.

A small msgfmt of our own, because the product must start where there is nothing but Python, and a
library for this would weigh more than all the rest of a translation. A `.mo` carries the time of the
`.po` that it was made of, so whatever changes the one (a pull, a copy, an older release) makes the
other anew, and looking is all there is to do otherwise.
"""

from __future__ import annotations

import ast
import logging
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)

_LINE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr)(?:\[\d\])? +)?(".*")')
_MAGIC = 0x950412DE


class CatalogueError(Exception):
    """A `.po` that cannot be read; names the line."""


@dataclass(slots=True)
class Entry:
    """One message: a translation, or three of them where it counts something."""

    msgid: str = ""
    msgctxt: str = ""
    msgid_plural: str = ""
    translations: list[str] = field(default_factory=list)
    fuzzy: bool = False

    @property
    def key(self) -> str:
        """As gettext looks it up."""
        context = f"{self.msgctxt}\x04" if self.msgctxt else ""
        plural = f"\x00{self.msgid_plural}" if self.msgid_plural else ""
        return f"{context}{self.msgid}{plural}"

    @property
    def usable(self) -> bool:
        return all(self.translations) and not self.fuzzy


def refresh(folders: Iterable[Path]) -> list[Path]:
    """Compile each catalogue below `folders` that has changed; the ones that had."""
    sources = [found for folder in folders for found in sorted(folder.glob("*/LC_MESSAGES/*.po"))]
    return [source for source in sources if _refresh(source)]


def _refresh(source: Path) -> bool:
    target, changed = source.with_suffix(".mo"), source.stat().st_mtime_ns
    if target.exists() and target.stat().st_mtime_ns == changed:
        return False
    try:
        content = compiled(source.read_text(encoding="utf-8"))
    except CatalogueError as error:
        raise CatalogueError(f"{source}, {error}") from error
    # Several processes may start at once: each writes its own, and the last one stays.
    mine = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        mine.write_bytes(content)
        os.utime(mine, ns=(changed, changed))
        mine.replace(target)
    except OSError as error:
        logger.warning("catalogue=%s was not compiled: %s", source, error)
        return False
    return True


def compiled(text: str) -> bytes:
    """The `.mo` of a `.po`: what is missing or fuzzy is left out, so that English stands there."""
    return _binary({e.key: "\x00".join(e.translations) for e in entries(text) if e.usable})


def entries(text: str) -> Iterator[Entry]:
    """Every message of a `.po`, its header first. Raises `CatalogueError`."""
    entry, part, fuzzy = Entry(), "", False
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
            continue
        found = _LINE.fullmatch(line)
        if found is None or not (found[1] or part):
            raise CatalogueError(f"line {number} is not of a catalogue: {line[:80]}")
        if found[1] in ("msgctxt", "msgid") and entry.translations:
            yield entry
            entry = Entry()
        if found[1] in ("msgctxt", "msgid"):
            entry.fuzzy, fuzzy = entry.fuzzy or fuzzy, False
        part = found[1] or part
        said = ast.literal_eval(found[2])
        if part != "msgstr":
            setattr(entry, part, getattr(entry, part) + said)
        elif found[1]:
            entry.translations.append(said)
        else:
            entry.translations[-1] += said
    if entry.translations:
        yield entry


def _binary(messages: Mapping[str, str]) -> bytes:
    """Sorted ids and their translations, each with length and place in a table before them."""
    pairs = sorted((key.encode(), value.encode()) for key, value in messages.items())
    tables, strings, place = [], [], 28 + 16 * len(pairs)
    for column in zip(*pairs, strict=True):
        for string in column:
            tables.append(struct.pack("<II", len(string), place))
            strings.append(string + b"\x00")
            place += len(string) + 1
    head = struct.pack(
        "<7I", _MAGIC, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 28 + 16 * len(pairs)
    )
    return b"".join([head, *tables, *strings])
