"""The courier over real PostgreSQL and real sockets (delivery.md 3 to 7, 16)."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from datetime import timedelta

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from conversations import services
from conversations.models import (
    Attempt,
    Conversation,
    Delivery,
    Endpoint,
    EndpointSecret,
    Lane,
    Message,
    Timer,
)
from conversations.services import outbox
from tests import factories
from tests.integrations.couriers import Reply, Server, courier, make_house, says, takes, wait_for

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def put(house, conversation, event_type="test.event", **fields):
    """A delivery of our own on the agent's lane of the conversation."""
    with house.inside():
        place = outbox.take_place(
            account_id=house.account.pk,
            kind=Lane.Kind.AGENT,
            destination_id=house.agent.endpoint_id,
            key=conversation.public_id,
        )
        return outbox.put(
            place,
            kind=Lane.Kind.AGENT,
            schedule=Delivery.Schedule.LIVE,
            wire_id=f"evt_{conversation.pk}-{place.sequence}",
            event_type=event_type,
            endpoint=house.agent.endpoint,
            conversation=conversation,
            body=json.dumps({"n": place.sequence}).encode(),
            **fields,
        )


def states(**about):
    return list(
        Delivery.all_accounts.filter(**about).order_by("id").values_list("state", flat=True)
    )


def all_ended():
    return not Delivery.all_accounts.filter(state__in=Delivery.OPEN_STATES).exists()


def test_an_event_reaches_the_agent_signed_and_its_answer_the_customer():
    def answers_messages(request):
        asked = request.headers["X-Switchboard-Event"] == "message.created"
        return Reply(body=says("Hi") if asked else b"")

    with Server(answers_messages) as agent, Server(takes) as channel:
        house = make_house(agent.url, channel.url)
        with courier():
            conversation = house.talk()
            wait_for(lambda: channel.requests)
            wait_for(all_ended)
    with house.inside():
        answer = Message.objects.get(direction="outbound")
        assert (answer.text, answer.status) == ("Hi", "sent")
        assert answer.external_id == f"ext:{answer.public_id}-0"
        assert conversation.address.identifiers.filter(kind="paper_id").exists()
    request = agent.requests[0]
    assert Webhook(SECRET).verify(request.body, request.headers)
    assert request.headers["X-Switchboard-Delivery"] == request.headers["webhook-id"]
    assert request.headers["X-Switchboard-Attempt"] == "1"
    assert request.headers["X-Switchboard-Event"].startswith("conversation.")
    attempt = Attempt.all_accounts.filter(delivery__event_type="message.created").get()
    assert (attempt.outcome, attempt.status, attempt.n) == ("ok", 200, 1)
    assert attempt.ended_at
    assert "Hi" in attempt.response_body
    assert attempt.request_headers["webhook-signature"] == "…"
    assert not Lane.all_accounts.filter(lease_token__isnull=False).exists()
    assert not Lane.all_accounts.filter(due_at__isnull=False).exists()


@pytest.mark.parametrize("sealed", [b"lost:" + bytes(40), b"k1:" + bytes(40), b""])
def test_a_secret_that_does_not_open_holds_up_nobody_else(caplog, sealed):
    """The deliveries of one batch are started together; one endpoint's key may be gone."""
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        broken = factories.make_agent(house.account, url=f"{agent.url}/broken")
        conversations = [factories.make_conversation(house.inbox) for _ in range(2)]
        with house.inside():
            EndpointSecret.objects.filter(endpoint=broken.endpoint).update(sealed=sealed)
            for conversation, its in zip(conversations, (broken, house.agent), strict=True):
                services.assign(conversation, to=its.member, by=None)
        with courier():
            wait_for(lambda: [r for r in agent.requests if r.path == "/"], 5)
            wait_for(lambda: "secret not opened" in caplog.text)
            wait_for(lambda: Attempt.all_accounts.filter(outcome="no_secret").exists())
    request = next(r for r in agent.requests if r.path == "/")
    assert Webhook(SECRET).verify(request.body, request.headers)
    # Nothing is brought unsigned: it waits for the key, until the agent's patience is over.
    assert not [r for r in agent.requests if r.path == "/broken"]
    attempt = Attempt.all_accounts.filter(delivery__endpoint=broken.endpoint).first()
    assert attempt is not None
    assert attempt.outcome == "no_secret"
    assert "FIELD_KEYS" in attempt.error
    assert "whsec_" not in caplog.text


