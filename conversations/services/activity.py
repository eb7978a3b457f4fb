"""What lists show of conversations and what their windows count from, written for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.utils import timezone

from conversations.models import Address, Conversation, Message

PREVIEW_LENGTH = 200

# What `events` writes along with the facts of a conversation, by one statement: the columns, and what they
# are in a JSON row about it.
SHOWN = {
    "preview": "text",
    "preview_kind": "text",
    "preview_direction": "text",
    "unread_count": "int",
    "inbound_count": "int",
    "waiting_since": "timestamptz",
    "last_inbound_at": "timestamptz",
    "last_activity_at": "timestamptz",
    "options": "jsonb",
    "updated_at": "timestamptz",
}
_SAVE_WINDOWS = """
UPDATE conversations_address address
SET last_inbound_at = said.at, last_inbound_external_id = said.external_id
FROM unnest(%(ids)s::bigint[], %(ats)s::timestamptz[], %(externals)s::text[])
    AS said (id, at, external_id)
WHERE address.id = said.id
  AND (address.last_inbound_at IS NULL OR address.last_inbound_at <= said.at)
"""


def show_last(conversation: Conversation, message: Message) -> None:
    """Make `message` the last word that lists show; written with the fact that tells of it."""
    conversation.preview = (message.text or str(message.kind))[:PREVIEW_LENGTH]
    conversation.preview_kind = message.kind
    conversation.preview_direction = message.direction
    conversation.last_activity_at = timezone.now()


def shown_row(conversation: Conversation) -> dict[str, Any]:
    """What stands in these columns from now on."""
    conversation.updated_at = timezone.now()
    return {"id": conversation.pk, **{name: getattr(conversation, name) for name in SHOWN}}


def save_windows(addresses: Sequence[Address]) -> None:
    """Write from when the reply windows of `addresses` count; none ever moves back."""
    if not addresses:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _SAVE_WINDOWS,
            {
                "ids": [one.pk for one in addresses],
                "ats": [one.last_inbound_at for one in addresses],
                "externals": [one.last_inbound_external_id for one in addresses],
            },
        )
