"""What AI agents did in a period, and what became of it: of the conversations that they got in it, in one
statement.

A conversation that an AI agent got twice counts once, and so does one that it resolved or handed over twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.tenancy import current_account_id


@dataclass(frozen=True, slots=True)
class AINumbers:
    """Conversations that AI agents got, what agents said in them, and how many of them an agent had when they
    were resolved, or lost to people."""

    conversations: int
    messages: int
    resolved: int
    handed_off: int

    @property
    def resolved_percent(self) -> int:
        return self._percent(self.resolved)

    @property
    def handed_off_percent(self) -> int:
        return self._percent(self.handed_off)

    def _percent(self, part: int) -> int:
        return 100 * part // self.conversations if self.conversations else 0


# A resolution raises the epoch and nobody has the conversation then, so its history has no row of that
# epoch. One to which people have written since the resolution before is not the agent's alone. What people
# move by their own hand (taking over, pausing) is no hand-off.
_STATEMENT = """
WITH held AS MATERIALIZED (
    SELECT c.id, got.epoch
    FROM conversations_conversation c
    JOIN conversations_assignment got ON got.conversation_id = c.id
    JOIN accounts_member agent ON agent.id = got.member_id AND agent.kind = 'agent'
    WHERE c.account_id = %(account)s AND c.updated_at >= %(since)s
      AND got.started_at >= %(since)s AND got.started_at < %(until)s
)
SELECT
(SELECT count(DISTINCT id) FROM held),
(SELECT count(*)
 FROM conversations_message said
 JOIN accounts_member author ON author.id = said.author_id AND author.kind = 'agent'
 WHERE said.conversation_id IN (SELECT id FROM held) AND said.direction = 'outbound'
   AND said.created_at >= %(since)s AND said.created_at < %(until)s),
(SELECT count(DISTINCT held.id)
 FROM held
 JOIN conversations_event done ON done.account_id = %(account)s AND done.conversation_id = held.id
     AND done.type = 'conversation.resolved' AND done.epoch = held.epoch + 1
 LEFT JOIN LATERAL (
     SELECT max(occurred_at) AS at FROM conversations_event
     WHERE account_id = %(account)s AND conversation_id = held.id
       AND type = 'conversation.resolved' AND sequence < done.sequence) before ON true
 WHERE done.occurred_at >= %(since)s AND done.occurred_at < %(until)s
   AND NOT EXISTS (
     SELECT FROM conversations_message said
     LEFT JOIN accounts_member author ON author.id = said.author_id
     WHERE said.conversation_id = held.id AND said.direction = 'outbound'
       AND said.created_at > COALESCE(before.at, '-infinity')
       AND said.created_at <= done.occurred_at
       AND (author.kind = 'person' OR said.content ? 'device'))),
(SELECT count(DISTINCT held.id)
 FROM held
 JOIN conversations_assignment next ON next.conversation_id = held.id
     AND next.epoch = held.epoch + 1
 LEFT JOIN accounts_member taker ON taker.id = next.member_id
 LEFT JOIN accounts_member mover ON mover.id = next.by_id
 WHERE next.started_at >= %(since)s AND next.started_at < %(until)s
   AND taker.kind IS DISTINCT FROM 'agent' AND mover.kind IS DISTINCT FROM 'person')
"""


def ai_numbers(since: datetime, until: datetime) -> AINumbers:
    """Of the account in context, from `since` until before `until`."""
    values: dict[str, Any] = {"account": current_account_id(), "since": since, "until": until}
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, values)
        [row] = cursor.fetchall()
    return AINumbers(*row)