def test_dl_20_dl_21_two_couriers_keep_every_conversation_in_order_one_at_a_time():
    with Server(lambda request: Reply(after=0.01)) as agent:
        house = make_house(agent.url)
        conversations = [factories.make_conversation(house.inbox) for _ in range(5)]
        for _ in range(20):
            for conversation in conversations:
                put(house, conversation)
        with courier(), courier():
            wait_for(all_ended, 30)
    assert set(states(kind="agent")) == {State.DELIVERED}
    seen = defaultdict(list)
    for request in agent.requests:
        seen[request.headers["webhook-id"].split("-")[0]].append(request.json["n"])
    assert all(numbers == list(range(1, 21)) for numbers in seen.values())
    assert len(seen) == 5
    assert agent.most_at_once <= 5
    assert Attempt.all_accounts.filter(n=1).count() == 100


def test_a_failing_agent_is_tried_again_on_schedule_and_every_attempt_is_kept():
    replies = [Reply(500, b"no"), Reply(500), Reply()]
    with Server(lambda request: replies.pop(0)) as agent:
        house = make_house(agent.url)
        conversation = factories.make_conversation(house.inbox)
        with courier():
            delivery = put(house, conversation)
            wait_for(all_ended, 15)
    first, second, third = agent.requests
    assert 1.6 <= second.at - first.at <= 2.4 + 0.5
    assert 4.0 <= third.at - second.at <= 6.0 + 0.5
    assert {r.headers["webhook-id"] for r in agent.requests} == {delivery.wire_id}
    assert {r.body for r in agent.requests} == {delivery.body}
    attempts = list(Attempt.all_accounts.order_by("n"))
    assert [(a.n, a.outcome, a.status) for a in attempts] == [
        (1, "http_error", 500), (2, "http_error", 500), (3, "ok", 200),
    ]  # fmt: skip
    assert attempts[0].next_due_at is not None
    with house.inside():
        endpoint = Endpoint.objects.get()
    assert (endpoint.consecutive_failures, endpoint.last_error) == (0, "http_error 500")


def test_dl_34_a_refusing_agent_is_not_asked_again_and_people_get_the_conversation():
    with Server(lambda request: Reply(422)) as agent:
        house = make_house(agent.url)
        with courier():
            conversation = house.talk()
            wait_for(lambda: State.DEAD in states(kind="agent"))
            wait_for(all_ended)
    with house.inside():
        conversation.refresh_from_db()
        assert conversation.assignee is None
        assert conversation.assignments.latest("epoch").reason == "agent_rejected"
    attempts = Attempt.all_accounts.filter(delivery__kind="agent")
    assert set(attempts.values_list("n", "status")) == {(1, 422)}


def test_dl_33_f_12_gone_switches_the_endpoint_off_and_cancels_its_queue():
    with Server(lambda request: Reply(410)) as agent:
        house = make_house(agent.url)
        other = factories.make_conversation(house.inbox)
        with house.inside():
            put(house, other, due_at=timezone.now() + timedelta(hours=1))
        with courier():
            conversation = house.talk()
            wait_for(lambda: State.DEAD in states(kind="agent"))
            wait_for(all_ended)
    with house.inside():
        house.agent.endpoint.refresh_from_db()
        assert house.agent.endpoint.state == Endpoint.State.DISABLED
        conversation.refresh_from_db()
        assert conversation.assignee is None
    assert State.CANCELED in states(kind="agent")


