"""What `/metrics` says, who may read it, and that it adds up (delivery.md 15)."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts import metrics
from accounts.ids import encode
from accounts.models import Account
from accounts.tenancy import account_context
from agents import patience
from config.logs import JsonFormatter, RedactFilter
from config.metrics import render
from conversations import services
from conversations.channels import ErrorClass
from conversations.models import (
    Attempt,
    Conversation,
    Courier,
    Delivery,
    Endpoint,
    InboxRoute,
    Lane,
)
from integrations import measures
from integrations.courier import lanes, watching
from integrations.courier.database import Pool
from integrations.courier.results import reason_word
from integrations.courier.work import Claim, Job, Outcome, Result
from integrations.models import Measure, Receipt
from tests import factories
from tests.integrations.couriers import Reply, Server, courier, make_house, says, takes, wait_for
from tests.integrations.test_door import address, at_door, call, paper_body, said
from tests.serving import serve

SECTION_15 = """
switchboard_ingest_total{source,result} switchboard_ingest_seconds switchboard_receipt_lag_seconds
switchboard_deliveries_total{kind,class,outcome} switchboard_attempt_seconds{kind}
switchboard_delivery_age_seconds{kind} switchboard_pending{kind,state} switchboard_dead_total{kind,reason}
switchboard_uncertain switchboard_breaker{state} switchboard_fallback_total{reason}
switchboard_unanswered_over_patience switchboard_lease_reclaims_total switchboard_stale_results_total
switchboard_duplicates_ignored_total{source} switchboard_sweep_last_success_timestamp
switchboard_claim_seconds switchboard_slots{state}
"""
# Of other programs, in our alerts.
FOREIGN = {"node_filesystem_avail_bytes", "node_filesystem_size_bytes", "up"}
TEXT, ANSWER, PHONE = "kanarienvogel singt", "amsel antwortet", "+40712345678"


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    """What earlier tests of this process counted is theirs."""
    metrics.tally.take()
    cache.clear()


def numbers() -> dict[str, float]:
    """Every sample of a scrape, as `name{label=value,…}`."""
    found = {}
    for family in text_string_to_metric_families(render().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def shown() -> set[str]:
    """The names a scrape may show."""
    names = set(metrics.DECLARED)
    for metric in metrics.DECLARED.values():
        if metric.kind == metrics.Kind.HISTOGRAM:
            names |= {metric.name + part for part in ("_bucket", "_sum", "_count")}
    return names


def write() -> None:
    """What this process counted goes into the table, as in a process's own loop."""

    async def once() -> None:
        pool = Pool(1, "test")
        try:
            await measures.write(pool)
        finally:
            await pool.close()

    asyncio.run(once())


# --- Declaring and counting --------------------------------------------------------------------------


def test_everything_that_the_contract_names_is_declared_with_its_labels() -> None:
    """Delivery contract, section 15."""
    for name, labels in re.findall(r"(switchboard_\w+)(?:\{([\w,]+)\})?", SECTION_15):
        assert metrics.DECLARED[name].labels == tuple(labels.split(",") if labels else ()), name


@pytest.mark.parametrize(
    ("work", "name", "labels"),
    [
        (metrics.count, "switchboard_unheard_of_total", {}),
        (metrics.count, "switchboard_ingest_total", {"source": "paper"}),
        (metrics.count, "switchboard_ingest_total", {"source": "paper", "result": "x", "who": "y"}),
        (metrics.count, "switchboard_uncertain", {}),
        (metrics.count, "switchboard_ingest_seconds", {}),
    ],
)
def test_what_is_not_declared_is_not_counted(work: Any, name: str, labels: dict[str, str]) -> None:
    with pytest.raises(metrics.UndeclaredMetricError, match=name):
        work(name, **labels)


def test_outside_of_tests_a_wrong_name_costs_no_delivery(settings: Any, caplog: Any) -> None:
    settings.TESTING = False
    metrics.count("switchboard_unheard_of_total")
    assert "switchboard_unheard_of_total" in caplog.text
    assert metrics.tally.take() == ({}, {})


def test_counting_from_many_threads_loses_nothing() -> None:
    def work() -> None:
        for _ in range(500):
            metrics.count("switchboard_stale_results_total")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts, _marks = metrics.tally.take()
    assert counts == {("switchboard_stale_results_total", ()): 4000.0}


