"""The circuit breaker of endpoints (delivery.md 7), their limits (DL-32, DL-90) and their end (DL-67)."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone, translation

from accounts.models import AuditEntry, User
from accounts.tenancy import account_context
from agents import services as agents
from config.celery import app
from conversations import services
from conversations.models import Attempt, Conversation, Delivery, Endpoint, Lane
from conversations.services import endpoints, outbox
from integrations.courier import breaker, health, watching
from integrations.courier.breaker import Change, Note
from integrations.courier.component import Courier
from integrations.courier.database import Pool
from integrations.courier.gate import Gate
from integrations.courier.returning import Returning
from integrations.courier.slots import Options
from integrations.courier.work import Claim
from integrations.http import Exchange
from integrations.subscribers import services as subscribers
from tests import factories
from tests.integrations.couriers import LOCAL, Reply, Server, courier, make_house, wait_for
from tests.integrations.test_courier_faults import start_process

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
OK, BROKEN, BUSY = Exchange("ok", 200), Exchange("http_error", 500), Exchange("http_error", 429)


def endpoint(**columns: Any) -> Endpoint:
    return Endpoint(account_id=1, kind="agent", url="https://a.example/", **columns)


def seen(*exchanges: Exchange, at: datetime = NOW, in_flight: int = 1, probe: bool = False) -> Note:
    note = Note()
    for exchange in exchanges:
        note.add(exchange, at, in_flight=in_flight, probe=probe)
    return note


def judged(one: Endpoint, *exchanges: Exchange, after: float = 0, **more: Any) -> list[Change]:
    at = NOW + timedelta(seconds=after)
    return breaker.judge(one, seen(*exchanges, at=at, **more), at)


def test_five_failures_in_a_row_open_it_however_they_are_noted():
    one = endpoint()
    assert judged(one, *[BROKEN] * 4) == []
    assert judged(one, OK, BROKEN, BROKEN) == []
    assert judged(one, BROKEN, BROKEN) == []
    assert judged(one, BROKEN) == [Change.OPENED]
    assert (one.breaker, one.breaker_wait_s) == ("open", 30)
    assert one.probe_at == NOW + timedelta(seconds=30)


def test_half_of_twenty_in_a_minute_opens_it_and_half_of_less_does_not():
    one = endpoint()
    for _ in range(9):
        assert judged(one, BROKEN, OK) == []
    assert judged(one, OK, BROKEN) == [Change.OPENED]
    slow = endpoint()
    for n in range(30):
        assert judged(slow, BROKEN, OK, after=n * 10) == []


def test_probes_wait_twice_as_long_each_time_up_to_five_minutes_and_two_successes_close_it():
    one = endpoint(breaker="open", breaker_wait_s=30, breaker_opened_at=NOW)
    waits = []
    for _ in range(5):
        one.breaker = "half_open"  # as `take_probe` leaves it
        judged(one, BROKEN, probe=True)
        waits.append(one.breaker_wait_s)
    assert waits == [60, 120, 240, 300, 300]
    one.breaker = "half_open"
    assert judged(one, OK, probe=True) == []
    assert (one.breaker, one.probe_at) == ("half_open", NOW)
    assert judged(one, OK, probe=True) == [Change.CLOSED]
    assert (one.breaker, one.probe_at, one.failing_since) == ("closed", None, None)


def test_what_began_before_it_was_shut_and_ends_while_it_is_probed_is_no_probe():
    one = endpoint(breaker="half_open", breaker_wait_s=30, breaker_opened_at=NOW)
    assert judged(one, BROKEN, Exchange("timeout_read")) == []
    assert judged(one, OK, OK) == []
    assert (one.breaker, one.breaker_wait_s, one.probe_successes) == ("half_open", 30, 0)


def test_what_one_courier_alone_saw_is_written_at_once_when_it_is_enough():
    assert not breaker.must_open(seen(*[BROKEN] * 4))
    assert breaker.must_open(seen(OK, *[BROKEN] * 5))
    assert not breaker.must_open(seen(*[BROKEN, OK] * 9, BROKEN))
    assert breaker.must_open(seen(*[BROKEN, OK] * 10, BROKEN))


def test_dl_32_too_much_halves_what_is_under_way_and_success_gives_it_back_in_steps():
    one = endpoint(max_in_flight=40)
    judged(one, BUSY, in_flight=16)
    assert one.in_flight_limit == 8
    judged(one, Exchange("timeout_read"), in_flight=8)
    assert one.in_flight_limit == 4
    limits = []
    while one.in_flight_limit is not None:
        judged(one, OK)
        limits.append(one.in_flight_limit)
    assert limits == [8, 16, 32, None]
    closing = endpoint(breaker="half_open", breaker_wait_s=30, probe_successes=1, max_in_flight=4)
    judged(closing, OK, probe=True)
    assert closing.in_flight_limit == 1
    judged(closing, OK)
    assert closing.in_flight_limit == 2


def test_dl_67_an_agent_is_warned_of_at_half_a_day_and_switched_off_after_one():
    one = endpoint(breaker="half_open", breaker_wait_s=300, breaker_opened_at=NOW)
    after = {}
    for hours in (11, 12, 13, 24):
        one.breaker = "half_open"
        after[hours] = judged(one, BROKEN, after=hours * 3600, probe=True)
    assert after == {11: [], 12: [Change.WARN], 13: [], 24: [Change.SWITCH_OFF]}


def test_dl_67_one_success_gives_an_agent_another_day():
    one = endpoint(breaker="half_open", breaker_wait_s=300, breaker_opened_at=NOW, warned_at=NOW)
    judged(one, OK, after=20 * 3600, probe=True)
    assert judged(one, BROKEN, after=25 * 3600, probe=True) == []
    assert breaker.patience_with(one, NOW + timedelta(hours=32)) == [Change.WARN]
    assert breaker.patience_with(one, NOW + timedelta(hours=45)) == [Change.SWITCH_OFF]


def test_an_agent_that_failed_twice_in_a_quiet_day_is_not_warned_of():
    one = endpoint()
    assert judged(one, BROKEN) == judged(one, BROKEN, after=13 * 3600) == []


def test_dl_67_a_subscriber_is_switched_off_after_five_days_and_ten_attempts():
    one = endpoint(failing_since=NOW, consecutive_failures=8, warned_at=NOW)
    one.kind = "subscriber"
    assert judged(one, BROKEN, after=6 * 86400) == [Change.OPENED]
    assert judged(one, BROKEN, after=6 * 86400) == [Change.SWITCH_OFF]


# --- On the running courier ----------------------------------------------------------------------


def row(house: Any) -> Endpoint:
    with house.inside():
        return Endpoint.objects.get(pk=house.agent.endpoint_id)


def patient(house: Any, **columns: Any) -> None:
    """The agent's row, changed behind everybody's back: time that has passed, for example."""
    with house.inside():
        Endpoint.objects.filter(pk=house.agent.endpoint_id).update(**columns)


def with_agent(house: Any, conversation: Conversation) -> bool:
    with house.inside():
        conversation.refresh_from_db()
        return conversation.assignee_id == house.agent.member_id


def nothing_under_way() -> bool:
    return not Lane.all_accounts.filter(kind="agent", lease_token__isnull=False).exists()


def nothing_is_open() -> bool:
    its = Delivery.all_accounts.filter(kind="agent", state__in=Delivery.OPEN_STATES)
    return not its.exists()


def held_by_people(house: Any) -> int:
    with house.inside():
        return Conversation.objects.exclude(assignee=house.agent.member).count()


@pytest.mark.usefixtures("clean_database")
def test_f_09_a_failing_agent_is_left_alone_its_customers_are_with_people_and_probes_find_it_back():
    """F-09, DL-61, DL-64: 0 live attempts but probes while it is open; new chats go to it once closed."""
    with Server(lambda request: Reply(500)) as agent:
        house = make_house(agent.url)
        with courier():
            for n in range(6):
                house.talk(f"early{n}")
            wait_for(lambda: row(house).breaker == "open")
            asked = len(agent.requests)

            late = house.talk("late")
            assert not with_agent(house, late)  # at once, without an attempt
            # The second attempts of the early ones come due, and are not made.
            wait_for(nothing_is_open)
            assert len(agent.requests) <= asked + 6  # what was under way when it opened

            agent.answer = lambda request: Reply()
            asked = len(agent.requests)
            patient(house, probe_at=timezone.now() - timedelta(seconds=1))
            first = house.talk("probe1")
            # What its customer began brings two events, so two probes.
            wait_for(lambda: row(house).breaker == "closed")
            second = house.talk("probe2")
            wait_for(nothing_is_open)
            assert len(agent.requests) > asked

            # Its probes stay with it; who was given to people stays with people.
            assert [with_agent(house, one) for one in (first, second, late)] == [True, True, False]
            talk = house.talk("after")
            wait_for(
                lambda: Delivery.all_accounts.filter(
                    conversation_id=talk.pk, state="delivered"
                ).exists()
            )


@pytest.mark.usefixtures("clean_database")
def test_two_couriers_probe_one_at_a_time_and_the_others_go_to_people():
    with Server(lambda request: Reply(500, after=0.5)) as agent:
        house = make_house(agent.url)
        passed = timezone.now() - timedelta(seconds=1)
        patient(house, breaker="open", breaker_wait_s=30, probe_at=passed)
        for n in range(8):
            house.talk(f"visitor{n}")
        with courier(), courier():
            wait_for(lambda: held_by_people(house) >= 7)
            wait_for(lambda: row(house).breaker_wait_s == 60)
        assert len(agent.requests) == 1
        outcomes = Attempt.all_accounts.filter(delivery__kind="agent").values_list(
            "outcome", flat=True
        )
        assert set(outcomes) == {"http_error", "breaker_open"}


@pytest.mark.usefixtures("clean_database")
def test_a_probe_that_died_with_its_courier_does_not_block_the_next_one():
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        lost = timezone.now() - timedelta(seconds=1)  # what `take_probe` once allowed is over
        patient(house, breaker="half_open", breaker_wait_s=30, probe_at=lost)
        house.talk()
        with courier():
            wait_for(lambda: row(house).breaker == "closed")
        assert len(agent.requests) == 2


@pytest.mark.usefixtures("clean_database")
def test_dl_90_no_more_calls_are_under_way_than_the_endpoint_bears_over_all_couriers():
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        patient(house, max_in_flight=3)
        with courier(), courier():
            agent.answer = lambda request: Reply(after=0.05)
            for n in range(15):
                house.talk(f"visitor{n}")
            wait_for(lambda: len(agent.requests) == 30, 30)
        assert agent.most_at_once <= 3


@pytest.fixture
def jobs_at_once() -> Iterator[None]:
    """Celery runs a job where it is queued; it has no broker here."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.mark.usefixtures("clean_database", "jobs_at_once")
