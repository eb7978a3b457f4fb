"""Claiming, starting, releasing and reclaiming lanes: the hot statements, in SQL (delivery.md 6).

They run over all accounts at once, which the ORM's walls rightly refuse; the tables they touch hold
ids, states and sealed bodies only (SX-05). Accounts' own tables are read in their context.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString, NamedTuple
from urllib.parse import urlsplit

from accounts import metrics
from accounts.sealing import SealError
from accounts.tenancy import ENTER
from conversations.models import Delivery, Endpoint, EndpointSecret, Lane
from integrations.courier.database import Pool
from integrations.courier.results import finish_many, tell, tell_lost
from integrations.courier.work import Claim, Job, Release, Room

logger = logging.getLogger(__name__)

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


# Every (kind, account) with due lanes is found by jumping through the index, so an account with ten
# thousand due lanes costs as much as one with a single one. The account that holds the fewest slots
# comes first, then the lane that has waited longest (DL-91). A lease need not outlive a crash of the
# server: nobody waits for the disk here, and whatever follows from a lease is flushed after it.
# What is looked up for each account or endpoint is looked up in an object: to join a thousand accounts with
# what each holds is a million comparisons where one row is taken after the other (database.py).
_CLAIM: LiteralString = """
WITH RECURSIVE pair AS (
    (SELECT kind, account_id FROM conversations_lane WHERE due_at IS NOT NULL
     ORDER BY kind, account_id LIMIT 1)
    UNION ALL
    SELECT following.kind, following.account_id FROM pair CROSS JOIN LATERAL (
        SELECT kind, account_id FROM conversations_lane
        WHERE due_at IS NOT NULL AND (kind, account_id) > (pair.kind, pair.account_id)
        ORDER BY kind, account_id LIMIT 1) following
),{counting} share AS (
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
CLAIM: LiteralString = _CLAIM.format(counting="", passing="", candidates="candidate")
# The same where some endpoints may be full (DL-90): leases are counted, whoever holds them; lanes of full
# endpoints are passed over, so that they hold up nobody, and of the others no more are taken than fit.
CLAIM_COUNTING: LiteralString = _CLAIM.format(
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

# Which of the heads under way go out although an earlier one of their conversation waits apart (DL-23).
# Looked up one by one: a planner that was told in a quiet hour that nothing is open reads all that is.
_OVERTAKING: LiteralString = """
SELECT head.id FROM unnest(%s::bigint[]) AS lane (id)
CROSS JOIN LATERAL (
    SELECT id, conversation_id, endpoint_id, sequence FROM conversations_delivery
    WHERE lane_id = lane.id AND state = 'in_flight' ORDER BY sequence LIMIT 1) head
CROSS JOIN LATERAL (
    SELECT FROM conversations_delivery apart
    WHERE apart.conversation_id = head.conversation_id AND apart.endpoint_id = head.endpoint_id
      AND apart.state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
      AND apart.parked AND apart.sequence < head.sequence LIMIT 1) apart
"""

_UNFLUSHED: LiteralString = "SET LOCAL synchronous_commit = off"

# Whoever counts leases waits for the others who do, so that two couriers never fill one place.
_COUNT_ALONE: LiteralString = "SELECT pg_advisory_xact_lock(8, 0)"

_ENDPOINTS: LiteralString = """
SELECT endpoint.id, endpoint.url, endpoint.state, endpoint.timeout_s, endpoint.dialect,
       array_agg(secret.sealed ORDER BY secret.created_at DESC, secret.id DESC)
           FILTER (WHERE secret.id IS NOT NULL),
       array_agg(secret.row_key ORDER BY secret.created_at DESC, secret.id DESC)
           FILTER (WHERE secret.id IS NOT NULL),
       LEAST(endpoint.in_flight_limit, endpoint.max_in_flight), endpoint.in_flight_limit IS NOT NULL,
       CASE WHEN endpoint.breaker <> 'closed'
            THEN GREATEST(0, extract(epoch FROM COALESCE(endpoint.probe_at, now()) - now()))::float END
FROM conversations_endpoint endpoint
LEFT JOIN conversations_endpointsecret secret
    ON secret.endpoint_id = endpoint.id AND (secret.expires_at IS NULL OR secret.expires_at > now())
WHERE endpoint.id = ANY(%s) GROUP BY endpoint.id
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


class Bearing(NamedTuple):
    """What an endpoint bears just now."""

    # How many calls may be under way, and whether that is less than its settings say.
    limit: int
    limited: bool
    # None: call it. Else its breaker is not closed, and a probe may go in so many seconds.
    shut_for: float | None
    # Where it lives; what is dead there is dead for everybody's endpoints.
    host: str


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as it is now, with its live secrets, newest first."""

    url: str
    state: str
    timeout_s: int
    dialect: str
    secrets: tuple[str, ...]
    bearing: Bearing


@dataclass(frozen=True, slots=True)
class Push:
    """A delivery to an endpoint that is marked IN_FLIGHT, and everything needed to bring it."""

    job: Job
    # As it was started; what settling it needs is there, the rest is read when asked for.
    delivery: Delivery
    target: Target | None
    # An earlier one of its conversation waits apart.
    overtakes: bool = False

    @property
    def account_id(self) -> int:
        return self.job.claim.account_id

    @property
    def is_shut(self) -> bool:
        """Its endpoint's breaker is not closed."""
        return self.target is not None and self.target.bearing.shut_for is not None

    @property
    def is_test(self) -> bool:
        """Somebody asked for it, to see what comes back."""
        return self.delivery.schedule == Delivery.Schedule.ONCE

    @property
    def is_notice(self) -> bool:
        """For an agent to know; nobody waits for what comes back."""
        return self.delivery.schedule == Delivery.Schedule.NOTICE


def host_of(url: str) -> str:
    """What answers at an address: a name with its port, as several may live behind one name."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return url
    return f"{parts.hostname}:{port}"


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


async def start_pushes(pool: Pool, claims: Sequence[Claim], *, courier_id: int) -> list[Push]:
    """Start the heads of endpoints' lanes and read the endpoints: one transaction, one round trip.

    Nobody waits for the disk: whatever follows from a push is written, and flushed, after this; so if the
    server loses it, nothing has followed, and the agent gets the same event under the same id again.
    """
    durable = [one.lane_id for one in claims if one.kind == Lane.Kind.SUBSCRIBER]
    accounts: dict[int, set[int]] = {}
    for one in claims:
        accounts.setdefault(one.account_id, set()).add(one.destination_id)
    async with pool.connection() as connection:
        async with connection.pipeline(), connection.transaction():
            await connection.execute(_UNFLUSHED)
            started = await connection.execute(START, start_arguments(claims, courier_id))
            found = []
            for account_id, endpoints in accounts.items():
                await connection.execute(ENTER, [str(account_id)])
                cursor = await connection.execute(_ENDPOINTS, [list(endpoints)])
                found.append((account_id, cursor))
            overtaking = await connection.execute(_OVERTAKING, [durable]) if durable else None
        targets = {}
        for account_id, cursor in found:
            for row in await cursor.fetchall():
                targets[row[0]] = _target(account_id, row)
        by_lane = {one.lane_id: one for one in claims}
        pushes = [_push(by_lane[row[0]], row, targets) for row in await started.fetchall()]
        late = {row[0] for row in await overtaking.fetchall()} if overtaking else set()
        return [
            replace(one, overtakes=True) if one.job.delivery_id in late else one for one in pushes
        ]


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


_LEASED: LiteralString = """
SELECT destination_id, count(*) FROM conversations_lane
WHERE lease_token IS NOT NULL AND kind IN ('agent', 'subscriber') AND destination_id = ANY(%s)
GROUP BY destination_id
"""
# By the first thing that waits on each.
_OLDEST: LiteralString = """
SELECT claimed.id FROM unnest(%s::bigint[]) AS claimed (id) CROSS JOIN LATERAL (
    SELECT id FROM conversations_delivery WHERE lane_id = claimed.id
      AND state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
    ORDER BY sequence LIMIT 1) head
ORDER BY head.id LIMIT 1
"""


async def read_bearings(pool: Pool, claims: Sequence[Claim]) -> dict[int, Bearing]:
    """What the endpoints of these claims bear, by their ids."""
    accounts: dict[int, set[int]] = {}
    for one in claims:
        accounts.setdefault(one.account_id, set()).add(one.destination_id)
    found: dict[int, Bearing] = {}
    for account_id, endpoints in accounts.items():
        async with pool.connection() as connection, connection.transaction():
            await connection.execute(ENTER, [str(account_id)])
            cursor = await connection.execute(_ENDPOINTS, [list(endpoints)])
            found |= {row[0]: _bearing(row) for row in await cursor.fetchall()}
    return found


async def leased(pool: Pool, endpoints: Sequence[int]) -> dict[int, int]:
    """How many lanes of these endpoints are leased, by all couriers (DL-90)."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_LEASED, [list(endpoints)])
        return dict(await cursor.fetchall())


async def oldest(pool: Pool, claims: Sequence[Claim]) -> Claim:
    """The claim whose delivery has waited longest."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_OLDEST, [[one.lane_id for one in claims]])
        row = await cursor.fetchone()
    by_lane = {one.lane_id: one for one in claims}
    return by_lane[row[0]] if row else claims[0]


async def find_forgotten(pool: Pool) -> int:
    async with pool.connection() as connection:
        return (await connection.execute(_FORGOTTEN)).rowcount


def keys_of(claims: Sequence[Claim]) -> dict[str, Any]:
    return {
        "lanes": [one.lane_id for one in claims],
        "tokens": [one.token for one in claims],
    }


def _target(account_id: int, row: tuple[Any, ...]) -> Target:
    """The endpoint of a row. A secret that does not open here is left out: whoever checks signatures
    refuses what lacks one, and no other endpoint of the batch waits for it."""
    endpoint_id, url, state, timeout_s, dialect, sealed, row_keys, *_rest = row
    secrets = []
    for one, row_key in zip(sealed or (), row_keys or (), strict=True):
        try:
            secret = EndpointSecret(account_id=account_id, row_key=row_key, sealed=one).value
        except SealError as error:
            logger.error("secret not opened endpoint=%d error=%s", endpoint_id, error)
        else:
            secrets.append(secret)
    return Target(url, state, timeout_s, dialect, tuple(secrets), _bearing(row))


def _bearing(row: tuple[Any, ...]) -> Bearing:
    limit, limited, shut_for = row[-3:]
    return Bearing(limit, limited, shut_for, host_of(row[1]))


def _push(claim: Claim, row: tuple[Any, ...], targets: Mapping[int, Target]) -> Push:
    lane_id, pk, attempt_id, n, *rest = row
    known = dict(zip(_STARTED, [lane_id, pk, n, *rest], strict=True))
    names = [one.attname for one in Delivery._meta.concrete_fields if one.attname in known]
    delivery = Delivery.from_db("default", names, [known[name] for name in names])
    endpoint_id = delivery.endpoint_id
    target = targets.get(endpoint_id) if endpoint_id is not None else None
    return Push(Job(claim, pk, attempt_id, n), delivery, target)


# The columns of START's answer, without the attempt's id.
_STARTED = [
    "lane_id", "id", "attempts", "account_id", "wire_id", "event_type", "sequence", "body_sealed",
    "content_type", "schedule", "deadline_at", "replay_of_id", "endpoint_id", "conversation_id",
    "message_id", "epoch", "kind",
]  # fmt: skip


def is_enabled(target: Target | None) -> bool:
    return target is not None and target.state == Endpoint.State.ENABLED
