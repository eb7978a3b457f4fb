"""Nobody waits forever (delivery.md 7): silent or broken agents lose the conversation to people."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import LiteralString

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import metrics
from accounts.tenancy import current_account_id
from agents.models import Agent
from conversations import services, timers
from conversations.errors import DeskError
from conversations.messages import Content
from conversations.models import Attempt, Conversation, Delivery, Lane, Message, Timer
from conversations.services import Reason
from conversations.services.lines import add_line
from conversations.services.locking import lock

logger = logging.getLogger(__name__)

# The customer is told once in this time that people will answer.
FALLBACK_TEXT_EVERY = timedelta(hours=24)
FALLBACK_MARK = "fallback:"
# What the agent owes an answer to.
ASKING = ("conversation.assigned", "message.created")


Served = tuple[Conversation, Agent]


def start(served: Sequence[Served]) -> None:
    """Customers begin to wait, unless a wait of this epoch runs already (DL-60)."""
    timers.start(
        Timer.Kind.PATIENCE,
        [(conversation, timedelta(seconds=agent.patience_s)) for conversation, agent in served],
    )


# Whether the customer has written something that the agent at `endpoint_id` has not been given yet. The
# states are written out, so that a prepared plan knows that the index of open ones serves.
_UNHEARD: LiteralString = """EXISTS (
    SELECT FROM conversations_delivery delivery
    WHERE delivery.conversation_id = conversation.id
      AND delivery.endpoint_id = agent.endpoint_id
      AND event_type = 'message.created' AND schedule = 'live'
      AND state IN ('pending', 'retry_wait'))"""
# A wait ends, or where something is unheard begins anew, by the database's clock (F-30).
_REACTED = f"""
WITH served AS MATERIALIZED (
    SELECT conversation.id, assignment_epoch, patience_s, {_UNHEARD} AS waits
    FROM conversations_conversation conversation
    JOIN agents_agent agent ON agent.member_id = conversation.assignee_id
    WHERE conversation.id = ANY((SELECT %(conversations)s::bigint[])::bigint[])
), over AS (
    DELETE FROM conversations_timer timer USING served
    WHERE timer.kind = 'patience' AND timer.conversation_id = served.id AND NOT served.waits
)
INSERT INTO conversations_timer (account_id, kind, conversation_id, epoch, due_at, extended)
SELECT %(account)s, 'patience', id, assignment_epoch,
    statement_timestamp() + patience_s * interval '1 second', false
FROM served WHERE waits
ON CONFLICT (conversation_id, kind) WHERE kind IN ('patience', 'snooze') DO UPDATE
    SET due_at = EXCLUDED.due_at, extended = false, epoch = EXCLUDED.epoch
"""  # noqa: S608 - fixed text only


def reacted(conversations: Sequence[Conversation]) -> None:
    """The agents that hold these have shown themselves. Messages they have not been given yet keep
    customers waiting."""
    if not conversations:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _REACTED,
            {"account": current_account_id(), "conversations": [one.pk for one in conversations]},
        )


_HAS_UNHEARD = f"""
SELECT {_UNHEARD} FROM conversations_conversation conversation, agents_agent agent
WHERE conversation.id = %s AND agent.id = %s
"""  # noqa: S608 - fixed text only


def has_unheard(conversation: Conversation, agent: Agent) -> bool:
    """Whether the customer has written something that the agent has not been given yet."""
    with connection.cursor() as cursor:
        cursor.execute(_HAS_UNHEARD, [conversation.pk, agent.pk])
        return any(unheard for (unheard,) in cursor.fetchall())


def extend(conversation: Conversation, agent: Agent) -> bool:
    """The agent works on it: once per wait, the same time again. Says whether it was given."""
    return bool(
        Timer.objects.filter(
            kind=Timer.Kind.PATIENCE,
            conversation=conversation,
            epoch=conversation.assignment_epoch,
            extended=False,
        ).update(due_at=F("due_at") + timedelta(seconds=agent.patience_s), extended=True)
    )


def over(timer: Timer) -> None:
    """Handler of the patience timer: people get the conversation, with the reason (DL-61)."""
    conversation = lock(timer.conversation_id)
    if conversation.assignment_epoch != timer.epoch or not conversation.held_by_agent:
        return
    if conversation.waiting_since is None:  # the customer has been answered meanwhile
        return
    agent = Agent.objects.select_related("member", "endpoint", "fallback_team").get(
        member=conversation.assignee
    )
    reason, detail = _why_silent(conversation, agent, extended=timer.extended)
    give_to_people(conversation, agent, reason=reason, detail=detail)


def give_to_people(
    conversation: Conversation, agent: Agent, *, reason: str, detail: str, tell: bool = True
) -> Conversation:
    """Move a locked conversation of `agent` to its fallback; with `tell` the customer hears of it."""
    moved = services.hand_off(
        conversation, by=None, to=agent.fallback_team, reason=reason, detail=detail
    )
    logger.info(
        "to_people conversation=%s agent=%s reason=%s",
        conversation.public_id,
        agent.public_id,
        reason,
    )
    count_fallback(agent, reason)
    if tell:
        tell_customer(moved, agent)
    return moved


def count_fallback(agent: Agent, reason: str) -> None:
    """For the operator's eyes, once it is committed."""
    count = partial(
        metrics.count, "switchboard_fallback_total", account=agent.account_id, reason=str(reason)
    )
    transaction.on_commit(count, robust=True)


