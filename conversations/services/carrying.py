"""Who goes on with what a transaction has put on lanes, where that one works in this very process.

Lanes ring a bell that all couriers hear, and whoever hears it looks through all lanes for what is due. Most
of what is put there is put there by a courier's own threads: an answer follows on a message, a send on an
answer. They tell their courier at the commit which lanes, and nobody has to look. What it is told and
does not take up, because it dies, say, is found by the others' next sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from conversations.channels import InboxConfig


class Waiting(NamedTuple):
    """A lane on which something is due now."""

    lane_id: int
    account_id: int
    kind: str
    destination_id: int


class Courtesy(NamedTuple):
    """A customer's last message was read; with `typing`, an answer comes."""

    account_id: int
    inbox: InboxConfig
    external_id: str
    typing: bool


class Carrier(Protocol):
    """Its methods are called in threads that are not its own, and return at once."""

    @property
    def has_room(self) -> bool:
        """Whether it would take up what is due now; else the bell rings for everybody."""

    def take_up(self, lanes: Sequence[Waiting]) -> None:
        """Something on these has been committed."""

    def give(self, courtesies: Sequence[Courtesy]) -> None:
        """Tell customers, once, if there is time for it."""


_carrier: ContextVar[Carrier | None] = ContextVar("carrier", default=None)


def carry_with(carrier: Carrier) -> None:
    """From now on, what this thread puts on lanes is `carrier`'s."""
    _carrier.set(carrier)


def carrier() -> Carrier | None:
    """The carrier of what this thread puts on lanes now, unless it has enough."""
    found = _carrier.get()
    return found if found is not None and found.has_room else None
