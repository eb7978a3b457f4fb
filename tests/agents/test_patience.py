"""Nobody waits forever: the timer, its reasons, and the invariant."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from agents import patience
from agents.actions import Answer, Typing
from agents.models import Agent
from agents.services import apply_answer, delivery_failed
from conversations import services, timers
from conversations.messages import Content
from conversations.models import (
    Assignment,
    Attempt,
    Conversation,
    Delivery,
    Endpoint,
    Message,
    Timer,
)
from tests.agents.lane import deliveries, patience_of, sent_on
from tests.factories import make_agent, make_conversation, said


@pytest.fixture
def held(house: SimpleNamespace) -> Conversation:
    """A conversation that waits for the house's agent."""
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    return services.assign(conversation, to=house.agent.member, by=house.owner)


def fire(conversation: Conversation) -> None:
    """What the courier does with a due timer."""
    timer = patience_of(conversation)
    assert timer is not None
    timers.fire(timer)
    Timer.objects.filter(pk=timer.pk).delete()


def let_wait(conversation: Conversation, seconds: float) -> None:
    """As if the customer had written so long ago."""
    back = timezone.now() - timedelta(seconds=seconds)
    Conversation.objects.filter(pk=conversation.pk).update(waiting_since=back)
    Assignment.objects.filter(conversation=conversation).update(started_at=back)


def attempt(delivery: Delivery, **fields: Any) -> None:
    number = delivery.attempt_log.count() + 1
    now = timezone.now()
    Attempt.objects.create(delivery=delivery, n=number, started_at=now, ended_at=now, **fields)


def test_nobody_loses_a_customer_who_waits_no_more(
    house: SimpleNamespace, held: Conversation
) -> None:
    Conversation.objects.filter(pk=held.pk).update(waiting_since=None)
    fire(held)
    assert Conversation.objects.get(pk=held.pk).assignee == house.agent.member


def test_what_is_told_as_a_notice_keeps_no_customer_waiting(
    house: SimpleNamespace, held: Conversation
) -> None:
    assert patience.has_unheard(held, house.agent)
    Delivery.objects.filter(endpoint=house.agent.endpoint).update(schedule="notice")
    assert not patience.has_unheard(held, house.agent)


def test_each_message_starts_a_wait_unless_one_runs(
    house: SimpleNamespace, held: Conversation
) -> None:
    """DL-60"""
    first = patience_of(held)
    assert first is not None
    assert abs((first.due_at - timezone.now()).total_seconds() - house.agent.patience_s) < 5
    Timer.objects.filter(pk=first.pk).update(due_at=first.due_at - timedelta(seconds=60))
    services.receive(house.inbox, said("Hello?", visitor="same"))
    second = patience_of(held)
    assert second is not None
    assert second.due_at == first.due_at - timedelta(seconds=60)


@pytest.mark.parametrize("reaction", ["message", "hand_off", "resolve"])
def test_any_visible_reaction_ends_the_wait(
    house: SimpleNamespace, held: Conversation, reaction: str
) -> None:
    """DL-60"""
    for delivery in deliveries(house.agent):
        sent_on(delivery)
    agent = house.agent.member
    match reaction:
        case "message":
            services.post_message(held, content=Content(text="Hi"), author=agent)
        case "hand_off":
            services.hand_off(held, by=agent)
        case "resolve":
            services.resolve(held, by=agent)
    assert patience_of(held) is None


def test_what_the_customer_cannot_see_ends_no_wait(
    house: SimpleNamespace, held: Conversation
) -> None:
    services.add_note(held, text="thinking", author=house.agent.member)
    services.add_labels(held, ["x"], by=house.agent.member)
    services.post_message(held, content=Content(text="automatic"), author=None)
    assert patience_of(held) is not None


def test_an_answer_to_the_first_message_leaves_the_second_waiting(
    house: SimpleNamespace, held: Conversation
) -> None:
    for delivery in deliveries(house.agent):
        sent_on(delivery)
    services.receive(house.inbox, said("And another thing", visitor="same"))
    services.post_message(held, content=Content(text="Hi"), author=house.agent.member)
    assert patience_of(held) is not None


def test_typing_extends_the_wait_once(house: SimpleNamespace, held: Conversation) -> None:
    first = patience_of(held)
    assert first is not None
    for _ in range(3):
        apply_answer(held, house.agent, Answer((Typing(),)))
    second = patience_of(held)
    assert second is not None
    assert second.due_at - first.due_at == timedelta(seconds=house.agent.patience_s)


