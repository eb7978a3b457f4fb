"""A message of a browser without script, put where the hook door puts those of every other."""

from __future__ import annotations

from conversations.models import Inbox, Lane
from conversations.services import outbox
from integrations.models import Receipt


def take_in(inbox: Inbox, body: bytes) -> None:
    """Keep the message for the courier, in the account's context."""
    for item in inbox.channel.split(body, inbox.as_config()):
        place = outbox.take_place(
            account_id=inbox.account_id,
            kind=Lane.Kind.INBOUND,
            destination_id=inbox.pk,
            key=item.lane_key,
        )
        Receipt.objects.create(
            inbox=inbox,
            lane_id=place.lane_id,
            dedupe_key=item.dedupe_key,
            body_packed=Receipt.pack(item.payload),
            received_at=place.at,
        )