def test_dl_67_owners_hear_of_a_switched_off_agent_and_people_get_what_it_held():
    house = factories.make_house()
    conversation = factories.make_conversation(house.inbox)
    with account_context(house.account.pk):
        services.assign(conversation, to=house.agent.member, by=None)
        long_ago = timezone.now() - timedelta(hours=25)
        Endpoint.objects.filter(pk=house.agent.endpoint_id).update(
            breaker="open", breaker_opened_at=long_ago, failing_since=long_ago, warned_at=long_ago
        )
    # Nothing calls it any more, so nothing else would notice.
    watching.look_after([house.account.pk], watching.Seen())
    with account_context(house.account.pk):
        conversation.refresh_from_db()
        assert conversation.assignee is None
        off = Endpoint.objects.get(pk=house.agent.endpoint_id)
        assert off.state == "disabled"
        assert AuditEntry.objects.filter(action="agent.endpoint_disabled").exists()
        agents.enable_endpoint(
            house.agent, by=house.owner
        )  # DL-68: a clean sheet, nothing old is sent
        on = Endpoint.objects.get(pk=house.agent.endpoint_id)
        assert (on.state, on.breaker, on.failing_since) == ("enabled", "closed", None)
        assert not Delivery.objects.filter(state__in=Delivery.OPEN_STATES, endpoint=on).exists()
    assert len(mail.outbox) == 1
    assert mail.outbox[0].to == [house.owner.user.email]
    assert house.agent.name in mail.outbox[0].subject
    assert "switched off: no call to it has succeeded for 24 hours." in mail.outbox[0].body