def test_every_way_a_send_may_fail_is_shown_from_the_beginning() -> None:
    """An alert on the first of them needs a zero before it."""
    zeros = metrics.DECLARED["switchboard_dead_total"].zeros
    assert {reason for kind, reason in zeros if kind == "send"} == {str(one) for one in ErrorClass}


@pytest.mark.parametrize(
    ("reason", "outcome", "word"),
    [
        ("agent_unreachable", "dns", "agent_unreachable"),
        ("invalid: Ana's number is +40712345678", "invalid", "invalid"),
        ("the address answered 404", "permanent", "permanent"),
        ("ClientError: broken", "failed", "failed"),
    ],
)
def test_a_reason_is_one_word_of_ours(reason: str, outcome: str, word: str) -> None:
    job = Job(Claim(1, 1, "send", 1, None), 1, 1, 1)  # type: ignore[arg-type]
    assert reason_word(Result(job, "dead", Outcome(outcome), reason=reason)) == word


# --- The table ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("clean_database")
def test_a_restart_resets_no_counter_and_processes_add_up() -> None:
    """Each round stands for a process that counted, wrote, and was gone."""
    for _process in range(3):
        metrics.count("switchboard_lease_reclaims_total", 2)
        metrics.observe("switchboard_attempt_seconds", 0.02, 0.2, 700, kind="agent")
        write()
    found = numbers()
    assert found["switchboard_lease_reclaims_total"] == 6
    name = "switchboard_attempt_seconds"
    assert found[f"{name}_count{{kind=agent}}"] == 9
    assert found[f"{name}_sum{{kind=agent}}"] == pytest.approx(3 * 700.22)
    buckets = {"0.01": 0, "0.025": 3, "0.1": 3, "0.25": 6, "60.0": 6, "+Inf": 9}
    for bound, n in buckets.items():
        assert found[f"{name}_bucket{{kind=agent,le={bound}}}"] == n, bound


@pytest.mark.usefixtures("clean_database")
def test_two_processes_that_write_at_once_lose_nothing() -> None:
    async def process(pool: Pool, n: int) -> None:
        for _ in range(20):
            for source in ("paper", "sandbox") if n % 2 else ("sandbox", "paper"):
                metrics.count("switchboard_duplicates_ignored_total", source=source)
            await measures.write(pool)

    async def run() -> None:
        pool = Pool(4, "test")
        await asyncio.gather(*(process(pool, n) for n in range(4)))
        await pool.close()

    asyncio.run(run())
    found = numbers()
    for source in ("paper", "sandbox"):
        assert found[f"switchboard_duplicates_ignored_total{{source={source}}}"] == 80


@pytest.mark.usefixtures("clean_database")
def test_what_the_database_did_not_take_is_counted_the_next_time() -> None:
    async def cut() -> None:
        pool = Pool(1, "test")
        async with pool.connection() as connection:
            await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(Exception, match="read-only"):
            await measures.write(pool)
        await pool.close()

    metrics.count("switchboard_stale_results_total", 3)
    metrics.mark(measures.SWEEP)
    asyncio.run(cut())
    metrics.count("switchboard_stale_results_total")
    write()
    found = numbers()
    assert found["switchboard_stale_results_total"] == 4
    assert found[measures.SWEEP] == pytest.approx(timezone.now().timestamp(), abs=60)


@pytest.mark.usefixtures("clean_database")
def test_of_several_sweeps_the_latest_counts() -> None:
    for age in (100, 5, 50):
        series = (measures.SWEEP, ())
        metrics.tally.mark(series, timezone.now().timestamp() - age)
        write()
    assert numbers()[measures.SWEEP] == pytest.approx(timezone.now().timestamp() - 5, abs=4)


