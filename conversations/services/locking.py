"""The one lock of the desk: a conversation's row, taken first and held shortly."""

from __future__ import annotations

from conversations.models import Address, Conversation
from conversations.models.conversation import ConversationQuerySet


def lock(conversation: Conversation | int) -> Conversation:
    """The conversation as it is now, locked until the transaction ends."""
    pk = conversation if isinstance(conversation, int) else conversation.pk
    return _locked("inbox", "address", "contact", "assignee", "team").get(pk=pk)


def lock_at(address: Address) -> Conversation | None:
    """The address's one conversation, locked; None before the customer's first word.

    It gets the address, contact and inbox that the caller has in hand: this is the hottest read.
    """
    found = _locked("assignee", "team").filter(address=address).order_by().first()
    if found is not None:
        found.address, found.contact, found.inbox = address, address.contact, address.inbox
    return found


def _locked(*related: str) -> ConversationQuerySet:
    return Conversation.objects.select_for_update(of=("self",)).select_related(*related)