@pytest.mark.usefixtures("clean_database", "jobs_at_once")
def test_dl_67_owners_of_a_webhook_hear_that_it_failed_for_five_days():
    house = factories.make_house()
    long_ago = timezone.now() - timedelta(days=5, minutes=1)
    with account_context(house.account.pk):
        webhook = factories.make_webhook(house.account)
        Endpoint.objects.filter(pk=webhook.pk).update(
            failing_since=long_ago, consecutive_failures=10, warned_at=long_ago
        )
    watching.look_after([house.account.pk], watching.Seen())
    assert "switched off: no call to it has succeeded for 5 days." in mail.outbox[0].body


@pytest.mark.usefixtures("clean_database", "jobs_at_once")
def test_dl_67_the_reason_is_told_in_the_language_of_each_owner():
    house = factories.make_house()
    User.objects.filter(memberships=house.owner).update(language="ro")
    with account_context(house.account.pk):
        webhook = factories.make_webhook(house.account)
        subscribers.switch_off(webhook, by=None, reason=endpoints.GONE)
    with translation.override("ro"):
        said = translation.gettext(endpoints.GONE)
    assert said != endpoints.GONE
    assert said in mail.outbox[0].body
    assert endpoints.GONE not in mail.outbox[0].body


@pytest.mark.usefixtures("clean_database", "jobs_at_once")
def test_dl_67_owners_are_warned_once_half_way():
    house = factories.make_house()
    with account_context(house.account.pk):
        Endpoint.objects.filter(pk=house.agent.endpoint_id).update(
            breaker="open",
            breaker_opened_at=timezone.now() - timedelta(hours=13),
            failing_since=timezone.now() - timedelta(hours=13),
        )
    for _ in range(2):
        watching.look_after([house.account.pk], watching.Seen())
    health.write(house.account.pk, house.agent.endpoint_id, seen(BROKEN, at=timezone.now()))
    assert [letter.subject for letter in mail.outbox] == [f"Calls to {house.agent.name} fail"]


