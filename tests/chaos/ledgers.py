"""The four ledgers that the judge compares, as plain rows. Times are seconds of the wall clock.

A message is known by its conversation (the customer's number) and its place `n` in it; its text says
both, `40701000001:7`, and the agent's answer to it is `echo 40701000001:7`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ECHO = "echo "
Key = tuple[str, int]


def text_of(conversation: str, n: int) -> str:
    return f"{conversation}:{n}"


def key_of(text: str) -> Key | None:
    """Conversation and place of a message or of the answer to it; None for any other text."""
    conversation, _colon, n = text.removeprefix(ECHO).rpartition(":")
    return (conversation, int(n)) if conversation.isdigit() and n.isdigit() else None


@dataclass
class Sent:
    """What the platform sent: one message of a customer, until it was thanked with 2xx for it."""

    conversation: str
    n: int
    external_id: str
    first_at: float
    acked_at: float | None = None
    # The answer to each try; 0: none.
    answers: list[int] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.conversation, self.n


@dataclass
class Seen:
    """What an agent saw: one request, with the names of the secrets that verify it."""

    at: float
    endpoint: str
    conversation: str
    event_type: str
    wire_id: str
    sequence: int
    attempt: int
    verified_by: tuple[str, ...]
    text: str = ""
    from_contact: bool = False
    is_replay: bool = False
    # Our id of the conversation.
    thread: str = ""
    # What it answered; 0 while it has not, or when the connection went first.
    status: int = 0
    ended_at: float | None = None

    @property
    def key(self) -> Key | None:
        """The customer's message that it carries."""
        is_message = self.event_type == "message.created" and self.from_contact
        return key_of(self.text) if is_message else None


@dataclass(frozen=True)
class Asked:
    """What the channel was asked to send; `taken` when the customer got it."""

    at: float
    conversation: str
    text: str
    reference: str
    taken: bool
    refused: str = ""

    @property
    def key(self) -> Key | None:
        """The message that it answers."""
        return key_of(self.text) if self.text.startswith(ECHO) else None


@dataclass(frozen=True)
class Stored:
    """A message in the database."""

    pk: int
    conversation: str
    direction: str
    text: str
    status: str = "sent"
    possible_duplicate: bool = False
    draft_reason: str = ""
    error_code: str = ""

    @property
    def key(self) -> Key | None:
        return key_of(self.text)


@dataclass(frozen=True)
class Brought:
    """A delivery in the database."""

    pk: int
    kind: str
    state: str
    conversation: str
    sequence: int
    attempts: int
    wire_id: str
    event_type: str = ""
    endpoint: int | None = None
    possible_duplicate: bool = False
    dead_reason: str = ""
    text: str = ""


@dataclass(frozen=True)
class Tried:
    """An attempt in the database."""

    delivery: int
    n: int
    outcome: str
    started_at: float
    ended_at: float | None
    status: int | None = None
    next_due_at: float | None = None


@dataclass
class Fault:
    """Something that was broken from `at`; `over` is when what was broken worked again."""

    name: str
    at: float
    over: float | None = None


@dataclass
class Books:
    """All ledgers of one scenario, as they are when it has come to rest."""

    sent: Sequence[Sent] = ()
    seen: Sequence[Seen] = ()
    asked: Sequence[Asked] = ()
    stored: Sequence[Stored] = ()
    brought: Sequence[Brought] = ()
    tried: Sequence[Tried] = ()
    faults: Sequence[Fault] = ()
    # Receipts that nobody has read yet, leases that nobody gave back, conversations beyond DL-65.
    unread: int = 0
    open_leases: int = 0
    over_patience: Sequence[int] = ()
