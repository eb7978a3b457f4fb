"""The hot statements find rows by their keys, also when the planner was told in a quiet hour that next
to nothing is open, and then a backlog came."""

from __future__ import annotations

import json
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from integrations.courier.beginning import _HEADS
from integrations.courier.claiming import (
    CLAIM,
    CLAIM_COUNTING,
    CLAIM_THESE,
    GROUPS,
    Limit,
    claim_arguments,
)
from integrations.courier.database import KEPT_PLANS
from integrations.courier.lanes import LOCK, RELEASE, START
from integrations.courier.results import finish_many
from integrations.courier.starting import _OVERTAKING
from integrations.courier.work import Claim, Job, Outcome, Result, Room
from tests import factories
from tests.integrations.couriers import make_house

pytestmark = pytest.mark.usefixtures("clean_database")

LANES, EACH, BATCH, MANY = 300, 10, 50, 500
# Pages read for one lane's head and its attempt; a plan that begins with all that is open reads
# thousands for each.
PAGES = 60

_LANES = """
INSERT INTO conversations_lane
    (account_id, kind, destination_id, key, lease_token, lease_until, last_sequence, blocked_reason)
SELECT %s, 'agent', n, 'plan', %s, now() + interval '1 hour', 0, '' FROM generate_series(1, %s) n
"""
_DELIVERIES = """
INSERT INTO conversations_delivery
    (account_id, lane_id, kind, schedule, wire_id, event_id, event_type, part, sequence, epoch,
     state, attempts, due_at, body_sealed, content_type, possible_duplicate, provider_message_id,
     dead_reason, parked, created_at)
SELECT account_id, id, 'agent', 'live', 'w' || id || '-' || n, '', 'test', 0, n, 0, %s, %s, now(),
       '', '', false, '', '', false, now()
FROM conversations_lane, generate_series(%s::int, %s::int) n WHERE key = 'plan' ORDER BY n, id
"""

_LANES_OF = """
INSERT INTO conversations_lane
    (account_id, kind, destination_id, key, due_at, last_sequence, blocked_reason)
SELECT %s, 'agent', n, gen_random_uuid(), now(), 0, '' FROM generate_series(1, %s) n
"""
# Each lane's deliveries are about one conversation, as they are of an endpoint.
_TELL = """
UPDATE conversations_delivery delivery SET conversation_id = told.conversation_id, endpoint_id = %s
FROM unnest(%s::bigint[], %s::bigint[]) AS told (lane_id, conversation_id)
WHERE delivery.lane_id = told.lane_id
"""


@pytest.fixture
def backlog(server_url):
    """Claims on lanes whose past was analysed when nothing was open, and which now wait."""
    house, token = make_house(), uuid4()
    name = connection.settings_dict["NAME"]
    url = psycopg.conninfo.make_conninfo(server_url, dbname=name)
    with psycopg.connect(url, autocommit=True) as inside:
        inside.execute(_LANES, [house.account.pk, token, LANES])
        inside.execute(_DELIVERIES, ["delivered", 1, 1, EACH])
        inside.execute("ANALYZE")
        inside.execute(_DELIVERIES, ["pending", 0, EACH + 1, 2 * EACH])
        lanes = inside.execute("SELECT id FROM conversations_lane ORDER BY id LIMIT %s", [BATCH])
        return [Claim(row[0], house.account.pk, "agent", 0, token) for row in lanes.fetchall()]


