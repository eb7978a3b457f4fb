"""Adding up what was counted (conversations/models/tally.py)."""

from __future__ import annotations

from django.db import connection

from accounts.tenancy import current_account_id

# Each adds up only what it took away itself, and what another has in hand it leaves there: two at once do no
# harm.
_ADD_UP = """
WITH several AS (
    SELECT unnest(array_agg(id)) AS id FROM conversations_conversationtally WHERE account_id = %(account)s
    GROUP BY inbox_id, assignee_id, team_id, status HAVING count(*) > 1 OR sum(n) = 0
), taken AS (
    DELETE FROM conversations_conversationtally WHERE id IN (
        SELECT id FROM conversations_conversationtally WHERE id IN (SELECT id FROM several)
        FOR UPDATE SKIP LOCKED
    ) RETURNING inbox_id, assignee_id, team_id, status, n
)
INSERT INTO conversations_conversationtally (account_id, inbox_id, assignee_id, team_id, status, n)
SELECT %(account)s, inbox_id, assignee_id, team_id, status, sum(n) FROM taken
GROUP BY inbox_id, assignee_id, team_id, status HAVING sum(n) <> 0
"""


def add_up() -> None:
    """One row instead of many for each inbox, holder and status of the account in context."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD_UP, {"account": current_account_id()})
