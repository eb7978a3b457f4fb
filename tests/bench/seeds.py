"""Rows by the thousand, made by SQL: what an installation has that is not of today."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from accounts import ids

_PLACE = """
SELECT account_id, inbox_id FROM conversations_inboxroute WHERE platform = 'whatsapp'
ORDER BY id LIMIT 1
"""
_CONVERSATIONS = """
WITH counter AS (
    UPDATE accounts_account SET conversation_counter = conversation_counter + %(n)s
    WHERE id = %(account)s RETURNING conversation_counter - %(n)s AS before
), contact AS (
    INSERT INTO conversations_contact (account_id, name, phone, email, language, attributes, blocked,
        created_at, updated_at)
    SELECT %(account)s, 'Seed ' || n, '', '', '', '{}', false, now(), now()
    FROM generate_series(1, %(n)s) n RETURNING id
), address AS (
    INSERT INTO conversations_address (account_id, inbox_id, contact_id, last_inbound_at,
        last_inbound_external_id, unreachable_reason, created_at)
    SELECT %(account)s, %(inbox)s, id, now(), '', '', now() FROM contact RETURNING id, contact_id
)
INSERT INTO conversations_conversation (account_id, number, inbox_id, address_id, contact_id, status,
    assignment_epoch, priority, language, attributes, options, synthetic, preview, preview_kind,
    preview_direction, unread_count, last_activity_at, inbound_count, last_sequence, created_at,
    updated_at)
SELECT %(account)s, before + row_number() OVER (), %(inbox)s, address.id, contact_id, 'open', 0, 'none',
    '', '{}', '{}', false, '', '', '', 0, now(), 0, 0, now(), now()
FROM address, counter RETURNING id
"""
_MESSAGES = """
INSERT INTO conversations_message (account_id, conversation_id, inbox_id, direction, kind, text, content,
    external_id, status, error_code, error_text, possible_duplicate, client_id, draft_reason, sent_at,
    created_at)
SELECT %(account)s, (%(conversations)s::bigint[])[1 + n %% %(of)s], %(inbox)s, 'outbound', 'text',
    'answer ' || n, '{}', %(prefix)s || n, 'queued', '', '', false, '', '', now(), now()
FROM generate_series(0, %(n)s - 1) n RETURNING id, external_id, conversation_id
"""


class Place(NamedTuple):
    account_id: int
    inbox_id: int


class Told(NamedTuple):
    """A message of ours that the channel has."""

    pk: int
    external_id: str
    conversation_id: int

    @property
    def reference(self) -> str:
        return f"{ids.encode('msg', self.pk)}-0"


def place(connection: psycopg.Connection[Any]) -> Place:
    row = connection.execute(_PLACE).fetchone()
    assert row, "the demo has a WhatsApp inbox"
    return Place(*row)


def conversations(connection: psycopg.Connection[Any], at: Place, n: int) -> list[int]:
    """New open conversations that nobody holds."""
    rows = connection.execute(
        _CONVERSATIONS, {"account": at.account_id, "inbox": at.inbox_id, "n": n}
    )
    return [row[0] for row in rows.fetchall()]


def told(
    connection: psycopg.Connection[Any], at: Place, among: list[int], n: int, *, prefix: str
) -> list[Told]:
    """Outbound messages, spread over conversations."""
    rows = connection.execute(
        _MESSAGES,
        {
            "account": at.account_id,
            "inbox": at.inbox_id,
            "conversations": among,
            "of": len(among),
            "prefix": prefix,
            "n": n,
        },
    )
    return [Told(*row) for row in rows.fetchall()]