def test_f_25_an_agent_that_fails_after_it_lost_the_conversation_is_not_asked_again():
    def fails_slowly(request):
        farewell = request.headers["X-Switchboard-Event"] == "conversation.unassigned"
        return Reply() if farewell else Reply(500, after=0.5)

    with Server(fails_slowly) as agent:
        house = make_house(agent.url)
        with courier():
            conversation = house.talk()
            wait_for(lambda: agent.at_once == 1)
            with house.inside():
                services.unassign(conversation, by=None)
            wait_for(all_ended)
    told = [request.headers["X-Switchboard-Event"] for request in agent.requests]
    assert told == ["conversation.assigned", "conversation.unassigned"]
    first = Delivery.all_accounts.filter(kind="agent").earliest("id")
    assert (first.state, first.dead_reason) == (State.CANCELED, "not_assigned")


def test_f_25_what_a_dead_courier_had_under_way_is_not_brought_to_an_old_holder():
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        conversation = house.talk()
        Delivery.all_accounts.filter(event_type="conversation.assigned").update(attempts=1)
        with house.inside():
            services.unassign(conversation, by=None)
        # As a lease that ran out leaves it: under way while the holder changed.
        Delivery.all_accounts.filter(event_type="conversation.assigned").update(state=State.PENDING)
        with courier():
            wait_for(all_ended)
    told = [request.headers["X-Switchboard-Event"] for request in agent.requests]
    assert told == ["conversation.unassigned"]
    first = Delivery.all_accounts.filter(kind="agent").earliest("id")
    assert (first.state, first.dead_reason) == (State.CANCELED, "not_assigned")


def test_f_13_an_agent_that_asks_for_time_gets_it():
    replies = [Reply(429, headers={"Retry-After": "3"}), Reply()]
    with Server(lambda request: replies.pop(0)) as agent:
        house = make_house(agent.url)
        with courier():
            put(house, factories.make_conversation(house.inbox))
            wait_for(all_ended)
    assert 3.0 <= agent.requests[1].at - agent.requests[0].at <= 4.0


def test_dl_115_a_private_address_is_dead_at_once_without_a_packet():
    house = make_house("http://169.254.169.254/hook")
    with courier():
        put(house, factories.make_conversation(house.inbox))
        wait_for(all_ended)
    attempt = Attempt.all_accounts.get()
    assert (attempt.outcome, states(kind="agent")) == ("blocked_address", [State.DEAD])
    assert "169.254" not in attempt.error


def test_dl_03_no_transaction_is_open_while_an_agent_thinks():
    import psycopg

    from integrations.live import connection_arguments

    with Server(lambda request: Reply(after=3)) as agent:
        house = make_house(agent.url)
        for _ in range(20):
            put(house, factories.make_conversation(house.inbox))
        with courier():
            wait_for(lambda: agent.at_once == 20)
            time.sleep(0.5)
            longest = []
            with psycopg.connect(**connection_arguments(), autocommit=True) as watcher:
                for _ in range(20):
                    row = watcher.execute(
                        "SELECT COALESCE(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)"
                        " FROM pg_stat_activity WHERE datname = current_database()"
                        " AND pid <> pg_backend_pid()"
                    ).fetchone()
                    assert row is not None
                    longest.append(float(row[0]))
                    time.sleep(0.05)
            assert agent.at_once == 20
            wait_for(all_ended)
    assert max(longest) < 0.25


def test_dl_40_the_attempt_is_committed_before_the_request():
    seen = []

    def look(request):
        seen.append(
            list(Delivery.all_accounts.values_list("state", "request_started_at", "attempts"))
        )
        return Reply()

    def answer(request):
        import threading

        thread = threading.Thread(target=lambda: (look(request), close()))
        thread.start()
        thread.join()
        return Reply()

    def close():
        from django.db import connections

        connections.close_all()

    with Server(answer) as agent:
        house = make_house(agent.url)
        with courier():
            put(house, factories.make_conversation(house.inbox))
            wait_for(all_ended)
    [[(state, started_at, attempts)]] = seen
    assert (state, attempts) == (State.IN_FLIGHT, 1)
    assert started_at is not None


