"""Chatwoot's webhooks over real sockets: how they are signed, and what a bot may do wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from accounts.tenancy import account_context
from agents import dialects
from agents import services as agents
from agents.replaying import replay
from conversations import services
from conversations.messages import Content
from conversations.models import Attempt, Conversation, Delivery, Endpoint
from conversations.services import replaying
from conversations.services.courtesies import note_typing
from integrations.subscribers import services as subscribers
from tests import factories
from tests.factories import said
from tests.integrations.chatwoot.schemas import check
from tests.integrations.couriers import House, Reply, Server, courier, make_house, wait_for

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State


def make_bot_house(url: str, *, timeout_s: int = 5) -> tuple[House, str]:
    """A house whose agent is a Chatwoot bot of its inbox, and the bot's secret."""
    house = make_house(url)
    with house.inside():
        made = agents.create_agent(
            house.account, name="Support Bot", url=url, dialect="chatwoot", inboxes=[house.inbox]
        )
        Endpoint.objects.filter(pk=made.agent.endpoint_id).update(timeout_s=timeout_s)
    house.agent = made.agent
    return house, made.secret


def told(server, event=None):
    return [one for one in server.requests if event in (None, one.json["event"])]


def all_ended():
    return not Delivery.all_accounts.filter(state__in=Delivery.OPEN_STATES, kind="agent").exists()


def holder(conversation):
    with account_context(conversation.account_id):
        return Conversation.objects.get(pk=conversation.pk).assignee


def endpoint_of(house):
    with house.inside():
        return Endpoint.objects.get(pk=house.agent.endpoint_id)


def is_signed_by(request, secret):
    """As a bot's author would write it, from Chatwoot's documentation."""
    signed = request.headers["X-Chatwoot-Timestamp"].encode() + b"." + request.body
    expected = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, request.headers["X-Chatwoot-Signature"])


class SeedBot:
    """The page's bot in Python: it takes every event for a message."""

    def __init__(self):
        self.heard = []

    def __call__(self, request):
        try:
            data = json.loads(request.body)
            message, conversation = data["message"], data["conversation"]
            self.heard.append((conversation["id"], message["content"], message["sender"]["type"]))
        except (KeyError, TypeError):
            return Reply(500)
        return Reply(body=b"OK")


# --- Headers -------------------------------------------------------------------------------------


def test_dl_70_dl_71_every_request_is_signed_in_both_manners():
    with Server(lambda request: Reply()) as bot:
        house, secret = make_bot_house(bot.url)
        with courier():
            house.talk()
            wait_for(lambda: told(bot, "message_created"))
            wait_for(all_ended)
    assert len(bot.requests) >= 4
    for request in bot.requests:
        check(request.json)
        assert is_signed_by(request, secret)
        assert not is_signed_by(request, factories.SECRET)
        assert abs(time.time() - int(request.headers["X-Chatwoot-Timestamp"])) < 60
        assert Webhook(secret).verify(request.body, request.headers)
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Accept"] == "application/json"
    ids = [uuid.UUID(one.headers["X-Chatwoot-Delivery"]) for one in bot.requests]
    assert len(set(ids)) == len(ids)


def test_a_retry_has_the_same_delivery_id_and_a_time_of_its_own():
    """DL-71: a bot that fails at a customer's message is asked again."""
    failures = iter([500, 503])

    def answer(request):
        return Reply(next(failures, 200) if is_ask(request) else 200)

    with Server(answer) as bot:
        house, secret = make_bot_house(bot.url)
        with courier():
            conversation = house.talk()
            asked = wait_for(lambda: len(asks(bot)) == 3 and asks(bot), 20)
            wait_for(all_ended)
    assert len({one.headers["X-Chatwoot-Delivery"] for one in asked}) == 1
    assert len({one.headers["X-Chatwoot-Timestamp"] for one in asked}) == 3
    assert len({one.body for one in asked}) == 1
    assert all(is_signed_by(one, secret) for one in asked)
    assert holder(conversation) == house.agent.member


