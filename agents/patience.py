"""Nobody waits forever (delivery.md 7)."""

from __future__ import annotations

from conversations.models import Timer


def over(timer: Timer) -> None:
    """Handler of the patience timer."""