def test_f_06_a_lost_doorbell_costs_two_seconds():
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        conversation = factories.make_conversation(house.inbox)
        with courier():
            wait_for(lambda: house)
            time.sleep(0.5)
            delivery = put(house, conversation, due_at=timezone.now() + timedelta(hours=1))
            time.sleep(0.3)
            Delivery.all_accounts.filter(pk=delivery.pk).update(due_at=timezone.now())
            Lane.all_accounts.filter(pk=delivery.lane_id).update(due_at=timezone.now())
            started = time.monotonic()
            wait_for(all_ended)
            assert time.monotonic() - started < 5


def test_f_34_a_patience_timer_that_came_due_while_nobody_worked_fires_once():
    house = make_house("http://127.0.0.1:9/")
    conversation = house.talk()
    with house.inside():
        Timer.objects.filter(kind="patience").update(due_at=timezone.now() - timedelta(minutes=5))
        Delivery.objects.update(due_at=timezone.now() + timedelta(hours=1))
        assert Timer.objects.filter(kind="patience").exists()
    with courier(), courier():
        wait_for(lambda: not Timer.all_accounts.exists())
    with house.inside():
        conversation.refresh_from_db()
        assert conversation.assignee is None
        reasons = conversation.assignments.values_list("reason", flat=True)
        assert [r for r in reasons if r.startswith("agent_")] == ["agent_timeout"]


def test_a_broken_timer_is_kept_and_holds_up_no_other(caplog):
    from conversations import timers

    def breaks(timer):
        raise RuntimeError("a bug of ours")

    house = make_house()
    conversation = factories.make_conversation(house.inbox)
    kept = timers._handlers["snooze"]
    timers.register("snooze", breaks)
    try:
        with house.inside():
            timers.move("snooze", conversation, due_at=timezone.now())
        with courier(), caplog.at_level(logging.CRITICAL):
            wait_for(lambda: Timer.all_accounts.filter(due_at__gt=timezone.now()).exists())
    finally:
        timers.register("snooze", kept)
    assert Timer.all_accounts.count() == 1


def test_snoozed_conversations_wake_up_in_time():
    house = make_house()
    conversation = factories.make_conversation(house.inbox)
    with courier():
        with house.inside():
            services.snooze(conversation, by=None, until=timezone.now() + timedelta(seconds=1))
        wait_for(lambda: woken(house, conversation), 5)


def woken(house, conversation):
    with house.inside():
        return Conversation.objects.get(pk=conversation.pk).status == "open"


def test_dl_90_one_account_takes_half_of_the_slots_and_the_other_is_served_at_once():
    with Server(lambda r: Reply(after=4)) as slow, Server(lambda r: Reply()) as fast:
        noisy, quiet = make_house(slow.url), make_house(fast.url)
        for _ in range(20):
            put(noisy, factories.make_conversation(noisy.inbox))
        with courier(slots=10):
            wait_for(lambda: slow.at_once == 5)
            started = time.monotonic()
            put(quiet, factories.make_conversation(quiet.inbox))
            wait_for(lambda: fast.requests)
            assert time.monotonic() - started < 1
            assert slow.most_at_once == 5
            Delivery.all_accounts.filter(state=State.PENDING).update(state=State.CANCELED)


def test_an_answer_nobody_can_read_stands_in_the_attempt_and_is_not_asked_for_again():
    with Server(lambda request: Reply(body=b"not json")) as agent:
        house = make_house(agent.url)
        with courier():
            house.talk()
            wait_for(all_ended)
    assert "unreadable" in set(Attempt.all_accounts.values_list("outcome", flat=True))
    assert set(states(kind="agent")) == {State.DELIVERED}
    with house.inside():
        assert not Message.objects.filter(direction="outbound").exists()
