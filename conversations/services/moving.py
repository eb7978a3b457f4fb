"""Moving a conversation from one holder to the next: its row, the assignments, the thread, the events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.audit import audit
from accounts.inserting import insert_many
from accounts.models import Member, Team
from conversations import timers
from conversations.models import Assignment, Conversation, Timer
from conversations.services import events
from conversations.services.events import Fact
from conversations.services.lines import add_lines

Status = Conversation.Status

# SQL, because the ORM writes one CASE per row and column.
_SAVE_HOLDERS = """
UPDATE conversations_conversation conversation
SET assignee_id = moved.member, team_id = moved.team, last_agent_id = moved.agent,
    assignment_epoch = moved.epoch, status = 'open', snoozed_until = moved.snoozed_until,
    resolved_at = moved.resolved_at, updated_at = %(now)s
FROM unnest(
    %(ids)s::bigint[], %(members)s::bigint[], %(teams)s::bigint[], %(agents)s::bigint[],
    %(epochs)s::int[], %(snoozed)s::timestamptz[], %(resolved)s::timestamptz[])
AS moved (id, member, team, agent, epoch, snoozed_until, resolved_at)
WHERE conversation.id = moved.id
"""


class Reason(StrEnum):
    """Why somebody has it; stored on the assignment and sent to agents."""

    RULE = "rule"
    MANUAL = "manual"
    TAKEOVER = "takeover"
    ANSWERED = "answered"
    GIVEN_BACK = "given_back"
    HANDED_OFF = "handed_off"
    AGENT_TIMEOUT = "agent_timeout"
    AGENT_UNREACHABLE = "agent_unreachable"
    AGENT_REJECTED = "agent_rejected"
    AGENT_DISABLED = "agent_disabled"
    AGENT_PAUSED = "agent_paused"
    AGENT_DELETED = "agent_deleted"
    LATE_MESSAGE = "late_message"
    UNDONE = "undone"
    RESOLVED = "resolved"


# A person put themselves in the place of whoever held it, by the button or by answering.
TAKEN_OVER = (Reason.TAKEOVER, Reason.ANSWERED)


def holders_of(
    conversation: Conversation, to: Member | Team | None
) -> tuple[Member | None, Team | None]:
    """Member and team when it goes to `to`: a member holds it for the team that has it."""
    if isinstance(to, Team):
        return None, to
    return to, conversation.team if to is not None else None


def is_held_by(conversation: Conversation, to: Member | Team | None) -> bool:
    member, team = holders_of(conversation, to)
    return (
        conversation.status == Status.OPEN
        and conversation.assignee_id == (member.pk if member else None)
        and conversation.team_id == (team.pk if team else None)
    )


def state_of(conversation: Conversation) -> dict[str, Any]:
    """How it stands with a locked conversation, for the event that says it has changed."""
    team, until = conversation.team, conversation.snoozed_until
    return {
        "status": str(conversation.status),
        "with_agent": conversation.held_by_agent,
        "team": team.public_id if team is not None else None,
        "snoozed_until": until.isoformat() if until is not None else None,
    }


def leave(*conversations: Conversation) -> None:
    """End the running assignments of locked conversations and raise the epochs; nobody holds them."""
    running = Assignment.objects.filter(
        conversation__among=[one.pk for one in conversations], ended_at__isnull=True
    )
    running.update(ended_at=timezone.now())
    for conversation in conversations:
        if conversation.assignee is not None and conversation.assignee.is_agent:
            conversation.last_agent = conversation.assignee
        conversation.assignee = None
        conversation.team = None
        conversation.assignment_epoch += 1


def move(
    conversations: Sequence[Conversation],
    *,
    to: Member | Team | None,
    by: Member | None,
    reason: str,
    detail: str,
    summary: str,
) -> None:
    """Move locked conversations, each named once, with as many statements as for one."""
    if not conversations:
        return
    holders = [holders_of(one, to) for one in conversations]
    previous = [one.assignee for one in conversations]
    before = [state_of(one) for one in conversations]
    woken = [one for one in conversations if one.status != Status.OPEN]
    leave(*conversations)
    timers.clear(Timer.Kind.PATIENCE, *conversations)
    if woken:
        timers.clear(Timer.Kind.SNOOZE, *woken)
    for conversation, (member, team) in zip(conversations, holders, strict=True):
        _take(conversation, member, team)
    _save_holders(conversations)
    _begin_assignments(conversations, by=by, reason=reason, detail=detail[:500], summary=summary)
    said = {"reason": reason, "detail": detail, "summary": summary}
    add_lines(conversations, "assigned", by=by, to=to, **said)
    moved = list(zip(conversations, previous, strict=True))
    if by is not None and reason in TAKEN_OVER:
        _audit_taking_over(moved, by, reason)
    events.record_many(
        [
            Fact(
                event_type,
                conversation,
                actor=by,
                data={**_moved(conversation, had), **said, "before": state},
            )
            for (conversation, had), state in zip(moved, before, strict=True)
            for event_type in _types_of_move(conversation, had)
        ]
    )


def _audit_taking_over(
    moved: Sequence[tuple[Conversation, Member | None]], by: Member, reason: str
) -> None:
    for conversation, had in moved:
        if had not in (None, by):
            changes = {"holder": [str(had), by.name], "reason": str(reason)}
            audit("conversation.taken_over", by=by, target=conversation, changes=changes)


def _take(conversation: Conversation, member: Member | None, team: Team | None) -> None:
    conversation.assignee = member
    conversation.team = team
    if member is not None and member.is_agent:
        conversation.last_agent = member
    if conversation.status != Status.OPEN:
        conversation.status = Status.OPEN
        conversation.snoozed_until = None
        conversation.resolved_at = None


def _save_holders(conversations: Sequence[Conversation]) -> None:
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            _SAVE_HOLDERS,
            {
                "now": now,
                "ids": [one.pk for one in conversations],
                "members": [one.assignee_id for one in conversations],
                "teams": [one.team_id for one in conversations],
                "agents": [one.last_agent_id for one in conversations],
                "epochs": [one.assignment_epoch for one in conversations],
                "snoozed": [one.snoozed_until for one in conversations],
                "resolved": [one.resolved_at for one in conversations],
            },
        )
    for one in conversations:
        one.updated_at = now


def _begin_assignments(
    conversations: Sequence[Conversation],
    *,
    by: Member | None,
    reason: str,
    detail: str,
    summary: str,
) -> None:
    insert_many(
        [
            Assignment(
                conversation=one,
                member=one.assignee,
                team=one.team,
                epoch=one.assignment_epoch,
                reason=reason,
                detail=detail,
                summary=summary,
                by=by,
                started_at=timezone.now(),
            )
            for one in conversations
        ]
    )


def _moved(conversation: Conversation, previous: Member | None) -> dict[str, str | None]:
    """Who had it and who has it, by their ids."""
    member, team = conversation.assignee, conversation.team
    return {
        "assignee": member.public_id if member else None,
        "team": team.public_id if team else None,
        "previous": previous.public_id if previous else None,
    }


def _types_of_move(conversation: Conversation, previous: Member | None) -> Iterator[str]:
    """An agent that loses it hears so; whoever gets it hears that, and so do rules when nobody does."""
    held = conversation.assignee is not None or conversation.team is not None
    lost_by_agent = previous is not None and previous.is_agent
    if (lost_by_agent and previous != conversation.assignee) or not held:
        yield "conversation.unassigned"
    if held:
        yield "conversation.assigned"
