"""What comes of an agent's answer: once, all of it or nothing, and behind the fence."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from agents.actions import Answer, HandOff, Resolve, Say
from agents.services import MistakenActionError, apply_answer, change_agent, settle
from conversations import services
from conversations.errors import NotHolderError
from conversations.messages import Content
from conversations.models import Conversation, Delivery, Message
from tests.agents.lane import deliveries, sent_on
from tests.factories import make_agent, make_conversation, make_inbox, said


@pytest.fixture
def held(house: SimpleNamespace) -> Conversation:
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    return services.assign(conversation, to=house.agent.member, by=house.owner)


@pytest.fixture
def question(house: SimpleNamespace, held: Conversation) -> Delivery:
    """The customer's message on its way to the agent."""
    assigned, created = deliveries(house.agent)
    sent_on(assigned)
    return sent_on(created, Delivery.State.IN_FLIGHT)


def answer(delivery: Delivery, body: Any, *, status: int = 200, late: bool = False) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return settle(
        delivery, status=status, headers={"content-type": "application/json"}, body=raw, late=late
    )


def outbound() -> list[str]:
    return list(
        Message.objects.filter(direction="outbound").order_by("id").values_list("text", flat=True)
    )


def drafts() -> list[tuple[str, str]]:
    rows = Message.objects.filter(direction="draft").order_by("pk")
    return list(rows.values_list("text", "draft_reason"))


def last_line(conversation: Conversation) -> Message:
    return Message.objects.filter(conversation=conversation, direction="system").latest("id")


EVERYTHING = {
    "messages": [
        {"text": "One"},
        {"kind": "buttons", "text": "Two", "buttons": [{"id": "a", "title": "A"}]},
    ],
    "actions": [
        {"type": "hand_off", "reason": "wants a refund", "summary": "Lamp broken"},
        {"type": "label", "names": ["refund"]},
        {"type": "attribute", "on": "contact", "values": {"tier": "gold"}},
        {"type": "attribute", "on": "conversation", "values": {"order": 7}},
        {"type": "note", "text": "be nice"},
    ],
}


def test_an_attribute_that_does_not_fit_its_definition_refuses_the_answer(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """All of it or nothing; people read why."""
    services.define_attribute(
        of="contact", key="tier", name="Tier", kind="list", values=["silver"], by=house.owner
    )
    assert answer(question, EVERYTHING) == "refused: Tier is one of: silver."
    assert outbound() == []
    assert last_line(held).content["code"] == "answer_refused"


def test_everything_of_one_answer_is_done(question: Delivery, held: Conversation) -> None:
    assert answer(question, EVERYTHING) == "ok"
    held.refresh_from_db()
    assert outbound() == ["One", "Two"]
    assert [label.name for label in held.labels.all()] == ["refund"]
    assert held.contact.attributes == {"tier": "gold"}
    assert held.attributes == {"order": 7}
    assert Message.objects.get(direction="note").text == "be nice"
    assignment = held.assignments.latest("epoch")
    assert (assignment.reason, assignment.detail, assignment.summary) == (
        "handed_off",
        "wants a refund",
        "Lamp broken",
    )
    assert held.assignee is None


def test_one_answer_has_one_effect_when_it_comes_twice(
    question: Delivery, held: Conversation
) -> None:
    """DL-37, DL-38"""
    assert answer(question, {"reply": "Hi", "actions": [{"type": "note", "text": "n"}]}) == "ok"
    assert answer(question, {"reply": "Hi"}) == "answered before"
    assert answer(question, {"reply": "Something else"}) == "answered before"
    assert outbound() == ["Hi"]
    assert Message.objects.filter(direction="note").count() == 1
    assert Delivery.objects.filter(kind="send").count() == 1


def test_the_answer_to_a_replay_is_the_first_one(question: Delivery, held: Conversation) -> None:
    """DL-37: keyed by the wire id, which a replay shares."""
    answer(question, {"reply": "Hi"})
    replay = Delivery.objects.get(pk=question.pk)
    replay.pk, replay.replay_of, replay.sequence, replay.answered_at = None, question, 99, None
    replay.save(force_insert=True)
    assert answer(replay, {"reply": "Hi again"}) == "answered before"
    assert outbound() == ["Hi"]


@pytest.mark.parametrize(
    ("status", "body"), [(204, b""), (200, b""), (200, b" \n"), (200, b"null"), (202, b"{}")]
)
def test_no_answer_is_no_answer(question: Delivery, status: int, body: bytes) -> None:
    assert answer(question, body, status=status) == "no answer"
    assert outbound() == []


def test_an_unreadable_answer_does_nothing_and_people_see_why(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    outcome = answer(question, {"messages": [{"text": "Hi"}], "actions": [{"type": "explode"}]})
    assert outcome.startswith("unreadable: actions[0].type should be one of label")
    assert outbound() == []
    line = last_line(held)
    assert line.text.startswith(f"The answer of {house.agent.name} could not be used: actions[0]")


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "assign", "team": "No such team"},
        {"type": "assign", "member": "mem_0000000000000"},
        {"type": "hand_off", "team": "No such team"},
    ],
    ids=str,
)
def test_an_answer_with_one_impossible_act_does_nothing_of_it(
    question: Delivery, held: Conversation, bad: dict[str, Any]
) -> None:
    outcome = answer(question, {"reply": "Hi", "actions": [{"type": "label", "names": ["x"]}, bad]})
    assert outcome.startswith("refused: There is no ")
    held.refresh_from_db()
    assert (outbound(), held.labels.count(), held.held_by_agent) == ([], 0, True)
    assert last_line(held).content["code"] == "answer_refused"
    assert answer(question, {"reply": "Better"}) == "ok"


