"""What a crash leaves behind, and who cleans up (delivery.md 14 and 16)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import time_machine
from django.db import connections
from django.utils import timezone

from conversations import services
from conversations.messages import Content, DeliveryStatus, StatusUpdate
from conversations.models import Attempt, Courier, Delivery, Inbox, Lane, Message, Timer
from integrations.courier import beginning, claiming, lanes, starting
from integrations.courier.component import WATCH_SECONDS
from integrations.courier.database import Pool, connect
from integrations.courier.presence import Presence
from integrations.courier.results import finish_many
from integrations.courier.work import Claim, Job, Outcome, Release, Result, Room
from integrations.live import connection_arguments
from tests import factories
from tests.integrations.couriers import (
    Reply,
    Server,
    courier,
    make_house,
    only_reading,
    says,
    takes,
    wait_for,
)
from tests.integrations.test_courier import all_ended, put, states

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
ROOT = Path(__file__).parents[2]
ROOMS = dict.fromkeys(claiming.GROUPS.values(), Room(100, 50))


def start_process(*command, broker=""):
    """`manage.py courier`, or another command, in a process of its own on this test's database."""
    database = connections["default"].settings_dict
    url = f"postgres://{database['USER']}@/{database['NAME']}?host={database['HOST']}"
    if database["PORT"]:
        url += f"&port={database['PORT']}"
    return subprocess.Popen(
        [sys.executable, *(command or ("manage.py", "courier"))],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": url,
            "CELERY_BROKER_URL": broker,
            "ALLOW_HTTP_TARGETS": "1",
            "OUTBOUND_ALLOW": "127.0.0.0/8",
            "PYTHONPATH": str(ROOT),
            "LOG_LEVEL": "WARNING",
        },
    )


def claim_everything():
    """What a courier that then dies holds: every due lane, leased and started."""
    Courier.objects.create(pk=4711, host="gone", pid=1)

    async def run():
        pool = Pool(1, "test")
        try:
            claims = await claiming.claim(pool, courier_id=4711, rooms=ROOMS, used=Counter())
            return claims, await starting.start_pushes(pool, claims, courier_id=4711)
        finally:
            await pool.close()

    return asyncio.run(run())


def test_f_02_a_killed_courier_is_replaced_within_five_seconds_and_nothing_is_lost():
    with Server(lambda request: Reply(after=0.05)) as agent:
        house = make_house(agent.url)
        conversations = [factories.make_conversation(house.inbox) for _ in range(16)]
        for conversation in conversations:
            for _ in range(3):
                put(house, conversation)
        agent.answer = lambda request: Reply(after=60)
        process = start_process()
        try:
            wait_for(lambda: agent.at_once == 16, 30)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed = time.monotonic()
        agent.answer = lambda request: Reply()
        before = len(agent.requests)
        with courier():
            wait_for(lambda: len(agent.requests) > before, 6)
            assert time.monotonic() - killed < 6
            wait_for(all_ended, 20)
    assert set(states(kind="agent")) == {State.DELIVERED}
    assert len(agent.requests) == 48 + 16
    order: dict[str, list[int]] = {}
    for request in agent.requests[16:]:
        lane = request.headers["webhook-id"].split("-")[0]
        order.setdefault(lane, []).append(request.json["n"])
    assert all(numbers == [1, 2, 3] for numbers in order.values())
    lost = Attempt.all_accounts.filter(outcome="worker_lost")
    assert lost.count() == 16
    assert not lost.filter(ended_at__isnull=True).exists()


def test_dl_52_f_31_a_terminated_courier_ends_its_work_and_repeats_nothing():
    with Server(lambda request: Reply(after=1.5)) as agent:
        house = make_house(agent.url)
        for _ in range(20):
            put(house, factories.make_conversation(house.inbox))
        process = start_process()
        try:
            wait_for(lambda: agent.at_once == 20, 30)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert set(states(kind="agent")) == {State.DELIVERED}
    assert len(agent.requests) == 20
    assert not Lane.all_accounts.filter(lease_token__isnull=False).exists()
    assert not Courier.objects.exists()


