"""Claiming lanes: which are whose turn, over all accounts (delivery.md 6)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, LiteralString, NamedTuple

from accounts import metrics
from conversations.models import Lane
from integrations.courier.database import Pool
from integrations.courier.work import Claim, Room

# Lanes of a group share slots. Statuses have their own, so that they never hold up what customers say;
# so have subscribers, media and signals, so that they never hold up answers, nor answers them (DL-91).
GROUPS: Mapping[str, str] = {
    Lane.Kind.INBOUND: "reading",
    Lane.Kind.STATUS: "statuses",
    Lane.Kind.AGENT: "live",
    Lane.Kind.SEND: "live",
    Lane.Kind.SUBSCRIBER: "subscribers",
    Lane.Kind.MEDIA: "rest",
    Lane.Kind.SIGNAL: "rest",
    Lane.Kind.REPLAY: "rest",
}
BATCH = 256
# Longer than any attempt may take (60 s) plus 15; the heartbeat prolongs it while the courier lives.
LEASE_SECONDS = 75

# Every (kind, account) with due lanes, found by jumping through the index: an account with ten thousand due
# lanes costs as much as one with a single one. To stand behind WITH RECURSIVE.
DUE_PAIRS: LiteralString = """pair AS (
    (SELECT kind, account_id FROM conversations_lane WHERE due_at IS NOT NULL
     ORDER BY kind, account_id LIMIT 1)
    UNION ALL
    SELECT following.kind, following.account_id FROM pair CROSS JOIN LATERAL (
        SELECT kind, account_id FROM conversations_lane
        WHERE due_at IS NOT NULL AND (kind, account_id) > (pair.kind, pair.account_id)
        ORDER BY kind, account_id LIMIT 1) following
)"""

# The account that holds the fewest slots comes first, then the lane that has waited longest (DL-91). A
# lease need not outlive a crash of the server: nobody waits for the disk here, and whatever follows from a
# lease is flushed after it.
# What is looked up for each account or endpoint is looked up in an object: to join a thousand accounts with
# what each holds is a million comparisons where one row is taken after the other (database.py).
_CLAIM: LiteralString = """
WITH RECURSIVE {pairs},{counting} share AS (
    SELECT pair.kind, pair.account_id, room.slots, room.free, room.cap,
           used.n AS used, count(*) OVER (PARTITION BY room.slots) AS accounts
    FROM pair
    JOIN unnest(%(kinds)s::text[], %(groups)s::text[], %(free)s::int[], %(caps)s::int[])
        AS room (kind, slots, free, cap) ON room.kind = pair.kind
    CROSS JOIN LATERAL (
        SELECT COALESCE((%(used)s::jsonb ->> concat_ws(' ', room.slots, pair.account_id))::int, 0)
    ) AS used (n)
    WHERE room.free > 0 AND used.n < room.cap AND EXISTS (
        SELECT FROM conversations_lane
        WHERE kind = pair.kind AND account_id = pair.account_id AND due_at <= now()
          AND lease_token IS NULL)
), candidate AS MATERIALIZED (
    SELECT lane.id, lane.due_at, lane.destination_id, share.*
    FROM share CROSS JOIN LATERAL (
        SELECT id, due_at, destination_id FROM conversations_lane
        WHERE kind = share.kind AND account_id = share.account_id AND due_at <= now()
          AND lease_token IS NULL {passing}
        ORDER BY due_at LIMIT LEAST(share.free, GREATEST(4, %(batch)s / share.accounts))
        FOR UPDATE SKIP LOCKED) lane
), ranked AS (
    SELECT *, used + row_number() OVER (PARTITION BY slots, account_id ORDER BY due_at) AS rank,
           count(*) OVER (PARTITION BY kind, account_id)
               >= LEAST(free, GREATEST(4, %(batch)s / accounts)) AS cut
    FROM {candidates}
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY slots ORDER BY rank, due_at) AS place FROM ranked
), chosen AS (
    SELECT id FROM placed WHERE rank <= cap AND place <= free
)
UPDATE conversations_lane lane
SET lease_token = gen_random_uuid(), lease_until = now() + %(lease)s * interval '1 second',
    courier_id = %(courier)s, due_at = NULL, blocked_reason = ''
FROM chosen, set_config('synchronous_commit', 'off', true) unflushed
WHERE lane.id = chosen.id
RETURNING lane.id, lane.account_id, lane.kind, lane.destination_id, lane.lease_token,
          lane.kind = 'subscriber' AND lane.key = 'test',
          (SELECT bool_or(cut OR rank > cap OR place > free) FROM placed)
"""
CLAIM: LiteralString = _CLAIM.format(
    pairs=DUE_PAIRS, counting="", passing="", candidates="candidate"
)
# The same where some endpoints may be full (DL-90): leases are counted, whoever holds them; lanes of full
# endpoints are passed over, so that they hold up nobody, and of the others no more are taken than fit.
CLAIM_COUNTING: LiteralString = _CLAIM.format(
    pairs=DUE_PAIRS,
    counting="""