@pytest.mark.usefixtures("clean_database", "jobs_at_once")
def test_f_12_owners_hear_at_once_of_an_agent_that_is_gone():
    with Server(lambda request: Reply(410)) as agent:
        house = make_house(agent.url)
        owner = factories.make_person(house.account, role="owner")
        with courier():
            conversation = house.talk()
            wait_for(lambda: row(house).state == "disabled")
            wait_for(nothing_under_way)
    assert not with_agent(house, conversation)
    assert owner.user is not None
    assert [letter.to for letter in mail.outbox] == [[owner.user.email]]
    assert "switched off: its endpoint answered 410 Gone." in mail.outbox[0].body
    with house.inside():
        assert AuditEntry.objects.filter(action="agent.endpoint_disabled").count() == 1


@pytest.mark.usefixtures("clean_database")
def test_a_courier_that_ends_writes_what_it_saw_although_it_cannot_be_written_of_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, fine = make_house(), make_house()
    unwritable = Exchange("connect_error", error="\x00")  # PostgreSQL takes no such text
    seen_of = [(broken.agent.endpoint, unwritable), (fine.agent.endpoint, BROKEN)]

    async def run() -> None:
        one = Courier(Options(4, 1, LOCAL))
        for endpoint, exchange in seen_of:
            its = endpoint.account_id, endpoint.pk, exchange
            one.calling._notes.note(*its, in_flight=1, probe=False, limited=False)
        await one.calling.write_last()
        await asyncio.to_thread(one.errands.close)
        await asyncio.to_thread(one.desk.close)

    with caplog.at_level("CRITICAL"):
        asyncio.run(run())
    assert (row(broken).consecutive_failures, row(fine).consecutive_failures) == (0, 1)


# --- Subscribers wait ----------------------------------------------------------------------------


def subscriber_lanes(house: Any, n: int) -> tuple[Endpoint, list[Claim]]:
    """A subscriber with something waiting on each of `n` lanes, newest lane first, all leased."""
    with house.inside():
        subscriber = Endpoint.objects.create(kind="subscriber", dialect="native", url="https://s/")
        claims = []
        for number in range(n):
            place = outbox.take_place(
                account_id=house.account.pk,
                kind=Lane.Kind.SUBSCRIBER,
                destination_id=subscriber.pk,
                key=f"talk{number}",
            )
            outbox.put(place, kind="subscriber", schedule="durable", wire_id=f"evt_{number}")
            claims.append(
                Claim(place.lane_id, house.account.pk, "subscriber", subscriber.pk, uuid4())
            )
        for claim in claims:
            Lane.objects.filter(pk=claim.lane_id).update(lease_token=claim.token, due_at=None)
    return subscriber, claims[::-1]


def held_back(gate: Gate, claims: list[Claim]) -> dict[int, Any]:
    """The waits of those that are held back, by lane."""

    async def run() -> Any:
        pool = Pool(1, "test")
        try:
            return await gate.hold_back(pool, claims)
        finally:
            await pool.close()

    return {one.claim.lane_id: one for one in asyncio.run(run())}