def test_an_in_flight_send_of_a_dead_courier_is_uncertain_and_waits_for_a_word():
    house = make_house(channel_url="http://127.0.0.1:8")
    conversation = factories.make_conversation(house.inbox)
    with house.inside():
        services.post_message(conversation, content=Content(text="x|y"), author=None)
    claim_everything()
    with courier():
        wait_for(lambda: State.UNCERTAIN in states(kind="send"))
        time.sleep(1)
    assert states(kind="send") == [State.UNCERTAIN, State.PENDING]
    assert Timer.all_accounts.filter(kind="reconcile").count() == 1
    assert Lane.all_accounts.get(kind="send").blocked_reason == "uncertain"


def test_an_in_flight_send_of_a_dead_courier_that_a_status_has_proved_is_delivered():
    house = make_house(channel_url="http://127.0.0.1:8")
    conversation = factories.make_conversation(house.inbox)
    with house.inside():
        message = services.post_message(conversation, content=Content(text="Hi"), author=None)
    claim_everything()
    with house.inside():
        reference = f"{message.public_id}-0"
        services.receive(
            house.inbox, StatusUpdate("ext:real", DeliveryStatus.SENT, our_reference=reference)
        )
    with courier():
        wait_for(all_ended)
    assert states(kind="send") == [State.DELIVERED]
    assert not Timer.all_accounts.filter(kind="reconcile").exists()


def test_f_08_the_result_of_a_lease_that_ran_out_changes_nothing():
    with Server(lambda request: Reply(after=1.5)) as agent:
        house = make_house(agent.url)
        put(house, factories.make_conversation(house.inbox))
        with courier():
            wait_for(lambda: agent.at_once == 1)
            Lane.all_accounts.update(lease_until=timezone.now() - timedelta(seconds=1))
            wait_for(lambda: len(agent.requests) == 2)
            wait_for(all_ended)
            wait_for(lambda: not Attempt.all_accounts.filter(ended_at__isnull=True).exists())
            time.sleep(0.5)
    delivery = Delivery.all_accounts.get()
    assert (delivery.state, delivery.attempts) == (State.DELIVERED, 2)
    outcomes = list(Attempt.all_accounts.order_by("n").values_list("outcome", flat=True))
    assert outcomes == ["stale_result", "ok"]


def test_dl_37_two_results_of_one_delivery_are_one_answer():
    with Server(lambda request: Reply(body=says("Hi"), after=1.5)) as agent, Server(takes) as paper:
        house = make_house(agent.url, paper.url)
        with courier():
            house.talk()
            wait_for(lambda: agent.at_once == 1)
            Lane.all_accounts.filter(kind="agent").update(
                lease_until=timezone.now() - timedelta(seconds=1)
            )
            wait_for(all_ended, 20)
    with house.inside():
        answers = Message.objects.filter(direction="outbound")
        events = Delivery.objects.filter(kind="agent", answered_at__isnull=False)
        assert answers.count() == events.count()
    assert len(agent.requests) > Delivery.all_accounts.filter(kind="agent").count()


def cut_connections(pattern):
    """End the courier's connections as a dying server would."""
    arguments = {**connection_arguments(), "application_name": "test"}
    with psycopg.connect(**arguments, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE %s"
            " AND pid <> pg_backend_pid()",
            [pattern],
        )


@pytest.mark.parametrize("pattern", ["switchboard courier bell", "switchboard courier%", "%"])
def test_f_05_f_06_the_courier_goes_on_after_its_connections_are_cut(pattern):
    with Server(lambda request: Reply(after=0.2)) as agent:
        house = make_house(agent.url)
        conversations = [factories.make_conversation(house.inbox) for _ in range(4)]
        with courier():
            for conversation in conversations:
                put(house, conversation)
            wait_for(lambda: agent.at_once)
            connections.close_all()
            cut_connections(pattern)
            time.sleep(0.3)
            connections.close_all()
            for conversation in conversations:
                put(house, conversation)
            wait_for(all_ended, 15)
    assert set(states(kind="agent")) == {State.DELIVERED}


def test_f_05_the_courier_waits_while_it_reaches_a_server_that_only_reads(caplog):
    """After a failover that is the old primary, until its connections are made anew."""
    with Server(lambda request: Reply(after=0.2)) as agent:
        house = make_house(agent.url)
        early, late = (factories.make_conversation(house.inbox) for _ in range(2))
        put(house, early)
        with courier(), caplog.at_level("CRITICAL"):
            wait_for(lambda: agent.at_once)
            with only_reading():
                cut_connections("switchboard courier%")
                time.sleep(1)
                put(house, late)
                time.sleep(1)
                assert len(agent.requests) == 1
            wait_for(all_ended, 15)
    assert set(states(kind="agent")) == {State.DELIVERED}
    assert len(agent.requests) == 2