leased AS MATERIALIZED (
    SELECT jsonb_object_agg(concat_ws(' ', kind, destination_id), n) AS counts FROM (
        SELECT kind, destination_id, count(*) AS n FROM conversations_lane
        WHERE lease_token IS NOT NULL GROUP BY kind, destination_id) counted
), limited AS MATERIALIZED (
    SELECT kind, destination_id, most - COALESCE(
        ((SELECT counts FROM leased) ->> concat_ws(' ', kind, destination_id))::int, 0) AS room
    FROM unnest(%(limited_kinds)s::text[], %(limited)s::bigint[], %(limits)s::int[])
        AS endpoint (kind, destination_id, most)
), space AS MATERIALIZED (
    SELECT jsonb_object_agg(concat_ws(' ', kind, destination_id), room) AS rooms FROM limited
),""",
    passing="""
          AND (kind, destination_id) NOT IN (
              SELECT kind, destination_id FROM limited WHERE room <= 0)""",
    candidates="""(
        SELECT candidate.*,
               ((SELECT rooms FROM space) ->> concat_ws(' ', kind, destination_id))::int AS room,
               row_number() OVER (PARTITION BY kind, destination_id ORDER BY due_at) AS turn
        FROM candidate) counted
    WHERE room IS NULL OR turn <= room""",
)

# The same for lanes that are known to have something due. Whoever is changing one now will look itself.
CLAIM_THESE: LiteralString = """
WITH chosen AS (
    SELECT id FROM conversations_lane
    WHERE id = ANY(%(lanes)s) AND due_at <= now() AND lease_token IS NULL
    ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE conversations_lane lane
SET lease_token = gen_random_uuid(), lease_until = now() + %(lease)s * interval '1 second',
    courier_id = %(courier)s, due_at = NULL, blocked_reason = ''
FROM chosen, set_config('synchronous_commit', 'off', true) unflushed
WHERE lane.id = chosen.id
RETURNING lane.id, lane.account_id, lane.kind, lane.destination_id, lane.lease_token,
          lane.kind = 'subscriber' AND lane.key = 'test'
"""

# Whoever counts leases waits for the others who do, so that two couriers never fill one place.
_COUNT_ALONE: LiteralString = "SELECT pg_advisory_xact_lock(8, 0)"


_LEASED: LiteralString = """
SELECT destination_id, count(*) FROM conversations_lane
WHERE lease_token IS NOT NULL AND kind IN ('agent', 'subscriber') AND destination_id = ANY(%s)
GROUP BY destination_id
"""
# By the first thing that waits on each. What is told now or never does not wait.
_PATIENT: LiteralString = """
SELECT claimed.id FROM unnest(%s::bigint[]) AS claimed (id) CROSS JOIN LATERAL (
    SELECT id, schedule FROM conversations_delivery WHERE lane_id = claimed.id
      AND state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
    ORDER BY sequence LIMIT 1) head
WHERE head.schedule <> 'notice' ORDER BY head.id
"""


class Limit(NamedTuple):
    """How many lanes of an endpoint may be leased at once, by all couriers; 0: it gets none now."""

    kind: str
    endpoint_id: int
    most: int


@metrics.timed("switchboard_claim_seconds")
async def claim(
    pool: Pool,
    *,
    courier_id: int,
    rooms: Mapping[str, Room],
    used: Counter[tuple[str, int]],
    limits: Sequence[Limit] = (),
) -> list[Claim]:
    """Lease due lanes, as many as there is room for; at most about `BATCH` per group."""
    arguments = claim_arguments(courier_id, rooms, used, limits)
    async with pool.connection() as connection:
        if not limits:
            cursor = await connection.execute(CLAIM, arguments)
        else:
            async with connection.pipeline(), connection.transaction():
                if any(limit.most for limit in limits):
                    await connection.execute(_COUNT_ALONE)
                cursor = await connection.execute(CLAIM_COUNTING, arguments)
        return [Claim(*row) for row in await cursor.fetchall()]


async def claim_these(pool: Pool, lane_ids: Collection[int], *, courier_id: int) -> list[Claim]:
    """Lease those of these lanes that are due and nobody's."""
    arguments = {"lanes": list(lane_ids), "courier": courier_id, "lease": LEASE_SECONDS}
    async with pool.connection() as connection:
        cursor = await connection.execute(CLAIM_THESE, arguments)
        return [Claim(*row) for row in await cursor.fetchall()]


def claim_arguments(
    courier_id: int,
    rooms: Mapping[str, Room],
    used: Mapping[tuple[str, int], int],
    limits: Sequence[Limit],
) -> dict[str, Any]:
    kinds = list(GROUPS)
    held = {f"{group} {account}": n for (group, account), n in used.items() if n > 0}
    return {
        "courier": courier_id,
        "lease": LEASE_SECONDS,
        "batch": BATCH,
        "kinds": kinds,
        "groups": [GROUPS[kind] for kind in kinds],
        "free": [min(rooms[GROUPS[kind]].free, BATCH) for kind in kinds],
        "caps": [rooms[GROUPS[kind]].per_account for kind in kinds],
        "used": json.dumps(held),
        **_limits(limits),
    }


def _limits(limits: Sequence[Limit]) -> dict[str, Any]:
    if not limits:
        return {}
    kinds, endpoints, most = zip(*limits, strict=True)
    return {"limited_kinds": list(kinds), "limited": list(endpoints), "limits": list(most)}


async def leased(pool: Pool, endpoints: Sequence[int]) -> dict[int, int]:
    """How many lanes of these endpoints are leased, by all couriers (DL-90)."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_LEASED, [list(endpoints)])
        return dict(await cursor.fetchall())


async def patient(pool: Pool, claims: Sequence[Claim]) -> list[Claim]:
    """The claims on which something waits that can wait, the oldest first."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_PATIENT, [[one.lane_id for one in claims]])
        by_lane = {one.lane_id: one for one in claims}
        return [by_lane[lane_id] for (lane_id,) in await cursor.fetchall()]
