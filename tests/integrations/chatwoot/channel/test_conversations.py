"""What events do to our conversations, and the whole way round with our own API as the Chatwoot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from accounts.models import Team
from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Choice, Content, Kind
from conversations.models import Conversation, Delivery, Inbox, Message
from conversations.services.outbound import outbound_parts
from integrations import routes, tasks
from integrations import services as inboxes
from integrations.chatwoot import bots
from integrations.chatwoot.shapes.conversations import status_of
from integrations.door import Door
from integrations.models import Receipt
from tests import factories
from tests.api import token_of
from tests.integrations.chatwoot.channel.conftest import hear, the_conversation
from tests.integrations.chatwoot.channel.samples import INBOX, sample, signed
from tests.integrations.couriers import Reply, Server, courier, wait_for
from tests.integrations.test_door import at_door, call
from tests.serving import serve


def test_when_a_person_answers_in_chatwoot_the_agent_falls_silent(
    held: Conversation, inbox: Inbox
) -> None:
    hear(inbox, "person_answered", id=124)
    conversation = the_conversation(inbox)
    assert conversation.assignee is None
    assert conversation.status == "open"
    said = Message.objects.get(conversation=conversation, external_id="789/124")
    assert (said.direction, said.text) == ("outbound", "Da, livrăm.")
    line = Message.objects.filter(conversation=conversation, direction="system").latest("pk")
    assert "Chatwoot" in line.text


def test_a_conversation_that_a_person_there_begins_goes_to_no_agent(
    house: SimpleNamespace, inbox: Inbox
) -> None:
    bots.attach(house.agent, inbox, by=house.owner)
    hear(inbox, "person_answered")
    assert the_conversation(inbox).assignee is None


def test_what_a_customer_says_after_a_person_there_answered_goes_to_people(
    house: SimpleNamespace, inbox: Inbox
) -> None:
    bots.attach(house.agent, inbox, by=house.owner)
    hear(inbox, "text")
    assert the_conversation(inbox).assignee == house.agent.member
    hear(inbox, "person_answered", id=124)
    hear(inbox, "text", id=125)
    assert the_conversation(inbox).assignee is None
    hear(inbox, "resolved")
    hear(inbox, "text", id=126)
    assert the_conversation(inbox).assignee == house.agent.member


def test_when_people_open_it_there_the_agent_falls_silent(held: Conversation, inbox: Inbox) -> None:
    hear(inbox, "opened")
    assert the_conversation(inbox).assignee is None


def test_a_conversation_that_a_person_of_ours_has_stays_with_them(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    services.assign(held, to=house.person, by=None)
    hear(inbox, "opened")
    hear(inbox, "person_answered", id=124)
    assert the_conversation(inbox).assignee == house.person


def test_what_is_resolved_there_is_resolved_here_and_wakes_with_the_next_word(
    held: Conversation, inbox: Inbox
) -> None:
    assert hear(inbox, "resolved").startswith("resolved")
    assert the_conversation(inbox).status == "resolved"
    hear(inbox, "resolved")
    hear(inbox, "text", id=125)
    assert the_conversation(inbox).status == "open"


def test_an_end_of_what_we_never_heard_of_changes_nothing(inbox: Inbox) -> None:
    assert hear(inbox, "resolved") == "ignored: unknown contact"
    assert not Conversation.objects.filter(inbox=inbox).exists()


def test_an_answer_on_the_website_stands_on_the_message_that_asked(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    buttons = (Choice("billing", "Billing"), Choice("delivery", "Delivery"))
    content = Content(kind=Kind.BUTTONS, text="What is it about?", buttons=buttons)
    asked = services.post_message(held, author=house.agent.member, content=content)
    Message.objects.filter(pk=asked.pk).update(external_id="789/123")
    hear(inbox, "choice")
    said = Message.objects.filter(conversation=held, direction="inbound").latest("pk")
    assert (said.kind, said.text, said.reply_to) == ("button_reply", "Billing", asked)
    asked.refresh_from_db()
    assert asked.content["submitted"]


def test_dl_42_our_own_message_that_comes_back_is_known_though_its_answer_was_lost(
    house: SimpleNamespace, held: Conversation, inbox: Inbox
) -> None:
    content = Content(text="Yes")
    said = services.post_message(held, author=house.agent.member, content=content)
    attributes = {"switchboard_reference": outbound_parts(said)[0].reference}
    hear(inbox, "our_own_message", content_attributes=attributes)
    said.refresh_from_db()
    assert (said.status, said.external_id) == ("sent", "789/123")
    assert Message.objects.filter(conversation=held, direction="outbound").count() == 1


def test_two_contacts_that_are_merged_there_stay_one_person_here(inbox: Inbox) -> None:
    hear(inbox, "text")
    event = sample("text").event
    event["conversation"]["meta"]["sender"] |= {"id": 900, "phone_number": None}
    hear(inbox, "text", id=126, conversation=event["conversation"])
    conversation = the_conversation(inbox)
    assert Message.objects.filter(conversation=conversation, direction="inbound").count() == 2


# --- Through the door -----------------------------------------------------------------------------


@pytest.mark.usefixtures("clean_database")
def test_dl_12_what_cannot_be_stored_is_answered_500_because_chatwoot_repeats_only_that() -> None:
    account = factories.make_account()
    with account_context(account):
        inbox = inboxes.connect_inbox(platform="chatwoot", name="Chatwoot")
        inbox.config = {**INBOX.config}
        inbox.credentials = {**inbox.credentials, **INBOX.credentials}
        inbox.save()
    path = f"/hooks/chatwoot/{routes.route_token(inbox)}"
    request = signed(sample("text").body)

    async def knock(door: Door) -> Any:
        return await call(door, path, request.body, headers=dict(request.headers))

    assert at_door(knock)[0] == 200
    with account_context(account):
        assert Receipt.objects.get().dedupe_key == "m:789/123"
    assert at_door(knock)[0] == 200
    with account_context(account):
        assert Receipt.objects.count() == 1
    database = connections.settings["default"]
    name = database["NAME"]
    database["NAME"] = "gone"
    try:
        assert at_door(knock)[0] == 500
    finally:
        database["NAME"] = name


# --- The whole way round --------------------------------------------------------------------------


@dataclass
class Pair:
    """Our own Chatwoot API, in another account, is their server; one of our inboxes is connected to it."""

    theirs: SimpleNamespace
    ours: SimpleNamespace
    inbox: Inbox

    def over_there(self) -> Any:
        return account_context(self.theirs.account)

    def here(self) -> Any:
        return account_context(self.ours.account)

    def customer_says(self, text: str) -> None:
        with self.over_there():
            services.receive(self.theirs.inbox, factories.said(text, visitor="ana"))

    def heard(self, text: str) -> Conversation:
        """The conversation here, once it has this message."""

        def found() -> Conversation | None:
            with self.here():
                rows = Conversation.objects.filter(inbox=self.inbox, messages__text=text)
                return rows.first()

        conversation: Conversation = wait_for(found)
        return conversation

    def said_there(self, text: str) -> Message:
        def found() -> Message | None:
            with self.over_there():
                rows = Message.objects.filter(text__contains=text).exclude(direction="inbound")
                return rows.select_related("author", "conversation__assignee").first()

        message: Message = wait_for(found)
        return message

    def there(self) -> Conversation:
        with self.over_there():
            rows = Conversation.objects.select_related("assignee", "team")
            return rows.prefetch_related("labels").get(inbox=self.theirs.inbox)


@pytest.fixture
def pair(clean_database: None, tmp_path: Path, settings: Any) -> Iterator[Pair]:
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    theirs, ours = factories.make_house(), factories.make_house()
    reached = {"OUTBOUND_ALLOW": "127.0.0.0/8", "ALLOW_HTTP_TARGETS": "1"}
    with serve(tmp_path, port=0, **reached) as served, courier():
        settings.PUBLIC_URL = served.url
        values = {
            "base_url": served.url,
            "account_number": str(theirs.account.pk),
            "user_token": token_of(theirs.owner),
            "inboxes": str(theirs.inbox.pk),
        }
        with account_context(ours.account):
            inbox = inboxes.connect_inbox(platform="chatwoot", name="Theirs", values=values)
            inboxes.start_check(inbox, by=ours.owner)
            run = inbox.health["check"]["run"]
        checked = tasks.check_inbox(ours.account.pk, inbox.pk, run, "en-gb")
        with account_context(ours.account):
            assert checked == "ok", Inbox.objects.get(pk=inbox.pk).health["check"]
            inbox.refresh_from_db()
        yield Pair(theirs, ours, inbox)


def test_a_customer_of_their_chatwoot_is_answered_from_our_desk(pair: Pair) -> None:
    theirs, ours = pair.theirs, pair.ours
    with pair.here():
        Inbox.objects.filter(pk=pair.inbox.pk).update(
            config={**pair.inbox.config, "people": "desk"}
        )
    pair.customer_says("Do you deliver?")
    conversation = pair.heard("Do you deliver?")
    with pair.here():
        answer = Content(text="Yes, everywhere")
        services.post_message(conversation, author=ours.person, content=answer)
    author = pair.said_there("Yes, everywhere").author
    assert author is not None
    assert author.is_agent

    def sent() -> bool:
        with pair.here():
            said = Message.objects.get(conversation=conversation, direction="outbound")
            return bool(said.external_id)

    wait_for(sent)
    with pair.here():
        assert Message.objects.filter(direction="outbound").count() == 1, "our own came back"
    with pair.over_there():
        held = Conversation.objects.get(inbox=theirs.inbox)
        services.take_over(held, by=theirs.person)
        services.post_message(held, author=theirs.person, content=Content(text="I am Petra"))
    pair.heard("I am Petra")


def test_an_agent_that_hands_over_brings_their_people_with_a_note_and_is_silent(pair: Pair) -> None:
    team = factories.make_team(pair.ours.account)
    namesake = factories.make_team(pair.theirs.account)
    with pair.over_there():
        Team.objects.filter(pk=namesake.pk).update(name=team.name)
    gives_up = {
        "messages": [{"text": "A colleague will help you"}],
        "actions": [
            {"type": "label", "names": ["refund"]},
            {"type": "hand_off", "team": team.name, "summary": "Order 7 never arrived."},
        ],
    }
    with Server(lambda request: Reply(body=json.dumps(gives_up).encode())) as bot:
        with pair.here():
            agent = factories.make_agent(pair.ours.account, url=bot.url)
            bots.attach(agent, pair.inbox, by=pair.ours.owner)
        pair.customer_says("I want my money back")
        conversation = pair.heard("I want my money back")
        note = pair.said_there("Order 7 never arrived.")
        assert note.direction == "note"
        wait_for(lambda: pair.there().team_id is not None)
        held = pair.there()
        assert (status_of(held), str(held.team)) == ("open", team.name)
        assert [label.name for label in held.labels.all()] == ["refund"]
        with pair.over_there():
            [answered] = Message.objects.filter(conversation=held, direction="outbound")
            assert answered.text == "A colleague will help you"
            assert answered.pk < note.pk

        asked = len(bot.requests)
        pair.customer_says("Hello?")
        with pair.over_there():
            content = Content(text="I look into it")
            services.post_message(held, author=pair.theirs.person, content=content)
        pair.heard("I look into it")
        assert len(bot.requests) == asked, "it is silent"
    with pair.here():
        conversation = Conversation.objects.get(pk=conversation.pk)
        assert (conversation.team, conversation.assignee) == (team, None), "nothing came round"
        said = Message.objects.filter(conversation=conversation, direction="outbound")
        assert list(said.order_by("pk").values_list("text", flat=True)) == [
            "A colleague will help you",
            "I look into it",
        ]
        told = Delivery.objects.filter(conversation=conversation, message=None, kind="send")
        assert list(told.order_by("pk").values_list("event_type", "state")) == [
            ("act.labels", "delivered"),
            ("act.note", "delivered"),
            ("act.with_people", "delivered"),
        ]
