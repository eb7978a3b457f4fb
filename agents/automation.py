"""What happens on an event: rules first, then whoever holds the conversation is told.

Everything runs inside the transaction that records the event, so event, decision and deliveries
appear together or not at all (DL-02). Acts of rules record events themselves, which come back here:
one `Chain` counts how deep and how many, and cuts loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db.models import prefetch_related_objects

from agents.deciding import Chain, decide, has_rules, rules_of, unmatched
from agents.models import Agent, Decision
from agents.pushing import agents_of, wants_answer
from agents.telling import forget_labels, hindrance, serve, tell, tell_statuses
from conversations.models import Conversation, Event, Message
from conversations.signals import Recorded

_running: ContextVar[Chain | None] = ContextVar("rules", default=None)


def on_events(*, recorded: Sequence[Recorded], **_signal: Any) -> None:
    """Receiver of `event_recorded`, inside the writing transaction.

    Conversations are left as rules made them, so that the caller goes on with the truth.
    """
    within_rules = _running.get() is not None
    for one in recorded if within_rules else _tell_plainly(recorded):
        _on_event(*one)


def _on_event(event: Event, conversation: Conversation, message: Message | None) -> None:
    with _chain() as chain:
        if has_rules(event, message):
            chain.deciding, before = message or chain.deciding, chain.deciding
            decide(event, conversation, message, chain)
            chain.deciding = before
        tell(event, conversation, message, chain.deciding)


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
    agent that holds the conversation, its own words end its customer's wait, and it hears what became
    of them. Returns the others, which nothing has been done about."""
    tell_statuses([one for one in recorded if one.event.type == "message.status"])
    said = [one for one in recorded if one.event.type == "message.created" and one.message]
    agents = agents_of(one.conversation.assignee for one in said)
    undecided = _pass_rules([one for one in said if wants_answer(one.message)], agents)
    settled = {one.event.id for one in said} - undecided
    serve([one for one in said if one.event.id in settled], agents)
    return [
        one
        for one in recorded
        if one.event.type != "message.status" and one.event.id not in settled
    ]


def _pass_rules(asked: Sequence[Recorded], agents: Mapping[int, Agent]) -> set[str]:
    """Look at every rule for each message and store the decisions where none matches. Returns the
    events where one does, or whose agent may not answer: nothing has been done about them."""
    rules = rules_of("message.created") if asked else []
    prefetch_related_objects([one.conversation for one in asked], "labels")
    undecided, decisions = set(), []
    for one in asked:
        agent = agents.get(one.conversation.assignee_id or 0)
        trace = unmatched(rules, one)
        if trace is None or (agent and hindrance(agent, one.conversation, one.message)):
            undecided.add(one.event.id)
            forget_labels(one.conversation)
        elif rules:
            epoch = one.conversation.assignment_epoch
            decisions.append(trace.decision(one.event, one.conversation, epoch))
    Decision.objects.bulk_create(decisions)
    return undecided
