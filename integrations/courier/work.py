"""What goes around in the courier: claimed lanes, attempts under way, their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """A lane that is ours until released; every result carries its token."""

    lane_id: int
    account_id: int
    kind: str
    destination_id: int
    token: UUID
    # Its owner has asked for it and waits for what comes of it.
    is_test: bool = False
    # When it was claimed, others may have been left where they are.
    left_out: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt under way. A result counts only while `n` and the lane's token still hold."""

    claim: Claim
    delivery_id: int
    attempt_id: int
    n: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands in the attempt."""

    outcome: str
    status: int | None = None
    latency_ms: int | None = None
    error: str = ""
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: bytes = b""


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt ends with: the delivery's new state, and the attempt's outcome.

    `counts=False` for an attempt that is not counted (the channel only asked us to slow down).
    """

    job: Job
    state: str
    outcome: Outcome
    due_at: datetime | None = None
    reason: str = ""
    external_id: str = ""
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Release:
    """Give a lane back; `wait_seconds` and `reason` when it has to wait for something else.

    `result` is written with it, where nothing else follows from the result.
    """

    claim: Claim
    wait_seconds: float = 0.0
    reason: str = ""
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Rested:
    """The lane was given back with the result, and is due again in `due_in` seconds; None: when something
    is put on it."""

    due_in: float | None


@dataclass(frozen=True, slots=True)
class Room:
    """Free slots of one group, and how many of them one account may hold in all."""

    free: int
    per_account: int
