"""Rate limits as token buckets in PostgreSQL: one atomic statement each, for all processes (SX-61).

Take outside a transaction where you can: a bucket's row stays locked until the commit. What runs on
an event loop takes from the same buckets with `take_async`, over a connection of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any, LiteralString, NamedTuple

import psycopg
from django.db import connection
from django.utils import timezone

from accounts.models import RateBucket

KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """`capacity` at once, filled up again by `per_second`. `name` begins the keys of its buckets."""

    name: str
    capacity: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of taking. `wait` is how many seconds to wait when it was refused."""

    allowed: bool
    limit: Limit
    remaining: float
    wait: int = 0


# The row changes only when there is enough in it; no row back means refused. All times are the
# database's, so that several machines agree.
_TAKE: LiteralString = """
INSERT INTO accounts_ratebucket AS bucket (key, tokens, updated_at)
VALUES (%(key)s, %(capacity)s - %(cost)s, clock_timestamp())
ON CONFLICT (key) DO UPDATE
    SET tokens = LEAST(%(capacity)s, bucket.tokens + %(rate)s * GREATEST(
            0, extract(epoch FROM EXCLUDED.updated_at - bucket.updated_at))) - %(cost)s,
        updated_at = GREATEST(bucket.updated_at, EXCLUDED.updated_at)
    WHERE LEAST(%(capacity)s, bucket.tokens + %(rate)s * GREATEST(
            0, extract(epoch FROM EXCLUDED.updated_at - bucket.updated_at))) >= %(cost)s
RETURNING tokens
"""
# Several, in one order everywhere, so that two callers never wait for each other's.
_TAKE_ALL: LiteralString = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(%(keys)s::text[], %(capacities)s::float[], %(rates)s::float[])
        AS wanted (key, capacity, rate)
)
INSERT INTO accounts_ratebucket AS bucket (key, tokens, updated_at)
SELECT key, capacity - 1, clock_timestamp() FROM wanted ORDER BY key
ON CONFLICT (key) DO UPDATE
    SET tokens = LEAST(EXCLUDED.tokens + 1, bucket.tokens
            + (SELECT rate FROM wanted WHERE wanted.key = bucket.key) * GREATEST(
                0, extract(epoch FROM EXCLUDED.updated_at - bucket.updated_at))) - 1,
        updated_at = GREATEST(bucket.updated_at, EXCLUDED.updated_at)
    WHERE LEAST(EXCLUDED.tokens + 1, bucket.tokens
            + (SELECT rate FROM wanted WHERE wanted.key = bucket.key) * GREATEST(
                0, extract(epoch FROM EXCLUDED.updated_at - bucket.updated_at))) >= 1
RETURNING key, tokens
"""
_LEFT: LiteralString = """
SELECT tokens + %(rate)s * extract(epoch FROM clock_timestamp() - updated_at)
FROM accounts_ratebucket WHERE key = %(key)s
"""
_KNOWN: LiteralString = "SELECT 1 FROM accounts_ratebucket WHERE key = %s"
# Counts a failure, unless the delay after the last one is still running. `tokens` holds the number
# of failures in a row; they are forgotten after `window` seconds without one.
_COUNT = """
INSERT INTO accounts_ratebucket AS bucket (key, tokens, updated_at)
VALUES (%(key)s, 1, clock_timestamp())
ON CONFLICT (key) DO UPDATE
    SET tokens = CASE WHEN bucket.updated_at < EXCLUDED.updated_at - make_interval(secs => %(window)s)
                      THEN 1 ELSE bucket.tokens + 1 END,
        updated_at = EXCLUDED.updated_at
    WHERE bucket.tokens < %(free)s OR bucket.updated_at + make_interval(
        secs => LEAST(%(window)s, %(first)s * power(2, LEAST(20, bucket.tokens - %(free)s)))
    ) <= EXCLUDED.updated_at