def asks(server):
    """The requests about the customer's message while the bot has the conversation."""
    return [one for one in server.requests if is_ask(one)]


def is_ask(request):
    said = request.json["event"] == "message_created"
    return said and request.json["conversation"]["status"] == "pending"


def test_dl_73_the_newest_secret_signs():
    with Server(lambda request: Reply()) as bot:
        house, old = make_bot_house(bot.url)
        with house.inside():
            new = agents.rotate_secret(house.agent, by=None)
        with courier():
            house.talk()
            wait_for(lambda: told(bot, "message_created"))
            wait_for(all_ended)
    for request in bot.requests:
        assert is_signed_by(request, new)
        assert not is_signed_by(request, old)
        assert Webhook(old).verify(request.body, request.headers)


def test_a_bot_has_five_seconds_unless_told_otherwise():
    assert dialects.get("chatwoot").default_timeout_s == 5
    with Server(lambda request: Reply()) as bot:
        house, _secret = make_bot_house(bot.url)
    assert house.agent.endpoint.timeout_s == 5


@pytest.mark.parametrize("body", [b"OK", b'{"reply": "Hi"}', b"\xff", b"[]"])
def test_what_a_bot_answers_to_a_webhook_means_nothing(body):
    with Server(lambda request: Reply(body=body)) as bot:
        house, _secret = make_bot_house(bot.url)
        with courier():
            conversation = house.talk()
            wait_for(lambda: asks(bot))
            wait_for(all_ended)
        with house.inside():
            assert not conversation.messages.filter(direction="outbound").exists()
    attempts = Attempt.all_accounts.filter(delivery__kind="agent")
    assert set(attempts.values_list("outcome", flat=True)) == {"ok"}
    assert holder(conversation) == house.agent.member


def test_f_25_what_a_bot_failed_at_while_it_lost_the_conversation_is_told_once_more_as_it_is_now():
    def answer(request):
        fails = is_ask(request) and request.json["content"] == "And?"
        return Reply(500, after=0.5) if fails else Reply()

    def said_and():
        return [one for one in told(bot, "message_created") if one.json["content"] == "And?"]

    with Server(answer) as bot:
        house, _secret = make_bot_house(bot.url)
        with courier():
            conversation = house.talk()
            wait_for(all_ended)
            with house.inside():
                services.receive(house.inbox, said("And?", visitor="ana"))
            wait_for(said_and)
            with house.inside():
                services.unassign(conversation, by=None)
            wait_for(all_ended)
    asked = Delivery.all_accounts.filter(event_type="message.created").latest("id")
    assert (asked.state, asked.dead_reason) == (State.CANCELED, "not_assigned")
    first, again = said_and()
    assert first.headers["webhook-id"] == asked.wire_id != again.headers["webhook-id"]
    assert again.json["conversation"]["status"] == "open"


# --- What a bot may do wrong ---------------------------------------------------------------------


def test_the_pages_own_bot_works_although_it_breaks_on_most_events():
    seed = SeedBot()
    with Server(seed) as bot:
        house, _secret = make_bot_house(bot.url)
        with courier():
            conversation = house.talk()
            with house.inside():
                for label in "abcdef":
                    services.add_labels(conversation, [label], by=None)
                services.receive(house.inbox, said("And?", visitor="ana"))
            wait_for(lambda: [one for one in seed.heard if one[1] == "And?"], 30)
            wait_for(all_ended, 30)
    number = conversation.number
    assert (number, "Hello", "contact") in seed.heard
    assert (number, "And?", "contact") in seed.heard
    failed = Attempt.all_accounts.filter(status=500)
    assert failed.count() >= 2
    assert holder(conversation) == house.agent.member
    endpoint = endpoint_of(house)
    assert (endpoint.state, endpoint.breaker) == ("enabled", "closed")
    assert (endpoint.consecutive_failures, endpoint.failing_since) == (0, None)


