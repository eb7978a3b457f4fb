"""How a courier's HTTP slots are divided, known to all rooms that have to keep within them (DL-90, DL-91)."""

from __future__ import annotations


def of_subscribers(slots: int) -> int:
    """Beside those of answers, and never less than one for four of them."""
    return -(-slots // 4)


def half(slots: int) -> int:
    """What one account gets of a group at most, so that the next one finds room at once."""
    return -(-slots // 2)