RETURNING tokens
"""
_DELAY = """
SELECT LEAST(%(window)s, %(first)s * power(2, LEAST(20, tokens - %(free)s)))
       - extract(epoch FROM clock_timestamp() - updated_at)
FROM accounts_ratebucket WHERE key = %(key)s
"""


# Several buckets at once, each as far as it goes. Buckets are locked in one order everywhere; one that
# two make at the same moment may be full twice, which happens once in its life.
_TAKE_MANY = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(%(keys)s::text[], %(capacities)s::float[], %(rates)s::float[], %(ns)s::float[])
        AS wanted (key, capacity, rate, n) ORDER BY key
), filled AS MATERIALIZED (
    SELECT wanted.*, LEAST(capacity, COALESCE(
        tokens + rate * GREATEST(0, extract(epoch FROM clock_timestamp() - updated_at)), capacity)) AS tokens
    FROM wanted LEFT JOIN LATERAL (
        SELECT tokens, updated_at FROM accounts_ratebucket WHERE key = wanted.key FOR UPDATE
    ) bucket ON true
), granted AS MATERIALIZED (
    SELECT key, tokens, rate, LEAST(n, GREATEST(0, floor(tokens))) AS n FROM filled
), written AS (
    INSERT INTO accounts_ratebucket AS bucket (key, tokens, updated_at)
    SELECT key, tokens - n, clock_timestamp() FROM granted
    ON CONFLICT (key) DO UPDATE SET tokens = EXCLUDED.tokens, updated_at = EXCLUDED.updated_at
)
SELECT key, n::int, GREATEST(0, (1 - (tokens - n)) / NULLIF(rate, 0)) FROM granted
"""


def take(limit: Limit, key: str, *, cost: float = 1) -> Taken:
    """Take `cost` from the bucket of `key`, or learn how long to wait."""
    values = _values(limit, key, cost)
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        row = cursor.fetchone()
        if row is not None:
            return Taken(True, limit, row[0])
        cursor.execute(_LEFT, values)
        return _refused(limit, cursor.fetchone(), cost)


async def take_async(
    database: psycopg.AsyncConnection[Any], limit: Limit, key: str, *, cost: float = 1
) -> Taken:
    """`take` over a connection of the event loop's, which should commit by itself."""
    values = _values(limit, key, cost)
    row = await (await database.execute(_TAKE, values)).fetchone()
    if row is not None:
        return Taken(True, limit, row[0])
    row = await (await database.execute(_LEFT, values)).fetchone()
    return _refused(limit, row, cost)


def wait_of(limit: Limit, key: str) -> int:
    """How many seconds until one can be taken from this bucket; nothing is taken."""
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, _values(limit, key, 1))
        row = cursor.fetchone()
    return 0 if row is None or row[0] >= 1 else _refused(limit, row, 1).wait


