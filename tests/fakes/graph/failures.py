"""The ways in which Meta fails, one after the other, as asked for."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tests.fakes.graph.rules import GraphError

Where = Literal["messages", "receipts", "upload", "media", "download", "management", "any"]


@dataclasses.dataclass
class Failure:
    """What happens to the next `times` calls of a kind, after letting `skip` of them pass.

    `code` answers Meta's error; `status` without a code answers a page no program can read;
    `later` takes the message and reports the code in a status webhook; `drop` closes the connection
    "before" the call has an effect or "after" it; `delay` waits first; `garbage` does the work and
    answers 200 with nonsense. Parts combine.
    """

    on: Where = "messages"
    times: int = 1
    skip: int = 0
    code: int | None = None
    status: int | None = None
    message: str = "Failure asked for"
    details: str = ""
    transient: bool | None = None
    retry_after: str = ""
    delay: float = 0.0
    drop: Literal["", "before", "after"] = ""
    later: bool = False
    garbage: bool = False

    @property
    def unreadable(self) -> bool:
        """The answer of some machine before Meta's."""
        return self.status is not None and self.code is None

    def headers(self) -> dict[str, str]:
        return {"Retry-After": self.retry_after} if self.retry_after else {}

    def raise_asked(self) -> None:
        if self.code is None or self.later:
            return
        raise GraphError(
            self.code,
            self.message,
            self.details,
            status=self.status,
            transient=self.transient,
        )


class Failures:
    """The failures still to come."""

    def __init__(self) -> None:
        self.waiting: list[Failure] = []

    def add(self, failure: Failure) -> None:
        self.waiting.append(failure)

    def clear(self) -> None:
        self.waiting.clear()

    def next(self, where: Where) -> Failure:
        """The failure for this call, or one that does nothing."""
        for failure in self.waiting:
            if failure.on not in (where, "any"):
                continue
            if failure.skip > 0:
                failure.skip -= 1
                break
            failure.times -= 1
            if failure.times <= 0:
                self.waiting.remove(failure)
            return failure
        return Failure(times=0)
