"""The one lock of the desk: a conversation's row, taken first and held shortly."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from accounts.prepared import KEYS, prepared
from conversations.models import Address, Conversation
from conversations.models.conversation import ConversationQuerySet

RELATED = ("inbox", "address", "contact", "assignee", "team")


def lock(conversation: Conversation | int) -> Conversation:
    """The conversation as it is now, locked until the transaction ends."""
    pk = conversation if isinstance(conversation, int) else conversation.pk
    found = _lock([pk])
    if not found:
        raise Conversation.DoesNotExist(f"conversation {pk}")
    return found[0]


def lock_many(pks: Collection[int]) -> dict[int, Conversation]:
    """Several, by id; locked in one order, so that two batches never wait for each other."""
    return {one.pk: one for one in _lock(pks)}


def lock_bare(pks: Collection[int]) -> dict[int, Conversation]:
    """The same without what hangs on them, for who does not need it."""
    return {one.pk: one for one in _lock_bare(pks)}


def lock_at_many(addresses: Mapping[int, Address]) -> dict[int, Conversation]:
    """The conversations at `addresses` (by id), by the address's id; new ones are missing.

    They get the addresses, contacts and inboxes that the caller has in hand: this is the hottest read.
    """
    conversations = {one.address_id: one for one in _lock_at(addresses)}
    for pk, one in conversations.items():
        address = addresses[pk]
        one.address, one.contact, one.inbox = address, address.contact, address.inbox
    return conversations


@prepared(KEYS)
def _lock(pks: Collection[int]) -> ConversationQuerySet:
    return _locked(*RELATED).filter(pk__among=pks).order_by("id")


@prepared(KEYS)
def _lock_bare(pks: Collection[int]) -> ConversationQuerySet:
    return Conversation.objects.select_for_update().filter(pk__among=pks).order_by("id")


@prepared(KEYS)
def _lock_at(addresses: Collection[int]) -> ConversationQuerySet:
    return _locked("assignee", "team").filter(address__among=addresses).order_by("id")


def _locked(*related: str) -> ConversationQuerySet:
    return Conversation.objects.select_for_update(of=("self",)).select_related(*related)