def test_the_lock_that_shows_us_alive_is_not_held_at_a_server_that_only_reads():
    """Others, who look at the primary, would take us for dead and repeat what is under way."""

    async def run():
        pool = Pool(1, "test")
        one = Presence(pool)
        try:
            await one.enter()
            assert one._lock
            await one._lock.close()
            with only_reading():
                await one.beat(set())
            await one.beat(set())
            assert one._lock
            cursor = await one._lock.execute("SHOW transaction_read_only")
            return await cursor.fetchone()
        finally:
            await one.leave()
            await pool.close()

    assert asyncio.run(run()) == ("off",)


def test_a_delivery_put_on_a_lane_while_it_is_given_back_is_not_overlooked():
    """The release locks the lane's row first, so either side sees what the other did."""
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        conversation = factories.make_conversation(house.inbox)
        with courier():
            stop = threading.Event()

            def keep_putting():
                while not stop.is_set():
                    put(house, conversation)
                    time.sleep(0.005)
                connections.close_all()

            thread = threading.Thread(target=keep_putting)
            thread.start()
            time.sleep(3)
            stop.set()
            thread.join()
            started = time.monotonic()
            wait_for(all_ended, 10)
            assert time.monotonic() - started < 5
    numbers = [request.json["n"] for request in agent.requests]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not Lane.all_accounts.filter(due_at__isnull=False).exists()


def test_what_broke_inside_of_us_is_tried_again_and_not_lost(caplog):
    house = make_house()
    conversation = factories.make_conversation(house.inbox)
    delivery = put(house, conversation)
    Delivery.all_accounts.filter(pk=delivery.pk).update(body_sealed=b"damaged")
    with courier(), caplog.at_level("CRITICAL"):
        wait_for(lambda: Attempt.all_accounts.filter(outcome="worker_lost").exists())
        assert states() == [State.PENDING]
    assert Delivery.all_accounts.get().due_at > timezone.now()


def soon():
    return timezone.now() + timedelta(seconds=3)


def test_what_breaks_before_it_starts_is_not_tried_without_a_pause(caplog):
    house = make_house()
    conversation = factories.make_conversation(house.inbox)
    with house.inside():
        services.post_message(conversation, content=Content(text="Hi"), author=None)
        Inbox.objects.update(platform="uninstalled")
    with courier(), caplog.at_level("CRITICAL", "integrations.courier.returning"):
        wait_for(lambda: Lane.all_accounts.filter(due_at__gt=soon()).exists())
    assert states(kind="send") == [State.PENDING]


def test_a_lease_whose_claim_was_never_heard_of_runs_out():
    """The claim was committed, and its answer lost with the connection."""
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        with courier() as one:
            wait_for(lambda: one.presence.courier_id)
            put(house, factories.make_conversation(house.inbox))
            wait_for(all_ended)
            Lane.all_accounts.update(
                lease_token=uuid4(),
                lease_until=timezone.now() + timedelta(seconds=3),
                courier_id=one.presence.courier_id,
            )
            wait_for(lambda: not Lane.all_accounts.filter(lease_token__isnull=False).exists())


def test_a_start_whose_answer_was_lost_is_handled_like_a_crash():
    house = make_house()
    conversation = factories.make_conversation(house.inbox)
    with house.inside():
        services.post_message(conversation, content=Content(text="Hi"), author=None)

    async def run():
        pool = Pool(1, "test")
        try:
            claims = await claiming.claim(pool, courier_id=4711, rooms=ROOMS, used=Counter())
            (claim,) = [one for one in claims if one.kind == "send"]
            await asyncio.to_thread(begin, claim)
            again = await asyncio.to_thread(begin, claim)
            assert isinstance(again, Release)
            await lanes.release(pool, [again])
            await lanes.reclaim(pool)
        finally:
            await pool.close()

    def begin(claim):
        try:
            return beginning.begin(claim, courier_id=4711)
        finally:
            connections.close_all()

    asyncio.run(run())
    assert states(kind="send") == [State.UNCERTAIN]
    assert not Lane.all_accounts.filter(kind="send", lease_token__isnull=False).exists()


