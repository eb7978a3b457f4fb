"""What platforms handed over about a contact who is being erased (SX-101)."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Cast, Concat

from conversations.models import (
    AddressIdentifier,
    Contact,
    Conversation,
    Delivery,
    Lane,
    Message,
)
from integrations.ledger import lane_key
from integrations.models import Receipt

State = Receipt.State


def forget_receipts(contact: Contact, conversations: Sequence[Conversation]) -> None:
    """Empty the receipts of their messages and of what was sent to them, and everything on their lanes.

    A lane is named by the platform's name of the person; it gets another, so that whoever writes under
    that name later stands on a new one. Keys of receipts stay: a late repetition is still known.
    """
    lanes = _lanes_of(contact)
    for receipts in (Receipt.objects.filter(lane_id__in=lanes), _of_messages(conversations)):
        _ignore_waiting(receipts)
        receipts.exclude(state=State.NEW).update(body_packed=b"", headers={}, result="")
    Lane.objects.filter(pk__in=lanes).update(
        key=Concat(Value("erased:"), Cast(F("pk"), CharField()))
    )


def _lanes_of(contact: Contact) -> list[int]:
    """Their inbound lanes, locked in the order in which the doors lock them."""
    names = AddressIdentifier.objects.filter(address__contact=contact)
    lanes = Lane.objects.filter(
        kind=Lane.Kind.INBOUND,
        destination_id__in=list(names.values_list("inbox_id", flat=True)),
        key__in=[lane_key(name) for name in names.values_list("value", flat=True)],
    )
    in_order = lanes.order_by("kind", "destination_id", "key").select_for_update()
    return list(in_order.values_list("pk", flat=True))


def _ignore_waiting(receipts: QuerySet[Receipt]) -> None:
    """Nobody reads them any more, but for one that a courier reads just now: it holds the receipt and
    waits for the conversation, which we hold. What it brings is wiped with the latecomers."""
    waiting = receipts.filter(state=State.NEW).select_for_update(skip_locked=True)
    found = Receipt.objects.filter(pk__in=list(waiting.values_list("pk", flat=True)))
    found.update(state=State.IGNORED)


def _of_messages(conversations: Sequence[Conversation]) -> QuerySet[Receipt]:
    said = Message.objects.filter(conversation__in=conversations)
    # The later parts of a message have ids of their own.
    parts = Delivery.objects.filter(conversation__in=conversations, kind=Lane.Kind.SEND)
    named = {
        *said.values_list("external_id", flat=True),
        *parts.values_list("provider_message_id", flat=True),
    }
    inboxes = {conversation.inbox_id for conversation in conversations}
    return Receipt.objects.filter(inbox__in=inboxes, dedupe_key__in=Receipt.keys_of(named - {""}))
