"""F-30: what is due is decided by the database's clock, whatever a web process thinks the time is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from conversations import services
from conversations.messages import Content
from conversations.models import Conversation, Delivery, Lane, Timer
from conversations.services import sending
from tests.factories import make_conversation, make_webhook


@pytest.fixture(params=[-1, 1], ids=["an hour behind", "an hour ahead"])
def wrong_clock(request: pytest.FixtureRequest, house: SimpleNamespace) -> Iterator[None]:
    """This process's clock; the database's is right."""
    with time_machine.travel(timezone.now() + timedelta(hours=request.param)):
        yield


@pytest.fixture
def conversation(house: SimpleNamespace, wrong_clock: None) -> Conversation:
    make_webhook(house.account)
    return make_conversation(house.inbox, "Hello")


def seconds_from_now(moment: datetime | None) -> float:
    assert moment is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM %s - clock_timestamp())::float", [moment])
        return float(cursor.fetchone()[0])


def test_f_30_all_that_is_put_on_lanes_is_due_now(
    house: SimpleNamespace, conversation: Conversation
) -> None:
    services.assign(conversation, to=house.agent.member, by=house.owner)
    services.post_message(conversation, content=Content(text="Hi"), author=house.owner)
    assert {*Delivery.objects.values_list("kind", flat=True)} >= {"agent", "send", "subscriber"}
    dues = [one.due_at for one in Delivery.objects.all()]
    dues += [one.due_at for one in Lane.objects.all() if one.due_at]
    assert all(-5 < seconds_from_now(due) <= 0 for due in dues)


def test_f_30_deadlines_count_from_now(house: SimpleNamespace, conversation: Conversation) -> None:
    services.assign(conversation, to=house.agent.member, by=house.owner)
    push = Delivery.objects.filter(kind="agent").latest("pk")
    assert seconds_from_now(push.deadline_at) == pytest.approx(house.agent.patience_s, abs=5)
    services.post_message(conversation, content=Content(text="Hi"), author=house.owner)
    send = Delivery.objects.get(kind="send")
    assert seconds_from_now(send.deadline_at) == pytest.approx(3600, abs=5)


def test_f_30_the_patience_of_an_agent_is_as_long_as_it_says(
    house: SimpleNamespace, conversation: Conversation
) -> None:
    services.assign(conversation, to=house.agent.member, by=house.owner)
    timer = Timer.objects.get(kind=Timer.Kind.PATIENCE)
    assert seconds_from_now(timer.due_at) == pytest.approx(house.agent.patience_s, abs=5)


def test_f_30_an_uncertain_send_is_decided_after_half_a_minute(
    house: SimpleNamespace, conversation: Conversation
) -> None:
    services.post_message(conversation, content=Content(text="Hi"), author=house.owner)
    send = Delivery.objects.select_related("message").get(kind="send")
    Delivery.objects.filter(pk=send.pk).update(state=Delivery.State.UNCERTAIN)
    sending.uncertain(send)
    timer = Timer.objects.get(kind=Timer.Kind.RECONCILE)
    assert seconds_from_now(timer.due_at) == pytest.approx(30, abs=5)
    sending.reconcile(timer)
    for row in (Delivery.objects.get(pk=send.pk), Lane.objects.get(pk=send.lane_id)):
        assert -5 < seconds_from_now(row.due_at) <= 0
