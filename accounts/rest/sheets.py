"""Tables that people open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO

Cell = str | int
# What a spreadsheet takes for the beginning of a formula, as wide signs too.
_FORMULAS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def as_csv(rows: Iterable[Iterable[Cell]]) -> str:
    """What others called something is shown by a spreadsheet, and never run."""
    written = StringIO()
    # All in quotes: where commas are decimal, a semicolon begins a cell, which nobody has looked at.
    writer = csv.writer(written, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return written.getvalue()


def _harmless(cell: Cell) -> Cell:
    """An apostrophe makes it a text."""
    if isinstance(cell, str) and (
        cell.startswith(("\t", "\r", "\n")) or cell.lstrip().startswith(_FORMULAS)
    ):
        return f"'{cell}"
    return cell
