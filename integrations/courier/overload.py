"""The soft limit of what may wait in one account (DL-93): noticed here, answered at the doors.

Customers' messages are taken whatever happens; fairness gives the account its share and no more. Who
would put still more on the pile through REST is asked to come back, and the owners are told.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, LiteralString

from django.conf import settings

from accounts.tenancy import ENTER
from integrations.courier.claiming import DUE_PAIRS
from integrations.courier.database import Connection, Pool

logger = logging.getLogger(__name__)

# What platforms may bring for one account: 500 receipts in a second, for ten seconds.
SECONDS = 10
RECEIPTS = 500 * SECONDS
# Who has fewer than this in that time is not counted further.
FEW = 100
# Over as soon as this part of the limit is reached again from above, so that it does not flicker.
RELIEF = 0.8

# Whose receipts are being read or wait for it.
_BUSY: LiteralString = f"""
WITH RECURSIVE {DUE_PAIRS}
SELECT account_id FROM pair WHERE kind IN ('inbound', 'status')
UNION SELECT account_id FROM conversations_lane
WHERE lease_token IS NOT NULL AND kind IN ('inbound', 'status')
"""  # noqa: S608 - of constants
# Ids rise with time, so the newest are the first of the index; no more is read than the limit allows.
_RECEIVED: LiteralString = """
SELECT CASE WHEN (
    SELECT received_at > now() - %(seconds)s * interval '1 second' FROM integrations_receipt
    WHERE account_id = %(account)s ORDER BY id DESC OFFSET %(few)s LIMIT 1)
THEN (SELECT count(*) FROM (
    SELECT received_at FROM integrations_receipt
    WHERE account_id = %(account)s ORDER BY id DESC LIMIT %(most)s + 1) latest
    WHERE received_at > now() - %(seconds)s * interval '1 second')
ELSE 0 END
"""

# Indexes hold what is open, whatever the planner was told of it in a quiet hour.
_BY_INDEX: LiteralString = "SELECT set_config('enable_seqscan', 'off', true)"
# Accounts are told apart only where all of them together have enough open for one to matter. An
# account's row is written only when its state changes.
_MARK: LiteralString = """
WITH near AS MATERIALIZED (
    SELECT count(*) > %(near)s AS reached FROM (
        SELECT FROM conversations_delivery
        WHERE state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
        LIMIT %(near)s + 1) first
), open AS (
    SELECT account_id, count(*) AS n FROM conversations_delivery
    WHERE state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
      AND (SELECT reached FROM near) GROUP BY account_id
), load AS (
    SELECT account.id, account.overloaded_since IS NOT NULL AS marked, GREATEST(
        COALESCE(open.n, 0)::float / %(deliveries)s,
        COALESCE(inbound.n, 0)::float / %(receipts)s) AS share
    FROM accounts_account account LEFT JOIN open ON open.account_id = account.id
    LEFT JOIN unnest(%(accounts)s::bigint[], %(received)s::bigint[]) AS inbound (account_id, n)
        ON inbound.account_id = account.id
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
        received = await _received(connection)
        async with connection.transaction():
            await connection.execute(_BY_INDEX)
            cursor = await connection.execute(_MARK, mark_arguments(received))
            changed = await cursor.fetchall()
    for account_id, over in changed:
        logger.warning("account %s account=%d", "overloaded" if over else "relieved", account_id)
    return changed


async def _received(connection: Connection) -> dict[int, int]:
    """How many receipts each busy account got lately, up to the limit."""
    busy = [row[0] for row in await (await connection.execute(_BUSY)).fetchall()]
    about = {"seconds": SECONDS, "few": FEW, "most": RECEIPTS}
    async with connection.pipeline(), connection.transaction():
        cursors = []
        for account_id in busy:
            await connection.execute(ENTER, [str(account_id)])
            cursors.append(await connection.execute(_RECEIVED, {**about, "account": account_id}))
        counts = [await cursor.fetchone() for cursor in cursors]
    return {pk: count[0] for pk, count in zip(busy, counts, strict=True) if count is not None}


def mark_arguments(received: Mapping[int, int]) -> dict[str, Any]:
    return {
        "deliveries": settings.OPEN_DELIVERIES,
        "near": int(RELIEF * settings.OPEN_DELIVERIES),
        "receipts": RECEIPTS,
        "relief": RELIEF,
        "accounts": list(received),
        "received": list(received.values()),
    }
