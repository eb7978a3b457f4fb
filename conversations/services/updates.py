"""Smaller changes of a conversation: attributes, priority, reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from accounts.models import Member
from conversations.models import Contact, Conversation
from conversations.services import events
from conversations.services.courtesies import acknowledge
from conversations.services.holding import check_may_act
from conversations.services.locking import lock


@transaction.atomic
def set_attributes(
    conversation: Conversation,
    values: Mapping[str, Any],
    *,
    by: Member | None,
    on: str = "contact",
) -> Conversation:
    """Merge `values` into the contact's (or with `on="conversation"` its own) attributes.

    A value of None removes the key.
    """
    conversation = lock(conversation)
    check_may_act(conversation, by)
    before: dict[str, Any] = {}
    if on == "contact":
        contact = Contact.objects.select_for_update().get(pk=conversation.contact_id)
        contact.attributes = merge(contact.attributes, values)
        contact.save(update_fields=["attributes", "updated_at"])
        conversation.contact = contact
    else:
        before["attributes"] = conversation.attributes
        conversation.attributes = merge(conversation.attributes, values)
        conversation.save(update_fields=["attributes", "updated_at"])
    events.record(
        conversation,
        "conversation.updated",
        actor=by,
        attributes={on: dict(values)},
        before=before,
    )
    return conversation


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


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**old, **new}.items() if value is not None}
