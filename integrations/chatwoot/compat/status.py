"""Their four statuses, and what each of them means here.

Pending is derived: open, and held by an AI agent. So to open what a bot holds is to hand it over, and
to make something pending is to give it to a bot.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.exceptions import PermissionDenied

from accounts.models import Member
from agents.models import Agent
from conversations import services
from conversations.errors import DeskError, WrongStateError
from conversations.models import Conversation
from conversations.services.locking import lock
from integrations.chatwoot import bots
from integrations.chatwoot.shapes.conversations import PENDING, status_of
from integrations.chatwoot.shapes.people import role_of

Status = Conversation.Status
STATUSES = ("open", "resolved", PENDING, "snoozed")
# Without a time it sleeps until the customer writes; ours has an end, and this is the last one.
LONGEST_SNOOZE = timedelta(days=366)


def toggled(conversation: Conversation) -> str:
    """The other status, for whoever names none."""
    return "resolved" if status_of(conversation) == "open" else "open"


def change(
    conversation: Conversation,
    status: str,
    *,
    by: Member,
    may_assign: bool,
    until: datetime | None = None,
) -> Conversation:
    """Bring the conversation into one of `STATUSES`. Raises the desk's errors, `PermissionDenied`.

    `may_assign`: whether the caller may also give conversations to somebody.
    """
    conversation = lock(conversation)
    if _gives(conversation, status, by) and not may_assign:
        raise PermissionDenied
    match status:
        case "resolved":
            return services.resolve(conversation, by=by)
        case "snoozed":
            return _snooze(conversation, by=by, until=until)
        case "pending":
            return _to_bot(conversation, by=by)
    return _open(conversation, by=by)


def _gives(conversation: Conversation, status: str, by: Member) -> bool:
    """Whether this status gives the conversation to somebody: to a bot, from it to people, or to the person
    who opens what nobody has."""
    if status == PENDING:
        return not conversation.held_by_agent
    return status == "open" and (conversation.held_by_agent or _gets_it(conversation, by))


def _open(conversation: Conversation, *, by: Member) -> Conversation:
    """For people. A bot hands over; a person below administrator gets what they open."""
    if by.is_agent:
        return hand_over(conversation, by=by)
    if conversation.status != Status.OPEN and not conversation.held_by_agent:
        conversation = services.reopen(conversation, by=by)
    if _gets_it(conversation, by):
        return services.take_over(conversation, by=by)
    if conversation.held_by_agent:
        return services.hand_off(conversation, by=by, to=conversation.team)
    return conversation


def hand_over(conversation: Conversation, *, by: Member) -> Conversation:
    """The bot gives it to people: to the team it holds it for, its own fallback team, else as the inbox
    says."""
    if conversation.assignee_id != by.pk and _is_open_for_people(conversation):
        return conversation
    agent = Agent.objects.select_related("fallback_team").get(member=by)
    return services.hand_off(conversation, by=by, to=conversation.team or agent.fallback_team)


def _to_bot(conversation: Conversation, *, by: Member) -> Conversation:
    """Back to the agent that had it last, else to the inbox's bot."""
    if conversation.held_by_agent:
        if conversation.status == Status.OPEN:
            return conversation
        return services.reopen(conversation, by=by)
    if by.is_agent:
        raise PermissionDenied  # nobody takes a conversation to itself (SX-23)
    if conversation.last_agent is not None and conversation.last_agent.active:
        return services.give_back(conversation, by=by)
    bot = bots.bot_of(conversation.inbox)
    if bot is None:
        raise WrongStateError(_("No bot is attached to this inbox. Attach one first."))
    return services.assign(conversation, to=bot.member, by=by)


def _snooze(conversation: Conversation, *, by: Member, until: datetime | None) -> Conversation:
    latest = timezone.now() + LONGEST_SNOOZE
    if until is not None and until > latest:
        raise DeskError(_("At most a year from now."))
    return services.snooze(conversation, by=by, until=until or latest)


def _gets_it(conversation: Conversation, by: Member) -> bool:
    """Whether it goes to the person who opens it."""
    free = conversation.held_by_agent or conversation.assignee_id is None
    return free and not by.is_agent and role_of(by) == "agent"


def _is_open_for_people(conversation: Conversation) -> bool:
    return conversation.status == Status.OPEN and not conversation.held_by_agent