def test_silence_gives_the_conversation_to_people(
    house: SimpleNamespace, held: Conversation
) -> None:
    """F-10, DL-61: the agent took the message (202) and never answered."""
    Agent.objects.update(fallback_team=house.team, fallback_text="A colleague will answer.")
    for delivery in deliveries(house.agent):
        sent_on(delivery)
    services.add_labels(held, ["x"], by=house.person)
    fire(held)
    held.refresh_from_db()
    assert (held.assignee, held.team, held.assignment_epoch) == (None, house.team, 2)
    assignment = held.assignments.get(epoch=2)
    assert assignment.reason == "agent_timeout"
    assert assignment.detail == "no answer within 90 seconds"
    assert "Hello" in assignment.summary
    line = Message.objects.filter(direction="system").latest("id")
    assert line.text == (
        f"The AI agent did not answer in time; given to {house.team.name}:"
        " no answer within 90 seconds"
    )
    assert Message.objects.get(direction="outbound").text == "A colleague will answer."
    states = {one.event_type: one.state for one in deliveries(house.agent, canceled=True)}
    assert states["conversation.updated"] == "canceled"
    assert states["conversation.unassigned"] == "pending"


def test_the_inbox_team_is_the_second_choice_and_the_queue_the_last(
    house: SimpleNamespace, held: Conversation
) -> None:
    """F-35, DL-61"""
    fire(held)
    held.refresh_from_db()
    assert (held.assignee, held.team, held.status) == (None, None, "open")
    house.inbox.fallback_team = house.team
    house.inbox.save()
    services.assign(held, to=house.agent.member, by=house.owner)
    fire(held)
    held.refresh_from_db()
    assert held.team == house.team
    assert patience.unanswered_over_patience() == []


def test_the_reason_is_unreachable_when_attempts_failed(
    house: SimpleNamespace, held: Conversation
) -> None:
    """F-09"""
    first = deliveries(house.agent)[0]
    attempt(first, outcome="http_error", status=500)
    attempt(first, outcome="refused", error="connection refused")
    sent_on(first, Delivery.State.RETRY_WAIT)
    fire(held)
    assignment = Assignment.objects.get(conversation=held, epoch=2)
    assert assignment.reason == "agent_unreachable"
    assert assignment.detail == (
        "no answer within 90 seconds; attempt 2 failed (connection refused)"
    )


def test_a_slow_agent_is_late_and_not_unreachable(
    house: SimpleNamespace, held: Conversation
) -> None:
    attempt(deliveries(house.agent)[0], outcome="timeout_read")
    fire(held)
    assert Assignment.objects.get(conversation=held, epoch=2).reason == "agent_timeout"


def test_a_timer_of_an_old_holder_does_nothing(house: SimpleNamespace, held: Conversation) -> None:
    timer = patience_of(held)
    assert timer is not None
    services.take_over(held, by=house.person)
    timers.fire(timer)
    held.refresh_from_db()
    assert (held.assignee, held.assignment_epoch) == (house.person, 2)


def test_a_timer_that_fires_five_minutes_late_falls_back_once(
    house: SimpleNamespace, held: Conversation
) -> None:
    """F-34"""
    Agent.objects.update(fallback_text="A colleague will answer.")
    timer = patience_of(held)
    assert timer is not None
    Timer.objects.update(due_at=timezone.now() - timedelta(minutes=5))
    for _ in range(2):
        timers.fire(timer)
    assert held.assignments.filter(reason="agent_timeout").count() == 1
    assert Message.objects.filter(direction="outbound").count() == 1


def test_the_customer_is_told_once_a_day(house: SimpleNamespace, held: Conversation) -> None:
    """DL-61"""
    Agent.objects.update(fallback_text="A colleague will answer.")
    told = Message.objects.filter(text="A colleague will answer.")
    for expected in (1, 1):
        fire(held)
        assert told.count() == expected
        services.assign(held, to=house.agent.member, by=house.owner)
    told.update(created_at=timezone.now() - timedelta(hours=25))
    fire(held)
    assert told.count() == 2


