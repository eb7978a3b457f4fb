"""The soft limit of what may wait in one account (DL-93): noticed here, answered at the doors.

Customers' messages are taken whatever happens; fairness gives the account its share and no more. Who
would put still more on the pile through REST is asked to come back, and the owners are told.
"""

from __future__ import annotations

import logging
from typing import LiteralString

from django.conf import settings

from integrations.courier.database import Pool

logger = logging.getLogger(__name__)

# Customers whose messages wait to be read: 500 in a second, for ten seconds.
UNREAD = 500 * 10
# Over as soon as this part of the limit is reached again from above, so that it does not flicker.
RELIEF = 0.8

# Indexes hold what is open and what is due; where little waits, little is read. An account's
# row is written only when its state changes.
_MARK: LiteralString = """
WITH open AS (
    SELECT account_id, count(*) AS n FROM conversations_delivery
    WHERE state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held') GROUP BY account_id
), unread AS (
    SELECT account_id, count(*) AS n FROM conversations_lane
    WHERE kind IN ('inbound', 'status') AND due_at <= now() GROUP BY account_id
), load AS (
    SELECT account.id, account.overloaded_since IS NOT NULL AS marked, GREATEST(
        COALESCE(open.n, 0)::float / %(deliveries)s, COALESCE(unread.n, 0)::float / %(unread)s) AS share
    FROM accounts_account account
    LEFT JOIN open ON open.account_id = account.id LEFT JOIN unread ON unread.account_id = account.id
)
UPDATE accounts_account account
SET overloaded_since = CASE WHEN load.share > 1 THEN now() END
FROM load WHERE load.id = account.id
  AND ((NOT load.marked AND load.share > 1) OR (load.marked AND load.share < %(relief)s))
RETURNING account.id, account.overloaded_since IS NOT NULL
"""


async def mark(pool: Pool) -> list[tuple[int, bool]]:
    """Note which accounts went over their limit or came back; (account, over it) of those."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            _MARK,
            {"deliveries": settings.OPEN_DELIVERIES, "unread": UNREAD, "relief": RELIEF},
        )
        changed = await cursor.fetchall()
    for account_id, over in changed:
        logger.warning("account %s account=%d", "overloaded" if over else "relieved", account_id)
    return changed
