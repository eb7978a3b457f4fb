"""What lists show of conversations and what their windows count from, written for many at once."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection
from django.utils import timezone

from accounts.inserting import as_rows
from conversations.models import Address, Conversation, Message

PREVIEW_LENGTH = 200

_SHOWN = (
    "id", "preview", "preview_kind", "preview_direction", "unread_count", "inbound_count",
    "waiting_since", "last_inbound_at", "last_activity_at", "options",
)  # fmt: skip
# SQL, because the ORM writes one CASE per row and column.
_SAVE = """
UPDATE conversations_conversation conversation
SET preview = said.preview, preview_kind = said.preview_kind,
    preview_direction = said.preview_direction, unread_count = said.unread_count,
    inbound_count = said.inbound_count, waiting_since = said.waiting_since,
    last_inbound_at = said.last_inbound_at, last_activity_at = said.last_activity_at,
    options = said.options, updated_at = %(now)s
FROM json_to_recordset(%(said)s::json) AS said (
    id bigint, preview text, preview_kind text, preview_direction text, unread_count int,
    inbound_count int, waiting_since timestamptz, last_inbound_at timestamptz,
    last_activity_at timestamptz, options jsonb)
WHERE conversation.id = said.id
"""
_SAVE_WINDOWS = """
UPDATE conversations_address address
SET last_inbound_at = said.at, last_inbound_external_id = said.external_id
FROM unnest(%(ids)s::bigint[], %(ats)s::timestamptz[], %(externals)s::text[])
    AS said (id, at, external_id)
WHERE address.id = said.id
  AND (address.last_inbound_at IS NULL OR address.last_inbound_at <= said.at)
"""


def show_last(conversation: Conversation, message: Message) -> None:
    """Make `message` the last word that lists show; `save` writes it."""
    conversation.preview = (message.text or str(message.kind))[:PREVIEW_LENGTH]
    conversation.preview_kind = message.kind
    conversation.preview_direction = message.direction
    conversation.last_activity_at = timezone.now()


def save(conversations: Sequence[Conversation]) -> None:
    """Write the columns about activity of locked conversations, each named once."""
    if not conversations:
        return
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            _SAVE,
            {
                "now": now,
                "said": as_rows(
                    [{name: getattr(one, name) for name in _SHOWN} for one in conversations]
                ),
            },
        )
    for one in conversations:
        one.updated_at = now


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
