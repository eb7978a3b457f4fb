"""Telling it for good: in order, again after a failure, and after the death of whoever told it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts.tenancy import account_context
from agents import replaying
from agents.models import Agent
from conversations import services
from conversations.errors import NotReplayableError
from conversations.messages import Content
from conversations.models import Attempt, Conversation, Delivery, Inbox, Lane, Message
from integrations.tracing import trace
from tests import factories
from tests.integrations.chatwoot.channel.conftest import Desk, hear, the_conversation
from tests.integrations.chatwoot.channel.fake import said
from tests.integrations.couriers import Reply, Request, courier, wait_for
from tests.integrations.test_courier_faults import start_process

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
Answer = Callable[[Request], Reply]


@dataclass
class Held:
    """A conversation of a Chatwoot inbox that an AI agent has, and the Chatwoot."""

    desk: Desk
    agent: Agent
    inbox: Inbox
    conversation: Conversation

    @property
    def told(self) -> list[str]:
        return [name for name, _body in self.desk.chatwoot.acts]

    def inside(self) -> Any:
        return account_context(self.inbox.account_id)

    def say(self, text: str) -> None:
        with self.inside():
            services.post_message(
                self.conversation, author=self.agent.member, content=Content(text=text)
            )

    def hand_off(self) -> None:
        with self.inside():
            services.hand_off(self.conversation, by=self.agent.member, detail="a refund")

    def lines(self) -> list[str]:
        with self.inside():
            rows = Message.objects.filter(conversation=self.conversation, direction="system")
            return [row.content["code"] for row in rows.order_by("pk")]

    def refuse(self, act: str, reply: Reply) -> None:
        """Answer what ends so with `reply`, and everything else as it is."""
        usual: Answer = self.desk.chatwoot.answer
        self.desk.chatwoot.server.answer = lambda request: (
            reply if request.path.endswith(act) and request.body else usual(request)
        )

    def agree(self) -> None:
        self.desk.chatwoot.server.answer = self.desk.chatwoot.answer


@pytest.fixture
def held(desk: Desk) -> Held:
    account = factories.make_account()
    inbox = factories.make_inbox(account, "chatwoot", config=dict(desk.inbox.config))
    agent = factories.make_agent(account)
    with account_context(account):
        inbox.credentials = desk.inbox.credentials
        inbox.save()
        hear(inbox, "text")
        conversation = services.assign(the_conversation(inbox), to=agent.member, by=None)
        Delivery.objects.all().delete()  # what the agent was told
    return Held(desk, agent, inbox, conversation)


def sends() -> list[Delivery]:
    return list(Delivery.all_accounts.filter(kind="send").order_by("pk"))


def states() -> list[str]:
    return [one.state for one in sends()]


def all_ended() -> bool:
    return set(states()) <= set(Delivery.ENDED_STATES)


def make_due() -> None:
    """What waits for its next try need not wait for it."""
    Delivery.all_accounts.filter(state=State.RETRY_WAIT).update(due_at=Now())
    Lane.all_accounts.filter(kind="send", lease_token__isnull=True).update(due_at=Now())


def test_dl_21_the_answer_goes_first_then_the_note_then_the_status(held: Held) -> None:
    held.say("I hand you to a colleague")
    held.hand_off()
    with courier():
        wait_for(lambda: sends() and all_ended())
    assert held.told == ["message", "note", "toggle_status"]
    assert held.desk.chatwoot.acts[-1][1] == {"status": "open"}
    assert states() == [State.DELIVERED] * 3
    assert held.lines()[-1] == "told"
    with held.inside():
        assert the_conversation(held.inbox).waiting_since is None, "nobody here is waited for"
        attempts = Attempt.objects.filter(delivery__in=sends()).values_list("outcome", flat=True)
    assert list(attempts) == ["ok"] * 3


@pytest.mark.parametrize("status", [500, 502, 504], ids=str)
def test_what_fails_is_told_again_before_what_is_said_next(held: Held, status: int) -> None:
    held.refuse("toggle_status", said({"error": "an error"}, status))
    held.hand_off()
    with courier():
        wait_for(lambda: State.RETRY_WAIT in states())
        with held.inside():
            content = Content(text="I am a colleague")
            services.post_message(held.conversation, author=None, content=content)
        assert held.told == ["note"]
        held.agree()
        make_due()
        wait_for(all_ended)
    assert held.told == ["note", "toggle_status", "message"]


def test_a_conversation_that_is_gone_is_a_letter_and_holds_up_nothing(held: Held) -> None:
    held.refuse("toggle_status", said({"error": "Resource could not be found"}, 404))
    held.say("I hand you to a colleague")
    held.hand_off()
    with held.inside():
        content = Content(text="I am a colleague")
        services.post_message(held.conversation, author=None, content=content)
    with courier():
        wait_for(lambda: sends() and all_ended())
    assert held.told == ["message", "note", "message"]
    dead = sends()[2]
    assert (dead.event_type, dead.state) == ("act.with_people", State.DEAD)
    assert dead.dead_reason.startswith("unreachable: ")
    assert held.lines()[-1] == "untold"
    with held.inside():
        assert held.conversation.address.unreachable_reason == ""


def test_a_letter_can_be_told_again_as_long_as_it_is_so(held: Held) -> None:
    held.refuse("toggle_status", said({"error": "no"}, 422))
    held.hand_off()
    with courier():
        wait_for(lambda: sends() and all_ended())
        held.agree()
        dead = sends()[-1]
        with held.inside():
            again = replaying.replay(dead, by=None)
        wait_for(all_ended)
        assert held.told == ["note", "toggle_status"]
        assert (again.wire_id, again.replay_of_id) == (dead.wire_id, dead.pk)
        with held.inside():
            with pytest.raises(NotReplayableError):
                replaying.replay(dead, by=None)
            services.resolve(held.conversation, by=None)
            with pytest.raises(NotReplayableError):
                replaying.replay(dead, by=None)


def test_an_hour_is_the_longest_that_something_waits_behind_it(held: Held) -> None:
    held.hand_off()
    Delivery.all_accounts.filter(kind="send").update(
        deadline_at=timezone.now() - timedelta(seconds=1)
    )
    with courier():
        wait_for(all_ended)
    assert (held.told, states()) == ([], [State.DEAD, State.DEAD])


def test_what_is_not_so_any_more_when_its_turn_comes_is_not_told(held: Held) -> None:
    held.hand_off()
    with held.inside():
        services.resolve(held.conversation, by=None)
    with courier():
        wait_for(all_ended)
    assert held.told == ["note", "toggle_status"]
    assert held.desk.chatwoot.acts[-1][1] == {"status": "resolved"}
    assert states() == [State.DELIVERED, State.CANCELED, State.DELIVERED]


def test_a_token_that_is_not_accepted_stops_the_queue_and_loses_no_hand_off(held: Held) -> None:
    held.refuse("toggle_status", said({"error": "Invalid Access Token"}, 401))
    held.hand_off()
    with courier():
        wait_for(lambda: Lane.all_accounts.get(kind="send").blocked_reason == "")
        wait_for(lambda: State.RETRY_WAIT in states())
        with held.inside():
            wait_for(lambda: Inbox.objects.get(pk=held.inbox.pk).state == "needs_reauthorization")
            Inbox.objects.update(state=Inbox.State.ACTIVE)
        held.agree()
        make_due()
        wait_for(all_ended)
    assert held.told == ["note", "toggle_status"]


def test_dl_96_a_chatwoot_that_slows_us_down_costs_no_attempt(held: Held) -> None:
    held.refuse("messages", said({"error": "Validation failed: Too many messages"}, 422))
    held.hand_off()
    with courier():
        wait_for(lambda: State.RETRY_WAIT in states())
    assert [one.attempts for one in sends()] == [0, 0]


@pytest.mark.parametrize("killed_at", ["messages", "toggle_status"])
def test_f_02_whoever_dies_between_telling_and_writing_it_down_has_told_it_once(
    held: Held, killed_at: str
) -> None:
    usual: Answer = held.desk.chatwoot.answer

    def told_and_silent(request: Request) -> Reply:
        reply = usual(request)
        reply.after = 60 if request.path.endswith(killed_at) else 0
        return reply

    held.desk.chatwoot.server.answer = told_and_silent
    held.hand_off()
    process = start_process()
    try:
        wait_for(lambda: held.desk.chatwoot.server.at_once == 1, 30)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    held.agree()
    with courier():
        wait_for(all_ended)
    assert states() == [State.DELIVERED] * 2
    assert Attempt.all_accounts.filter(outcome="worker_lost").count() == 1
    assert [name for name in held.told if name == "note"] == ["note"]
    assert held.told[-1] == "toggle_status"


def test_it_stands_in_the_trace_of_what_caused_it(held: Held) -> None:
    held.hand_off()
    with courier():
        wait_for(lambda: sends() and all_ended())
    with held.inside():
        found = trace(sends()[-1].wire_id, None)
        assert found is not None
        codes = [line.code for line in found.lines]
    assert {one.wire_id for one in sends()} <= set(codes)