def test_failing_at_notices_opens_no_breaker_and_at_customers_messages_does():
    """DL-67 counts what customers wait for."""
    with Server(lambda request: Reply(500)) as bot:
        house, _secret = make_bot_house(bot.url)
        with courier():
            for visitor in "abc":
                factories.make_conversation(house.inbox, visitor=visitor)
            wait_for(lambda: len(bot.requests) >= 6, 20)
            wait_for(all_ended, 30)
            endpoint = endpoint_of(house)
            assert (endpoint.breaker, endpoint.failing_since) == ("closed", None)
            for visitor in "abcde":
                house.talk(visitor)
            wait_for(lambda: endpoint_of(house).breaker == "open", 30)
            # A notice is no probe: it ends without a call, and can be sent again from the log.
            factories.make_conversation(house.inbox, visitor="z")
            wait_for(
                lambda: Attempt.all_accounts.filter(
                    outcome="breaker_open", delivery__event_type="conversation_created"
                ).exists(),
                20,
            )
        with house.inside():
            created = replaying.missed(house.agent.endpoint_id).filter(
                event_type="conversation_created"
            )
            assert len(created) == 6
            again = replay(created[0], by=None)
            assert (again.schedule, again.body) == ("notice", created[0].body)


def test_a_notice_is_tried_three_times():
    with Server(lambda request: Reply(500)) as bot:
        house, _secret = make_bot_house(bot.url)
        with courier():
            conversation = factories.make_conversation(house.inbox)
            wait_for(all_ended, 30)
    created = told(bot, "conversation_created")
    assert len(created) == 3
    dead = Delivery.all_accounts.get(event_type="conversation_created")
    assert (dead.state, dead.attempts) == (State.DEAD, 3)
    assert holder(conversation) is None


def test_a_bot_that_hangs_on_notices_gets_its_customers_message_in_time():
    """However many stand before it, it waits for one of them at most."""

    def answer(request):
        return Reply(after=0 if request.json["event"] == "message_created" else 3)

    with Server(answer) as bot:
        house, _secret = make_bot_house(bot.url, timeout_s=1)
        conversation = house.talk()  # with its notices before its message
        with courier():
            begun = time.monotonic()
            wait_for(lambda: asks(bot), 20)
            assert time.monotonic() - begun < 3
            wait_for(all_ended, 20)
    assert len(bot.requests) < 6
    left_out = Delivery.all_accounts.filter(state=State.CANCELED, schedule="notice")
    assert left_out.exists()
    assert holder(conversation) == house.agent.member


@pytest.mark.parametrize(("status", "reason"), [(400, "agent_rejected"), (410, "agent_disabled")])
def test_dl_66_failing_at_a_customers_message_gives_the_conversation_to_people(status, reason):
    def answer(request):
        return Reply(status if request.json["event"] == "message_created" else 200)

    with Server(answer) as bot:
        house, _secret = make_bot_house(bot.url)
        with courier():
            conversation = house.talk()
            wait_for(lambda: holder(conversation) is None, 20)
            wait_for(all_ended, 20)
    with house.inside():
        assert conversation.assignments.latest("epoch").reason == reason
    if status == 400:  # and it hears so
        assert [one.json["event"] for one in bot.requests][-3:] == [
            "conversation_opened",
            "conversation_status_changed",
            "conversation_updated",
        ]


def test_dl_66_a_silent_bot_loses_the_conversation_within_its_patience():
    with Server(lambda request: Reply()) as bot:
        house, _secret = make_bot_house(bot.url)
        with house.inside():
            agents.change_agent(house.agent, by=None, patience_s=10)
        with courier():
            conversation = house.talk()
            wait_for(lambda: holder(conversation) is None, 20)
            wait_for(lambda: told(bot, "conversation_opened"), 10)
    with house.inside():
        assert conversation.assignments.latest("epoch").reason == "agent_timeout"


# --- Account webhooks ----------------------------------------------------------------------------