def _why_silent(conversation: Conversation, agent: Agent, *, extended: bool) -> tuple[str, str]:
    """Silent although it got the message, or not reached at all: the last attempt tells."""
    seconds = agent.patience_s * (2 if extended else 1)
    waited = ngettext("no answer within %(n)d second", "no answer within %(n)d seconds", seconds)
    waited %= {"n": seconds}
    delivery = (
        Delivery.objects.filter(
            conversation=conversation,
            kind=Lane.Kind.AGENT,
            endpoint_id=agent.endpoint_id,
            epoch=conversation.assignment_epoch,
            event_type__in=ASKING,
        )
        .exclude(state=Delivery.State.DELIVERED)
        .order_by("sequence")
        .first()
    )
    if delivery is None:
        return Reason.AGENT_TIMEOUT, waited
    last = Attempt.objects.filter(delivery=delivery, ended_at__isnull=False).order_by("-n").first()
    if last is None or last.outcome == "timeout_read":
        return Reason.AGENT_TIMEOUT, waited
    return Reason.AGENT_UNREACHABLE, f"{waited}; {describe_attempt(last)}"


def describe_attempt(attempt: Attempt) -> str:
    """What went wrong with an attempt, in a few words."""
    if attempt.status:
        return _("attempt %(n)d got HTTP %(status)d") % {"n": attempt.n, "status": attempt.status}
    what = _(attempt.error) or attempt.outcome.replace("_", " ")
    return _("attempt %(n)d failed (%(what)s)") % {"n": attempt.n, "what": what[:120]}


def tell_customer(conversation: Conversation, agent: Agent) -> None:
    """Say once per conversation and day that a colleague will answer, if the agent has words for it."""
    if not agent.fallback_text:
        return
    told = Message.objects.filter(
        conversation=conversation,
        client_id__startswith=FALLBACK_MARK,
        created_at__gt=timezone.now() - FALLBACK_TEXT_EVERY,
    )
    if told.exists():
        return
    try:
        services.post_message(
            conversation,
            content=Content(text=agent.fallback_text),
            author=None,
            client_id=f"{FALLBACK_MARK}{conversation.assignment_epoch}",
        )
    except DeskError as error:
        add_line(conversation, "not_told", detail=error.message)


# Who waits longer than allowed: open, with an agent, a customer's message unanswered since before
# the agent's patience (twice, when it asked for more time) and ten seconds ago. Counted from the
# assignment where that came later. The agents are found first, as one array: so the index leads to what
# they hold, however much people have open.
_OVER_PATIENCE = """
SELECT conversation.id
FROM conversations_conversation conversation
LEFT JOIN agents_agent agent ON agent.member_id = conversation.assignee_id
LEFT JOIN conversations_assignment assignment
    ON assignment.conversation_id = conversation.id AND assignment.ended_at IS NULL
LEFT JOIN conversations_timer timer
    ON timer.conversation_id = conversation.id AND timer.kind = 'patience'
    AND timer.epoch = conversation.assignment_epoch
WHERE conversation.account_id = %(account)s AND conversation.status = 'open'
  AND conversation.assignee_id = ANY(ARRAY(
      SELECT id FROM accounts_member WHERE account_id = %(account)s AND kind = 'agent'))
  AND conversation.waiting_since IS NOT NULL
  AND GREATEST(conversation.waiting_since, assignment.started_at)
      + make_interval(secs => COALESCE(agent.patience_s, 0)
                              * CASE WHEN timer.extended THEN 2 ELSE 1 END + 10) < now()
ORDER BY conversation.id
"""


def unanswered_over_patience() -> list[int]:
    """The invariant DL-65, in one query: the ids of conversations of the account in context whose
    customer waits for an agent longer than its patience and ten seconds. Must be empty."""
    with connection.cursor() as cursor:
        cursor.execute(_OVER_PATIENCE, {"account": current_account_id()})
        return [row[0] for row in cursor.fetchall()]
