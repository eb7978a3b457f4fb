"""The one lock of the desk: a conversation's row, taken first and held shortly."""

from __future__ import annotations

from conversations.models import Address, Conversation
from conversations.models.conversation import ConversationQuerySet


def lock(conversation: Conversation | int) -> Conversation:
    """The conversation as it is now, locked until the transaction ends."""
    pk = conversation if isinstance(conversation, int) else conversation.pk
    return _locked().get(pk=pk)


def lock_at(address: Address) -> Conversation | None:
    """The address's one conversation, locked; None before the customer's first word."""
    return _locked().filter(address=address).first()


def _locked() -> ConversationQuerySet:
    related = ("inbox", "address", "contact", "assignee", "team")
    return Conversation.objects.select_for_update(of=("self",)).select_related(*related)