# --- Who may read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "proxies", "public_url", "asked"),
    [
        (True, 0, "http://127.0.0.1:8000", {}),
        (True, 0, "http://127.0.0.1:8000", {"REMOTE_ADDR": "::1"}),
        (False, 0, "http://127.0.0.1:8000", {"REMOTE_ADDR": "192.0.2.1"}),
        # A proxy on this machine that nobody told us of.
        (False, 0, "http://127.0.0.1:8000", {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}),
        (False, 0, "http://127.0.0.1:8000", {"HTTP_FORWARDED": "for=192.0.2.1"}),
        (False, 0, "https://desk.example.com", {}),
        # One that we know of: it says who called, and what the caller claimed does not count.
        (False, 1, "https://desk.example.com", {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}),
        (False, 1, "https://desk.example.com", {"HTTP_X_FORWARDED_FOR": "127.0.0.1, 192.0.2.1"}),
        (True, 1, "https://desk.example.com", {}),
        (False, 1, "https://desk.example.com", {"REMOTE_ADDR": "192.0.2.1"}),
        (False, 0, "http://127.0.0.1:8000", {"REMOTE_ADDR": ""}),
    ],
)
@pytest.mark.django_db
def test_without_a_token_only_this_machine_reads(
    client: Client, settings: Any, here: bool, proxies: int, public_url: str, asked: dict[str, str]
) -> None:
    settings.TRUSTED_PROXIES = proxies
    settings.HTTPS = public_url.startswith("https")
    answer = client.get("/metrics", **asked)  # type: ignore[arg-type]
    assert answer.status_code == (200 if here else 404)
    assert (b"switchboard_" in answer.content) is here


