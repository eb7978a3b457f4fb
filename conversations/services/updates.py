"""Smaller changes of a conversation: priority, reading."""

from __future__ import annotations

from django.db import transaction

from accounts.models import Member
from conversations.models import Conversation
from conversations.services import events
from conversations.services.courtesies import acknowledge
from conversations.services.holding import check_may_act
from conversations.services.locking import lock


@transaction.atomic
def set_priority(conversation: Conversation, priority: str, *, by: Member | None) -> Conversation:
    """`priority` is one of `Conversation.Priority`."""
    conversation = lock(conversation)
    check_may_act(conversation, by)
    before = {"priority": str(conversation.priority)}
    conversation.priority = Conversation.Priority(priority)
    conversation.save(update_fields=["priority", "updated_at"])
    events.record(conversation, "conversation.updated", actor=by, priority=priority, before=before)
    return conversation


@transaction.atomic
def mark_read(conversation: Conversation, *, by: Member) -> Conversation:
    """A person has looked: the counter is zero, and the customer sees that it was read."""
    conversation = lock(conversation)
    if conversation.unread_count:
        conversation.unread_count = 0
        conversation.save(update_fields=["unread_count"])
        acknowledge(conversation, typing=False)
        events.record(conversation, "conversation.read", actor=by)
    return conversation


@transaction.atomic
def mark_unread(conversation: Conversation, *, by: Member) -> Conversation:
    """Somebody should look again."""
    conversation = lock(conversation)
    if not conversation.unread_count:
        conversation.unread_count = 1
        conversation.save(update_fields=["unread_count"])
        events.record(conversation, "conversation.updated", actor=by, unread=True)
    return conversation
