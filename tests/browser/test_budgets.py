"""The dashboard's weight, unminified (ecosystem.md 2.1): small enough that nobody needs a build."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "static"
# Pages of their own, outside the dashboard.
APART = {"sandbox", "staff"}


def weight(folder: str) -> int:
    files = (STATIC / folder).iterdir()
    return sum(file.stat().st_size for file in files if file.stem not in APART)


def test_the_style_sheets_stay_within_40_kilobytes() -> None:
    assert weight("css") <= 40 * 1024


def test_the_scripts_stay_within_25_kilobytes() -> None:
    assert weight("js") <= 25 * 1024
