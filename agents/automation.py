"""What happens on an event: rules first, then whoever holds the conversation is told.

Everything runs inside the transaction that records the event, so event, decision and deliveries
appear together or not at all (DL-02). Acts of rules record events themselves, which come back here:
one `Chain` counts how deep and how many, and cuts loops.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from accounts.inserting import insert_many
from agents.deciding import Chain, decide, has_rules, rules_of
from agents.giving import foresee, give
from agents.models import Agent
from agents.pushing import agents_of, wants_answer
from agents.telling import (
    forget_labels,
    hindrance,
    read_labels,
    serve,
    tell,
    tell_assignments,
    tell_followers,
    tell_statuses,
)
from conversations.models import Conversation, Event, Message
from conversations.signals import Recorded

# What `_tell_plainly` has done about all of them.
_TOLD = ("message.status", "conversation.created")

_running: ContextVar[Chain | None] = ContextVar("rules", default=None)
_said: ContextVar[list[Recorded] | None] = ContextVar("said", default=None)


def on_events(
    *, recorded: Sequence[Recorded], followers: Collection[int] = (), **_signal: Any
) -> None:
    """Receiver of `event_recorded`, inside the writing transaction.

    Conversations are left as rules made them, so that the caller goes on with the truth. Agents that follow
    an inbox hear at once of what has become of a conversation, and of what was said when rules have decided
    about it: first of what the customer said, then of what rules answered.
    """
    tell_followers([one for one in recorded if not _is_said(one)], followers)
    with _hearing([one for one in recorded if _is_said(one)]) as said:
        chain = _running.get()
        rest = _tell_plainly(recorded) if chain is None else _tell_assigned(recorded, chain)
        for one in rest:
            _on_event(*one)
    tell_followers(said, followers)


def _is_said(one: Recorded) -> bool:
    return one.event.type == "message.created"


@contextmanager
def _hearing(said: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    """What was said first and meanwhile, when this is over; within another one, that one has it."""
    outer = _said.get()
    if outer is not None:
        outer.extend(said)
        yield []
        return
    heard = list(said)
    token = _said.set(heard)
    try:
        yield heard
    finally:
        _said.reset(token)


def _on_event(event: Event, conversation: Conversation, message: Message | None) -> None:
    with _chain() as chain:
        if has_rules(event, message):
            with chain.decides({conversation.pk: message} if message else {}):
                decide(event, conversation, message, chain)
        tell(event, conversation, message, chain.deciding.get(conversation.pk))


@contextmanager
def _chain() -> Iterator[Chain]:
    chain = _running.get()
    token = None
    if chain is None:
        chain = Chain()
        token = _running.set(chain)
    chain.depth += 1
    try:
        yield chain
    finally:
        chain.depth -= 1
        if token is not None:
            _running.reset(token)


# --- Many at once --------------------------------------------------------------------------------


def _tell_plainly(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Do for all at once what is the same for most: messages that no rule matches are told to the
    agent that holds the conversation, those that a rule gives to somebody to who gets it; an agent's
    own words end its customer's wait, and it hears what became of them. Returns the others, which
    nothing has been done about."""
    tell_statuses([one for one in recorded if one.event.type == "message.status"])
    said = [one for one in recorded if one.event.type == "message.created" and one.message]
    asked = [one for one in said if wants_answer(one.message)]
    agents = agents_of(one.conversation.assignee for one in asked)
    undecided = _pass_rules(asked, agents)
    settled = [one for one in said if one.event.id not in undecided]
    holders = [one.conversation.assignee for one in settled if wants_answer(one.message)]
    agents |= agents_of(holder for holder in holders if holder and holder.pk not in agents)
    serve(settled, agents)
    done = {one.event.id for one in settled}
    rest = [one for one in recorded if one.event.type not in _TOLD and one.event.id not in done]
    begun = [one for one in recorded if one.event.type == "conversation.created"]
    # Only rules hear of it: nobody holds it yet.
    return [*begun, *rest] if begun and rules_of("conversation.created") else rest


def _pass_rules(asked: Sequence[Recorded], agents: Mapping[int, Agent]) -> set[str]:
    """Look at every rule for each message, do what is plain, and store the decisions. Returns the events
    where it is not, or whose agent may not answer: nothing has been done about them."""
    rules = rules_of("message.created") if asked else []
    read_labels([one.conversation for one in asked])
    seen = [foresee(rules, one) for one in asked]
    kept = [one for one in seen if one.matches is None and not _is_hindered(one.recorded, agents)]
    with _chain() as chain:
        given = give([one for one in seen if one.only_gives], rules, chain)
    if rules:
        insert_many([one.decision() for one in (*kept, *given)])
    done = {one.recorded.event.id for one in (*kept, *given)}
    undecided = [one for one in asked if one.event.id not in done]
    for one in undecided:
        forget_labels(one.conversation)
    return {one.event.id for one in undecided}


def _is_hindered(one: Recorded, agents: Mapping[int, Agent]) -> bool:
    agent = agents.get(one.conversation.assignee_id or 0)
    return agent is not None and hindrance(agent, one.conversation, one.message) is not None


def _tell_assigned(recorded: Sequence[Recorded], chain: Chain) -> list[Recorded]:
    """Tell who got conversations, where no rule wants to know of it; returns the other events."""
    assigned = [one for one in recorded if one.event.type == "conversation.assigned"]
    if not assigned or rules_of("conversation.assigned"):
        return list(recorded)
    tell_assignments(assigned, chain.deciding)
    return [one for one in recorded if one.event.type != "conversation.assigned"]