@pytest.mark.usefixtures("clean_database")
def test_a_shut_subscriber_gets_the_oldest_as_a_probe_and_the_others_wait_without_an_attempt():
    house = make_house()
    subscriber, claims = subscriber_lanes(house, 4)
    with house.inside():
        Endpoint.objects.filter(pk=subscriber.pk).update(
            breaker="open", breaker_wait_s=30, probe_at=timezone.now() + timedelta(seconds=20)
        )
    waiting = held_back(Gate(200), claims)
    assert len(waiting) == 4
    assert all(one.reason == "breaker" and 19 < one.wait_seconds < 27 for one in waiting.values())
    with house.inside():
        Endpoint.objects.filter(pk=subscriber.pk).update(probe_at=timezone.now())
    one, other = Gate(200), Gate(200)
    oldest = claims[-1].lane_id
    assert held_back(one, claims).keys() == {claim.lane_id for claim in claims} - {oldest}
    assert len(held_back(other, claims)) == 4  # one probe at a time, over all couriers
    assert not Attempt.all_accounts.exists()
    # It passes: what waits is looked at now, and one more goes.
    Lane.all_accounts.update(lease_token=None, blocked_reason="breaker", due_at=None)
    probed = seen(OK, at=timezone.now(), probe=True)
    bearing = health.write(house.account.pk, subscriber.pk, probed)
    assert bearing is not None
    assert bearing.shut_for == 0
    assert not Lane.all_accounts.filter(kind="subscriber", due_at__isnull=True).exists()
    one.learn(subscriber.pk, bearing)
    assert len(held_back(one, claims)) == 3
    health.write(house.account.pk, subscriber.pk, probed)
    assert held_back(Gate(200), claims) == {}


def pass_probes(subscriber: Endpoint, n: int = breaker.PROBES) -> None:
    """The calls that close its breaker, judged in the caller's transaction."""
    Endpoint.objects.filter(pk=subscriber.pk).update(breaker="half_open", probe_at=timezone.now())
    passed = seen(*[OK] * n, at=timezone.now(), probe=True)
    assert health.write(subscriber.account_id, subscriber.pk, passed)


@pytest.mark.usefixtures("clean_database")
@pytest.mark.parametrize("passed", [1, breaker.PROBES])
def test_what_is_held_back_while_its_endpoint_mends_does_not_wait_for_the_next_probe(
    passed: int,
) -> None:
    """Whoever mends it wakes what waits, and this does not wait yet; nor is it said yet that it mended."""
    house = make_house()
    subscriber, claims = subscriber_lanes(house, 2)
    with house.inside():
        Endpoint.objects.filter(pk=subscriber.pk).update(
            breaker="open", breaker_wait_s=30, probe_at=timezone.now() + timedelta(seconds=20)
        )
    waiting = held_back(Gate(200), claims).values()
    looks: list[float] = []

    async def give_back() -> None:
        pool = Pool(1, "test")
        returning = Returning(pool, pool, free=lambda claim: None, due=looks.append)
        for one in waiting:
            returning.give(one)
        try:
            await returning.give_back()
            await returning.wake_mended()
        finally:
            await pool.close()

    giving = threading.Thread(target=lambda: asyncio.run(give_back()))
    with house.inside():
        pass_probes(subscriber, passed)
        giving.start()
        wait_for(lambda: not Lane.objects.filter(lease_token__isnull=False).exists())
    giving.join()
    assert Lane.all_accounts.filter(kind="subscriber", due_at__lte=timezone.now()).count() == 2
    assert looks[-1] == 0


@pytest.mark.usefixtures("clean_database")
def test_what_loses_the_probe_because_its_endpoint_mended_goes_at_once() -> None:
    house = make_house()
    subscriber, _claims = subscriber_lanes(house, 1)
    with house.inside():
        Endpoint.objects.filter(pk=subscriber.pk).update(
            breaker="half_open", breaker_wait_s=30, probe_at=timezone.now()
        )
        Lane.objects.update(lease_token=None, due_at=timezone.now())
    with ExitStack() as judging:
        judging.enter_context(house.inside())
        Endpoint.objects.select_for_update().get(pk=subscriber.pk)
        with courier():
            wait_for(somebody_waits_for_a_lock)
            pass_probes(subscriber)
            judging.close()
            wait_for(lambda: Attempt.all_accounts.exists(), 5)


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None


@pytest.mark.usefixtures("clean_database")
def test_a_probe_that_is_killed_with_its_courier_is_missed_and_another_goes():
    with Server(lambda request: Reply(after=60)) as agent:
        house = make_house(agent.url)
        due = timezone.now() - timedelta(seconds=1)
        patient(house, breaker="open", breaker_wait_s=30, probe_at=due)
        house.talk()
        process = start_process()
        try:
            wait_for(lambda: agent.at_once == 1, 30)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        missed_at = row(house).probe_at
        assert missed_at is not None
        assert 60 < (missed_at - timezone.now()).total_seconds() <= breaker.PROBE_SECONDS
        patient(house, probe_at=due)  # that time has passed
        agent.answer = lambda request: Reply()
        house.talk("other")
        with courier():
            wait_for(lambda: row(house).breaker == "closed")
