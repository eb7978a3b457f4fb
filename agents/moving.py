"""Conversations follow what becomes of their agents, in small transactions.

Pausing an agent that holds thousands of conversations must not be one long transaction, so the act
moves the first few and a job the others (agents/tasks.py). Nobody waits for the job: an agent that
something stands in the way of gets nothing new, and a customer who writes to one of the others gets
people at once (agents/automation.py).

What is to be done is read from what is: such an agent holds nothing open, and an agent that works
again gets back what it lost when it was put away and nobody has touched since. So a step may be
taken at any time and by anybody, a worker that dies half-way leaves nothing that the next one does
not find, and what is undone half-way is undone right.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import Account, Member
from accounts.tenancy import account_context, current_account_id
from agents import patience
from agents.models import Agent
from agents.pushing import Obstacle, obstacle
from conversations import services
from conversations.errors import HolderChangedError
from conversations.models import Assignment, Conversation
from conversations.services import Reason

BATCH = 50
PUT_AWAY = (Reason.AGENT_PAUSED, Reason.AGENT_DELETED)


def follow(agents: Sequence[Agent], *, by: Member | None) -> int:
    """The conversations of these locked agents go where they belong now: the first in this
    transaction, the others by a job after it. Returns how many in all."""
    from agents.tasks import move_rest  # which imports this module

    account = Account.objects.get(pk=current_account_id())
    number = waiting(agents, account)
    if number and step(agents, account, by=by) < number:
        job = (account.pk, by.pk if by else None)
        # Not a failure of the act when no broker answers: beat finds what is left.
        transaction.on_commit(lambda: move_rest.delay(*job), robust=True)
    return number


def move_rest(account_id: int, *, by_id: int | None = None) -> int:
    """Step after step until nothing is left; how many conversations were looked at."""
    total = 0
    while True:
        with account_context(account_id):
            by = Member.objects.get(account_id=account_id, pk=by_id) if by_id else None
            agents = locked()
            # Read under the agents' lock: what was changed before it is seen.
            done = step(agents, Account.objects.get(pk=account_id), by=by)
        total += done
        if done < BATCH:
            return total


def locked() -> list[Agent]:
    """All agents of the account in context, so that no pause or resume comes between."""
    return list(
        Agent.objects.select_for_update(of=("self",), no_key=True)
        .select_related("member", "endpoint", "fallback_team", "account")
        .order_by("pk")
    )


def waiting(agents: Sequence[Agent], account: Account) -> int:
    """How many conversations of `agents` are not where they belong."""
    return _held(_hindered(agents, account)).count() + _lost(_able(agents, account)).count()


def step(agents: Sequence[Agent], account: Account, *, by: Member | None) -> int:
    """Move up to `BATCH` conversations of `agents`, which the caller has locked.

    Returns how many it has looked at; fewer than `BATCH` means that nothing is left.
    """
    hindered = _hindered(agents, account)
    why = {agent.member_id: (agent, reason) for agent, reason in hindered}
    held = list(_held(hindered)[:BATCH])
    lost = list(_lost(_able(agents, account))[: BATCH - len(held)])
    for conversation in held:
        agent, reason = why[conversation.assignee_id or 0]
        with suppress(HolderChangedError):  # somebody was faster
            services.hand_off(
                conversation,
                by=by,
                to=agent.fallback_team,
                reason=reason.reason,
                detail=reason.detail,
                expected_epoch=conversation.assignment_epoch,
            )
            if reason.reason == Reason.AGENT_DISABLED and conversation.waiting_since:
                patience.tell_customer(conversation, agent)
    for conversation in lost:
        with suppress(HolderChangedError):
            services.assign(
                conversation,
                to=conversation.last_agent,
                by=by,
                reason=Reason.UNDONE,
                expected_epoch=conversation.assignment_epoch,
            )
    return len(held) + len(lost)


def _hindered(agents: Sequence[Agent], account: Account) -> list[tuple[Agent, Obstacle]]:
    found = ((agent, obstacle(agent, account)) for agent in agents)
    return [(agent, why) for agent, why in found if why is not None]


def _held(hindered: Sequence[tuple[Agent, Obstacle]]) -> QuerySet[Conversation]:
    """A paused agent keeps what is snoozed: it may be back before it wakes, and if not, people get
    it then. A deleted one keeps nothing."""
    members = [agent.member_id for agent, _why in hindered]
    gone = [agent.member_id for agent, _why in hindered if agent.state == Agent.State.DELETED]
    return Conversation.objects.filter(
        Q(status=Conversation.Status.OPEN, assignee__in=members)
        | Q(status=Conversation.Status.SNOOZED, assignee__in=gone)
    ).order_by("id")


def _able(agents: Sequence[Agent], account: Account) -> list[Agent]:
    return [agent for agent in agents if agent.member.active and obstacle(agent, account) is None]


def _lost(agents: Sequence[Agent]) -> QuerySet[Conversation]:
    """What `agents` lost when they were put away, where nobody has had it since."""
    members = [agent.member_id for agent in agents]
    untouched = Assignment.objects.filter(
        ended_at__isnull=True, reason__in=PUT_AWAY, conversation__last_agent_id__in=members
    )
    return (
        Conversation.objects.select_related("last_agent")
        .filter(pk__in=untouched.values("conversation_id"), assignee__isnull=True)
        .exclude(status=Conversation.Status.RESOLVED)
        .order_by("id")
    )