def is_known(limit: Limit, key: str) -> bool:
    """Whether anything was taken from this bucket since it was last forgotten (about a day)."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [_key(limit.name, key)])
        return cursor.fetchone() is not None


async def is_known_async(database: psycopg.AsyncConnection[Any], limit: Limit, key: str) -> bool:
    return await (await database.execute(_KNOWN, [_key(limit.name, key)])).fetchone() is not None


def take_all(wanted: Sequence[tuple[Limit, str]]) -> Taken:
    """Take one from each, by one statement, or nothing from any; the first refusal, or the one with least
    left."""
    limits = {_key(limit.name, key): limit for limit, key in wanted}
    with connection.cursor() as cursor:
        cursor.execute(
            _TAKE_ALL,
            {
                "keys": list(limits),
                "capacities": [float(limit.capacity) for limit in limits.values()],
                "rates": [float(limit.per_second) for limit in limits.values()],
            },
        )
        left = dict(cursor.fetchall())
    if len(left) == len(limits):
        return min(
            (Taken(True, limits[key], tokens) for key, tokens in left.items()),
            key=lambda taken: taken.remaining,
        )
    for limit, key in wanted:
        if _key(limit.name, key) in left:
            give_back(limit, key)
    return next(_left(limit, key) for limit, key in wanted if _key(limit.name, key) not in left)


def _left(limit: Limit, key: str) -> Taken:
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, _values(limit, key, 1))
        return _refused(limit, cursor.fetchone(), 1)


class Granted(NamedTuple):
    """How many of those wanted there were, and how many seconds until there is a further one."""

    n: int
    wait: float


def take_many(wanted: Mapping[tuple[Limit, str], int]) -> dict[tuple[Limit, str], Granted]:
    """Take as many as there are, up to so many, from each bucket; one statement for all.

    The buckets stay locked until the commit: take last, and commit soon.
    """
    if not wanted:
        return {}
    by_key = {_key(limit.name, key): (limit, key) for limit, key in wanted}
    with connection.cursor() as cursor:
        cursor.execute(
            _TAKE_MANY,
            {
                "keys": list(by_key),
                "capacities": [float(limit.capacity) for limit, _name in by_key.values()],
                "rates": [float(limit.per_second) for limit, _name in by_key.values()],
                "ns": [float(wanted[one]) for one in by_key.values()],
            },
        )
        return {by_key[key]: Granted(n, wait or 0.0) for key, n, wait in cursor.fetchall()}


def give_back(limit: Limit, key: str, *, cost: float = 1) -> None:
    """Undo a `take` that turned out not to count."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_ratebucket SET tokens = LEAST(%s, tokens + %s) WHERE key = %s",
            [limit.capacity, cost, _key(limit.name, key)],
        )


_EMPTY = """
INSERT INTO accounts_ratebucket AS bucket (key, tokens, updated_at)
VALUES (%(key)s, %(tokens)s, clock_timestamp())
ON CONFLICT (key) DO UPDATE
    SET tokens = LEAST(EXCLUDED.tokens, bucket.tokens), updated_at = EXCLUDED.updated_at
"""


def empty(limit: Limit, key: str, *, seconds: float | None = None) -> None:
    """Nothing can be taken for so many seconds; without a number, until it has filled up again from
    less than nothing."""
    tokens = -1.0 if seconds is None else min(0.0, 1 - seconds * limit.per_second)
    with connection.cursor() as cursor:
        cursor.execute(_EMPTY, {"key": _key(limit.name, key), "tokens": tokens})


@dataclass(frozen=True, slots=True)
class Patience:
    """A growing delay: `free` failures cost nothing, then `first` seconds, doubling up to `window`."""

    name: str
    free: int
    first: int
    window: int


def begin_attempt(patience: Patience, key: str) -> int:
    """Count an attempt as failed in advance, so that parallel guesses count too.

    Returns 0 when it may go on, else the seconds to wait. A success calls `forget`.
    """
    values: dict[str, str | int] = {
        "key": _key(patience.name, key),
        "free": patience.free,
        "first": patience.first,
        "window": patience.window,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)
        if cursor.fetchone() is not None:
            return 0
        cursor.execute(_DELAY, values)
        row = cursor.fetchone()
    return max(1, ceil(row[0])) if row else 1


def forget(name: str, key: str) -> None:
    """Drop a bucket; the next one starts full."""
    RateBucket.objects.filter(key=_key(name, key)).delete()


def prune() -> int:
    """Delete buckets that nobody touched for a day; returns how many."""
    return RateBucket.objects.filter(updated_at__lt=timezone.now() - KEPT).delete()[0]


def _values(limit: Limit, key: str, cost: float) -> dict[str, str | float]:
    return {
        "key": _key(limit.name, key),
        "capacity": limit.capacity,
        "rate": limit.per_second,
        "cost": cost,
    }


def _refused(limit: Limit, row: Sequence[Any] | None, cost: float) -> Taken:
    left = float(row[0]) if row else 0.0
    wait = ceil((cost - left) / limit.per_second) if limit.per_second else int(KEPT.total_seconds())
    return Taken(False, limit, left, wait=max(1, wait))


def _key(name: str, key: str) -> str:
    return f"{name}:{key}"[:200]
