"""Starting, releasing and reclaiming lanes: the hot statements, in SQL (delivery.md 6); see claiming.py, too.

They run over all accounts at once, which the ORM's walls rightly refuse; the tables they touch hold
ids, states and sealed bodies only (SX-05). Accounts' own tables are read in their context.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, LiteralString

from accounts import metrics
from integrations.courier.database import Pool
from integrations.courier.results import finish_many, tell, tell_lost
from integrations.courier.work import Claim, Release

logger = logging.getLogger(__name__)

# The head of each claimed lane goes IN_FLIGHT and its attempt is opened, committed before any byte is sent
# (DL-40; on disk, too, where it is a send: what an agent gets twice it knows by its id). Heads are found by
# their lanes, then locked by their keys, and only then looked at: with the state in the update's own
# condition, a planner that was told in a quiet hour that next to nothing is open begins with all that is
# open, and looks for the lanes once for each (OFFSET 0 keeps the condition out of the look-up by key, too).
# A head that somebody is changing now is left for the next claim; so nobody waits for a lock here, holding
# others.
START: LiteralString = """
WITH head AS MATERIALIZED (
    SELECT locked.id FROM unnest(%(lanes)s::bigint[], %(tokens)s::uuid[]) AS claim (lane_id, token)
    JOIN conversations_lane lane ON lane.id = claim.lane_id AND lane.lease_token = claim.token
    CROSS JOIN LATERAL (
        SELECT id FROM conversations_delivery WHERE lane_id = lane.id
          AND state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
        ORDER BY sequence LIMIT 1) delivery
    CROSS JOIN LATERAL (
        SELECT id, state, due_at FROM conversations_delivery WHERE id = delivery.id
        OFFSET 0 FOR UPDATE SKIP LOCKED) locked
    WHERE locked.state IN ('pending', 'retry_wait') AND locked.due_at <= now()
), started AS (
    UPDATE conversations_delivery delivery
    SET state = 'in_flight', attempts = attempts + 1, request_started_at = now()
    FROM head WHERE delivery.id = head.id
    RETURNING delivery.*
), opened AS (
    INSERT INTO conversations_attempt (account_id, delivery_id, n, courier_id, started_at, outcome,
        request_headers, response_headers, response_body, error)
    SELECT account_id, id, attempts, %(courier)s, now(), '', '{}', '{}', '', '' FROM started
    RETURNING id, delivery_id
)
SELECT started.lane_id, started.id, opened.id, started.attempts, started.account_id,
       started.wire_id, started.event_type, started.sequence, started.body_sealed,
       started.content_type, started.schedule, started.deadline_at, started.replay_of_id,
       started.endpoint_id, started.conversation_id, started.message_id, started.epoch, started.kind
FROM started JOIN opened ON opened.delivery_id = started.id
"""

# A lane's row is locked first and its next due time is computed by a second statement: whoever puts
# something on the lane locks the row as well, so nothing that was put on meanwhile is overlooked.
# Never waiting for a lock while holding others, it cannot take part in a deadlock.
LOCK: LiteralString = """
SELECT id FROM conversations_lane
WHERE (id, lease_token) IN (SELECT * FROM unnest(%(lanes)s::bigint[], %(tokens)s::uuid[]))
ORDER BY id FOR UPDATE SKIP LOCKED
"""
# A head that is still IN_FLIGHT was started in a commit whose answer we never saw: the lease stays
# and is over, so that it is reclaimed like that of a dead courier.
RELEASE: LiteralString = """
UPDATE conversations_lane lane
SET lease_token = CASE WHEN head.state = 'in_flight' THEN lane.lease_token END,
    lease_until = CASE WHEN head.state = 'in_flight' THEN now() END,
    courier_id = CASE WHEN head.state = 'in_flight' THEN lane.courier_id END,
    due_at = CASE WHEN head.state IN ('pending', 'retry_wait')
             THEN GREATEST(head.due_at, now() + claim.wait * interval '1 second') END,
    blocked_reason = CASE WHEN head.state IN ('uncertain', 'held') THEN head.state
                     ELSE claim.reason END
FROM unnest(%(lanes)s::bigint[], %(waits)s::float[], %(reasons)s::text[]) AS claim (id, wait, reason)
LEFT JOIN LATERAL (
    SELECT state, due_at FROM conversations_delivery WHERE lane_id = claim.id
      AND state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
    ORDER BY sequence LIMIT 1) head ON true
