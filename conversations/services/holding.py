"""Who holds a conversation: with `moving`, the only functions that change status, assignee, team and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Member, Team
from conversations import timers
from conversations.errors import (
    CannotHoldError,
    HolderChangedError,
    NotHolderError,
    WrongStateError,
)
from conversations.models import Assignment, Conversation, Timer
from conversations.services import events
from conversations.services.lines import add_line, summarise
from conversations.services.locking import lock
from conversations.services.moving import Reason, is_held_by, leave, move, state_of
from conversations.signals import late_word

Status = Conversation.Status

# How long an agent that gave a conversation away may go on with what it was saying (`finishing`).
LAST_WORDS = timedelta(minutes=2)
_finishing: ContextVar[bool] = ContextVar("finishing", default=False)


@transaction.atomic
def assign(
    conversation: Conversation,
    *,
    to: Member | Team | None,
    by: Member | None,
    reason: str = Reason.MANUAL,
    detail: str = "",
    summary: str = "",
    expected_epoch: int | None = None,
) -> Conversation:
    """Give the conversation to a member or team, or to nobody (`to=None`: the unassigned queue).

    An agent may give away only what it holds. Raises `NotHolderError`, `HolderChangedError` when
    `expected_epoch` is not the current one, `CannotHoldError`.
    """
    conversation = lock(conversation)
    _check_epoch(conversation, expected_epoch)
    check_may_act(conversation, by)
    _check_can_hold(conversation, to)
    if not is_held_by(conversation, to):
        move([conversation], to=to, by=by, reason=reason, detail=detail, summary=summary)
    return conversation


@transaction.atomic
def assign_many(
    conversations: Sequence[Conversation], *, to: Member | Team, reason: str, detail: str = ""
) -> None:
    """Give several conversations of an account to one holder, as `assign` does by nobody's hand.

    They are locked in this transaction and as they are now, and the same objects say afterwards who has
    them. Raises `CannotHoldError`, with nothing done.
    """
    for conversation in conversations:
        _check_can_hold(conversation, to)
    moving = [one for one in conversations if not is_held_by(one, to)]
    move(moving, to=to, by=None, reason=reason, detail=detail, summary="")


def unassign(conversation: Conversation, *, by: Member | None, detail: str = "") -> Conversation:
    """Put it into the unassigned queue."""
    return assign(conversation, to=None, by=by, detail=detail)


@transaction.atomic
def hand_off(
    conversation: Conversation,
    *,
    by: Member | None,
    to: Member | Team | None = None,
    reason: str = Reason.HANDED_OFF,
    detail: str = "",
    summary: str = "",
    expected_epoch: int | None = None,
) -> Conversation:
    """Give it to people, with the reason and a summary for whoever takes over.

    Without `to` the inbox's fallback team gets it, else the unassigned queue that every person
    sees. Without a summary one is made from the thread. Raises as `assign`.
    """
    conversation = lock(conversation)
    if isinstance(to, Member) and to.is_agent:
        raise CannotHoldError(_("A hand-off goes to people; assign the conversation instead."))
    target = to or conversation.inbox.fallback_team
    return assign(
        conversation,
        to=target,
        by=by,
        reason=reason,
        detail=detail,
        summary=summary or summarise(conversation),
        expected_epoch=expected_epoch,
    )


def take_over(conversation: Conversation, *, by: Member) -> Conversation:
    """A person takes the conversation to themselves; the agent falls silent."""
    return assign(conversation, to=by, by=by, reason=Reason.TAKEOVER)


@transaction.atomic
def give_back(conversation: Conversation, *, by: Member, detail: str = "") -> Conversation:
    """Back to the agent that held it last. Raises `CannotHoldError` when there is none."""
    conversation = lock(conversation)
    if conversation.last_agent is None:
        raise CannotHoldError(_("No AI agent has held this conversation yet. Assign it to one."))
    return assign(
        conversation, to=conversation.last_agent, by=by, reason=Reason.GIVEN_BACK, detail=detail
    )


@transaction.atomic
def resolve(
    conversation: Conversation,
    *,
    by: Member | None,
    detail: str = "",
    expected_epoch: int | None = None,
) -> Conversation:
    """Done. Nobody holds it any more; the customer's next message opens it again."""
    conversation = lock(conversation)
    _check_epoch(conversation, expected_epoch)
    check_holds(conversation, by)
    if conversation.status == Status.RESOLVED:
        return conversation
    holder, before = conversation.assignee, state_of(conversation)
    conversation.status = Status.RESOLVED
    conversation.resolved_at = timezone.now()
    conversation.snoozed_until = None
    conversation.waiting_since = None
    conversation.inbound_count = 0
    timers.clear(Timer.Kind.SNOOZE, conversation)
    timers.clear(Timer.Kind.PATIENCE, conversation)
    leave(conversation)
    conversation.save(
        update_fields=[
            "status", "resolved_at", "snoozed_until", "waiting_since", "inbound_count",
            "assignee", "team", "last_agent", "assignment_epoch", "updated_at",
        ]
    )  # fmt: skip
    add_line(conversation, "resolved", by=by, detail=detail)
    events.record(
        conversation,
        "conversation.resolved",
        actor=by,
        detail=detail,
        previous=holder.public_id if holder else None,
        before=before,
    )
    return conversation


