"""May we call this address? The room that makes the calls knows, and registers its answer here.

Asked when somebody enters an address; what counts is the same check at every connect (DL-111).
"""

from __future__ import annotations

from collections.abc import Callable

# Says in a sentence why an address is refused; empty when it may be called. May wait for DNS.
Check = Callable[[str], str]
_checks: list[Check] = []


def register(check: Check) -> None:
    """Called from `AppConfig.ready` of the room above."""
    if check not in _checks:
        _checks.append(check)


def problem(url: str) -> str:
    """Why `url` is refused; empty when nobody objects."""
    return next((sentence for check in _checks if (sentence := check(url))), "")