def test_an_account_webhook_is_signed_in_their_manner_and_fails_alone():
    """Contract, 6.8: whatever it answers, the conversation stays where it is, and it is asked again."""
    failures = iter([500])
    with (
        Server(lambda request: Reply(next(failures, 200))) as crm,
        Server(lambda request: Reply()) as bot,
    ):
        house, _secret = make_bot_house(bot.url)
        with house.inside():
            made = subscribers.create_subscriber(
                name="CRM", url=crm.url, dialect="chatwoot", event_types=["message_created"]
            )
        with courier():
            conversation = house.talk()
            asked = wait_for(lambda: len(told(crm, "message_created")) == 2 and crm.requests, 20)
    first, second = asked
    assert first.body == second.body
    assert first.headers["X-Chatwoot-Delivery"] == second.headers["X-Chatwoot-Delivery"]
    for request in asked:
        check(request.json)
        assert is_signed_by(request, made.secret)
    assert holder(conversation) == house.agent.member


def test_webhooks_hear_of_contacts_and_of_typing_while_it_is_news():
    with Server(lambda request: Reply()) as server:
        house = make_house("http://127.0.0.1:9/")
        conversation = factories.make_conversation(house.inbox)
        with house.inside():
            subscribers.create_subscriber(
                name="CRM",
                url=server.url,
                dialect="chatwoot",
                event_types=["contact_created", "conversation_typing_on"],
            )
            note_typing(conversation, by=None, on=True)
            Delivery.objects.filter(kind="subscriber").update(deadline_at=timezone.now())
            services.create_contact(by=house.agent.member, name="Mia")
            services.create_contact(by=house.agent.member, name="Ana")
            gone = Delivery.objects.filter(kind="subscriber").latest("pk")
            Delivery.objects.filter(pk=gone.pk).update(body_sealed=b"")
        with courier():
            wait_for(lambda: not _open_news())
            with house.inside():
                note_typing(conversation, by=None, on=True)
            wait_for(lambda: not _open_news())
        bodies = [request.json for request in server.requests]
    for body in bodies:
        check(body)
    assert sorted(body["event"] for body in bodies) == ["contact_created", "conversation_typing_on"]
    late, _mia, emptied, typing = Delivery.all_accounts.filter(kind="subscriber").order_by("pk")
    assert (late.state, late.attempts, typing.state) == (State.DEAD, 1, State.DELIVERED)
    assert emptied.state == State.DEAD
    assert Attempt.all_accounts.get(delivery=late).outcome == "too_late"


def test_who_is_typing_does_not_keep_a_webhook_shut():
    """It tells nothing of how an address fares, so it is no probe, and what waits behind it is one."""
    with Server(lambda request: Reply()) as server:
        house = make_house("http://127.0.0.1:9/")
        typing, talking = (factories.make_conversation(house.inbox) for _ in range(2))
        with house.inside():
            made = subscribers.create_subscriber(
                name="CRM",
                url=server.url,
                dialect="chatwoot",
                event_types=["message_created", "conversation_typing_on"],
            )
            Endpoint.objects.filter(pk=made.endpoint.pk).update(
                breaker=Endpoint.Breaker.OPEN, breaker_wait_s=30, probe_at=timezone.now()
            )
            for conversation in (typing, talking):
                note_typing(conversation, by=None, on=True)
                services.post_message(conversation, content=Content(text="Hi"), author=None)
        with courier():
            wait_for(lambda: not _open_news())
    assert [one.json["event"] for one in server.requests] == ["message_created"] * 2
    with house.inside():
        assert Endpoint.objects.get(pk=made.endpoint.pk).breaker == Endpoint.Breaker.CLOSED
    passed = Delivery.all_accounts.filter(kind="subscriber", schedule="notice")
    assert {one.state for one in passed} == {State.DEAD}


def _open_news():
    open_ones = Delivery.all_accounts.filter(state__in=Delivery.OPEN_STATES)
    return open_ones.filter(kind="subscriber").exists()