def test_an_answer_after_the_time_limit_is_kept_as_a_draft(
    question: Delivery, held: Conversation
) -> None:
    """F-11, DL-39"""
    outcome = answer(question, {"reply": "Hi", "actions": [{"type": "resolve"}]}, late=True)
    held.refresh_from_db()
    assert (outcome, outbound(), drafts(), held.status) == ("late", [], [("Hi", "late")], "open")


def test_an_answer_after_the_take_over_is_withheld(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """F-26, DL-63"""
    services.take_over(held, by=house.person)
    outcome = answer(
        question,
        {
            "messages": [{"text": "One"}, {"text": "Two"}],
            "actions": [{"type": "label", "names": ["x"]}, {"type": "resolve"}],
        },
    )
    held.refresh_from_db()
    assert outcome == "stale_epoch"
    assert outbound() == []
    assert drafts() == [("One", "stale_epoch"), ("Two", "stale_epoch")]
    assert (held.assignee, held.status, held.labels.count()) == (house.person, "open", 0)


def test_an_answer_before_the_take_over_goes_out_before_the_persons(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """F-26"""
    answer(question, {"reply": "Agent"})
    services.post_message(held, content=Content(text="Person"), author=house.person)
    sends = Delivery.objects.filter(kind="send").order_by("sequence")
    assert [send.message.text for send in sends if send.message] == ["Agent", "Person"]


def test_an_answer_from_an_earlier_time_as_holder_is_stale(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """The epoch is the fence, not the name of the holder."""
    services.take_over(held, by=house.person)
    services.give_back(held, by=house.person)
    assert answer(question, {"reply": "Hi"}) == "stale_epoch"
    assert drafts() == [("Hi", "stale_epoch")]


@pytest.mark.parametrize("back", [False, True], ids=["lost", "held again"])
def test_with_an_open_gate_the_attempt_says_what_was_taken(
    house: SimpleNamespace, question: Delivery, held: Conversation, back: bool
) -> None:
    """Under an old epoch of its own it is no late word: it has been asked anew."""
    change_agent(house.agent, by=None, stale_gate=False)
    services.take_over(held, by=house.person)
    if back:
        services.give_back(held, by=house.person)
    holder = Conversation.objects.get(pk=held.pk).assignee
    outcome = answer(question, {"reply": "Bye", "actions": [{"type": "hand_off"}]})
    assert Conversation.objects.get(pk=held.pk).assignee == holder
    if back:
        assert (outcome, outbound(), drafts()) == ("stale_epoch", [], [("Bye", "stale_epoch")])
        return
    assert (outcome, outbound(), drafts()) == ("late: only its words were taken", ["Bye"], [])
    assert Message.objects.get(direction="outbound").content == {"late": True}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [({"reply": "Bye"}, "ok"), ({"actions": [{"type": "hand_off"}]}, "stale_epoch")],
)
def test_late_words_alone_are_all_taken_and_without_words_nothing_is(
    house: SimpleNamespace, question: Delivery, held: Conversation, body: Any, outcome: str
) -> None:
    change_agent(house.agent, by=None, stale_gate=False)
    services.take_over(held, by=house.person)
    assert answer(question, body) == outcome


def test_words_said_to_statuses_and_farewells_are_not_taken(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """An echo must not talk to itself for ever."""
    services.take_over(held, by=house.person)
    farewell = deliveries(house.agent)[-1]
    assert farewell.event_type == "conversation.unassigned"
    assert answer(farewell, {"reply": "Hi"}) == "no answer"
    assert (outbound(), drafts()) == ([], [])


def test_a_closed_window_is_said_and_nothing_is_sent(house: SimpleNamespace) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from conversations.models import Address

    inbox = make_inbox(house.account, "whatsapp")
    conversation = make_conversation(inbox)
    services.assign(conversation, to=house.agent.member, by=house.owner)
    Address.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))
    outcome = answer(deliveries(house.agent)[-1], {"reply": "Hi"})
    assert outcome.startswith("refused: The reply window of this channel is closed")


def test_an_answer_that_quotes_names_one_of_our_messages(
    question: Delivery, held: Conversation
) -> None:
    asked = Message.objects.get(direction="inbound")
    assert answer(question, {"messages": [{"text": "Hi", "reply_to": "msg_x"}]}).startswith(
        "refused: There is no message msg_x"
    )
    answer(question, {"messages": [{"text": "Hi", "reply_to": asked.public_id}]})
    assert Message.objects.get(direction="outbound").reply_to == asked


def test_media_by_url_is_fetched_before_it_is_sent(question: Delivery, held: Conversation) -> None:
    body = {"messages": [{"kind": "image", "url": "https://shop.example/lamp.jpg", "text": "Lamp"}]}
    assert answer(question, body) == "ok"
    attachment = Message.objects.get(direction="outbound").attachments.get()
    assert (attachment.remote_ref, attachment.state) == ("https://shop.example/lamp.jpg", "pending")
    assert Delivery.objects.filter(kind="media").count() == 1


# --- Who may do what -----------------------------------------------------------------------------


def test_an_agent_assigns_people_and_teams_by_id_or_name(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    outcome = answer(question, {"actions": [{"type": "assign", "team": house.team.name}]})
    held.refresh_from_db()
    assert (outcome, held.team) == ("ok", house.team)
    held = services.assign(held, to=house.agent.member, by=house.owner)
    act = {"type": "assign", "member": house.person.public_id, "reason": "knows lamps"}
    assert answer(deliveries(house.agent)[-1], {"actions": [act]}) == "ok"
    held.refresh_from_db()
    assert held.assignee == house.person
    assert held.assignments.latest("epoch").detail == "knows lamps"


def test_an_agent_may_not_assign_agents_unless_the_account_allows_it(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """SX-23"""
    other = make_agent(house.account)
    act = {"actions": [{"type": "assign", "member": other.member.public_id}]}
    itself = {"actions": [{"type": "assign", "member": house.agent.member.public_id}]}
    assert answer(question, act).startswith("refused: AI agents may not")
    assert answer(question, itself).startswith("refused: You hold")
    house.account.settings = {"agents_may_assign_agents": True}
    house.account.save()
    assert answer(question, act) == "ok"
    held.refresh_from_db()
    assert held.assignee == other.member


def test_an_agent_cannot_reach_members_of_another_account(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    act = {"type": "assign", "member": house.outsider.public_id}
    assert answer(question, {"actions": [act]}).startswith("refused: There is no member")


def test_only_the_holder_may_act(house: SimpleNamespace, held: Conversation) -> None:
    """SX-23"""
    other = make_agent(house.account)
    with pytest.raises(NotHolderError):
        apply_answer(held, other, Answer((Say(Content(text="Hi")),)))
    assert outbound() == []


def test_a_conversation_is_given_away_once(house: SimpleNamespace, held: Conversation) -> None:
    with pytest.raises(MistakenActionError):
        apply_answer(held, house.agent, Answer((HandOff(), Resolve())))
    held.refresh_from_db()
    assert held.assignee == house.agent.member


def test_the_same_client_id_says_it_once(house: SimpleNamespace, held: Conversation) -> None:
    twice = Answer((Say(Content(text="Hi"), client_id="mine-1"),))
    for _ in range(2):
        apply_answer(held, house.agent, twice, epoch=held.assignment_epoch)
    assert outbound() == ["Hi"]


def test_answers_through_rest_without_ids_are_said_as_often_as_asked(
    house: SimpleNamespace, held: Conversation
) -> None:
    for _ in range(2):
        messages = apply_answer(held, house.agent, Answer((Say(Content(text="Hi")),)))
        assert [message.text for message in messages] == ["Hi"]
    assert outbound() == ["Hi", "Hi"]


def test_a_message_that_the_agent_has_not_seen_is_not_resolved_away(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    services.receive(house.inbox, said("One more thing", visitor="same"))
    farewell = {"reply": "Bye", "actions": [{"type": "resolve", "reason": "done"}]}
    assert answer(question, farewell) == "ok"
    held.refresh_from_db()
    assert (outbound(), held.status, held.assignee) == (["Bye"], "open", house.agent.member)
    unseen = deliveries(house.agent)[-1]
    assert (unseen.event_type, unseen.state) == ("message.created", "pending")
    sent_on(unseen, Delivery.State.IN_FLIGHT)
    answer(unseen, farewell)
    held.refresh_from_db()
    assert held.status == "resolved"


def test_the_next_message_is_waited_for_after_an_answer(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    answer(question, {"reply": "Hi"})
    services.receive(house.inbox, said("More", visitor="same"))
    held.refresh_from_db()
    assert held.waiting_since is not None