@pytest.mark.django_db
def test_with_a_token_only_the_token_reads(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = "m" * 32
    for given in ("", "Bearer wrong", f"Basic {'m' * 32}", "Bearer ", f"Bearer {'m' * 31}é"):
        answer = client.get("/metrics", headers={"Authorization": given})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
        assert b"switchboard" not in answer.content
    answer = client.get(
        "/metrics", headers={"Authorization": f"Bearer {'m' * 32}"}, REMOTE_ADDR="192.0.2.1"
    )
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert answer["Cache-Control"] == "no-store"
    assert client.post("/metrics").status_code == 405


@pytest.mark.django_db
def test_a_scraper_in_a_hurry_does_not_ask_the_database(
    client: Client, django_assert_num_queries: Any
) -> None:
    first = client.get("/metrics").content
    with django_assert_num_queries(0):
        assert client.get("/metrics").content == first


# --- Gauges ------------------------------------------------------------------------------------------


def test_gauges_say_what_waits(house: SimpleNamespace) -> None:
    now = timezone.now()
    due = Lane.objects.create(
        kind="send", destination_id=1, key="a", due_at=now - timedelta(minutes=2)
    )
    Lane.objects.create(kind="agent", destination_id=1, key="b", due_at=now + timedelta(minutes=2))
    Lane.objects.create(kind="inbound", destination_id=1, key="c", due_at=now)
    Lane.objects.create(kind="agent", destination_id=2, key="d", lease_token="0" * 32, courier_id=5)
    for number, state in enumerate(Delivery.State):
        Delivery.objects.create(
            lane=due, kind="send", schedule="send", wire_id=f"w{number}", sequence=number,
            state=state, due_at=now,
        )  # fmt: skip
    Courier.objects.create(host="here", pid=1)
    found = numbers()
    for state in Delivery.State:
        name = f"switchboard_pending{{kind=send,state={state}}}"
        assert found.get(name) == (1 if state in Delivery.OPEN_STATES else None), state
    assert found["switchboard_pending{kind=inbound,state=pending}"] == 1
    assert found["switchboard_uncertain"] == 1
    assert found["switchboard_delivery_age_seconds{kind=send}"] == pytest.approx(120, abs=10)
    assert found["switchboard_delivery_age_seconds{kind=agent}"] == 0
    assert found["switchboard_slots{state=used}"] == 1
    assert found["switchboard_slots{state=free}"] == django_settings.COURIER_HTTP_SLOTS - 1


# --- The walk through the accounts (DL-65) -----------------------------------------------------------


def look_around() -> None:
    """What a courier does each minute, now."""
    found = watching.Seen()
    watching.look_after(watching._accounts(), found)
    watching._show(found)


@pytest.fixture
def waiting(api: SimpleNamespace) -> Conversation:
    """A customer whose agent has been silent for an hour, and whose timer was lost."""
    house = api.house
    conversation = factories.make_conversation(house.inbox)
    with account_context(house.account):
        services.assign(conversation, to=house.agent.member, by=None)
        conversation.timers.all().delete()
        long_ago = timezone.now() - timedelta(hours=1)
        conversation.assignments.update(started_at=long_ago)
        Conversation.objects.filter(pk=conversation.pk).update(waiting_since=long_ago)
        assert patience.unanswered_over_patience() == [conversation.pk]
        Endpoint.objects.update(breaker=Endpoint.Breaker.OPEN)
    return conversation


def test_dl_65_somebody_who_waits_too_long_is_an_error_in_the_log_and_a_number(
    waiting: Conversation, caplog: Any
) -> None:
    look_around()
    found = numbers()
    assert found["switchboard_unanswered_over_patience"] == 1
    assert found["switchboard_breaker{state=open}"] == 1
    assert found["switchboard_breaker{state=half_open}"] == 0
    [record] = [r for r in caplog.records if r.name == watching.logger.name]
    assert record.levelno == logging.ERROR
    assert waiting.public_id in record.getMessage()
    with account_context(waiting.account_id):
        services.assign(waiting, to=None, by=None)
    look_around()
    assert numbers()["switchboard_unanswered_over_patience"] == 0


def test_dl_65_is_cheap(waiting: Conversation, django_assert_max_num_queries: Any) -> None:
    """Per account: in and out, who waits, how the endpoints are; and only what agents hold is read."""
    found = watching.Seen()
    with django_assert_max_num_queries(12):
        watching.look_after([waiting.account_id], found)
    with account_context(waiting.account_id), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {patience._OVER_PATIENCE}", {"account": waiting.account_id})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    # Found by who holds them; which index serves best, no planner can say of so few rows.
    assert "assignee_id = ANY" in plan, plan
    assert "Seq Scan" not in plan, plan


def test_accounts_are_named_only_where_the_operator_wants_it(
    waiting: Conversation, settings: Any
) -> None:
    name = encode(Account.public_id, waiting.account_id)
    look_around()
    metrics.count("switchboard_fallback_total", account=waiting.account_id, reason="agent_timeout")
    assert "acc_" not in str(metrics.tally.take())
    settings.METRICS_PER_TENANT = True
    look_around()
    metrics.count("switchboard_fallback_total", account=waiting.account_id, reason="agent_timeout")
    [((_name, labels), _n)] = metrics.tally.take()[0].items()
    assert dict(labels) == {"account": name, "reason": "agent_timeout"}
    metric = "switchboard_unanswered_over_patience"
    assert numbers()[f"{metric}{{account={name}}}"] == 1
    settings.METRICS_PER_TENANT = False
    assert numbers()[metric] == 1
    assert "acc_" not in render().decode()


@pytest.mark.usefixtures("clean_database")
def test_dl_65_one_courier_of_all_looks_each_minute() -> None:
    assert measures.take_turn("x", every=timedelta(minutes=1))
    assert not measures.take_turn("x", every=timedelta(minutes=1))
    assert measures.take_turn("y", every=timedelta(minutes=1))
    Measure.objects.filter(name="turn:x").update(updated_at=timezone.now() - timedelta(minutes=2))
    assert measures.take_turn("x", every=timedelta(minutes=1))
    assert "turn" not in render().decode()


# --- The whole chain ---------------------------------------------------------------------------------


def settled() -> bool:
    return not (
        Delivery.all_accounts.filter(state__in=Delivery.OPEN_STATES).exists()
        or Lane.all_accounts.filter(due_at__isnull=False).exists()
        or Lane.all_accounts.filter(lease_token__isnull=False).exists()
    )


def all_read(made: Any, n: int) -> bool:
    with made.inside():
        return Receipt.objects.filter(state=Receipt.State.DONE).count() == n


def chained(agent_url: str, channel_url: str) -> SimpleNamespace:
    """A house whose inbox has an address."""
    made = make_house(agent_url, channel_url)
    with made.inside():
        token = InboxRoute.new_token()
        made.inbox.credentials = {"secret": "s3cret", "token": token}
        made.inbox.save()
        InboxRoute.objects.create(
            account=made.account, inbox_id=made.inbox.pk, platform="paper",
            token_sha256=InboxRoute.digest(token),
        )  # fmt: skip
    return made  # type: ignore[return-value]


def bring(made: Any, *items: dict[str, Any], **request: Any) -> int:
    async def steps(door: Any) -> int:
        status, *_rest = await call(door, address(made.inbox), paper_body(*items), **request)
        return int(status)

    return int(at_door(steps))


def give_to_agent(made: Any, customers: list[str]) -> None:
    """Customers write for the first time, and the agent gets their conversations."""
    bring(made, *(said(f"first-{name}", name) for name in customers))

    def all_there() -> bool:
        with made.inside():
            return Conversation.objects.count() == len(customers)

    wait_for(all_there)
    with made.inside():
        for conversation in Conversation.objects.all():
            services.assign(conversation, to=made.agent.member, by=None)


def answers(request: Any) -> Reply:
    asked = request.headers["X-Switchboard-Event"] == "message.created"
    return Reply(body=says(ANSWER) if asked else b"")


@pytest.mark.usefixtures("clean_database")
def test_after_so_many_messages_the_counters_say_so_many() -> None:
    """The like of F-01: what the scrape says is what is in the tables."""
    customers = [f"customer-{n}" for n in range(5)]
    with Server(answers) as agent, Server(takes) as channel:
        made = chained(agent.url, channel.url)
        with courier():
            give_to_agent(made, customers)
            for n in range(4):
                items = [said(f"{n}-{name}", name) for name in customers]
                assert bring(made, *items) == 200
                assert bring(made, items[0], items[1]) == 200  # the platform repeats itself
            assert bring(made, said("x"), headers={"x-paper-secret": "wrong"}) == 401
            wait_for(lambda: all_read(made, 25))
            wait_for(settled, 30)
    write()
    found = numbers()
    ingest = "switchboard_ingest_total{result=%s,source=paper}"
    assert found[ingest % "stored"] == 25
    assert found[ingest % "duplicate"] == 8
    assert found[ingest % "bad_signature"] == 1
    assert found["switchboard_duplicates_ignored_total{source=paper}"] == 8
    assert found["switchboard_ingest_seconds_count"] == 9
    assert found["switchboard_receipt_lag_seconds_count"] == 25
    assert sum(n for name, n in found.items() if name.startswith("switchboard_dead")) == 0
    ends = Counter(Delivery.all_accounts.values_list("kind", "schedule", "state").order_by("id"))
    assert ends["send", "send", "delivered"] >= 20
    for (kind, schedule, state), n in ends.items():
        labels = f"class={schedule},kind={kind},outcome={state}"
        assert found[f"switchboard_deliveries_total{{{labels}}}"] == n
    attempts = Counter(Attempt.all_accounts.values_list("delivery__kind", flat=True))
    for kind, n in attempts.items():
        assert found[f"switchboard_attempt_seconds_count{{kind={kind}}}"] == n
    assert found["switchboard_claim_seconds_count"] > 0
    assert found[measures.SWEEP] == pytest.approx(timezone.now().timestamp(), abs=30)
    assert found["switchboard_patrol_last_success_timestamp"] > 0
    assert found["switchboard_unanswered_over_patience"] == 0


@pytest.mark.usefixtures("clean_database")
def test_what_goes_wrong_is_counted_by_its_reason() -> None:
    def refuses(request: Any) -> Reply:
        asked = request.headers["X-Switchboard-Event"] == "message.created"
        return Reply(400 if asked else 200)

    with Server(refuses) as agent:
        made = chained(agent.url, "")
        with courier():
            give_to_agent(made, ["ana"])
            wait_for(settled)
            bring(made, said("again", "ana"))
            wait_for(lambda: all_read(made, 2))
            wait_for(settled)
    write()
    found = numbers()
    assert found["switchboard_dead_total{kind=agent,reason=agent_rejected}"] >= 1
    assert found["switchboard_fallback_total{reason=agent_rejected}"] == 1


@pytest.mark.usefixtures("clean_database")
def test_lanes_that_are_taken_back_are_counted_and_lost_attempts_logged(
    lines: io.StringIO,
) -> None:
    made = make_house()
    conversation = factories.make_conversation(made.inbox)
    now = timezone.now()
    with made.inside():
        for key, kind in (("a", "agent"), ("b", "send"), ("c", "send")):
            lane = Lane.objects.create(
                kind=kind, destination_id=1, key=key, lease_token=f"{key}" * 32,
                lease_until=now - timedelta(seconds=1), courier_id=99,
            )  # fmt: skip
            delivery = Delivery.objects.create(
                lane=lane, kind=kind, schedule="send", wire_id=f"wire-{key}", sequence=1, due_at=now,
                state="in_flight", attempts=2, conversation=conversation,
                message=conversation.messages.first(), part="abc".index(key),
                provider_message_id="known" if key == "c" else "",
            )  # fmt: skip
            Attempt.objects.create(delivery=delivery, n=2, started_at=now)

    metrics.tally.take()

    async def take_back() -> None:
        pool = Pool(1, "test")
        await lanes.reclaim(pool)
        await pool.close()

    asyncio.run(take_back())
    write()
    found = numbers()
    assert found["switchboard_lease_reclaims_total"] == 3
    ended = "switchboard_deliveries_total{class=send,kind=send,outcome=delivered}"
    assert found[ended] == 1  # a status had come before the courier died
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert {(one["trace"], one["n"], one["outcome"], one["state"]) for one in logged} == {
        ("wire-a", 2, "worker_lost", "pending"),
        ("wire-b", 2, "worker_lost", "uncertain"),
        ("wire-c", 2, "worker_lost", "delivered"),
    }


@pytest.mark.usefixtures("clean_database")
def test_a_message_that_comes_again_under_another_key_is_a_duplicate_too() -> None:
    made = chained("http://127.0.0.1:9/", "")
    with courier():
        bring(made, said("1", "ana"))
        wait_for(lambda: all_read(made, 1))
        with made.inside():
            Receipt.objects.update(dedupe_key="forgotten")
        bring(made, said("1", "ana"))
        wait_for(lambda: all_read(made, 2))
    write()
    assert numbers()["switchboard_duplicates_ignored_total{source=paper}"] == 1


@pytest.mark.usefixtures("clean_database")
def test_web_processes_come_and_go_and_their_counts_stay(tmp_path: Path) -> None:
    """A process writes at its end what it has not written yet; the next one answers for it."""
    made = chained("http://127.0.0.1:9/", "")
    for n in range(2):
        with serve(tmp_path) as web:
            hook = urllib.request.Request(  # noqa: S310 - our own server
                web.url + address(made.inbox),
                data=paper_body(said(f"m{n}")),
                headers={"X-Paper-Secret": "wrong"},
            )
            with pytest.raises(HTTPError):
                urllib.request.urlopen(hook, timeout=10)  # noqa: S310 - our own server
            with urllib.request.urlopen(f"{web.url}/metrics", timeout=10) as answer:  # noqa: S310 - our own server
                scraped = answer.read().decode()
    write()
    assert 'switchboard_ingest_total{result="unknown_address",source="unknown"} 1.0' in scraped
    assert numbers()["switchboard_ingest_total{result=unknown_address,source=unknown}"] == 2


@pytest.mark.usefixtures("clean_database")
def test_wrong_signatures_are_seen_on_the_inbox_s_page(client: Client) -> None:
    made = chained("http://127.0.0.1:9/", "")

    async def knock(door: Any) -> None:
        for n in range(4):
            body, wrong = paper_body(said(str(n))), {"x-paper-secret": "wrong"}
            await call(door, address(made.inbox), body, headers=wrong)

    at_door(knock)
    owner = factories.make_person(made.account, "owner")
    assert owner.user
    client.force_login(owner.user)
    page = client.get(reverse("inbox_settings", args=[made.inbox.public_id])).content.decode()
    assert "The last 4 calls had a wrong signature" in page
    assert re.search(r"chip-danger\">\s*refused", page)
    write()
    found = numbers()
    assert found["switchboard_ingest_total{result=bad_signature,source=paper}"] == 4


# --- Logs --------------------------------------------------------------------------------------------


@pytest.fixture
def lines() -> Any:
    """What stands in the log, as JSON lines, whatever the level."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.addFilter(RedactFilter())
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield output
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.usefixtures("clean_database")
def test_a_whole_chain_leaves_ids_in_the_log_and_nothing_else(lines: io.StringIO) -> None:
    """Section 15, SX-90: one line per attempt; no text, no phone number in full, no token."""

    def talks(request: Any) -> Reply:
        if request.headers["X-Switchboard-Event"] == "message.created" and len(agent.requests) > 3:
            return Reply(500, f"cannot answer {TEXT} of {PHONE}".encode())
        return answers(request)

    def refuses_some(request: Any) -> Reply:
        if len(channel.requests) == 1:
            return takes(request)
        said_why = {"class": "invalid", "text": f"{PHONE} cannot get {ANSWER}"}
        return Reply(body=json.dumps(said_why).encode())

    with Server(talks) as agent, Server(refuses_some) as channel:
        made = chained(agent.url, channel.url)
        with courier():
            give_to_agent(made, [PHONE])
            wait_for(settled)
            for n in range(3):
                item = {"id": f"m{n}", "from": PHONE, "text": TEXT}
                assert bring(made, item) == 200
                wait_for(lambda: len(agent.requests) > 2)
            assert bring(made, item, headers={"x-paper-secret": "wr0ngsecret"}) == 401
            wait_for(lambda: Attempt.all_accounts.filter(outcome="http_error").exists())
            wait_for(lambda: Attempt.all_accounts.filter(outcome="invalid").exists())
    token = made.inbox.credentials["token"]
    text = lines.getvalue()
    for secret in (TEXT, ANSWER, PHONE, PHONE[1:], token, "s3cret", "wr0ngsecret", "whsec_"):
        assert secret not in text, secret
    attempts = [line for line in map(json.loads, text.splitlines()) if "delivery" in line]
    assert len(attempts) == Attempt.all_accounts.filter(ended_at__isnull=False).count()
    by_outcome = {line["outcome"]: line for line in attempts}
    assert {"ok", "http_error", "invalid"} <= set(by_outcome)
    line = by_outcome["http_error"]
    delivery = Delivery.all_accounts.get(attempt_log__outcome="http_error", attempt_log__n=1)
    assert line["delivery"] == delivery.public_id
    assert line["event"] == delivery.event_id
    assert line["trace"] == delivery.wire_id
    assert line["conversation"] == encode(Conversation.public_id, delivery.conversation_id or 0)
    assert line["account"] == made.account.public_id
    assert (line["status"], line["kind"], line["message"]) == (500, "agent", "attempt")
    assert line["ms"] >= 0


def test_a_json_line_is_one_line_and_as_clean_as_any(lines: io.StringIO) -> None:
    """SX-90."""
    try:
        raise ValueError(f"token=abc12345678 of {PHONE}")
    except ValueError:
        logging.getLogger("some.where").exception("broke phone=%s\nin two lines", PHONE)
    [line] = lines.getvalue().splitlines()
    found = json.loads(line)
    assert found["message"] == "broke phone=…678\nin two lines"
    assert (found["level"], found["logger"]) == ("ERROR", "some.where")
    assert "ValueError" in found["traceback"]
    assert "abc12345678" not in line
    assert PHONE not in line
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found["time"])


@pytest.mark.parametrize("log_format", ["line", "json"])
def test_log_format_chooses_how_lines_look(log_format: str) -> None:
    work = "import django, logging; django.setup(); logging.getLogger('x').warning('hello there')"
    done = subprocess.run(
        [sys.executable, "-c", work],
        cwd=django_settings.BASE_DIR,
        env=os.environ | {"LOG_FORMAT": log_format, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    line = done.stderr.strip()
    if log_format == "json":
        assert json.loads(line)["message"] == "hello there"
    else:
        assert line.endswith(" WARNING x request=- hello there")


# --- Alerts ------------------------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    path = Path(django_settings.BASE_DIR) / "docs" / "prometheus-rules.yaml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_speaks_of_metrics_and_labels_that_there_are() -> None:
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        named = re.findall(r"\b((?:switchboard|node)_\w+|up)\b(?:\{(.*?)\})?", rule["expr"])
        assert named, rule["alert"]
        for name, chosen in named:
            if name in FOREIGN:
                continue
            assert name in shown(), f"{rule['alert']}: {name}"
            for label in re.findall(r"(\w+)[=!]~?\"", chosen):
                assert label in metrics.DECLARED[name].labels, f"{rule['alert']}: {label}"


@pytest.mark.parametrize(
    "metric",
    [
        'switchboard_dead_total{kind=~"agent|send"}',
        'switchboard_dead_total{kind="subscriber"}[1h]',
        "node_filesystem_avail_bytes",
        "switchboard_sweep_last_success_timestamp",
        "switchboard_unanswered_over_patience",
        "switchboard_delivery_age_seconds",
        'switchboard_ingest_total{result="bad_signature"}',
    ],
)
def test_there_is_an_alert_for_what_must_not_happen_unseen(metric: str) -> None:
    """DL-65, DL-83, section 14 (disk), SX: broken signatures are counted."""
    assert any(metric in rule["expr"] for rule in rules())
