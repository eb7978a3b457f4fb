"""Failures that come by the hundred are written together, and each as it would be by itself (DL-92)."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations import services
from conversations.models import Attempt, Delivery, Lane
from integrations.courier import claiming, notifying, pushing, starting
from integrations.courier.database import Pool
from integrations.courier.pushing import Pushed
from integrations.courier.work import Room
from integrations.http import Exchange
from tests import factories
from tests.integrations.couriers import make_house
from tests.integrations.test_courier import put, states

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
ROOMS = dict.fromkeys(claiming.GROUPS.values(), Room(200, 200))
REFUSED = Exchange("refused", error="nobody listens there")
GONE = Exchange("http_error", 410)


def start_all():
    """Everything that is due, under way by one courier."""

    async def run():
        pool = Pool(1, "test")
        try:
            claims = await claiming.claim(pool, courier_id=1, rooms=ROOMS, used=Counter())
            return await starting.start_pushes(pool, claims, courier_id=1)
        finally:
            await pool.close()

    return sorted(asyncio.run(run()), key=lambda one: one.job.delivery_id)


def fail(pushes, record, exchange=REFUSED):
    """These pushes end so; how many statements it takes to write that."""
    pushed = [Pushed(one, exchange, {}) for one in pushes]
    with CaptureQueriesContext(connection) as asked:
        assert record(pushes[0].account_id, pushed) == [None] * len(pushes)
    return len(asked)


def pushes_to_agent(n):
    house = make_house()
    conversations = [factories.make_conversation(house.inbox) for _ in range(n)]
    for conversation in conversations:
        put(house, conversation, deadline_at=timezone.now() + timedelta(seconds=90))
    return house, conversations, start_all()


def pushes_to_subscriber(n, *, attempts=3, **fields):
    house = make_house()
    with house.inside():
        webhook = factories.make_webhook(house.account, **fields)
        for _ in range(n):
            conversation = factories.make_conversation(house.inbox)
            services.add_note(conversation, text="note", author=None)
    its = Delivery.all_accounts.filter(endpoint=webhook)
    firsts = its.order_by("lane", "sequence").distinct("lane").values_list("pk", flat=True)
    its.exclude(pk__in=list(firsts)).delete()
    its.update(attempts=attempts)
    return webhook, start_all()


def test_dl_92_many_failures_of_agents_cost_as_many_statements_as_one():
    _house, _conversations, pushes = pushes_to_agent(12)
    assert fail(pushes[:10], pushing.record_failures) == fail(
        pushes[10:11], pushing.record_failures
    )
    assert states() == [State.RETRY_WAIT] * 11 + [State.IN_FLIGHT]
    attempts = Attempt.all_accounts.filter(ended_at__isnull=False)
    assert list(attempts.values_list("outcome", flat=True)) == ["refused"] * 11
    for delivery in Delivery.all_accounts.filter(state=State.RETRY_WAIT):
        assert delivery.due_at > timezone.now()


def test_f_25_of_many_failures_those_whose_conversation_has_left_the_agent_are_canceled():
    house, conversations, pushes = pushes_to_agent(4)
    with house.inside():
        services.assign(conversations[1], to=house.agent.member, by=None)
    Delivery.all_accounts.exclude(event_type="test.event").delete()
    fail(pushes, pushing.record_failures)
    assert states() == [State.RETRY_WAIT, State.CANCELED, State.RETRY_WAIT, State.RETRY_WAIT]
    assert Delivery.all_accounts.get(state=State.CANCELED).dead_reason == "not_assigned"


def test_f_25_conversations_of_failures_are_locked_in_one_order_before_anything_is_written():
    """Whoever changes a holder meanwhile waits, and then finds the retry and cancels it."""
    _house, _conversations, pushes = pushes_to_agent(3)
    with CaptureQueriesContext(connection) as asked:
        pushing.record_failures(pushes[0].account_id, [Pushed(one, REFUSED, {}) for one in pushes])
    said = [one["sql"] for one in asked]
    [locking] = [n for n, sql in enumerate(said) if "FOR UPDATE" in sql]
    [writing] = [n for n, sql in enumerate(said) if "UPDATE conversations_delivery" in sql]
    assert "conversations_conversation" in said[locking]
    assert "ORDER BY" in said[locking]
    assert locking < writing


def test_f_08_of_many_failures_one_that_is_not_ours_any_more_changes_nothing():
    _house, _conversations, pushes = pushes_to_agent(3)
    lost = Lane.all_accounts.filter(pk=pushes[1].job.claim.lane_id)
    lost.update(lease_token="00000000-0000-4000-8000-000000000000")
    fail(pushes, pushing.record_failures)
    assert states() == [State.RETRY_WAIT, State.IN_FLIGHT, State.RETRY_WAIT]


def test_dl_23_many_failures_of_a_subscriber_are_parked_with_as_many_statements_as_one():
    webhook, pushes = pushes_to_subscriber(12)
    assert fail(pushes[:10], notifying.record_many) == fail(pushes[10:11], notifying.record_many)
    parked = Delivery.all_accounts.filter(parked=True).select_related("lane")
    assert [one.lane.key for one in parked] == [f"parked:{one.public_id}" for one in parked]
    assert [one.lane.due_at is not None and one.lane.due_at <= one.due_at for one in parked] == [
        True
    ] * 11
    assert {one.state for one in parked} == {State.RETRY_WAIT}
    assert states(endpoint=webhook, parked=False) == [State.IN_FLIGHT]


def test_dl_23_what_rather_waits_or_is_parked_already_stays_where_it_is():
    _webhook, pushes = pushes_to_subscriber(2, strict_order=True)
    fail(pushes, notifying.record_many)
    assert states(parked=False) == [State.RETRY_WAIT] * 2
    _webhook, pushes = pushes_to_subscriber(2, attempts=5)
    Delivery.all_accounts.filter(pk__in=[one.job.delivery_id for one in pushes]).update(parked=True)
    before = Lane.all_accounts.count()
    fail(pushes, notifying.record_many)
    assert Lane.all_accounts.count() == before


def test_dl_33_one_that_is_gone_among_many_switches_the_webhook_off():
    webhook, pushes = pushes_to_subscriber(3)
    pushed = [Pushed(one, REFUSED, {}) for one in pushes[:2]] + [Pushed(pushes[2], GONE, {})]
    assert notifying.record_many(pushes[0].account_id, pushed) == [None] * 3
    assert states(endpoint=webhook) == [State.CANCELED, State.CANCELED, State.DEAD]
