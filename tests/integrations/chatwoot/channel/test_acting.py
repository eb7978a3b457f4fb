"""What a Chatwoot account is told of conversations: by which events, in which words, and what comes back."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from django.utils import timezone

from agents import services as agents
from conversations import services
from conversations.channels import ErrorClass, Recipient, SendError, SendResult
from conversations.messages import Act, ActKind, Content, Identifier
from conversations.models import Conversation, Delivery, Endpoint, Inbox, Message
from conversations.services.acting import act_of
from integrations.chatwoot import bots
from integrations.chatwoot.channel.acting import label_there
from integrations.chatwoot.channel.channel import ChatwootChannel
from tests import factories
from tests.integrations.chatwoot.channel.conftest import Desk, hear, the_conversation
from tests.integrations.chatwoot.channel.fake import said
from tests.integrations.couriers import Reply

channel = ChatwootChannel()
ANA = Recipient((Identifier("chatwoot_contact", "456"),), "789/123")
NOTE = Act(ActKind.NOTE, text="Handed off", reference="evt_1-note")


# --- In their words -------------------------------------------------------------------------------


def tell(desk: Desk, act: Act, to: Recipient = ANA) -> SendResult:
    return desk.run(lambda http: channel.act(act, to, desk.inbox, http))


def refusal(desk: Desk, act: Act) -> SendError:
    with pytest.raises(SendError) as caught:
        tell(desk, act)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "status"),
    [("with_people", "open"), ("with_agent", "pending"), ("resolved", "resolved")],
)
def test_a_stage_is_a_status_there(desk: Desk, kind: str, status: str) -> None:
    assert tell(desk, Act(ActKind(kind))).status == 200
    assert desk.chatwoot.acts == [("toggle_status", {"status": status})]
    request = desk.chatwoot.server.requests[-1]
    assert request.path == "/api/v1/accounts/1/conversations/789/toggle_status"
    assert request.headers["Api-Access-Token"] == "bot-token-of-the-tests"


@pytest.mark.parametrize(
    ("act", "assigned"),
    [
        (Act(ActKind.WITH_PEOPLE, person="ann@example.com"), [{"assignee_id": 2}]),
        (Act(ActKind.WITH_PEOPLE, team="Billing"), [{"team_id": 4}]),
        (Act(ActKind.WITH_PEOPLE, person="no@example.com", team="Billing"), [{"team_id": 4}]),
        (Act(ActKind.WITH_PEOPLE, person="no@example.com", team="Sales"), []),
    ],
    ids=["person", "team", "person-unknown", "both-unknown"],
)
def test_who_has_it_is_assigned_before_it_is_opened(
    desk: Desk, act: Act, assigned: list[dict[str, int]]
) -> None:
    tell(desk, act)
    assert desk.chatwoot.acts == [
        *(("assignments", one) for one in assigned),
        ("toggle_status", {"status": "open"}),
    ]


def test_that_nobody_may_be_looked_for_keeps_nobody_from_being_called(desk: Desk) -> None:
    credentials = {**desk.inbox.credentials, "user_token": "old"}
    desk.inbox = dataclasses.replace(desk.inbox, credentials=credentials)
    tell(desk, Act(ActKind.WITH_PEOPLE, person="ann@example.com"))
    assert desk.chatwoot.acts == [("toggle_status", {"status": "open"})]


def test_a_note_is_private_and_carries_our_reference(desk: Desk) -> None:
    tell(desk, NOTE)
    [(kind, body)] = desk.chatwoot.acts
    assert (kind, body["content"], body["private"]) == ("note", "Handed off", True)
    assert body["content_attributes"] == {"switchboard_reference": "evt_1-note"}


def test_a_note_that_may_stand_there_is_looked_for_first(desk: Desk) -> None:
    again = dataclasses.replace(NOTE, again=True)
    tell(desk, again)
    tell(desk, again)
    assert len(desk.chatwoot.acts) == 1


def test_labels_that_stand_there_stay(desk: Desk) -> None:
    desk.chatwoot.labels = ["theirs", "old-one"]
    tell(desk, Act(ActKind.LABELS, added=("VIP customer", "Theirs"), removed=("Old one",)))
    assert desk.chatwoot.labels == ["theirs", "vip-customer"]


def test_labels_that_are_right_already_are_not_written(desk: Desk) -> None:
    desk.chatwoot.labels = ["vip"]
    tell(desk, Act(ActKind.LABELS, added=("VIP",), removed=("gone",)))
    assert desk.chatwoot.acts == []


@pytest.mark.parametrize(
    ("name", "there"),
    [("Très cher", "très-cher"), ("a/b & c_d", "a-b-c_d"), ("!!", "")],
    ids=["letters", "signs", "nothing-left"],
)
def test_a_label_is_written_as_chatwoot_writes_it(name: str, there: str) -> None:
    assert label_there(name) == there


def test_an_old_token_of_the_administrator_ends_the_act_and_not_the_bots_answers(
    desk: Desk,
) -> None:
    credentials = {**desk.inbox.credentials, "user_token": "old"}
    desk.inbox = dataclasses.replace(desk.inbox, credentials=credentials)
    error = refusal(desk, Act(ActKind.LABELS, added=("vip",)))
    assert (error.error_class, error.status) == (ErrorClass.PERMANENT, 401)


def test_a_conversation_that_is_gone_there_cannot_be_told_of(desk: Desk) -> None:
    gone = Recipient(ANA.identifiers, "404/1")
    with pytest.raises(SendError) as caught:
        tell(desk, Act(ActKind.RESOLVED), gone)
    assert caught.value.error_class is ErrorClass.UNREACHABLE
    with pytest.raises(SendError) as caught:
        tell(desk, Act(ActKind.RESOLVED), Recipient(()))
    assert caught.value.error_class is ErrorClass.UNREACHABLE


def test_an_answer_of_the_server_that_is_no_json_is_tried_again(desk: Desk) -> None:
    desk.chatwoot.refusal = Reply(200, b"<html>")
    assert refusal(desk, Act(ActKind.LABELS, added=("vip",))).error_class is ErrorClass.TRANSIENT
    desk.chatwoot.refusal = said({"error": "busy"}, 503)
    assert refusal(desk, Act(ActKind.RESOLVED)).error_class is ErrorClass.TRANSIENT


# --- What is told ---------------------------------------------------------------------------------


def acts_of(conversation: Conversation) -> list[str]:
    rows = Delivery.objects.filter(conversation=conversation, message__isnull=True, kind="send")
    return list(rows.order_by("sequence").values_list("event_type", flat=True))


def act_on(conversation: Conversation, kind: str) -> Act:
    row = Delivery.objects.filter(conversation=conversation, event_type=f"act.{kind}").latest("pk")
    return act_of(row, again=False)


def at_this_desk(inbox: Inbox) -> None:
    inbox.config = {**inbox.config, "people": "desk"}
    inbox.save()


def test_a_hand_off_is_a_note_and_an_open_conversation_after_the_answer(
    house: SimpleNamespace, held: Conversation
) -> None:
    answer = Content(text="I hand you to a colleague")
    services.post_message(held, author=house.agent.member, content=answer)
    services.hand_off(
        held, by=house.agent.member, detail="asked for a person", summary="Wants a refund."
    )
    waiting = Delivery.objects.filter(conversation=held, kind="send").order_by("sequence")
    assert list(waiting.values_list("event_type", flat=True)) == [
        "message.send",
        "act.note",
        "act.with_people",
    ]
    assert len(set(waiting.values_list("lane_id", flat=True))) == 1
    note = act_on(held, "note").text
    assert house.agent.member.name in note
    assert note.endswith("asked for a person\n\nWants a refund.")


def test_who_gets_it_is_named_by_address_and_team(
    house: SimpleNamespace, held: Conversation
) -> None:
    team = factories.make_team(house.account, "Billing")
    services.hand_off(held, by=house.agent.member, to=team)
    assert act_on(held, "with_people").team == team.name
    services.take_over(held, by=house.person)
    assert act_on(held, "with_people").person == house.person.user.email
    assert acts_of(held) == ["act.note", "act.with_people", "act.with_people"]


def test_what_a_rule_gives_to_the_agent_is_no_news_there_and_what_a_person_gives_is(
    house: SimpleNamespace, inbox: Inbox
) -> None:
    bots.attach(house.agent, inbox, by=house.owner)
    hear(inbox, "text")
    conversation = the_conversation(inbox)
    assert conversation.assignee == house.agent.member
    assert acts_of(conversation) == []
    services.take_over(conversation, by=house.person)
    services.give_back(conversation, by=house.person)
    assert acts_of(conversation) == ["act.note", "act.with_people", "act.with_agent"]


def test_what_nobody_has_when_rules_are_through_is_opened_there(
    house: SimpleNamespace, inbox: Inbox
) -> None:
    hear(inbox, "text")
    hear(inbox, "text", id=124)
    conversation = the_conversation(inbox)
    assert acts_of(conversation) == ["act.with_people"], "it is on its way"
    Delivery.objects.filter(conversation=conversation).update(state="delivered")
    hear(inbox, "text", id=125)
    assert acts_of(conversation) == ["act.with_people"] * 2


def test_what_an_agent_cannot_take_is_opened_there(house: SimpleNamespace, inbox: Inbox) -> None:
    bots.attach(house.agent, inbox, by=house.owner)
    agents.pause_agent(house.agent, by=house.owner)
    hear(inbox, "text")
    assert the_conversation(inbox).assignee is None
    assert "act.with_people" in acts_of(the_conversation(inbox))


def test_where_people_work_at_this_desk_it_waits_here(house: SimpleNamespace, inbox: Inbox) -> None:
    at_this_desk(inbox)
    hear(inbox, "text")
    assert acts_of(the_conversation(inbox)) == []


def test_an_end_here_is_an_end_there_and_a_reopening_too(
    house: SimpleNamespace, held: Conversation
) -> None:
    services.resolve(held, by=house.person)
    services.reopen(held, by=house.person)
    assert acts_of(held) == ["act.resolved", "act.with_people"]


def test_a_customer_who_writes_again_is_no_news_there(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    bots.attach(house.agent, inbox, by=house.owner)
    services.resolve(held, by=None)
    hear(inbox, "text", id=130)
    assert the_conversation(inbox).assignee == house.agent.member
    assert acts_of(held) == ["act.resolved"]


def test_labels_are_told_as_what_changed(house: SimpleNamespace, held: Conversation) -> None:
    services.add_labels(held, ["vip", "old"], by=house.person)
    services.set_labels(held, ["vip", "new"], by=house.person)
    assert acts_of(held) == ["act.labels"] * 3
    last = act_on(held, "labels")
    assert (last.added, last.removed) == (("new",), ("old",))


def test_where_people_work_at_this_desk_nothing_is_opened_there(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    at_this_desk(inbox)
    services.hand_off(held, by=house.agent.member)
    services.take_over(held, by=house.person)
    assert acts_of(held) == []
    services.give_back(held, by=house.person)
    services.resolve(held, by=house.person)
    assert acts_of(held) == ["act.with_agent", "act.resolved"]


def test_an_inbox_that_is_switched_off_is_told_nothing(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    Inbox.objects.filter(pk=inbox.pk).update(state=Inbox.State.DISABLED)
    services.hand_off(held, by=house.agent.member)
    assert acts_of(held) == []


def test_other_channels_are_told_nothing(house: SimpleNamespace) -> None:
    conversation = factories.make_conversation(house.inbox)
    services.assign(conversation, to=house.agent.member, by=None)
    services.hand_off(conversation, by=house.agent.member)
    services.resolve(conversation, by=None)
    assert acts_of(conversation) == []


# --- What comes back ------------------------------------------------------------------------------


def begin(conversation: Conversation, kind: str) -> None:
    """As when the courier has begun to tell it."""
    rows = Delivery.objects.filter(conversation=conversation, event_type=f"act.{kind}")
    rows.update(state="in_flight", request_started_at=timezone.now())


def test_the_echo_of_our_hand_off_does_not_take_it_from_an_agent_that_got_it_back(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    services.hand_off(held, by=house.agent.member)
    begin(held, "with_people")
    services.give_back(held, by=house.person)
    assert hear(inbox, "opened").startswith("our own act came back")
    assert the_conversation(inbox).assignee == house.agent.member
    told = acts_of(held)
    hear(inbox, "opened", updated_at=1781690500.1)
    assert the_conversation(inbox).assignee is None, "the second time it were people"
    assert acts_of(held) == told, "which they need not be told"


def test_the_echo_of_our_end_does_not_end_what_the_customer_has_begun_again(
    held: Conversation, inbox: Inbox
) -> None:
    services.resolve(held, by=None)
    begin(held, "resolved")
    hear(inbox, "text", id=130)
    hear(inbox, "resolved")
    assert the_conversation(inbox).status == "open"


def test_an_act_that_was_not_begun_has_no_echo(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    services.hand_off(held, by=house.agent.member)
    services.give_back(held, by=house.person)
    hear(inbox, "opened")
    assert the_conversation(inbox).assignee is None


def test_people_there_give_it_back_to_the_agent(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    services.hand_off(held, by=house.agent.member)
    told = acts_of(held)
    assert hear(inbox, "status_changed").startswith("with_agent")
    assert the_conversation(inbox).assignee == house.agent.member
    assert acts_of(held) == told


def test_an_agent_that_cannot_take_it_back_calls_people_again(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    services.hand_off(held, by=house.agent.member)
    Endpoint.objects.filter(pk=house.agent.endpoint_id).update(state="disabled")
    hear(inbox, "status_changed")
    assert the_conversation(inbox).assignee is None
    assert acts_of(held) == ["act.note", "act.with_people"] * 2


def test_what_is_pending_again_after_its_end_waits_for_the_customers_word(
    held: Conversation, inbox: Inbox
) -> None:
    hear(inbox, "resolved")
    hear(inbox, "status_changed")
    conversation = the_conversation(inbox)
    assert (conversation.status, conversation.assignee) == ("resolved", None)


def test_a_person_who_answers_there_while_it_is_pending_has_it_opened(
    held: Conversation, inbox: Inbox
) -> None:
    hear(inbox, "person_answered", id=124)
    hear(inbox, "person_answered", id=125)
    assert acts_of(held) == ["act.with_people"]


def test_what_people_do_there_is_not_told_to_them(held: Conversation, inbox: Inbox) -> None:
    hear(inbox, "opened")
    hear(inbox, "resolved")
    assert acts_of(held) == []
    assert Message.objects.filter(conversation=held, direction="system").count() == 3
