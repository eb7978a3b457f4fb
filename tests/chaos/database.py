"""The database's ledger: one account's rows, read as the owner role, past every wall."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

from tests.chaos.ledgers import Brought, Stored, Tried

_STORED: LiteralString = """
SELECT message.id, ltrim(contact.phone, '+'), message.direction, message.text, message.status,
       message.possible_duplicate, message.draft_reason, message.error_code
FROM conversations_message message
JOIN conversations_conversation conversation ON conversation.id = message.conversation_id
JOIN conversations_contact contact ON contact.id = conversation.contact_id
WHERE message.account_id = %s ORDER BY message.id
"""
_BROUGHT: LiteralString = """
SELECT delivery.id, delivery.kind, delivery.state, COALESCE(ltrim(contact.phone, '+'), ''),
       delivery.sequence, delivery.attempts, delivery.wire_id, delivery.event_type,
       delivery.endpoint_id, delivery.possible_duplicate, delivery.dead_reason,
       COALESCE(message.text, '')
FROM conversations_delivery delivery
LEFT JOIN conversations_conversation conversation ON conversation.id = delivery.conversation_id
LEFT JOIN conversations_contact contact ON contact.id = conversation.contact_id
LEFT JOIN conversations_message message ON message.id = delivery.message_id
WHERE delivery.account_id = %s ORDER BY delivery.id
"""
_TRIED: LiteralString = """
SELECT delivery_id, n, outcome, extract(epoch FROM started_at)::float,
       extract(epoch FROM ended_at)::float, status, extract(epoch FROM next_due_at)::float
FROM conversations_attempt WHERE account_id = %s ORDER BY id
"""
# DL-65, written once more and not taken from the product: a judge does not ask the accused.
_OVER_PATIENCE: LiteralString = """
SELECT conversation.id FROM conversations_conversation conversation
JOIN accounts_member member ON member.id = conversation.assignee_id AND member.kind = 'agent'
LEFT JOIN agents_agent agent ON agent.member_id = member.id
LEFT JOIN conversations_timer timer ON timer.conversation_id = conversation.id
    AND timer.kind = 'patience' AND timer.epoch = conversation.assignment_epoch
WHERE conversation.account_id = %s AND conversation.status = 'open'
  AND conversation.waiting_since
      + make_interval(secs => agent.patience_s * CASE WHEN timer.extended THEN 2 ELSE 1 END + 10)
      < now()
  AND NOT EXISTS (
      SELECT 1 FROM conversations_assignment assignment
      WHERE assignment.conversation_id = conversation.id AND assignment.ended_at IS NULL
        AND assignment.started_at > now() - make_interval(secs => agent.patience_s + 10))
"""
_UNREAD: LiteralString = (
    "SELECT count(*) FROM integrations_receipt WHERE account_id = %s AND state = 'new'"
)
_LEASES: LiteralString = (
    "SELECT count(*) FROM conversations_lane WHERE account_id = %s AND lease_token IS NOT NULL"
)
_OPEN: LiteralString = """
SELECT count(*) FROM conversations_delivery
WHERE account_id = %s AND state IN ('pending', 'in_flight', 'retry_wait', 'uncertain')
"""


class Database:
    """Connects when it is asked, and again when the server has died meanwhile."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: psycopg.Connection[Any] | None = None

    def rows(self, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """The answer, once more on a new connection where the old one broke."""
        try:
            return self._rows(query, values)
        except psycopg.OperationalError:
            self.close()
            return self._rows(query, values)

    def value(self, query: LiteralString, *values: Any) -> Any:
        return self.rows(query, *values)[0][0]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, query: LiteralString, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(self.url, autocommit=True, connect_timeout=5)
        cursor = self._connection.execute(query, values)
        return cursor.fetchall() if cursor.description else []

    # --- One account's books -----------------------------------------------------------------

    def stored(self, account: int) -> list[Stored]:
        return [Stored(*row) for row in self.rows(_STORED, account)]

    def brought(self, account: int) -> list[Brought]:
        return [Brought(*row) for row in self.rows(_BROUGHT, account)]

    def tried(self, account: int) -> list[Tried]:
        return [Tried(*row) for row in self.rows(_TRIED, account)]

    def over_patience(self, account: int) -> list[int]:
        return [row[0] for row in self.rows(_OVER_PATIENCE, account)]

    def unread(self, account: int) -> int:
        return int(self.value(_UNREAD, account))

    def open_leases(self, account: int) -> int:
        return int(self.value(_LEASES, account))

    def is_quiet(self, account: int) -> bool:
        """Whether everything of the account has come to its end."""
        return not (self.unread(account) or self.value(_OPEN, account) or self.open_leases(account))
