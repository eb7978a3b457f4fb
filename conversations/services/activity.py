"""What lists show of conversations and what their windows count from, written for many at once."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db import connection
from django.utils import timezone

from conversations.models import Address, Conversation, Message

PREVIEW_LENGTH = 200

# SQL, because the ORM writes one CASE per row and column.
_SAVE = """
UPDATE conversations_conversation conversation
SET preview = said.preview, preview_kind = said.preview_kind,
    preview_direction = said.preview_direction, unread_count = said.unread_count,
    inbound_count = said.inbound_count, waiting_since = said.waiting_since,
    last_inbound_at = said.last_inbound_at, last_activity_at = said.last_activity_at,
    options = said.options::jsonb, updated_at = %(now)s
FROM unnest(
    %(ids)s::bigint[], %(previews)s::text[], %(kinds)s::text[], %(directions)s::text[],
    %(unread)s::int[], %(inbound)s::int[], %(waiting)s::timestamptz[], %(heard)s::timestamptz[],
    %(active)s::timestamptz[], %(options)s::text[])
AS said (id, preview, preview_kind, preview_direction, unread_count, inbound_count, waiting_since,
         last_inbound_at, last_activity_at, options)
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
                "ids": [one.pk for one in conversations],
                "previews": [one.preview for one in conversations],
                "kinds": [str(one.preview_kind) for one in conversations],
                "directions": [str(one.preview_direction) for one in conversations],
                "unread": [one.unread_count for one in conversations],
                "inbound": [one.inbound_count for one in conversations],
                "waiting": [one.waiting_since for one in conversations],
                "heard": [one.last_inbound_at for one in conversations],
                "active": [one.last_activity_at for one in conversations],
                "options": [json.dumps(one.options) for one in conversations],
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
