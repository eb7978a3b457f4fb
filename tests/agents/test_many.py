"""What is done for many at once is what would be done for each, with as many statements as for one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import services as agents
from agents.models import Agent, AssignmentRule, Decision
from agents.services import Response
from conversations import services
from conversations.messages import Kind
from conversations.models import Contact, Conversation, Delivery, Event, Message, Timer
from tests import factories
from tests.factories import said

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(house):
    """A rule that gives new chats to the agent, and one that a word gives to people."""
    rules = (
        ("People", {"field": "text", "op": "contains", "value": "human"}, [{"type": "hand_off"}]),
        (
            "New chats",
            {"field": "first_message", "op": "is", "value": True},
            [{"type": "assign", "agent": house.agent.public_id}],
        ),
    )
    for position, (name, condition, actions) in enumerate(rules):
        AssignmentRule.objects.create(
            name=name, condition=condition, actions=actions, position=position
        )
    return house


def visitors(n, prefix="v"):
    return [f"{prefix}{number}" for number in range(n)]


def everybody_says(desk, text, people):
    return services.receive_messages(desk.inbox, [said(text, visitor=one) for one in people])


def statements(desk, people):
    with CaptureQueriesContext(connection) as seen:
        everybody_says(desk, "and this?", people)
    return len(seen)


def rows(desk, visitor):
    """What there is about one visitor's conversation, without what differs between any two."""
    about = Conversation.objects.get(address__identifiers__value=visitor)
    deliveries = Delivery.objects.filter(conversation=about).order_by("id")
    return {
        "conversation": (
            about.preview, about.preview_direction, about.unread_count, about.inbound_count,
            about.last_sequence, about.assignment_epoch, about.assignee, about.status,
            about.waiting_since is not None,
        ),
        "messages": list(
            Message.objects.filter(conversation=about)
            .order_by("id")
            .values_list("direction", "kind", "text", "status")
        ),
        "events": list(
            Event.objects.filter(conversation=about)
            .order_by("sequence")
            .values_list("type", "sequence", "epoch")
        ),
        "decisions": [
            (one.outcome, [row["matched"] for row in one.trace], sorted(one.facts))
            for one in Decision.objects.filter(conversation=about).order_by("id")
        ],
        "deliveries": list(deliveries.values_list("kind", "event_type", "sequence", "state")),
        "timers": list(Timer.objects.filter(conversation=about).values_list("kind", "epoch")),
        "window": about.address.last_inbound_at is not None,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["and this?", "a human please"])
def test_several_customers_at_once_leave_what_each_would_leave_alone(desk, text):
    together, alone = visitors(3, "t"), visitors(3, "a")
    everybody_says(desk, "hello", together)
    everybody_says(desk, text, together)
    for visitor in alone:
        services.receive(desk.inbox, said("hello", visitor=visitor))
        services.receive(desk.inbox, said(text, visitor=visitor))
    first = rows(desk, alone[0])
    assert first["deliveries"]
    assert [rows(desk, one) for one in (*together, *alone)] == [first] * 6


def test_known_customers_cost_as_many_statements_as_one(desk):
    everybody_says(desk, "hello", visitors(12))
    assert statements(desk, visitors(12)) == statements(desk, visitors(1))


def test_new_customers_cost_as_many_statements_as_one(desk):
    assert statements(desk, visitors(12, "many")) == statements(desk, visitors(1, "one"))


def test_a_crowd_that_rules_about_assignments_wait_for_is_decided_one_by_one(desk):
    label = {"type": "label", "names": ["new"]}
    anything = {"field": "status", "op": "is", "value": "open"}
    AssignmentRule.objects.create(
        name="Label", event="conversation.assigned", condition=anything, actions=[label]
    )
    everybody_says(desk, "hello", visitors(3))
    assert [one.labels.get().name for one in Conversation.objects.all()] == ["new"] * 3
    assert Decision.objects.filter(event_type="conversation.assigned").count() == 3


def test_a_crowd_that_rules_about_losing_it_wait_for_is_decided_one_by_one(desk):
    """Their agent may turn out to be away, and loops are cut by what one conversation has caused."""
    anything = {"field": "status", "op": "is", "value": "open"}
    label = {"type": "label", "names": ["lost"]}
    AssignmentRule.objects.create(
        name="Lost", event="conversation.unassigned", condition=anything, actions=[label]
    )
    everybody_says(desk, "hello", visitors(25))
    assert {one.assignee for one in Conversation.objects.all()} == {desk.agent.member}
    assert statements(desk, visitors(12, "many")) > statements(desk, visitors(1, "one"))


def test_a_crowd_for_an_agent_that_may_not_work_goes_to_people_with_the_reason(desk):
    desk.agent.state = Agent.State.PAUSED
    desk.agent.save()
    everybody_says(desk, "hello", visitors(3))
    outcomes = Decision.objects.values_list("outcome", flat=True)
    assert {one.assignee for one in Conversation.objects.all()} == {None}
    assert len(outcomes) == 3
    assert all("not given to" in one for one in outcomes)


