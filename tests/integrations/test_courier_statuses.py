"""Status lanes: many statuses at a time, in any order, and nobody waits for them (DL-24, F-23)."""

from __future__ import annotations

import itertools

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations import services
from conversations.messages import Content, DeliveryStatus, StatusUpdate
from conversations.models import Delivery, Event, Lane, Message
from integrations.models import Receipt
from tests import factories
from tests.integrations.couriers import courier, wait_for
from tests.integrations.test_courier_reading import bring, house, none_new, said, texts

__all__ = ["house"]

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State


def made(house, n=1, visitor="ana"):
    """Messages that the channel has, by the ids it gave them: `ext-0`, `ext-1`, …"""
    conversation = factories.make_conversation(house.inbox, visitor=visitor)
    with house.inside():
        for number in range(n):
            message = services.post_message(
                conversation, content=Content(text=f"answer {number}"), author=None
            )
            Message.objects.filter(pk=message.pk).update(
                external_id=f"ext-{number}", status=DeliveryStatus.QUEUED
            )
        Delivery.objects.filter(kind="send").update(state=State.DELIVERED)
        return list(Message.objects.filter(direction="outbound").order_by("id"))


def status(word, about="ext-0", **fields):
    return {"id": f"{about}:{word}", "from": "ana", "status": word, "about": about, **fields}


def statuses(house):
    with house.inside():
        outbound = Message.objects.filter(direction="outbound").order_by("id")
        return list(outbound.values_list("status", flat=True))


def told(house):
    with house.inside():
        events = Event.objects.filter(type="message.status").order_by("sequence")
        return [event.data["status"] for event in events]


def results(house):
    with house.inside():
        return list(Receipt.objects.order_by("id").values_list("result", flat=True))


@pytest.mark.parametrize("order", list(itertools.permutations(("sent", "delivered", "read"))))
@pytest.mark.parametrize("at_once", [True, False], ids=["together", "one after the other"])
def test_f_23_statuses_in_any_order_end_at_read_and_no_event_comes_twice(house, order, at_once):
    made(house)
    with courier():
        if at_once:
            bring(house, *(status(word) for word in order))
        for word in () if at_once else order:
            bring(house, status(word))
            wait_for(none_new(house))
        wait_for(none_new(house))
    assert statuses(house) == ["read"]
    events = told(house)
    assert events[-1] == "read"
    assert events == sorted(set(events), key=["sent", "delivered", "read"].index)
    # Together they are one step; one after the other, each that is a step forward is told.
    if at_once:
        assert events == ["read"]


def test_dl_24_several_words_about_one_message_are_told_as_the_furthest(house):
    made(house, 2)
    bring(house, status("sent"), status("delivered"), status("sent", "ext-1"))
    with courier():
        wait_for(none_new(house))
    assert statuses(house) == ["delivered", "sent"]
    assert sorted(told(house)) == ["delivered", "sent"]


def test_dl_24_a_status_of_an_unknown_message_holds_up_nobody(house):
    """It waits for three seconds; its contact's messages and other statuses do not."""
    made(house)
    with courier():
        bring(house, status("read", "nobody"))
        wait_for(lambda: results(house) == ["no message nobody"])
        bring(house, status("read"), said("m1", "after"))
        wait_for(lambda: statuses(house) == ["read"] and "after" in texts(house), 1.5)
        with house.inside():
            assert Receipt.objects.earliest("id").state == "new"
        wait_for(none_new(house))
    assert results(house)[0] == "ignored: no message nobody"


def test_dl_24_statuses_pass_a_message_that_breaks_us(house, caplog):
    made(house)
    with courier(), caplog.at_level("CRITICAL"):
        bring(house, said("m1", "poison"), status("read"))
        wait_for(lambda: statuses(house) == ["read"])
    assert "new" in receipt_states_of(house, "inbound")


def receipt_states_of(house, kind):
    with house.inside():
        lanes = list(Lane.objects.filter(kind=kind).values_list("pk", flat=True))
        return list(Receipt.objects.filter(lane_id__in=lanes).values_list("state", flat=True))


def test_a_status_that_overtakes_the_answer_to_its_send_is_not_lost(house):
    """The channel's id is not known yet, and the channel names no reference of ours."""
    [message] = made(house)
    with house.inside():
        Message.objects.filter(pk=message.pk).update(external_id="")
    with courier():
        bring(house, status("delivered"))
        wait_for(lambda: results(house) == ["no message ext-0"])
        with house.inside():
            Message.objects.filter(pk=message.pk).update(external_id="ext-0")
        wait_for(lambda: statuses(house) == ["delivered"])


def test_an_unreadable_status_fails_alone_and_one_that_breaks_us_is_tried_again(house, caplog):
    made(house)
    with courier(), caplog.at_level("CRITICAL"):
        bring(house, status("nonsense"), status("read"), status("sent", "ext-0", id="other"))
        wait_for(lambda: statuses(house) == ["read"])
    with house.inside():
        broken = Receipt.objects.earliest("id")
    assert broken.result.startswith("ValueError")
    assert broken.next_try_at is not None