WHERE lane.id = claim.id
RETURNING lane.id, extract(epoch FROM lane.due_at - now())::float
"""
_STILL_OURS: LiteralString = """
SELECT id FROM conversations_lane
WHERE (id, lease_token) IN (SELECT * FROM unnest(%(lanes)s::bigint[], %(tokens)s::uuid[]))
"""

# Leases that ran out or whose courier is dead. What was in flight is tried again, acts too; a message that
# may have arrived waits for a word of the channel instead (delivery.md 6), unless a status that overtook
# the answer has left the channel's id on it already.
_RECLAIM: LiteralString = """
WITH gone AS (
    SELECT id FROM conversations_lane
    WHERE lease_token IS NOT NULL
      AND (lease_until < now() OR courier_id = ANY(%(dead)s)
           OR (id, lease_token) IN (SELECT * FROM unnest(%(lanes)s::bigint[], %(tokens)s::uuid[])))
    FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE conversations_lane lane
    SET lease_token = NULL, lease_until = NULL, courier_id = NULL,
        due_at = now() + %(wait)s * interval '1 second'
    FROM gone WHERE lane.id = gone.id RETURNING lane.id
), lost AS (
    UPDATE conversations_delivery delivery
    SET state = CASE WHEN kind <> 'send' OR message_id IS NULL THEN 'pending'
                     WHEN provider_message_id = '' THEN 'uncertain' ELSE 'delivered' END,
        finished_at = CASE WHEN kind = 'send' AND provider_message_id <> '' THEN now() END,
        due_at = now() + %(wait)s * interval '1 second'
    FROM freed WHERE delivery.lane_id = freed.id AND state = 'in_flight'
    RETURNING delivery.id, account_id, state, conversation_id, epoch, schedule, wire_id, event_id,
              kind, attempts
), closed AS (
    UPDATE conversations_attempt attempt SET outcome = 'worker_lost', ended_at = now()
    FROM lost WHERE attempt.delivery_id = lost.id AND attempt.ended_at IS NULL
), waiting AS (
    INSERT INTO conversations_timer
        (account_id, kind, conversation_id, delivery_id, epoch, due_at, extended)
    SELECT account_id, 'reconcile', conversation_id, id, epoch, now() + interval '30 seconds', false
    FROM lost WHERE state = 'uncertain'
)
SELECT (SELECT count(*) FROM freed), ARRAY(
    SELECT jsonb_build_array(id, account_id, schedule, wire_id, event_id, conversation_id, kind, state,
                             attempts) FROM lost)
"""

# Nothing should ever need this; whatever was put on a lane without ringing is found within a minute.
_FORGOTTEN: LiteralString = """
UPDATE conversations_lane SET due_at = now()
WHERE due_at IS NULL AND lease_token IS NULL AND blocked_reason = '' AND id IN (
    SELECT lane_id FROM conversations_delivery
    WHERE state IN ('pending', 'retry_wait') AND due_at < now() - interval '30 seconds')
"""


def start_arguments(claims: Sequence[Claim], courier_id: int) -> dict[str, Any]:
    return {**keys_of(claims), "courier": courier_id}


async def release(pool: Pool, done: Sequence[Release]) -> tuple[list[float], list[Release]]:
    """Give lanes back; the seconds until their next due times, and those whose row was busy."""
    claims = [one.claim for one in done]
    results = [one.result for one in done if one.result is not None]
    async with pool.connection() as connection:
        async with connection.transaction():
            if results:
                cursor = await connection.execute(*finish_many(results))
                finished = await cursor.fetchall()
                if cursor.rowcount < len(results):
                    logger.warning("stale results n=%d", len(results) - cursor.rowcount)
            cursor = await connection.execute(LOCK, keys_of(claims))
            locked = {row[0] for row in await cursor.fetchall()}
            ours = [one for one in done if one.claim.lane_id in locked]
            cursor = await connection.execute(RELEASE, release_arguments(ours))
            dues = [due for _lane, due in await cursor.fetchall() if due is not None]
        tell(results, finished if results else ())
        busy = [one for one in done if one.claim.lane_id not in locked]
        if busy:
            cursor = await connection.execute(_STILL_OURS, keys_of([one.claim for one in busy]))
            still = {row[0] for row in await cursor.fetchall()}
            busy = [
                Release(one.claim, one.wait_seconds, one.reason)
                for one in busy
                if one.claim.lane_id in still
            ]
        return dues, busy


def release_arguments(done: Sequence[Release]) -> dict[str, Any]:
    return {
        "lanes": [one.claim.lane_id for one in done],
        "waits": [one.wait_seconds for one in done],
        "reasons": [one.reason for one in done],
    }


async def reclaim(
    pool: Pool, *, dead: Sequence[int] = (), abandoned: Sequence[Claim] = (), wait: float = 0.0
) -> tuple[int, int]:
    """Free leases that ran out, of dead couriers, and `abandoned` ones; (lanes, deliveries) freed."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            _RECLAIM, {"dead": list(dead), "wait": wait, **keys_of(abandoned)}
        )
        freed, lost = await cursor.fetchone() or (0, ())
        metrics.count("switchboard_lease_reclaims_total", freed)
        tell_lost(lost)
        return freed, len(lost)


async def find_forgotten(pool: Pool) -> int:
    async with pool.connection() as connection:
        return (await connection.execute(_FORGOTTEN)).rowcount


def keys_of(claims: Sequence[Claim]) -> dict[str, Any]:
    return {
        "lanes": [one.lane_id for one in claims],
        "tokens": [one.token for one in claims],
    }
