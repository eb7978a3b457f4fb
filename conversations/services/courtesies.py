"""Small courtesies of a channel: read receipts and typing. Never retried, never in the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from django.db import transaction

from accounts.models import Member
from conversations.models import Conversation, Delivery, Lane
from conversations.services import carrying, outbox
from conversations.services.carrying import Courtesy
from conversations.services.outbox import LaneName, Place
from conversations.signals import Typing, typing_noted


def acknowledge(conversation: Conversation, *, typing: bool) -> None:
    """Tell the customer that their last message was read, and with `typing` that an answer comes."""
    acknowledge_many([conversation], typing=typing)


def acknowledge_many(conversations: Sequence[Conversation], *, typing: bool) -> None:
    """The same for several conversations of the account in context. A courier does it when this is committed,
    and keeps nothing of it; in another process it waits on a lane for one."""
    wanted = [one for one in conversations if _can_acknowledge(one, typing=typing)]
    if not wanted:
        return
    if (carrier := carrying.carrier()) is not None:
        courtesies = _courtesies(wanted, typing=typing)
        transaction.on_commit(partial(carrier.give, courtesies), robust=True)
        return
    places = outbox.take_places(
        wanted[0].account_id,
        [LaneName(Lane.Kind.SIGNAL, one.inbox_id, one.public_id) for one in wanted],
    )
    outbox.put_many(
        [_signal(one, place, typing=typing) for one, place in zip(wanted, places, strict=True)]
    )


def note_typing(
    conversation: Conversation, *, by: Member | None, on: bool, private: bool = False
) -> None:
    """Tell the rooms above that somebody, or the customer (None), begins to write or has stopped."""
    typing = Typing(conversation, by, on, private)
    typing_noted.send(sender=Conversation, typing=typing)


def _can_acknowledge(conversation: Conversation, *, typing: bool) -> bool:
    can = conversation.inbox.channel.capabilities
    return bool(conversation.address.last_inbound_external_id) and (
        can.read_receipts or (typing and can.typing)
    )


def _courtesies(conversations: Sequence[Conversation], *, typing: bool) -> list[Courtesy]:
    inboxes = {one.inbox_id: one.inbox for one in conversations}
    configs = {pk: inbox.as_config() for pk, inbox in inboxes.items()}
    return [
        Courtesy(
            one.account_id, configs[one.inbox_id], one.address.last_inbound_external_id, typing
        )
        for one in conversations
    ]


def _signal(conversation: Conversation, place: Place, *, typing: bool) -> Delivery:
    said = {"external_id": conversation.address.last_inbound_external_id, "typing": typing}
    return outbox.delivery_at(
        place,
        kind=Lane.Kind.SIGNAL,
        schedule=Delivery.Schedule.ONCE,
        wire_id=f"{conversation.public_id}-{place.sequence}",
        event_type="message.acknowledge",
        conversation=conversation,
        body=json.dumps(said).encode(),
    )
