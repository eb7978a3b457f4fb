"""The page says the truth: every address and method, and which of them a bot may call."""

from __future__ import annotations

import re
from pathlib import Path

from integrations.chatwoot.compat.base import END
from integrations.chatwoot.platform import urls as platform_urls
from tests.integrations.chatwoot.compat.test_errors import FOR_BOTS, METHODS, offers

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


def test_the_page_names_every_address_of_the_platform_api() -> None:
    row = re.compile(r"^\| ([A-Z, ]+) \| (/platform/\S+) \|", re.M)
    said = {
        (path, method.lower())
        for methods, path in row.findall(PAGE.read_text(encoding="utf-8"))
        for method in methods.split(", ")
    }
    offered = set()
    for pattern in platform_urls.urlpatterns:
        path = re.sub(r"\(\?P<\w+>[^)]*\)", "{id}", str(pattern.pattern))
        view = pattern.callback.cls  # type: ignore[attr-defined]  # a view of DRF
        path = "/" + path.removeprefix("^").removesuffix(END)
        offered |= {(path, m) for m in METHODS if "agent_bots" in path and hasattr(view, m)}
    assert said == offered
