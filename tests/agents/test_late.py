"""What an AI agent says after it has lost the conversation: kept as a draft, or said and marked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.urls import reverse

from accounts.tenancy import account_context
from agents import services as agents
from agents.actions import Answer, HandOff, Note, Say
from agents.models import Agent, AgentInbox
from agents.services import apply_answer
from conversations import services
from conversations.errors import NotHolderError
from conversations.messages import Content
from conversations.models import Conversation, Endpoint, Event, Message
from conversations.thread import read
from tests.accounts.test_entry import logged_in
from tests.agents.lane import patience_of, types
from tests.api import caller, code_of
from tests.factories import make_agent, make_conversation, make_inbox


@pytest.fixture
def lost(house: SimpleNamespace) -> Conversation:
    """A conversation that the agent had and a person has now."""
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    services.assign(conversation, to=house.agent.member, by=None)
    return services.take_over(conversation, by=house.person)


def open_gate(agent: Agent) -> None:
    agents.change_agent(agent, by=None, stale_gate=False)


def speak(conversation: Conversation, agent: Agent, text: str = "Late") -> Message:
    return services.post_message(conversation, content=Content(text=text), author=agent.member)


def test_behind_the_gate_an_agent_is_silent(house, lost):
    with pytest.raises(NotHolderError):
        speak(lost, house.agent)


def test_with_an_open_gate_it_speaks_marked_as_late_and_takes_nothing(house, lost):
    open_gate(house.agent)
    before = Conversation.objects.get(pk=lost.pk)
    message = speak(lost, house.agent)
    assert message.content == {"late": True}
    event = Event.objects.get(conversation=lost, data__message=message.public_id)
    assert event.data["late"] is True
    after = Conversation.objects.get(pk=lost.pk)
    assert after.assignee == house.person
    assert after.assignment_epoch == before.assignment_epoch
    # The person who has it still owes the answer.
    assert after.waiting_since == before.waiting_since
    assert after.waiting_since is not None
    note = services.add_note(lost, text="by the way", author=house.agent.member)
    assert note.content == {"late": True}


def test_the_thread_shows_that_it_came_late(house, lost):
    open_gate(house.agent)
    speak(lost, house.agent)
    assert [entry.late for entry in read(lost).entries if entry.text == "Late"] == [True]


def test_the_page_of_the_conversation_says_so(house, lost):
    open_gate(house.agent)
    speak(lost, house.agent)
    services.add_note(lost, text="by the way", author=house.agent.member)
    page = logged_in(house.person).get(reverse("conversation", args=[lost.public_id]))
    assert page.content.decode().count("Said without having the conversation") == 2


def test_what_it_says_while_it_has_the_conversation_is_not_late(house):
    open_gate(house.agent)
    conversation = make_conversation(house.inbox, "Hello")
    services.assign(conversation, to=house.agent.member, by=None)
    assert speak(conversation, house.agent).content == {}


def test_an_open_gate_lets_words_pass_and_nothing_else(house, lost):
    open_gate(house.agent)
    said = apply_answer(
        lost, house.agent, Answer((Say(Content(text="Late")), Note("n"), HandOff())), epoch=1
    )
    assert [message.text for message in said] == ["Late"]
    assert not Message.objects.filter(direction="note").exists()
    assert Conversation.objects.get(pk=lost.pk).assignee == house.person
    with pytest.raises(NotHolderError):
        services.resolve(lost, by=house.agent.member)


def test_what_it_has_answered_late_it_is_not_asked_when_it_gets_the_conversation(house, lost):
    open_gate(house.agent)
    speak(lost, house.agent)
    services.give_back(lost, by=house.person)
    assert types(house.agent)[-1] == "conversation.assigned"
    # Nobody else has answered.
    other = make_agent(house.account)
    services.assign(lost, to=other.member, by=None)
    assert types(other) == ["conversation.assigned", "message.created"]


def test_one_that_holds_it_again_is_not_late_but_asked_anew(house):
    open_gate(house.agent)
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    services.assign(conversation, to=house.agent.member, by=None)
    services.take_over(conversation, by=house.person)
    conversation = services.give_back(conversation, by=house.person)
    with pytest.raises(NotHolderError):
        services.post_message(
            conversation, content=Content(text="Old"), author=house.agent.member, epoch=1
        )
    assert patience_of(conversation) is not None
    with pytest.raises(NotHolderError):
        apply_answer(conversation, house.agent, Answer((Say(Content(text="Old")),)), epoch=1)
    # Under the epoch it has now it answers as always.
    epoch = conversation.assignment_epoch
    apply_answer(conversation, house.agent, Answer((Say(Content(text="New")),)), epoch=epoch)
    assert Message.objects.get(direction="outbound").content == {}


def test_it_speaks_in_its_own_inboxes_only(house, lost):
    open_gate(house.agent)
    AgentInbox.objects.create(agent=house.agent, inbox=make_inbox(house.account))
    with pytest.raises(NotHolderError):
        speak(lost, house.agent)
    AgentInbox.objects.create(agent=house.agent, inbox=house.inbox)
    speak(lost, house.agent)


def test_one_of_every_inbox_speaks_where_it_has_been(house):
    open_gate(house.agent)
    with pytest.raises(NotHolderError):
        speak(make_conversation(house.inbox, "Hello"), house.agent)


def test_a_paused_one_is_silent(house, lost):
    open_gate(house.agent)
    agents.pause_agent(house.agent, by=house.owner)
    with pytest.raises(NotHolderError):
        speak(lost, house.agent)


def test_one_whose_address_is_switched_off_is_silent(house, lost):
    open_gate(house.agent)
    Endpoint.objects.filter(pk=house.agent.endpoint_id).update(state=Endpoint.State.DISABLED)
    with pytest.raises(NotHolderError):
        speak(lost, house.agent)


def test_an_erased_customer_is_spoken_to_no_more(house, lost):
    open_gate(house.agent)
    services.erase_contact(lost.contact, by=house.owner)
    with pytest.raises(NotHolderError):
        speak(lost, house.agent)


# --- REST and the form ---------------------------------------------------------------------------


def path_of(conversation: Conversation, what: str) -> str:
    return f"/v1/conversations/{conversation.public_id}/{what}/"


@pytest.mark.parametrize("what", ["messages", "actions"])
def test_by_rest_it_is_a_draft_or_it_is_said(house, lost, what):
    body = {"text": "Late"} if what == "messages" else {"reply": "Late"}
    late = caller(house.agent.member)
    answer = late.post(path_of(lost, what), body)
    assert (answer.status_code, code_of(answer)) == (409, "not_assigned")
    assert Message.objects.filter(direction="draft", text="Late").count() == 1
    open_gate(house.agent)
    answer = late.post(path_of(lost, what), body)
    assert answer.status_code in (200, 201)
    said = Message.objects.get(direction="outbound")
    assert (said.text, said.content) == ("Late", {"late": True})


def test_the_outsiders_agent_says_nothing_here(house, lost):
    other = make_agent(house.outsider_account)
    with account_context(house.outsider_account):
        open_gate(other)
    answer = caller(other.member).post(path_of(lost, "messages"), {"text": "Hi"})
    assert answer.status_code == 404
    with pytest.raises(NotHolderError):
        speak(lost, other)


def test_the_gate_is_read_and_set_by_rest(api):
    url = f"/v1/agents/{api.house.agent.public_id}/"
    assert api.admin.get(url).json()["stale_gate"] is True
    assert api.admin.patch(url, {"stale_gate": False}).json()["stale_gate"] is False
    assert api.outsider.patch(url, {"stale_gate": True}).status_code == 404
