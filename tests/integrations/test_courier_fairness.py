"""One account's flood and the next one's events (DL-92, F-27); the long version is in `make bench`."""

from __future__ import annotations

import time
from functools import partial

import psycopg
import pytest
from django.db import connection

from conversations.models import Delivery
from tests import factories
from tests.bench import seeds
from tests.bench.sinks import black_hole
from tests.integrations.couriers import Reply, Server, courier, make_house, wait_for
from tests.integrations.test_courier import put
from tests.integrations.test_courier_reading import bring, house, said, texts
from tests.integrations.test_courier_statuses import made, status, statuses

__all__ = ["house"]

pytestmark = pytest.mark.usefixtures("clean_database")

FLOOD, EVENTS = 600, 8


def flood(account, endpoints):
    """So many due events, each on a lane of its own."""
    connection.ensure_connection()
    ids = [endpoint.pk for endpoint in endpoints]
    seeds.backlog(connection.connection, account.pk, ids, lanes=FLOOD, each=1, prefix="flood-")


def arrived(server, n):
    return len(server.requests) > n


def waits(quiet, server):
    """Seconds from each event of the quiet account to its attempt, sorted."""
    samples = []
    for n in range(EVENTS):
        conversation = factories.make_conversation(quiet.inbox)
        started = time.time()
        put(quiet, conversation)
        wait_for(partial(arrived, server, n), 10)
        samples.append(server.requests[n].at - started)
    Delivery.all_accounts.filter(state="pending").update(state="canceled")
    return sorted(samples)


def test_dl_92_a_flood_for_an_endpoint_that_sleeps_leaves_the_others_their_pace():
    with Server(lambda r: Reply(after=3)) as slow, Server(lambda r: Reply()) as fast:
        noisy, quiet = make_house(slow.url), make_house(fast.url)
        flood(noisy.account, [noisy.agent.endpoint])
        with courier(slots=100):
            wait_for(lambda: slow.at_once >= 50)
            samples = waits(quiet, fast)
    assert samples[-1] < 5
    assert samples[int(EVENTS * 0.8)] < 2
    assert slow.most_at_once == 50


def test_dl_92_many_endpoints_on_a_dead_host_leave_the_others_their_pace():
    with black_hole() as url, Server(lambda r: Reply()) as fast:
        noisy, quiet = make_house(url), make_house(fast.url)
        agents = [factories.make_agent(noisy.account, url=f"{url}{n}") for n in range(40)]
        flood(noisy.account, [agent.endpoint for agent in agents])
        with courier(slots=100):
            wait_for(lambda: Delivery.all_accounts.filter(state="in_flight").count() >= 50)
            samples = waits(quiet, fast)
    assert samples[-1] < 5
    assert samples[int(EVENTS * 0.8)] < 2


def test_dl_24_statuses_that_cannot_go_on_hold_up_no_customer(house, server_url):
    """Somebody holds the conversations they are about; the only other thread reads messages."""
    made(house)
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with courier(threads=1), psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM conversations_conversation FOR UPDATE")
        bring(house, status("read"))
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
        wait_for(lambda: holder.execute(waiting).fetchone())
        bring(house, said("m1", "somebody else", "bo"))
        wait_for(lambda: "somebody else" in texts(house), 5)
        assert statuses(house) == ["queued"]
        holder.rollback()
        wait_for(lambda: statuses(house) == ["read"])