def test_two_messages_of_a_stranger_in_one_batch_make_one_contact(desk):
    everybody_says(desk, "hello", ["v1", "v2", "v1"])
    assert Contact.objects.count() == 2
    assert list(Conversation.objects.order_by("number").values_list("number", flat=True)) == [1, 2]


def test_what_one_customer_says_twice_in_a_batch_is_heard_in_order(desk):
    lines = services.receive_messages(
        desk.inbox,
        [said("one", visitor="v1"), said("two", visitor="v2"), said("three", visitor="v1")],
    )
    about = Conversation.objects.get(address__identifiers__value="v1")
    texts = Message.objects.filter(conversation=about, direction="inbound").order_by("id")
    assert [message.text for message in texts] == ["one", "three"]
    assert lines[2] == f"message {texts[1].public_id}"
    assert (about.inbound_count, about.preview) == (2, "three")
    sequences = Event.objects.filter(conversation=about).order_by("sequence")
    assert [one.sequence for one in sequences] == list(range(1, len(sequences) + 1))


def test_a_reaction_an_edit_and_a_blocked_contact_keep_their_places_in_a_batch(desk):
    services.receive(desk.inbox, said("tea", visitor="v1", external_id="m1"))
    blocked = factories.make_conversation(desk.inbox, visitor="v2").contact
    blocked.blocked = True
    blocked.save()
    edit = said("coffee", visitor="v1", kind=Kind.EDIT, target_external_id="m1")
    lines = services.receive_messages(
        desk.inbox,
        [said("hello?", visitor="v2"), edit, said("", visitor="v3", kind=Kind.REACTION)],
    )
    changed = Message.objects.get(external_id="m1")
    assert changed.text == "coffee"
    assert lines[:2] == ["ignored: the contact is blocked", f"edit of {changed.public_id}"]
    assert lines[2].startswith("message ")
    third = Conversation.objects.get(address__identifiers__value="v3")
    assert third.waiting_since is None


def test_the_reply_window_never_moves_back_in_a_batch(desk):
    now = timezone.now()
    services.receive_messages(
        desk.inbox,
        [
            said("now", visitor="v1", sent_at=now),
            said("delayed", visitor="v1", sent_at=now - timedelta(hours=23)),
        ],
    )
    about = Conversation.objects.get(address__identifiers__value="v1")
    assert about.address.last_inbound_at == now


def test_a_second_copy_in_a_batch_refuses_all_of_it(desk):
    services.receive(desk.inbox, said("tea", visitor="v1", external_id="m1"))
    with pytest.raises(IntegrityError), transaction.atomic():
        services.receive_messages(
            desk.inbox,
            [said("news", visitor="v2"), said("tea", visitor="v1", external_id="m1")],
        )
    assert not Message.objects.filter(text="news").exists()


# --- Answers -------------------------------------------------------------------------------------


def asked(desk, people):
    """The deliveries of what customers of the agent said, under way to it."""
    everybody_says(desk, "hello", people)
    Delivery.objects.filter(kind="agent").update(state=Delivery.State.IN_FLIGHT)
    return [
        Delivery.objects.get(
            event_type="message.created", conversation__address__identifiers__value=one
        )
        for one in people
    ]


def answers(deliveries, body):
    return [Response(one, 200, {}, body) for one in deliveries]


def test_plain_answers_are_settled_together_and_said_once(desk):
    deliveries = asked(desk, visitors(3))
    replies = answers(deliveries, b'{"reply": "yes"}')
    assert agents.settle_many(replies) == {0: "ok", 1: "ok", 2: "ok"}
    assert Message.objects.filter(direction="outbound", text="yes").count() == 3
    assert Delivery.objects.filter(kind="send").count() == 3
    assert not Timer.objects.filter(kind="patience").exists()
    assert agents.settle_many(replies) == {}
    assert agents.settle(deliveries[0], status=200, headers={}, body=b'{"reply": "yes"}') == (
        "answered before"
    )


def test_together_and_alone_say_the_same(desk):
    one, other = asked(desk, ["v1", "v2"])
    agents.settle_many(answers([one], b'{"reply": "yes"}'))
    agents.settle(other, status=200, headers={}, body=b'{"reply": "yes"}')
    assert rows(desk, "v1") == rows(desk, "v2")


def test_what_is_not_plain_is_left_to_be_settled_with_care(desk):
    held, lost, empty, acting, broken = asked(desk, visitors(5))
    services.take_over(lost.conversation, by=desk.person)
    lines = agents.settle_many(
        [
            *answers([held, lost], b'{"reply": "yes"}'),
            *answers([empty], b"{}"),
            *answers([acting], b'{"reply": "bye", "actions": [{"type": "resolve"}]}'),
            *answers([broken], b"not json"),
        ]
    )
    assert lines == {0: "ok", 2: "no answer"}
    assert Message.objects.filter(direction="outbound").count() == 1
    assert agents.settle(lost, status=200, headers={}, body=b'{"reply": "yes"}') == "stale_epoch"
    assert Message.objects.get(direction="draft").text == "yes"
