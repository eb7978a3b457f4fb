"""What an agent can ask for, in canonical form; every dialect and our REST end here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from conversations.messages import Content


@dataclass(frozen=True, slots=True)
class Say:
    """A message to the customer. `reply_to` is one of our message ids; media by URL is fetched first."""

    content: Content
    reply_to: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A private note for people."""

    text: str


@dataclass(frozen=True, slots=True)
class AddLabels:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveLabels:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """On the contact or on the conversation; a null value removes the key."""

    values: dict[str, Any]
    on: str = "contact"


@dataclass(frozen=True, slots=True)
class Assign:
    """To a member or team, by opaque id or exact name."""

    member: str = ""
    team: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HandOff:
    """To people: the agent stops, with the reason and a summary for whoever takes over."""

    reason: str = ""
    summary: str = ""
    team: str = ""


@dataclass(frozen=True, slots=True)
class Resolve:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Typing:
    """The agent works on it; extends its patience once."""


Action = Say | Note | AddLabels | RemoveLabels | SetAttributes | Assign | HandOff | Resolve | Typing


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything of one answer, in order; applied in one transaction or not at all."""

    actions: tuple[Action, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.actions)
