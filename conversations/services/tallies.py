"""Adding up what was counted (conversations/models/tally.py)."""

from __future__ import annotations

from django.db import connection

from accounts.tenancy import current_account_id

# What two of them take at once, one of them has: the other finds it gone when it may go on, and adds
# nothing up that it did not take away itself.
_ADD_UP = """
WITH several AS (
    SELECT unnest(array_agg(id)) AS id FROM conversations_conversationtally WHERE account_id = %(account)s
    GROUP BY inbox_id, assignee_id, team_id, status HAVING count(*) > 1 OR sum(n) = 0
), taken AS (
    DELETE FROM conversations_conversationtally WHERE id IN (SELECT id FROM several)
    RETURNING inbox_id, assignee_id, team_id, status, n
)
INSERT INTO conversations_conversationtally (account_id, inbox_id, assignee_id, team_id, status, n)
SELECT %(account)s, inbox_id, assignee_id, team_id, status, sum(n) FROM taken
GROUP BY inbox_id, assignee_id, team_id, status HAVING sum(n) <> 0
"""


def add_up() -> None:
    """One row instead of many for each inbox, holder and status of the account in context."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD_UP, {"account": current_account_id()})
