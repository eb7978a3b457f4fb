"""Tables for spreadsheets."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from accounts.rest.sheets import as_csv


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1", "+40721000111", "-1+1", "@SUM(A1)", "\t=1+1", "\rx", "\nx", "  =1+1",
        "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", '=HYPERLINK("https://x.example","y")',
    ],
    ids=ascii,
)  # fmt: skip
def test_what_a_spreadsheet_would_run_is_a_text(cell: str) -> None:
    assert list(csv.reader(StringIO(as_csv([[cell, "x"]]), newline=""))) == [[f"'{cell}", "x"]]


@pytest.mark.parametrize(
    "cell", ["Ana", "a=1", "a, b", 'a "b"', "a\nb", "a\r=1", "", "'x"], ids=ascii
)
def test_everything_else_stays_as_it_is(cell: str) -> None:
    assert list(csv.reader(StringIO(as_csv([[cell, "x"]]), newline=""))) == [[cell, "x"]]


def test_numbers_stay_numbers() -> None:
    assert as_csv([["Ana", -7], [], ["Bo", 0]]) == '"Ana",-7\r\n\r\n"Bo",0\r\n'


def test_where_semicolons_part_cells_none_of_them_is_a_formula() -> None:
    [[cell, *_others]] = csv.reader(StringIO(as_csv([["Ana;=1+1", "x"]])), delimiter=";")
    assert cell.startswith("Ana;=1+1")
