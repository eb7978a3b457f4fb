"""Starting pushes: the heads of endpoints' lanes, with what their endpoints are and bear just now."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString, NamedTuple
from urllib.parse import urlsplit

from accounts.sealing import SealError
from accounts.tenancy import ENTER
from conversations.models import Delivery, Endpoint, EndpointSecret, Lane
from integrations.courier.database import Pool
from integrations.courier.lanes import START, start_arguments
from integrations.courier.work import Claim, Job

logger = logging.getLogger(__name__)

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
