"""Small courtesies of a channel: read receipts and typing. Never retried, never in the way."""

from __future__ import annotations

import json

from conversations.models import Conversation, Delivery, Lane
from conversations.services import outbox


def acknowledge(conversation: Conversation, *, typing: bool) -> None:
    """Tell the customer that their last message was read, and with `typing` that an answer comes."""
    capabilities = conversation.inbox.channel.capabilities
    external_id = conversation.address.last_inbound_external_id
    if not external_id or not (capabilities.read_receipts or (typing and capabilities.typing)):
        return
    place = outbox.take_place(
        account_id=conversation.account_id,
        kind=Lane.Kind.SIGNAL,
        destination_id=conversation.inbox_id,
        key=conversation.public_id,
    )
    outbox.put(
        place,
        kind=Lane.Kind.SIGNAL,
        schedule=Delivery.Schedule.ONCE,
        wire_id=f"{conversation.public_id}-{place.sequence}",
        event_type="message.acknowledge",
        conversation=conversation,
        body=json.dumps({"external_id": external_id, "typing": typing}).encode(),
    )
