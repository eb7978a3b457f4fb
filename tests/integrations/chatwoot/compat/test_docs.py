"""The page says the truth: every address and method, and which of them a bot may call."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integrations.chatwoot.compat.test_errors import FOR_BOTS, offers

PAGE = Path(__file__).resolve().parents[4] / "docs" / "platforms" / "chatwoot-api.md"
ROW = re.compile(r"^\| ([A-Z, ]+) \| (/\S+) \| (\S.*?) \| (yes|differs) \|", re.M)


def rows() -> dict[tuple[str, str], str]:
    """(path, method) → what the column `bot` says."""
    return {
        (path, method.lower()): bot
        for methods, path, bot, _state in ROW.findall(PAGE.read_text(encoding="utf-8"))
        for method in methods.split(", ")
    }


def test_the_page_names_every_address_and_no_other() -> None:
    offered = {("/" + re.sub(r"<\w+>", "{id}", path), method) for path, method, _view in offers()}
    assert set(rows()) == offered


def test_the_page_says_what_bots_may_call() -> None:
    said = {key for key, bot in rows().items() if bot == "bot" or bot == f"bot ({key[1].upper()})"}
    allowed = {("/" + re.sub(r"<\w+>", "{id}", path), method) for path, method in FOR_BOTS}
    assert said == allowed
