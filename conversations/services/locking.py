"""The one lock of the desk: a conversation's row, taken first and held shortly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from accounts.prepared import KEYS, prepared
from conversations.models import Address, Conversation
from conversations.models.conversation import ConversationQuerySet

HOLDERS = ("assignee", "team")
RELATED = ("inbox", "address", "contact", *HOLDERS)


def lock(conversation: Conversation | int) -> Conversation:
    """The conversation as it is now, locked until the transaction ends."""
    pk = conversation if isinstance(conversation, int) else conversation.pk
    found = lock_many([pk])
    if not found:
        raise Conversation.DoesNotExist(f"conversation {pk}")
    return found[pk]


def whole(found: Sequence[Conversation]) -> list[Conversation]:
    """Conversations that one's own question has locked, with `RELATED`: as they are now."""
    torn = [one.pk for one in found if _is_torn(one, RELATED)]
    again = _read_again(torn) if torn else {}
    return [again.get(one.pk, one) for one in found]


def lock_many(pks: Collection[int]) -> dict[int, Conversation]:
    """Several, by id; locked in one order, so that two batches never wait for each other."""
    found = {one.pk: one for one in _lock(pks)}
    odd = [pk for pk in pks if pk not in found or _is_torn(found[pk], RELATED)]
    return found | _read_again(odd) if odd else found


def _is_torn(one: Conversation, related: Collection[str]) -> bool:
    """Whether it points to something else than was read with it.

    Who had to wait for the lock gets the row as it is by then, but joined with what the statement saw
    when it began: a new holder is missing, and where a row must have what it is joined with (its contact,
    after a merge), the row itself.
    """
    known = one._state.fields_cache
    return any(
        getattr(known.get(name), "pk", None) != getattr(one, f"{name}_id") for name in related
    )


def _read_again(pks: Collection[int]) -> dict[int, Conversation]:
    """By a statement that begins when they are locked, and so sees what they point to now."""
    _lock_bare(pks)
    return {one.pk: one for one in _lock(pks)}


def lock_bare(pks: Collection[int]) -> dict[int, Conversation]:
    """The same without what hangs on them, for who does not need it."""
    return {one.pk: one for one in _lock_bare(pks)}


def lock_at_many(addresses: Mapping[int, Address]) -> dict[int, Conversation]:
    """The conversations at `addresses` (by id), by the address's id; new ones are missing.

    They get the addresses, contacts and inboxes that the caller has in hand: this is the hottest read.
    """
    conversations = {one.address_id: one for one in _lock_at(addresses)}
    torn = [
        one.pk
        for one in conversations.values()
        if _is_torn(one, HOLDERS) or one.contact_id != addresses[one.address_id].contact_id
    ]
    again = _read_again(torn) if torn else {}
    for pk, one in conversations.items():
        if one.pk in again:
            conversations[pk] = again[one.pk]
        else:
            address = addresses[pk]
            one.address, one.contact, one.inbox = address, address.contact, address.inbox
    return conversations


@prepared(KEYS)
def _lock(pks: Collection[int]) -> ConversationQuerySet:
    return locked(*RELATED).filter(pk__among=pks).order_by("id")


@prepared(KEYS)
def _lock_bare(pks: Collection[int]) -> ConversationQuerySet:
    return Conversation.objects.select_for_update().filter(pk__among=pks).order_by("id")


@prepared(KEYS)
def _lock_at(addresses: Collection[int]) -> ConversationQuerySet:
    return locked(*HOLDERS).filter(address__among=addresses).order_by("id")


def locked(*related: str) -> ConversationQuerySet:
    """For questions that lock what they find."""
    return Conversation.objects.select_for_update(of=("self",)).select_related(*related)