def pages_read(statement, arguments):
    """Pages that PostgreSQL looks at to run the statement once, with a plan of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_custom_plan")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", arguments)
        found = cursor.fetchone()[0]
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def keys(claims):
    return {"lanes": [one.lane_id for one in claims], "tokens": [one.token for one in claims]}


def test_heads_are_started_by_their_lanes(backlog):
    assert pages_read(START, {**keys(backlog), "courier": 1}) < PAGES * BATCH


@pytest.mark.parametrize("statement", [RELEASE, _HEADS], ids=["rest", "send"])
def test_lanes_are_looked_at_by_their_heads(backlog, statement):
    lanes = [one.lane_id for one in backlog]
    named = {"lanes": lanes, "waits": [0.0] * BATCH, "reasons": [""] * BATCH}
    assert pages_read(statement, named if "%(lanes)s" in statement else [lanes]) < PAGES * BATCH


def test_no_other_index_can_be_taken_for_that_of_heads(server_url):
    """Whichever looks cheaper while next to nothing is open is kept when a backlog comes (DL-94)."""
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(url) as inside:
        inside.execute("DROP INDEX delivery_head")
        inside.execute("SET LOCAL enable_seqscan = off")
        plan = inside.execute(f"EXPLAIN {_HEADS}", [[1]]).fetchall()
        inside.rollback()
    assert "delivery_waiting" not in str(plan)


def test_results_are_written_by_their_deliveries(backlog):
    with connection.cursor() as cursor:
        cursor.execute(START, {**keys(backlog), "courier": 1})
        started = {row[0]: row[1:4] for row in cursor.fetchall()}
    assert len(started) == BATCH
    results = [
        Result(Job(claim, *started[claim.lane_id]), "delivered", Outcome("ok")) for claim in backlog
    ]
    assert pages_read(*finish_many(results)) < PAGES * BATCH


def test_dl_23_what_overtakes_is_found_by_lane_and_conversation(backlog):
    house = make_house()
    conversations = [factories.make_conversation(house.inbox).pk for _ in backlog]
    lanes = [one.lane_id for one in backlog]
    with connection.cursor() as cursor:
        cursor.execute(_TELL, [house.agent.endpoint_id, lanes, conversations])
        cursor.execute(START, {**keys(backlog), "courier": 1})
        cursor.execute(_OVERTAKING, [lanes])
        assert cursor.fetchall() == []
        cursor.execute(
            "UPDATE conversations_delivery SET parked = true, sequence = 0"
            " WHERE sequence = %s AND lane_id = ANY(%s)",
            [2 * EACH, lanes],
        )
        cursor.execute(_OVERTAKING, [lanes])
        assert len(cursor.fetchall()) == BATCH
    assert pages_read(_OVERTAKING, [lanes]) < PAGES * BATCH


def test_dl_94_plans_made_while_the_tables_were_empty_are_good_for_a_backlog(server_url):
    """The courier's own connections plan each statement on lanes once (database.py)."""
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    rooms = {group: Room(200, 200) for group in set(GROUPS.values())}
    claim = Kept("claim", CLAIM, claim_arguments(1, rooms, {}, ()))
    keyed = {"lanes": [1], "tokens": [uuid4()]}
    statements = [
        claim,
        Kept("claim_these", CLAIM_THESE, {"lanes": [1], "courier": 1, "lease": 75}),
        Kept("start", START, {**keyed, "courier": 1}),
        Kept("lock", LOCK, keyed),
        Kept("release", RELEASE, {"lanes": [1], "waits": [0.0], "reasons": [""]}),
    ]
    with psycopg.connect(url, autocommit=True, options=KEPT_PLANS) as hot:
        for one in statements:
            one.prepare(hot)
        house = make_house()
        with psycopg.connect(url, autocommit=True) as inside:
            inside.execute(_LANES, [house.account.pk, None, LANES])
            inside.execute(_DELIVERIES, ["delivered", 1, 1, EACH])
            inside.execute(_DELIVERIES, ["pending", 0, EACH + 1, 2 * EACH])
            inside.execute("UPDATE conversations_lane SET due_at = now()")
        assert claim.pages(hot) < PAGES * LANES
        leased = hot.execute(
            "SELECT id, lease_token FROM conversations_lane WHERE lease_token IS NOT NULL LIMIT %s",
            [BATCH],
        ).fetchall()
        lanes, tokens = [row[0] for row in leased], [row[1] for row in leased]
        assert len(lanes) == BATCH
        named = {"lanes": lanes, "tokens": tokens, "waits": [0.0] * BATCH, "reasons": [""] * BATCH}
        for one in statements[1:]:
            assert one.pages(hot, **named) < PAGES * BATCH, one.name


@pytest.mark.parametrize("counting", [False, True])
def test_dl_94_many_accounts_are_not_compared_with_each_other(server_url, counting):
    """What each holds and bears is looked up, also where rows are joined one by one (database.py)."""
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    accounts = [make_house().account.pk for _ in range(3)]
    rooms = {group: Room(200, 200) for group in set(GROUPS.values())}
    with psycopg.connect(url, autocommit=True, options=KEPT_PLANS) as hot:
        for account in accounts:
            hot.execute(_LANES_OF, [account, EACH])
        used = {("live", account): 1 for account in (*accounts, *range(10**6, 10**6 + MANY))}
        limits = [Limit("agent", endpoint, 5) for endpoint in range(1, MANY)] if counting else ()
        statement = CLAIM_COUNTING if counting else CLAIM
        [[[explained]]] = hot.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", claim_arguments(1, rooms, used, limits)
        ).fetchall()
    assert compared_in_vain(explained["Plan"]) < MANY


def compared_in_vain(node):
    """How many pairs of rows this node of a plan, and those below it, looked at that did not belong together."""
    below = sum(compared_in_vain(one) for one in node.get("Plans", ()))
    return below + node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"]


class Kept:
    """A statement whose plan is made once, with what it is first asked."""

    def __init__(self, name, statement, arguments):
        self.name, self.arguments = name, arguments
        places = {key: f"${n}" for n, key in enumerate(arguments, start=1)}
        self.statement = statement % places

    def prepare(self, hot):
        hot.execute(f"PREPARE kept_{self.name} AS {self.statement}")
        hot.execute(self._ask("EXECUTE"))

    def pages(self, hot, **others):
        self.arguments = {key: others.get(key, value) for key, value in self.arguments.items()}
        with hot.cursor() as cursor:
            cursor.execute(self._ask("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE"))
            plan = cursor.fetchone()[0][0]["Plan"]
        return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    def _ask(self, verb):
        values = sql.SQL(", ").join(sql.Literal(value) for value in self.arguments.values())
        return sql.SQL(verb) + sql.SQL(f" kept_{self.name} (") + values + sql.SQL(")")
