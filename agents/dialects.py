"""The port to agents: the shape in which we push events, and how an answer is read.

A dialect is stateless. `names` says what the platform makes of an event: nothing, one request, or
several; `build` runs inside the transaction of the event and makes each body once (DL-36); `headers`
adds, per attempt, what the platform signs in its own manner; `read_answer` turns the response into
canonical actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from agents.actions import Answer

if TYPE_CHECKING:
    from accounts.models import Account, Member
    from agents.models import Agent
    from conversations.models import Conversation, Event, Message
    from conversations.signals import ContactChange, Recorded, Typing


class UnreadableAnswerError(Exception):
    """The agent's answer does not have its dialect's shape; the sentence stands in the attempt."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Everything a dialect may tell an agent about one event."""

    event: Event
    agent: Agent
    conversation: Conversation
    # What the dialect calls it: one of `Dialect.names`.
    name: str
    # Rises by one per (conversation, endpoint), without gaps.
    sequence: int
    wire_id: str
    message: Message | None = None
    # Oldest first; without `message` and what follows it.
    history: Sequence[Message] = ()
    # Who held it before an assignment.
    previous: Member | None = None
    # Where the agent may answer this later (delivery.md 12); empty unless its dialect wants a callback.
    reply_url: str = ""


Builder = Callable[[Occasion], bytes | None]
# The body of the request that an event is told by, under this name.
News = Callable[["Recorded", str], bytes]


class Notice(NamedTuple):
    """A request that tells webhooks something beside the events of conversations."""

    name: str
    build: Callable[[], bytes]


class Dialect:
    """Base class of a platform's second role."""

    slug: ClassVar[str]
    name: ClassVar[str]
    event_types: ClassVar[frozenset[str]]
    default_timeout_s: ClassVar[int] = 15
    max_attempts: ClassVar[int | None] = None
    # Whether what asks for an answer brings an address for a later one (`Occasion.reply_url`).
    wants_callback: ClassVar[bool] = False
    # Whether its agents hear of everything in the inboxes they are attached to, and of all that happens to
    # what they hold, whoever did it: people's answers, notes, their own words.
    follows: ClassVar[bool] = False
    # The names of requests that webhooks may subscribe to, where the platform has webhooks beside its bots.
    subscriptions: ClassVar[frozenset[str]] = frozenset()
    # What `Agent.stale_gate` is at first.
    stale_gate: ClassVar[bool] = True

    def names(self, event: Event, conversation: Conversation) -> Sequence[str]:
        """What it makes of an event: the names of the requests that tell it, in their order. None: it says
        nothing about it."""
        return (event.type,) if event.type in self.event_types else ()

    def builder(self, told: Sequence[Recorded]) -> Builder:
        """What builds the bodies of events that are told together; asked first, so that whatever they
        show is fetched in a constant number of queries."""
        return self.build

    def build(self, occasion: Occasion) -> bytes | None:
        """The request body, or None when this dialect says nothing about this event."""
        raise NotImplementedError

    def news(self, told: Sequence[Recorded]) -> News:
        """What builds the bodies that webhooks get, for events that are told together; asked once for all
        of them, as `builder` is."""
        raise NotImplementedError

    def contact_news(self, change: ContactChange, account: Account) -> Notice | None:
        """By which request webhooks hear that a contact is new or has changed; by none."""
        return None

    def typing_news(self, typing: Typing) -> Notice | None:
        """By which request webhooks hear that somebody is typing, or has stopped; by none."""
        return None

    def headers(
        self, body: bytes, *, wire_id: str, timestamp: int, secrets: Sequence[str]
    ) -> Mapping[str, str]:
        """The platform's own headers beside Standard Webhooks' (DL-71); newest secret first."""
        return {}

    def read_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """What the agent wants done. An empty body is no answer. Raises `UnreadableAnswerError`."""
        raise NotImplementedError


_dialects: dict[str, Dialect] = {}


def register(dialect: Dialect) -> None:
    _dialects[dialect.slug] = dialect


def get(slug: str) -> Dialect:
    """The dialect of a platform; raises `KeyError` for one that is not installed."""
    return _dialects[slug]


def all_dialects() -> list[Dialect]:
    return list(_dialects.values())