def test_people_see_that_the_customer_could_not_be_told(
    house: SimpleNamespace, held: Conversation
) -> None:
    Agent.objects.update(fallback_text="A colleague will answer.")
    house.inbox.state = "disabled"
    house.inbox.save()
    fire(held)
    held.refresh_from_db()
    assert held.assignee is None
    line = Message.objects.filter(direction="system").latest("id")
    assert line.content["code"] == "not_told"


# --- Dead deliveries -----------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["agent_unreachable", "agent_rejected"])
def test_a_dead_delivery_gives_the_conversation_to_people_once(
    house: SimpleNamespace, held: Conversation, reason: str
) -> None:
    """DL-34, F-09"""
    first, second = deliveries(house.agent)
    attempt(first, outcome="http_error", status=404)
    for delivery in (first, second, first):
        delivery_failed(sent_on(delivery, Delivery.State.DEAD), reason=reason)
    held.refresh_from_db()
    assert (held.assignee, held.assignment_epoch) == (None, 2)
    assignment = held.assignments.get(epoch=2)
    assert (assignment.reason, assignment.detail) == (reason, "attempt 1 got HTTP 404")


def test_a_dead_delivery_of_an_old_epoch_changes_nothing(
    house: SimpleNamespace, held: Conversation
) -> None:
    first = deliveries(house.agent)[0]
    services.take_over(held, by=house.person)
    services.give_back(held, by=house.person)
    delivery_failed(first, reason="agent_unreachable")
    held.refresh_from_db()
    assert held.assignee == house.agent.member


def test_a_status_that_could_not_be_told_is_no_reason_to_take_it_away(
    house: SimpleNamespace, held: Conversation
) -> None:
    services.add_labels(held, ["x"], by=house.person)
    delivery_failed(deliveries(house.agent)[-1], reason="agent_rejected")
    held.refresh_from_db()
    assert held.assignee == house.agent.member


def test_an_endpoint_that_is_gone_loses_all_its_conversations(
    house: SimpleNamespace, held: Conversation
) -> None:
    """F-12, DL-33"""
    from accounts.models import AuditEntry

    second = services.assign(make_conversation(house.inbox), to=house.agent.member, by=house.owner)
    other = make_agent(house.account)
    third = services.assign(make_conversation(house.inbox), to=other.member, by=house.owner)
    dead = sent_on(deliveries(house.agent)[0], Delivery.State.DEAD)
    for _ in range(2):
        delivery_failed(dead, reason="agent_disabled")
    endpoint = Endpoint.objects.get(pk=house.agent.endpoint_id)
    assert (endpoint.state, endpoint.disabled_reason) == (
        "disabled",
        "its endpoint answered 410 Gone",
    )
    for conversation in (held, second):
        conversation.refresh_from_db()
        assert conversation.assignee is None
        assert conversation.assignments.get(epoch=2).reason == "agent_disabled"
    third.refresh_from_db()
    assert third.assignee == other.member
    assert AuditEntry.objects.filter(action="agent.endpoint_disabled").count() == 1


# --- The invariant -------------------------------------------------------------------------------


def test_the_invariant_sees_who_waits_too_long(house: SimpleNamespace, held: Conversation) -> None:
    """DL-65"""
    assert patience.unanswered_over_patience() == []
    let_wait(held, house.agent.patience_s + 9)
    assert patience.unanswered_over_patience() == []
    let_wait(held, house.agent.patience_s + 11)
    assert patience.unanswered_over_patience() == [held.pk]
    patience.extend(held, house.agent)
    assert patience.unanswered_over_patience() == []
    let_wait(held, 2 * house.agent.patience_s + 11)
    assert patience.unanswered_over_patience() == [held.pk]
    fire(held)
    assert patience.unanswered_over_patience() == []


def test_the_invariant_counts_from_the_assignment_where_that_came_later(
    house: SimpleNamespace, held: Conversation
) -> None:
    Conversation.objects.update(waiting_since=timezone.now() - timedelta(hours=3))
    assert patience.unanswered_over_patience() == []


@pytest.mark.parametrize("end", ["answered", "resolved", "taken over"])
def test_the_invariant_is_content_with_every_ending(
    house: SimpleNamespace, held: Conversation, end: str
) -> None:
    let_wait(held, 10_000)
    match end:
        case "answered":
            services.post_message(held, content=Content(text="Hi"), author=house.agent.member)
        case "resolved":
            services.resolve(held, by=house.agent.member)
        case "taken over":
            services.take_over(held, by=house.person)
    assert patience.unanswered_over_patience() == []
