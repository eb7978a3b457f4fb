"""Which addresses an agent may have: judged by the room that connects, asked by the one that keeps.

The courier judges again at every attempt, and that one counts (DL-111); this one says it early.
"""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[str], str]
_checks: list[Check] = []


def register(check: Check) -> None:
    """Called from `AppConfig.ready`; `check` returns a sentence when a URL is refused, else nothing."""
    if check not in _checks:
        _checks.append(check)


def problem_with(url: str) -> str:
    """Why `url` is refused, as a sentence; empty when nothing speaks against it."""
    return next((sentence for check in _checks if (sentence := check(url))), "")
