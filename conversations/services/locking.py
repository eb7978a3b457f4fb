"""The one lock of the desk: a conversation's row, taken first and held shortly."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from conversations.models import Address, Conversation
from conversations.models.conversation import ConversationQuerySet

RELATED = ("inbox", "address", "contact", "assignee", "team")


def lock(conversation: Conversation | int) -> Conversation:
    """The conversation as it is now, locked until the transaction ends."""
    pk = conversation if isinstance(conversation, int) else conversation.pk
    return _locked(*RELATED).get(pk=pk)


def lock_many(pks: Collection[int]) -> dict[int, Conversation]:
    """Several, by id; locked in one order, so that two batches never wait for each other."""
    return {one.pk: one for one in _locked(*RELATED).filter(pk__among=pks).order_by("id")}


def lock_bare(pks: Collection[int]) -> dict[int, Conversation]:
    """The same without what hangs on them, for who does not need it."""
    rows = Conversation.objects.select_for_update().filter(pk__among=pks)
    return {one.pk: one for one in rows.order_by("id")}


def lock_at_many(addresses: Mapping[int, Address]) -> dict[int, Conversation]:
    """The conversations at `addresses` (by id), by the address's id; new ones are missing.

    They get the addresses, contacts and inboxes that the caller has in hand: this is the hottest read.
    """
    found = _locked("assignee", "team").filter(address__among=addresses).order_by("id")
    conversations = {one.address_id: one for one in found}
    for pk, one in conversations.items():
        address = addresses[pk]
        one.address, one.contact, one.inbox = address, address.contact, address.inbox
    return conversations


def _locked(*related: str) -> ConversationQuerySet:
    return Conversation.objects.select_for_update(of=("self",)).select_related(*related)