def test_the_lock_that_shows_us_alive_is_taken_as_soon_as_the_old_session_ends():
    async def held(pool):
        async with pool.connection() as connection:
            found = await connection.execute(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"
            )
            return await found.fetchone()

    async def run():
        pool = Pool(1, "test")
        one, old = Presence(pool), await connect("courier lock")
        try:
            one.courier_id = 4711
            await old.execute("SELECT pg_advisory_lock(%s, 4711)", [Courier.ADVISORY_CLASS])
            await one.beat(set())
            await old.close()
            while await held(pool):  # the server ends a session when it gets to it
                await asyncio.sleep(0.01)
            await one.beat(set())
            return await held(pool)
        finally:
            await one.leave()
            await pool.close()

    assert asyncio.run(run())


def test_an_odd_header_of_one_agent_does_not_hold_up_the_results_of_all():
    """In JSON its text looks like an escape that PostgreSQL refuses."""
    with Server(lambda request: Reply(headers={"Server": "\\u0000"})) as agent:
        house = make_house(agent.url)
        with courier():
            put(house, factories.make_conversation(house.inbox))
            wait_for(all_ended)
    assert Attempt.all_accounts.get().response_headers["server"] == "\\u0000"
    assert len(agent.requests) == 1


def test_headers_with_bytes_that_are_no_utf_8_can_be_stored():
    """aiohttp hands such bytes on as half surrogates, which JSON writes as escapes."""
    outcome = Outcome("ok", response_headers={"server": "caf\udce9\x00"})
    claim = Claim(1, 1, "agent", 1, uuid4())
    _statement, given = finish_many([Result(Job(claim, 1, 1, 1), State.DELIVERED, outcome)])
    assert json.loads(given[0])[0]["response_headers"] == {"server": "caf?"}


@pytest.mark.parametrize("hours", [-1, 1])
def test_f_30_a_courier_whose_clock_is_wrong_works_for_nobody(hours):
    """It would repeat at once, or in an hour, what is due in seconds, and sign with an hour's error."""
    with Server(lambda request: Reply(500)) as agent:
        house = make_house(agent.url)
        wrong = time.time() + hours * 3600
        with time_machine.travel(wrong), courier() as one:
            wait_for(lambda: one.presence.courier_id)
            put(house, factories.make_conversation(house.inbox))
            time.sleep(2 * WATCH_SECONDS)
            assert not agent.requests
        agent.answer = lambda request: Reply()
        with courier():
            wait_for(all_ended)
    assert len(agent.requests) == 1


def test_dl_94_claiming_stays_fast_with_a_long_queue():
    house = make_house()
    other = factories.make_account("Other")
    now = timezone.now()
    Lane.all_accounts.bulk_create(
        Lane(
            account=house.account if n % 10 else other,
            kind="agent",
            destination_id=1,
            key=f"k{n}",
            due_at=now - timedelta(seconds=n % 100),
        )
        for n in range(10_000)
    )

    async def run():
        pool = Pool(1, "test")
        times, claims = [], []
        try:
            for _ in range(20):
                started = time.perf_counter()
                claims += await claiming.claim(pool, courier_id=1, rooms=ROOMS, used=Counter())
                times.append(time.perf_counter() - started)
            async with pool.connection() as connection:
                plan = await (
                    await connection.execute(
                        "EXPLAIN SELECT id FROM conversations_lane WHERE kind = 'agent' AND"
                        " account_id = 1 AND due_at <= now() AND lease_token IS NULL"
                        " ORDER BY due_at LIMIT 10"
                    )
                ).fetchall()
            return times, claims, str(plan)
        finally:
            await pool.close()

    times, claims, plan = asyncio.run(run())
    assert sorted(times)[len(times) // 2] < 0.02 * 3  # other work may share the machine
    assert "lane_due" in plan
    assert len({claim.lane_id for claim in claims}) == len(claims) == 20 * 100
    per_account = {claim.account_id for claim in claims[:100]}
    assert per_account == {house.account.pk, other.pk}
    assert all(isinstance(claim, Claim) for claim in claims)


def test_the_courier_works_in_a_worker_whose_broker_is_down():
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        process = start_process(
            "-m", "celery", "-A", "config.celery", "worker", broker="redis://127.0.0.1:1/0"
        )
        try:
            put(house, factories.make_conversation(house.inbox))
            wait_for(lambda: agent.requests, 40)
            wait_for(all_ended)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)
    assert states(kind="agent") == [State.DELIVERED]
    assert not Courier.objects.exists()
