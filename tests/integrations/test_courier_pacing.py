"""Rate limits towards channels (delivery.md 11): waiting is no failure, and nothing is lost or reordered."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.limits import Limit, empty, take_many
from accounts.models import RateBucket
from conversations import channels, services
from conversations.messages import Content
from conversations.models import Address, Attempt, Delivery, Lane
from integrations.courier import beginning
from tests import factories
from tests.integrations.couriers import Reply, Server, courier, make_house, takes, wait_for

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State


def paced(house, **config):
    with house.inside():
        house.inbox.config = {**house.inbox.config, **config}
        house.inbox.save(update_fields=["config"])


def post(house, *texts, visitor="ana"):
    conversation = factories.make_conversation(house.inbox, visitor=visitor)
    with house.inside():
        for text in texts:
            services.post_message(conversation, content=Content(text=text), author=None)
    return conversation


def sends():
    return Delivery.all_accounts.filter(kind="send").order_by("id")


def all_delivered():
    return not sends().exclude(state=State.DELIVERED).exists()


def test_an_inbox_sends_no_faster_than_its_channel_lets_it_and_loses_nothing():
    """DL-95, DL-96, DL-97: 20 messages at 5 at once and 10 a second take about 1.5 s, one attempt each."""
    times = []

    def noting(request):
        times.append(time.monotonic())
        return takes(request)

    with Server(noting) as channel:
        house = make_house(channel_url=channel.url)
        paced(house, pace=(5, 10))
        for n in range(20):
            post(house, f"hello {n}", visitor=f"visitor{n}")
        with courier(), courier():
            wait_for(all_delivered)
    assert len(times) == 20
    assert times[-1] - times[0] > 1.2
    assert Attempt.all_accounts.filter(delivery__kind="send").count() == 20


def test_one_contact_waits_in_order_while_others_are_written_to():
    """DL-96, DL-97: what goes to Ana waits for its second; Bob's goes at once; Ana's order is kept."""
    heard = []

    def noting(request):
        heard.append(request.json["text"])
        return takes(request)

    with Server(noting) as channel:
        house = make_house(channel_url=channel.url)
        paced(house, contact_pace=(1, 1))
        post(house, "one", "two", "three", visitor="ana")
        post(house, "hello", visitor="bob")
        with courier():
            wait_for(lambda: len(heard) >= 2)
            wait_for(Lane.all_accounts.filter(kind="send", blocked_reason=beginning.RATE).exists)
            wait_for(all_delivered)
    assert [text for text in heard if text != "hello"] == ["one", "two", "three"]
    assert set(heard[:2]) == {"one", "hello"}


@pytest.mark.parametrize("scope", ["inbox", "contact"])
def test_a_channel_that_asks_for_less_slows_down_just_what_it_means(scope):
    """DL-96: a throttled inbox stops for all of its conversations, a throttled pair for its own only."""
    heard = []

    def throttling(request):
        heard.append(request.json["text"])
        if request.json["text"] == "too much" and heard.count("too much") == 1:
            said = {"class": "throttled", "text": "slow", "retry_after": 1.5, "scope": scope}
            return Reply(429, json.dumps(said).encode())
        return takes(request)

    with Server(throttling) as channel:
        house = make_house(channel_url=channel.url)
        paced(house, pace=(50, 50), contact_pace=(50, 50))
        post(house, "too much", visitor="ana")
        with courier():
            wait_for(lambda: sends().filter(state=State.RETRY_WAIT).exists())
            throttled_at = time.monotonic()
            post(house, "hello", visitor="bob")
            wait_for(lambda: "hello" in heard)
            waited = time.monotonic() - throttled_at
            wait_for(all_delivered)
    assert (waited > 0.7) == (scope == "inbox")


def test_what_would_be_sent_after_the_window_is_given_up_at_once():
    """DL-97: no place before the reply window closes, so the sender is told now, not then."""
    with Server(takes) as channel:
        house = make_house(channel_url=channel.url, platform="daypaper")
        paced(house, pace=(1, 0.01))
        conversation = post(house, "first")
        with house.inside():
            closing = timezone.now() - timedelta(days=1)
            Address.objects.filter(pk=conversation.address_id).update(
                last_inbound_at=closing + timedelta(seconds=40)
            )
            services.post_message(conversation, content=Content(text="second"), author=None)
        with courier():
            wait_for(lambda: not sends().filter(state__in=Delivery.OPEN_STATES).exists())
    first, second = sends()
    assert (first.state, second.state) == (State.DELIVERED, State.DEAD)
    assert "window_closed" in second.dead_reason
    with house.inside():
        message = conversation.messages.order_by("id").last()
    assert (message.status, message.error_code) == ("failed", "window_would_close")


def test_several_buckets_give_what_they_have():
    """DL-95: one statement for many; whoever gets nothing is told how long to wait."""
    wide, narrow = Limit("wide", 10, 10), Limit("narrow", 2, 0.5)
    got = take_many({(wide, "a"): 4, (narrow, "a"): 5})
    assert got[wide, "a"].n == 4
    assert got[narrow, "a"].n == 2
    assert 1.5 < got[narrow, "a"].wait <= 2.0
    again = take_many({(wide, "a"): 100, (narrow, "a"): 1})
    assert again[wide, "a"].n in (6, 7)
    assert again[narrow, "a"].n == 0
    empty(wide, "a", seconds=3)
    assert 2.5 < take_many({(wide, "a"): 1})[wide, "a"].wait <= 3.0
    assert RateBucket.objects.count() == 2


def test_an_inbox_says_how_fast_it_may_send():
    """DL-95: WhatsApp's default is 60 a second; the inbox's own figure counts, within 1 to 1000."""
    channel = channels.get("whatsapp")
    for said, per_second in (("", 60), ("300", 300)):
        inbox = channels.InboxConfig(1, 1, "whatsapp", {}, {"messages_per_second": said})
        limit = channel.pace(inbox).inbox
        assert limit is not None
        assert limit.per_second == per_second
    field = next(one for one in channel.fields if one.name == "messages_per_second")
    assert field.refusal("") == field.refusal("1000") == ""
    assert all(field.refusal(wrong) for wrong in ("0", "1001", "12.5", "²"))
