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
    SELECT %(account)s, 'Seed ' || n, '4073' || lpad(n::text, 7, '0'), '', '', '{}', false, now(), now()
    FROM generate_series(%(first)s, %(first)s + %(n)s - 1) n RETURNING id, phone
), address AS (
    INSERT INTO conversations_address (account_id, inbox_id, contact_id, last_inbound_at,
        last_inbound_external_id, unreachable_reason, created_at)
    SELECT %(account)s, %(inbox)s, id, now(), '', '', now() FROM contact RETURNING id, contact_id
), name AS (
    INSERT INTO conversations_addressidentifier (account_id, inbox_id, address_id, kind, value)
    SELECT %(account)s, %(inbox)s, address.id, 'phone', '+' || phone
    FROM address JOIN contact ON contact.id = contact_id
)
INSERT INTO conversations_conversation (account_id, number, inbox_id, address_id, contact_id, status,
    assignment_epoch, priority, language, attributes, options, synthetic, preview, preview_kind,
    preview_direction, unread_count, last_activity_at, inbound_count, last_sequence, created_at,
    updated_at, assignee_id)
SELECT %(account)s, before + row_number() OVER (), %(inbox)s, address.id, contact_id, 'open', 0, 'none',
    '', '{}', '{}', false, '', '', '', 0, now(), 0, 0, now(), now(),
    (SELECT min(member_id) FROM agents_agent WHERE account_id = %(account)s AND %(held)s)
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

_BACKLOG = """
WITH lane AS (
    INSERT INTO conversations_lane (account_id, kind, destination_id, key, last_sequence, due_at,
        blocked_reason)
    SELECT %(account)s, 'agent', (%(endpoints)s::bigint[])[1 + n %% %(of)s], %(prefix)s || n, %(each)s,
        now(), ''
    FROM generate_series(0, %(lanes)s - 1) n RETURNING id, destination_id, key
)
INSERT INTO conversations_delivery
    (account_id, lane_id, kind, schedule, wire_id, event_id, event_type, endpoint_id, part, sequence,
     epoch, state, attempts, due_at, body_sealed, content_type, possible_duplicate, parked,
     provider_message_id, dead_reason, created_at)
SELECT %(account)s, id, 'agent', 'live', key || '-' || n, '', 'bench', destination_id, 0, n, 0,
    'pending', 0, now(), '', 'application/json', false, false, '', '', now()
FROM lane, generate_series(1, %(each)s) n ORDER BY n, id
"""
_CLEAR = """
WITH canceled AS (
    UPDATE conversations_delivery SET state = 'canceled', finished_at = now()
    WHERE account_id = %(account)s AND event_type = 'bench' AND state IN ('pending', 'retry_wait')
)
UPDATE conversations_lane SET due_at = NULL
WHERE account_id = %(account)s AND kind = 'agent' AND lease_token IS NULL
"""


def conversation_id(pk: int) -> str:
    """As the API names it."""
    return ids.encode("cnv", pk)


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


def conversations(
    connection: psycopg.Connection[Any], at: Place, n: int, *, first: int, held: bool = False
) -> list[int]:
    """New open conversations with the contacts `4073…first` and the following; `held` by the agent."""
    rows = connection.execute(
        _CONVERSATIONS,
        {
            "account": at.account_id,
            "inbox": at.inbox_id,
            "n": n,
            "first": first,
            "held": held,
        },
    )
    return [row[0] for row in rows.fetchall()]


def backlog(
    connection: psycopg.Connection[Any],
    account_id: int,
    endpoints: list[int],
    *,
    lanes: int,
    each: int,
    prefix: str,
) -> None:
    """Events due for agents: `each` on every one of so many lanes, spread over endpoints. Their wire
    ids are `<prefix><lane>-<place on the lane>`."""
    connection.execute(
        _BACKLOG,
        {
            "account": account_id,
            "endpoints": endpoints,
            "of": len(endpoints),
            "lanes": lanes,
            "each": each,
            "prefix": prefix,
        },
    )


def clear(connection: psycopg.Connection[Any], account_id: int) -> None:
    """Take what is not under way of a backlog away."""
    connection.execute(_CLEAR, {"account": account_id})


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