@transaction.atomic
def reopen(conversation: Conversation, *, by: Member | None) -> Conversation:
    """Open again, held by nobody until a rule or a person decides."""
    conversation = lock(conversation)
    check_may_act(conversation, by)
    if conversation.status == Status.OPEN:
        return conversation
    wake(conversation, by=by)
    return conversation


def wake(conversation: Conversation, *, by: Member | None) -> None:
    """Set a locked snoozed or resolved conversation to open, and say so."""
    was, before = conversation.status, state_of(conversation)
    conversation.status = Status.OPEN
    conversation.snoozed_until = None
    conversation.resolved_at = None
    timers.clear(Timer.Kind.SNOOZE, conversation)
    conversation.save(update_fields=["status", "snoozed_until", "resolved_at", "updated_at"])
    add_line(conversation, "reopened", by=by)
    events.record(
        conversation, "conversation.updated", actor=by, status=Status.OPEN, was=was, before=before
    )


@transaction.atomic
def snooze(conversation: Conversation, *, by: Member | None, until: datetime) -> Conversation:
    """Hide it until `until` (aware) or the customer's next message. The holder stays."""
    conversation = lock(conversation)
    check_holds(conversation, by)
    if until <= timezone.now():
        raise WrongStateError(_("Choose a time in the future."))
    if conversation.status == Status.RESOLVED:
        raise WrongStateError(_("This conversation is resolved. Reopen it first."))
    before = state_of(conversation)
    conversation.status = Status.SNOOZED
    conversation.snoozed_until = until
    conversation.save(update_fields=["status", "snoozed_until", "updated_at"])
    timers.move(Timer.Kind.SNOOZE, conversation, due_at=until)
    add_line(conversation, "snoozed", by=by, until=until.isoformat())
    events.record(
        conversation,
        "conversation.updated",
        actor=by,
        status=Status.SNOOZED,
        snoozed_until=until.isoformat(),
        before=before,
    )
    return conversation


def snooze_is_over(timer: Timer) -> None:
    """Handler of the snooze timer."""
    conversation = lock(timer.conversation_id)
    if conversation.status == Status.SNOOZED:
        wake(conversation, by=None)


def check_may_act(
    conversation: Conversation, by: Member | None, *, epoch: int | None = None
) -> None:
    """The fence: an agent acts only on what it holds now, and under the epoch it was given.

    Raises `NotHolderError`. People and the system (`by=None`) pass; what they may do is decided by
    the permission table at the door.
    """
    if by is None or by.is_person:
        return
    if not _may_finish(conversation, by):
        check_holds(conversation, by)
    if epoch is not None and epoch != conversation.assignment_epoch:
        raise NotHolderError


def check_holds(conversation: Conversation, by: Member | None) -> None:
    """The same for what hides a conversation from people: who has given it away ends or snoozes it no more,
    whatever there was to finish. Raises `NotHolderError`."""
    if by is not None and by.is_agent and conversation.assignee_id != by.pk:
        raise NotHolderError


def check_may_speak(
    conversation: Conversation, by: Member | None, *, epoch: int | None = None
) -> bool:
    """The same for words. Whether they come late: an agent that does not hold it may say them only where
    the room above lets it (`late_word`). One that holds it again under another epoch has been asked again,
    and answers that. Raises `NotHolderError`."""
    try:
        check_may_act(conversation, by, epoch=epoch)
    except NotHolderError:
        if by is not None and conversation.assignee_id == by.pk:
            raise
        asked = late_word.send(sender=Conversation, conversation=conversation, member=by)
        if not any(allowed for _receiver, allowed in asked):
            raise
        return True
    return False


@contextmanager
def finishing() -> Iterator[None]:
    """Inside, an agent may finish what it began after giving the conversation away by itself.

    Agents of other platforms say goodbye in a call of its own, often after the one that hands over.
    Their words are nobody's contradiction as long as no person has it: only for `LAST_WORDS`, only
    while it waits in the queue or for the team that the agent itself gave it to.
    """
    reset = _finishing.set(True)
    try:
        yield
    finally:
        _finishing.reset(reset)


def _may_finish(conversation: Conversation, by: Member) -> bool:
    if not _finishing.get() or conversation.status != Status.OPEN:
        return False
    return conversation.assignee_id is None and gave_away(conversation, by)


def gave_away(conversation: Conversation, by: Member) -> bool:
    """Whether the running assignment is of this member's own doing, and fresh."""
    own = Assignment.objects.filter(
        conversation=conversation,
        epoch=conversation.assignment_epoch,
        by=by,
        started_at__gt=timezone.now() - LAST_WORDS,
    )
    return own.exists()


def _check_epoch(conversation: Conversation, expected: int | None) -> None:
    if expected is not None and expected != conversation.assignment_epoch:
        raise HolderChangedError


def _check_can_hold(conversation: Conversation, to: Member | Team | None) -> None:
    if to is None:
        return
    if to.account_id != conversation.account_id:
        raise CannotHoldError(_("There is no such member or team."))
    if isinstance(to, Member) and not to.active:
        raise CannotHoldError(_("%(name)s cannot take conversations now.") % {"name": to.name})