def test_as_many_statements_for_many_statuses_as_for_one(house):
    made(house, 20)

    def statements(numbers, word):
        updates = [StatusUpdate(f"ext-{n}", DeliveryStatus(word)) for n in numbers]
        with house.inside(), CaptureQueriesContext(connection) as asked:
            lines = services.receive_statuses(house.inbox, updates)
        assert all(line and line.endswith(word) for line in lines)
        return len(asked)

    assert statements([0], "sent") == statements(range(1, 20), "sent")


def test_a_batch_settles_the_sends_that_may_have_arrived(house):
    """DL-42: by our own reference, where the channel's answer was lost."""
    one, two = made(house, 2)
    with house.inside():
        Message.objects.update(external_id="")
        sends = Delivery.objects.filter(kind="send").order_by("id")
        sends.filter(message=one).update(state=State.UNCERTAIN)
        sends.filter(message=two).update(state=State.IN_FLIGHT)
        lines = services.receive_statuses(
            house.inbox,
            [
                StatusUpdate("x1", DeliveryStatus.SENT, our_reference=f"{one.public_id}-0"),
                StatusUpdate("x2", DeliveryStatus.READ, our_reference=f"{two.public_id}-0"),
                StatusUpdate("x3", DeliveryStatus.READ, our_reference="msg_0000000000000-0"),
            ],
        )
        found = list(sends.values_list("state", "provider_message_id"))
    assert found == [("delivered", "x1"), ("in_flight", "x2")]
    assert lines[2] is None
    assert statuses(house) == ["sent", "read"]


def with_second_part(message, state, external_id=""):
    """The same message with one part more; its first part is `ext-0`."""
    send = Delivery.objects.get(kind="send")
    Delivery.objects.filter(pk=send.pk).update(provider_message_id="ext-0")
    return Delivery.objects.create(
        lane=send.lane,
        kind="send",
        schedule="send",
        wire_id="w",
        message=message,
        conversation_id=message.conversation_id,
        part=1,
        sequence=2,
        state=state,
        due_at=timezone.now(),
        provider_message_id=external_id,
    )


@pytest.mark.parametrize("state", [State.IN_FLIGHT, State.UNCERTAIN])
def test_dl_42_what_is_said_of_the_first_part_proves_nothing_of_the_second(house, state):
    [message] = made(house)
    with house.inside():
        second = with_second_part(message, state)
        services.receive_statuses(house.inbox, [StatusUpdate("ext-0", DeliveryStatus.DELIVERED)])
        second.refresh_from_db()
    assert (second.state, second.provider_message_id) == (state, "")


@pytest.mark.parametrize(
    ("state", "ends"), [(State.IN_FLIGHT, "in_flight"), (State.UNCERTAIN, "delivered")]
)
def test_dl_42_a_proof_stands_whatever_is_said_beside_it(house, state, ends):
    """Both in one batch: the second part was taken, the first was delivered."""
    [message] = made(house)
    with house.inside():
        second = with_second_part(message, state)
        reference = f"{message.public_id}-1"
        updates = [
            StatusUpdate("ext-1", DeliveryStatus.SENT, our_reference=reference),
            StatusUpdate("ext-0", DeliveryStatus.DELIVERED),
        ]
        services.receive_statuses(house.inbox, updates)
        second.refresh_from_db()
    assert (second.state, second.provider_message_id) == (ends, "ext-1")


def test_a_message_never_takes_the_id_of_its_second_part(house):
    [message] = made(house)
    with house.inside():
        Message.objects.update(external_id="")
        with_second_part(message, State.IN_FLIGHT)
        update = StatusUpdate("ext-1", DeliveryStatus.SENT, our_reference=f"{message.public_id}-1")
        services.receive_statuses(house.inbox, [update])
        message.refresh_from_db()
    assert message.external_id == ""


def test_a_later_part_is_found_by_the_id_the_channel_gave_it(house):
    [message] = made(house)
    with house.inside():
        with_second_part(message, State.DELIVERED, "part-1")
        update = StatusUpdate("part-1", DeliveryStatus.READ)
        assert services.receive_statuses(house.inbox, [update]) == [f"{message.public_id} is read"]


def test_agents_hear_in_one_go_what_became_of_their_words(house):
    conversations = [house.talk(visitor) for visitor in ("ana", "bo", "cy")]
    with house.inside():
        updates = []
        for conversation in conversations:
            message = services.post_message(
                conversation, content=Content(text="Hi"), author=house.agent.member
            )
            updates.append(
                StatusUpdate("", DeliveryStatus.READ, our_reference=f"{message.public_id}-0")
            )
        with CaptureQueriesContext(connection) as one:
            services.receive_statuses(house.inbox, updates[:1])
        with CaptureQueriesContext(connection) as two:
            services.receive_statuses(house.inbox, updates[1:])
        news = Delivery.objects.filter(event_type="message.status", kind="agent").order_by("id")
        bodies = [delivery.body for delivery in news]
    assert len(one) == len(two)
    assert len(bodies) == 3
    assert all(b'"status":"read"' in body for body in bodies)
