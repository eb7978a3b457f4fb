"""Rules decide, the decision explains itself, and the holder is told in order."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tenancy import account_context
from agents import rules
from agents.models import Agent, AgentInbox, AssignmentRule, Decision
from conversations import services
from conversations.messages import Choice, Content, Kind
from conversations.models import Conversation, Delivery, Label, Message
from tests.agents.lane import bodies, deliveries, patience_of, types
from tests.factories import make_agent, make_conversation, said

ANY_TEXT: dict[str, Any] = {}


def rule(*actions: dict[str, Any], **fields: Any) -> AssignmentRule:
    fields.setdefault("name", "A rule")
    return rules.create_rule(actions=list(actions), by=None, **fields)


def to_agent(agent: Agent) -> dict[str, Any]:
    return {"type": "assign", "agent": agent.public_id}


def leaf(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def last_decision(conversation: Conversation) -> Decision:
    return Decision.objects.filter(conversation=conversation).latest("id")


# --- Deciding ------------------------------------------------------------------------------------


def test_a_rule_gives_a_new_chat_to_the_agent(house: SimpleNamespace) -> None:
    rule(to_agent(house.agent), condition=leaf("first_message", "is", True))
    conversation = make_conversation(house.inbox, "Do you ship to Cluj?")
    assert conversation.assignee == house.agent.member
    assert conversation.assignments.get().reason == "rule"


def test_the_agent_hears_of_the_assignment_and_then_of_the_message(house: SimpleNamespace) -> None:
    """F-25: assignment, then messages; the history ends before the message."""
    rule(to_agent(house.agent))
    make_conversation(house.inbox, "Do you ship to Cluj?")
    assert types(house.agent) == ["conversation.assigned", "message.created"]
    assigned, created = bodies(house.agent)
    assert assigned["history"] == []
    assert created["message"]["text"] == "Do you ship to Cluj?"
    assert [body["sequence"] for body in (assigned, created)] == [1, 2]
    assert assigned["conversation"]["assignment_epoch"] == created["epoch"] == 1


def test_every_rule_stands_in_the_decision_with_the_value_that_decided(
    house: SimpleNamespace,
) -> None:
    first = rule(
        {"type": "resolve"}, name="Robots", condition=leaf("text", "contains_any", ["spam", "win"])
    )
    second = rule(
        {"type": "label", "names": ["shipping"]},
        name="Shipping",
        condition={"all": [leaf("channel", "is", "sandbox"), leaf("text", "contains", "ship")]},
        stop=False,
    )
    third = rule(
        to_agent(house.agent), name="Rest", condition=leaf("labels", "contains", "shipping")
    )
    fourth = rule({"type": "reply", "text": "Hi"}, name="Never")
    conversation = make_conversation(house.inbox, "Do you ship?")
    decision = last_decision(conversation)
    assert [row["rule"] for row in decision.trace] == [
        one.public_id for one in (first, second, third, fourth)
    ]
    assert [row["matched"] for row in decision.trace] == [False, True, True, False]
    assert decision.trace[0]["leaf"] == {
        "field": "text",
        "op": "contains_any",
        "value": ["spam", "win"],
        "actual": "Do you ship?",
    }
    assert decision.trace[2]["leaf"]["actual"] == ["shipping"]
    assert decision.trace[3]["skipped"] == "“Rest” matched before"
    assert decision.trace[2]["actions"][0]["did"] == f"assigned to {house.agent.name}"
    assert (decision.epoch_before, decision.epoch_after) == (0, 1)
    assert decision.outcome == "Shipping: labelled shipping"
    assert decision.facts["text"] == "Do you ship?"


def test_a_decision_is_kept_where_nothing_matched(house: SimpleNamespace) -> None:
    rule({"type": "resolve"}, condition=leaf("text", "is", "x"))
    decision = last_decision(make_conversation(house.inbox, "y"))
    assert str(decision) == "no rule matched"


def test_a_disabled_rule_is_not_asked(house: SimpleNamespace) -> None:
    rule({"type": "resolve"}, enabled=False)
    assert make_conversation(house.inbox).status == "open"
    assert Decision.objects.count() == 0


@pytest.mark.parametrize(
    ("action", "check"),
    [
        ({"type": "label", "names": ["a", "b"]}, lambda c: c.labels.count() == 2),
        ({"type": "resolve"}, lambda c: c.status == "resolved"),
        (
            {"type": "reply", "text": "{{7*7}} Hello"},
            lambda c: Message.objects.get(direction="outbound").text == "{{7*7}} Hello",
        ),
    ],
    ids=["label", "resolve", "reply"],
)
def test_rules_act(house: SimpleNamespace, action: dict[str, Any], check: Any) -> None:
    """SX-58: a text is literal."""
    rule(action)
    assert check(make_conversation(house.inbox))


def test_rules_assign_to_people_and_teams(house: SimpleNamespace) -> None:
    rule(
        {"type": "assign", "member": house.person.public_id},
        condition=leaf("text", "is", "person"),
    )
    rule({"type": "assign", "team": house.team.public_id}, condition=leaf("text", "is", "team"))
    assert make_conversation(house.inbox, "person").assignee == house.person
    conversation = make_conversation(house.inbox, "team")
    assert (conversation.assignee, conversation.team) == (None, house.team)


def test_a_rule_that_cannot_do_its_work_lets_the_next_one_try(house: SimpleNamespace) -> None:
    only_elsewhere = make_agent(house.account)
    other_inbox = services_inbox(house)
    AgentInbox.objects.create(agent=only_elsewhere, inbox=other_inbox)
    rule(to_agent(only_elsewhere), name="Wrong inbox")
    rule(to_agent(house.agent), name="Right")
    conversation = make_conversation(house.inbox)
    assert conversation.assignee == house.agent.member
    assert "does not serve" in last_decision(conversation).trace[0]["actions"][0]["error"]


def services_inbox(house: SimpleNamespace) -> Any:
    from tests.factories import make_inbox

    return make_inbox(house.account, name="Other")


def test_a_damaged_rule_holds_up_no_message(house: SimpleNamespace) -> None:
    AssignmentRule.objects.create(name="Odd", condition={"field": "text"}, actions=[{"type": "x"}])
    AssignmentRule.objects.create(name="Odder", condition={}, actions=[{"kind": "x"}], stop=False)
    rule(to_agent(house.agent))
    conversation = make_conversation(house.inbox)
    assert conversation.assignee == house.agent.member
    trace = last_decision(conversation).trace
    assert trace[0]["leaf"]["error"].startswith("KeyError")
    assert "missing" in trace[1]["actions"][0]["error"]


def test_rules_are_not_asked_about_reactions_and_our_own_words(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox, visitor="same")
    rule({"type": "label", "names": ["seen"]})
    services.receive(house.inbox, said("👍", kind=Kind.REACTION, visitor="same"))
    services.post_message(conversation, content=Content(text="Hi"), author=house.person)
    services.add_note(conversation, text="Hi", author=house.person)
    assert Decision.objects.count() == 0


def test_rules_on_other_events_run_too(house: SimpleNamespace) -> None:
    rule({"type": "label", "names": ["new"]}, event="conversation.created", name="Created")
    rule(
        to_agent(house.agent),
        event="conversation.updated",
        condition=leaf("labels", "contains", "ai"),
        name="Labelled",
    )
    conversation = make_conversation(house.inbox)
    assert [label.name for label in conversation.labels.all()] == ["new"]
    services.add_labels(conversation, ["ai"], by=house.person)
    conversation.refresh_from_db()
    assert conversation.assignee == house.agent.member


def test_a_rule_at_the_beginning_of_a_conversation_holds_for_its_first_message(
    house: SimpleNamespace,
) -> None:
    """The caller goes on with what rules made of the conversation."""
    rule(to_agent(house.agent), event="conversation.created")
    conversation = make_conversation(house.inbox, "Hello")
    assert conversation.assignee == house.agent.member
    assert conversation.inbound_count == 1
    assert types(house.agent) == ["conversation.assigned", "message.created"]
    assert {delivery.epoch for delivery in deliveries(house.agent)} == {1}


def test_two_rules_that_call_each_other_are_cut_and_audited(house: SimpleNamespace) -> None:
    """SX-59: depth 5."""
    other = make_agent(house.account)
    rule(to_agent(house.agent), name="Begin")
    for one, two in ((house.agent, other), (other, house.agent)):
        rule(
            to_agent(two),
            name=f"From {one}",
            event="conversation.assigned",
            condition=leaf("holder", "is", one.member.public_id),
        )
    conversation = make_conversation(house.inbox)
    assert conversation.assignment_epoch == 5
    assert AuditEntry.objects.filter(action="rules.loop_cut").count() == 1
    cut = Decision.objects.filter(outcome__startswith="Rules were stopped")
    assert cut.count() == 1
    holder, loser = (
        (house.agent, other)
        if conversation.assignee == house.agent.member
        else (other, house.agent)
    )
    assert types(holder) == ["conversation.assigned", "message.created"]
    assert types(loser) == []


def test_one_event_causes_at_most_twenty_actions(house: SimpleNamespace) -> None:
    """SX-59"""
    for number in range(4):
        rule(
            *({"type": "label", "names": [f"{number}-{n}"]} for n in range(7)),
            stop=False,
            name=f"Rule {number}",
        )
    conversation = make_conversation(house.inbox)
    assert conversation.labels.count() == 20
    assert AuditEntry.objects.filter(action="rules.loop_cut").count() == 1
    trace = last_decision(conversation).trace
    assert trace[2]["actions"][-1]["error"] == "rules were stopped"
    assert trace[3]["skipped"] == "rules were stopped"


def test_the_number_of_queries_does_not_grow_with_rules(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox, visitor="same")
    Label.objects.create(name="x")

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            services.receive(house.inbox, said("Hello", visitor="same"))
        return len(captured)

    tree = {"any": [leaf("labels", "contains", "y"), leaf("contact.name", "is", "Nobody")]}
    rule({"type": "resolve"}, condition=tree)
    few = queries()
    for number in range(20):
        rule({"type": "resolve"}, condition=tree, name=f"Rule {number}")
    assert queries() == few
    assert last_decision(conversation).trace[20]["matched"] is False


def test_rules_of_another_account_do_not_exist(house: SimpleNamespace) -> None:
    with account_context(house.outsider_account):
        rule({"type": "resolve"})
    assert make_conversation(house.inbox).status == "open"


# --- Telling the holder --------------------------------------------------------------------------


def test_an_assigned_agent_gets_history_context_and_what_nobody_answered(
    house: SimpleNamespace,
) -> None:
    conversation = make_conversation(house.inbox, "First", visitor="same")
    services.post_message(conversation, content=Content(text="Answer"), author=house.person)
    services.add_note(conversation, text="secret", author=house.person)
    services.receive(house.inbox, said("Second", visitor="same"))
    services.receive(house.inbox, said("Third", visitor="same"))
    services.assign(
        conversation, to=house.agent.member, by=house.person, detail="asks for prices", summary="S"
    )
    assigned, second, third = bodies(house.agent)
    assert [entry["text"] for entry in assigned["history"]] == ["First", "Answer"]
    assert [entry["from"] for entry in assigned["history"]] == ["contact", "person"]
    assert assigned["handoff"] == {
        "reason": "manual",
        "detail": "asks for prices",
        "summary": "S",
        "from": {"id": house.person.public_id, "kind": "person", "name": house.person.name},
    }
    assert [second["message"]["text"], third["message"]["text"]] == ["Second", "Third"]
    assert patience_of(conversation) is not None


def test_without_an_unanswered_message_nobody_waits(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    services.post_message(conversation, content=Content(text="Answer"), author=house.person)
    services.assign(conversation, to=house.agent.member, by=house.person)
    assert types(house.agent) == ["conversation.assigned"]
    assert patience_of(conversation) is None


def test_an_automatic_text_is_no_answer(house: SimpleNamespace) -> None:
    rule({"type": "reply", "text": "We got your message."})
    conversation = make_conversation(house.inbox, "Hello")
    assert conversation.waiting_since is not None
    services.assign(conversation, to=house.agent.member, by=house.person)
    assert [body["message"]["text"] for body in bodies(house.agent)[1:]] == ["Hello"]


def test_the_history_has_the_last_twenty(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox, "0", visitor="same")
    for number in range(1, 30):
        services.receive(house.inbox, said(str(number), visitor="same"))
    services.post_message(conversation, content=Content(text="30"), author=house.person)
    services.assign(conversation, to=house.agent.member, by=house.person)
    assert [entry["text"] for entry in bodies(house.agent)[0]["history"]] == [
        str(number) for number in range(11, 31)
    ]


def test_a_second_message_is_pushed_while_the_agent_holds_it(house: SimpleNamespace) -> None:
    conversation = held_conversation(house)
    services.receive(house.inbox, said("More", visitor="same"))
    assert types(house.agent) == ["conversation.assigned", "message.created", "message.created"]
    assert [delivery.sequence for delivery in deliveries(house.agent)] == [1, 2, 3]
    assert len({delivery.wire_id for delivery in deliveries(house.agent)}) == 3
    assert all("." not in delivery.wire_id for delivery in deliveries(house.agent))
    assert patience_of(conversation) is not None


def held_conversation(house: SimpleNamespace, agent: Agent | None = None) -> Conversation:
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    return services.assign(conversation, to=(agent or house.agent).member, by=house.owner)


def test_reactions_and_notes_are_not_pushed(house: SimpleNamespace) -> None:
    conversation = held_conversation(house)
    services.receive(house.inbox, said("👍", kind=Kind.REACTION, visitor="same"))
    services.add_note(conversation, text="hm", author=house.person)
    assert types(house.agent) == ["conversation.assigned", "message.created"]


def test_statuses_of_the_agents_own_messages_are_pushed(house: SimpleNamespace) -> None:
    from conversations.messages import StatusUpdate

    conversation = held_conversation(house)
    message = services.post_message(
        conversation, content=Content(text="Hi"), author=house.agent.member
    )
    theirs = services.post_message(conversation, content=Content(text="Auto"), author=None)
    for one in (message, theirs):
        update = StatusUpdate("", "delivered", our_reference=f"{one.public_id}-0")  # type: ignore[arg-type]
        services.receive(house.inbox, update)
    assert types(house.agent)[2:] == ["message.status"]
    body = bodies(house.agent)[2]
    assert (body["message"]["id"], body["message"]["status"]) == (message.public_id, "delivered")


def test_changes_by_others_are_pushed_and_its_own_are_not(house: SimpleNamespace) -> None:
    conversation = held_conversation(house)
    services.add_labels(conversation, ["mine"], by=house.agent.member)
    services.add_labels(conversation, ["theirs"], by=house.person)
    services.set_attributes(conversation, {"tier": "gold"}, by=house.person)
    updates = [body for body in bodies(house.agent) if body["type"] == "conversation.updated"]
    assert [body["changes"] for body in updates] == [
        {"labels_added": ["theirs"]},
        {"attributes": {"contact": {"tier": "gold"}}},
    ]
    assert updates[1]["contact"]["attributes"] == {"tier": "gold"}
    assert updates[1]["conversation"]["labels"] == ["mine", "theirs"]


def test_five_queued_events_are_canceled_when_somebody_else_gets_it(
    house: SimpleNamespace,
) -> None:
    """F-25"""
    other = make_agent(house.account)
    conversation = held_conversation(house)
    for number in range(4):
        services.receive(house.inbox, said(f"More {number}", visitor="same"))
    flying = deliveries(house.agent)[0]
    Delivery.objects.filter(pk=flying.pk).update(state=Delivery.State.IN_FLIGHT, attempts=1)
    services.assign(conversation, to=other.member, by=house.person)
    services.receive(house.inbox, said("After", visitor="same"))
    canceled = Delivery.objects.filter(endpoint=house.agent.endpoint, state="canceled")
    assert canceled.count() == 5
    assert types(house.agent) == ["conversation.assigned", "conversation.unassigned"]
    assert types(other) == ["conversation.assigned"] + ["message.created"] * 6
    texts = [body["message"]["text"] for body in bodies(other)[1:]]
    assert texts == ["Hello", "More 0", "More 1", "More 2", "More 3", "After"]


def test_a_conversation_that_comes_back_is_told_under_new_wire_ids(
    house: SimpleNamespace,
) -> None:
    conversation = held_conversation(house)
    Delivery.objects.update(state=Delivery.State.DELIVERED, attempts=1)
    services.take_over(conversation, by=house.person)
    services.give_back(conversation, by=house.person, detail="please go on")
    assert types(house.agent) == [
        "conversation.assigned",
        "message.created",
        "conversation.unassigned",
        "conversation.assigned",
        "message.created",
    ]
    ids = [delivery.wire_id for delivery in deliveries(house.agent)]
    assert len(set(ids)) == 5
    assert ids[4].startswith(ids[1].rsplit("-", 1)[0])
    assert bodies(house.agent)[3]["handoff"]["from"]["kind"] == "person"


def test_a_farewell_waits_however_often_the_holder_changes(house: SimpleNamespace) -> None:
    conversation = held_conversation(house)
    Delivery.objects.update(state=Delivery.State.DELIVERED, attempts=1)
    for member in (house.person, house.agent.member, house.person):
        conversation = services.assign(conversation, to=member, by=house.owner)
    farewells = Delivery.objects.filter(event_type="conversation.unassigned")
    assert [one.state for one in farewells] == ["pending"]


def test_resolving_says_farewell_too(house: SimpleNamespace) -> None:
    conversation = held_conversation(house)
    Delivery.objects.update(state=Delivery.State.DELIVERED, attempts=1)
    services.resolve(conversation, by=house.person, detail="done")
    body = bodies(house.agent)[-1]
    assert (body["type"], body["detail"]) == ("conversation.resolved", "done")
    assert body["conversation"]["status"] == "resolved"
    assert patience_of(conversation) is None


def test_numbers_of_a_lane_have_no_gap(house: SimpleNamespace) -> None:
    """delivery.md 3: an event the dialect says nothing about takes no place."""
    conversation = held_conversation(house)
    services.mark_read(conversation, by=house.person)
    services.add_labels(conversation, ["x"], by=house.person)
    assert [delivery.sequence for delivery in deliveries(house.agent)] == [1, 2, 3]


# --- Who may not answer --------------------------------------------------------------------------


def test_a_late_message_goes_to_people(house: SimpleNamespace) -> None:
    """channels.md 2.4: no automatic answer to a message older than an hour."""
    Agent.objects.filter(pk=house.agent.pk).update(fallback_team=house.team)
    rule(to_agent(house.agent))
    sent_at = timezone.now() - timedelta(minutes=61)
    conversation = make_conversation(house.inbox, "Hello", sent_at=sent_at)
    assert (conversation.assignee, conversation.team) == (None, house.team)
    assert conversation.assignments.get().reason == "late_message"
    assert types(house.agent) == []
    on_time = make_conversation(house.inbox, sent_at=timezone.now() - timedelta(minutes=59))
    assert on_time.assignee == house.agent.member


def test_a_late_message_takes_a_held_conversation_to_people(house: SimpleNamespace) -> None:
    conversation = held_conversation(house)
    services.receive(
        house.inbox, said("Late", visitor="same", sent_at=timezone.now() - timedelta(hours=2))
    )
    conversation.refresh_from_db()
    assert conversation.assignee is None
    line = Message.objects.filter(direction="system").latest("id")
    assert "120 minutes" in line.text


@pytest.mark.parametrize("how", ["agent", "account", "endpoint"])
def test_an_agent_that_may_not_work_gets_nothing_and_people_see_why(
    house: SimpleNamespace, how: str
) -> None:
    from accounts.models import Account
    from conversations.models import Endpoint

    if how == "agent":
        Agent.objects.update(state=Agent.State.PAUSED)
    elif how == "account":
        Account.objects.filter(pk=house.account.pk).update(agents_paused=True)
    else:
        Endpoint.objects.update(state=Endpoint.State.DISABLED)
    rule(to_agent(house.agent))
    conversation = make_conversation(house.inbox)
    assert conversation.assignee is None
    assert types(house.agent) == []
    line = Message.objects.filter(conversation=conversation, direction="system").latest("id")
    expected = "agent_disabled" if how == "endpoint" else "agent_paused"
    assert line.content["reason"] == expected
    assert "to people" in last_decision(conversation).outcome


def test_an_assignment_to_a_paused_agent_bounces_to_people(house: SimpleNamespace) -> None:
    Agent.objects.update(state=Agent.State.PAUSED, fallback_team=house.team)
    conversation = make_conversation(house.inbox)
    services.assign(conversation, to=house.agent.member, by=house.person)
    conversation.refresh_from_db()
    assert (conversation.assignee, conversation.team) == (None, house.team)
    assert types(house.agent) == []


def test_the_customer_sees_typing_where_the_channel_has_it(house: SimpleNamespace) -> None:
    from tests.factories import make_inbox

    inbox = make_inbox(house.account, "whatsapp")
    rule(to_agent(house.agent))
    conversation = make_conversation(inbox)
    signal = Delivery.objects.get(kind="signal", conversation=conversation)
    assert b'"typing": true' in signal.body


def test_a_choice_of_the_customer_is_pushed_with_its_id(house: SimpleNamespace) -> None:
    held_conversation(house)
    services.receive(
        house.inbox,
        said("Yes", kind=Kind.BUTTON_REPLY, choice=Choice("yes", "Yes"), visitor="same"),
    )
    assert bodies(house.agent)[-1]["message"]["content"] == {
        "choice": {"id": "yes", "title": "Yes"}
    }


# --- The rules of a new account ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("vreau să vorbesc cu un om", True),
        ("Vreau sa vorbesc cu un OM!", True),
        ("Can I talk to a human please?", True),
        ("I want a real person", True),
        ("operator", True),
        ("Aș vrea să discut cu o persoană reală", True),
        ("Do you ship to Cluj?", False),
        ("Cât costă pentru o persoană?", False),
        ("Cât costă lampa?", False),
    ],
)
def test_who_asks_for_a_person_gets_one(house: SimpleNamespace, text: str, asks: bool) -> None:
    rules.create_default_rules(house.account, house.agent, by=house.owner)
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    assert conversation.assignee == house.agent.member
    services.receive(house.inbox, said(text, visitor="same"))
    conversation.refresh_from_db()
    assert (conversation.assignee is None) is asks
    if asks:
        assignment = conversation.assignments.latest("epoch")
        assert assignment.reason == "handed_off"
        assert assignment.detail.startswith("The customer asked for a person: “")
        assert text in assignment.summary


def test_a_person_keeps_a_conversation_whatever_the_customer_writes(
    house: SimpleNamespace,
) -> None:
    rules.create_default_rules(house.account, house.agent)
    conversation = make_conversation(house.inbox, visitor="same")
    services.take_over(conversation, by=house.person)
    services.receive(house.inbox, said("are you human?", visitor="same"))
    conversation.refresh_from_db()
    assert conversation.assignee == house.person


def test_after_resolving_the_next_words_begin_anew(house: SimpleNamespace) -> None:
    rules.create_default_rules(house.account, house.agent)
    conversation = make_conversation(house.inbox, visitor="same")
    services.take_over(conversation, by=house.person)
    services.resolve(conversation, by=house.person)
    services.receive(house.inbox, said("Hello again", visitor="same"))
    conversation.refresh_from_db()
    assert conversation.assignee == house.agent.member
