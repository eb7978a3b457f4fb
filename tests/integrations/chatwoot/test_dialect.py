"""What a bot written for Chatwoot is told: which events, in which order, in which shape."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.tenancy import account_context
from agents import services as agents
from agents.models import Agent, AssignmentRule
from conversations import services
from conversations.messages import (
    ActionKind,
    Article,
    Card,
    CardAction,
    CarouselCard,
    Choice,
    Content,
    DeliveryStatus,
    FieldType,
    FormField,
    Input,
    Kind,
    Location,
    Media,
    Section,
    StatusUpdate,
)
from conversations.models import Conversation, Delivery, Message
from tests import factories
from tests.agents.lane import bodies, deliveries, patience_of, sent_on
from tests.factories import make_conversation, said
from tests.integrations.chatwoot.conftest import make_bot
from tests.integrations.chatwoot.schemas import check

NOTICE, LIVE = Delivery.Schedule.NOTICE, Delivery.Schedule.LIVE


def names(told):
    return [body["event"] for body in told]


def changes(body):
    found: dict[str, Any] = {}
    for change in body["changed_attributes"]:
        found |= change
    return {
        column: (value["previous_value"], value["current_value"]) for column, value in found.items()
    }


def say(conversation, text, author, **fields):
    return services.post_message(conversation, content=Content(text=text, **fields), author=author)


@pytest.fixture
def rule(house, bot):
    """New chats go to the bot."""
    return AssignmentRule.objects.create(
        name="New chats",
        condition={"field": "first_message", "op": "is", "value": True},
        actions=[{"type": "assign", "agent": bot.public_id}],
    )


@pytest.fixture
def talk(house, bot, news):
    """A conversation that the bot has; what it was told of that is out and forgotten."""
    conversation = make_conversation(house.inbox, "Hello, I need help", visitor="same")
    conversation = services.assign(conversation, to=bot.member, by=None)
    for row in deliveries(bot):
        sent_on(row)
    news()
    return conversation


# --- Which events, in which order ----------------------------------------------------------------


def test_a_new_conversation_is_told_with_its_status_before_its_first_message(house, rule, news):
    make_conversation(house.inbox, "Hello, I need help")
    told = news()
    assert names(told) == [
        "conversation_created",
        "conversation_status_changed",
        "conversation_updated",
        "message_created",
    ]
    assert [body["status"] for body in told[:3]] == ["open", "pending", "pending"]
    assert told[3]["conversation"]["status"] == "pending"
    for body in told:
        check(body)


def test_a_hand_off_is_opened_status_changed_and_updated_in_this_order(house, bot, talk, news):
    services.hand_off(talk, by=bot.member, to=house.person)
    told = news()
    assert names(told) == [
        "conversation_opened",
        "conversation_status_changed",
        "conversation_updated",
    ]
    assert changes(told[1]) == {"status": ("pending", "open")}
    assert changes(told[2]) == {
        "status": ("pending", "open"),
        "assignee_id": (None, house.person.pk),
        "assignee_agent_bot_id": (bot.pk, None),
    }
    assert "changed_attributes" not in told[0]
    for body in told:
        check(body)
        assert body["meta"]["assignee"]["id"] == body["assignee_id"] == house.person.pk
        assert body["meta"]["assignee_type"] == "User"


def test_every_request_of_a_burst_has_a_wire_id_of_its_own_and_a_place_in_the_lane(
    house, bot, talk
):
    services.hand_off(talk, by=bot.member, to=house.person)
    rows = deliveries(bot)
    assert len({row.wire_id for row in rows}) == len(rows)
    assert len({row.lane_id for row in rows}) == 1
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    assert len({row.event_id for row in rows[-3:]}) == 1


def test_resolving_is_resolved_status_changed_and_updated(house, bot, talk, news):
    services.resolve(talk, by=house.person)
    told = news()
    assert names(told) == [
        "conversation_resolved",
        "conversation_status_changed",
        "conversation_updated",
    ]
    assert changes(told[2])["status"] == ("pending", "resolved")
    assert {body["status"] for body in told} == {"resolved"}
    assert {body["meta"]["assignee"] for body in told} == {None}
    for body in told:
        check(body)


def test_a_team_is_told_beside_its_member(house, bot, talk, news):
    services.assign(talk, to=house.team, by=house.owner)
    updated = news()[-1]
    assert updated["meta"]["team"] == {"id": house.team.pk, "name": house.team.name}
    assert updated["meta"]["assignee"] is None
    assert changes(updated)["team_id"] == (None, house.team.pk)
    check(updated)


def test_a_customer_who_comes_back_to_a_bot_is_pending_again(house, bot, talk, rule, news):
    say(talk, "It is on the lamp.", bot.member)
    services.resolve(talk, by=house.person)
    news()
    services.receive(house.inbox, said("Me again", visitor="same"))
    told = news()
    assert names(told) == [
        "conversation_opened",
        "conversation_status_changed",
        "conversation_updated",
        "conversation_status_changed",
        "conversation_updated",
        "message_created",
    ]
    assert [changes(told[n])["status"] for n in (1, 3)] == [
        ("resolved", "open"),
        ("open", "pending"),
    ]
    assert told[-1]["conversation"]["status"] == "pending"


def test_a_snoozed_one_says_until_when_and_wakes_up_pending(house, bot, talk, news):
    until = timezone.now() + timedelta(hours=1)
    services.snooze(talk, by=house.person, until=until)
    told = news()
    assert names(told) == ["conversation_status_changed", "conversation_updated"]
    assert changes(told[0]) == {"status": ("pending", "snoozed")}
    assert changes(told[1])["snoozed_until"] == (None, told[1]["snoozed_until"])
    services.reopen(talk, by=house.person)
    told = news()
    assert names(told) == ["conversation_status_changed", "conversation_updated"]
    assert changes(told[1])["status"] == ("snoozed", "pending")
    assert told[1]["snoozed_until"] is None
    for body in told:
        check(body)


def test_what_else_changes_is_updated_with_before_and_after(house, bot, talk, news):
    services.add_labels(talk, ["vip", "billing"], by=house.person)
    first, second = news()
    assert changes(first) == {"label_list": ([], ["vip"])}
    assert changes(second) == {"label_list": (["vip"], ["billing", "vip"])}
    services.remove_labels(talk, ["vip"], by=house.person)
    assert changes(news()[0]) == {"label_list": (["billing", "vip"], ["billing"])}
    services.set_priority(talk, "high", by=house.person)
    [updated] = news()
    assert (changes(updated), updated["priority"]) == ({"priority": (None, "high")}, "high")
    services.set_attributes(talk, {"order": "A-1"}, by=house.person, on="conversation")
    [updated] = news()
    assert changes(updated) == {"custom_attributes": ({}, {"order": "A-1"})}
    check(updated)
    services.set_attributes(talk, {"tier": "gold"}, by=house.person)
    assert news() == []  # contacts' changes are not sent to bots


def test_everybodys_words_come_back_private_notes_and_its_own_too(house, bot, talk, news):
    say(talk, "I am a bot", bot.member)
    services.add_note(talk, text="a lamp, I think", author=house.person)
    say(talk, "I am Petra", house.person)
    say(talk, "We are closed", None)
    services.receive(house.inbox, said("Oh", visitor="same"))
    told = [body for body in news() if body["event"] == "message_created"]
    shown = [
        (body["message_type"], body["message"]["message_type"], body["private"], body["content"])
        for body in told
    ]
    assert shown == [
        ("outgoing", 1, False, "I am a bot"),
        ("outgoing", 1, True, "a lamp, I think"),
        ("outgoing", 1, False, "I am Petra"),
        ("template", 3, False, "We are closed"),
        ("incoming", 0, False, "Oh"),
    ]
    senders = [body["sender"] and (body["sender"]["type"], body["sender"]["id"]) for body in told]
    person = ("user", house.person.pk)
    contact = ("contact", talk.contact_id)
    assert senders == [("agent_bot", bot.pk), person, person, None, contact]
    for body in told:
        check(body)
    # A note is nothing that its customer reads, so it is no conversation's last message.
    assert told[1]["conversation"]["messages"][0]["content"] == "I am a bot"


def test_what_becomes_of_a_message_is_an_update_of_it(house, bot, talk, news):
    message = say(talk, "Hi", bot.member)
    news()
    for status in ("sent", "delivered", "failed"):
        services.receive(
            house.inbox,
            StatusUpdate(
                "", DeliveryStatus(status), our_reference=f"{message.public_id}-0", error_text="no"
            ),
        )
    told = news()
    assert names(told) == ["message_updated"] * 2  # what was delivered did not fail
    statuses = [body["conversation"]["messages"][0]["status"] for body in told]
    assert statuses == ["sent", "delivered"]
    failed = say(talk, "Hi again", house.person)
    news()
    services.receive(
        house.inbox,
        StatusUpdate(
            "", DeliveryStatus.FAILED, our_reference=f"{failed.public_id}-0", error_text="no such"
        ),
    )
    [updated] = news()
    assert updated["content_attributes"] == {"external_error": "no such"}
    check(updated)


def test_what_a_customer_takes_back_is_not_passed_on(house, bot, talk, news):
    services.receive(house.inbox, said("oops", visitor="same", external_id="wamid.1"))
    news()
    for kind, text in ((Kind.EDIT, "ooops"), (Kind.DELETE, "")):
        services.receive(
            house.inbox,
            said(text, kind=kind, visitor="same", target_external_id="wamid.1"),
        )
    edited, deleted = news()
    assert (edited["event"], edited["content"]) == ("message_updated", "ooops")
    assert deleted["content_attributes"] == {"deleted": True}
    assert "oop" not in str(deleted)
    for body in (edited, deleted):
        check(body)


# --- To whom -------------------------------------------------------------------------------------


def test_events_flow_while_a_person_answers_and_after_it_is_resolved(house, bot, news):
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    assert names(news()) == ["conversation_created", "message_created"]
    say(conversation, "Hi", house.person)
    services.receive(house.inbox, said("And you?", visitor="same"))
    assert names(news())[-2:] == ["message_created", "message_created"]
    assert {row.schedule for row in deliveries(bot)} == {NOTICE}
    assert patience_of(conversation) is None


def test_one_bot_hears_of_one_message_once_and_is_asked_only_when_it_has_it(house, bot, talk):
    before = len(deliveries(bot))
    services.receive(house.inbox, said("And this?", visitor="same"))
    [asked] = deliveries(bot)[before:]
    assert (asked.schedule, asked.event_type) == (LIVE, "message.created")
    assert bodies(bot)[-1]["event"] == "message_created"
    assert patience_of(talk) is not None


def test_the_holder_and_the_bots_of_the_inbox_have_one_delivery_each(house, bot, talk):
    watcher, elsewhere = make_bot(house, name="Watcher"), make_bot(house, inboxes=[])
    before = len(deliveries(bot))
    services.receive(house.inbox, said("And this?", visitor="same"))
    assert len(deliveries(bot)) == before + 1
    [watched] = deliveries(watcher)
    assert (watched.schedule, watched.event_type) == (NOTICE, "message_created")
    assert deliveries(elsewhere) == []


def test_a_bot_of_no_inbox_hears_of_what_it_holds_and_of_losing_it(house):
    bot = make_bot(house, inboxes=[])
    conversation = make_conversation(house.inbox, "Hello")
    services.assign(conversation, to=bot.member, by=None)
    services.take_over(conversation, by=house.person)
    services.add_note(conversation, text="mine now", author=house.person)
    assert names(bodies(bot)) == [
        "conversation_status_changed",
        "conversation_updated",
        "conversation_opened",
        "conversation_status_changed",
        "conversation_updated",
        "message_created",
    ]


def test_what_waits_for_a_bot_that_loses_the_conversation_is_still_told(house, bot, talk):
    services.receive(house.inbox, said("And this?", visitor="same"))
    services.take_over(talk, by=house.person)
    # F-25: what it was asked is taken back, and told as it is now.
    canceled = Delivery.objects.filter(endpoint=bot.endpoint, state="canceled")
    assert {(row.schedule, row.dead_reason) for row in canceled} == {(LIVE, "not_assigned")}
    assert {row.schedule for row in deliveries(bot) if row.state == "pending"} == {NOTICE}
    told = [body for body in bodies(bot) if body.get("content") == "And this?"]
    assert [body["conversation"]["status"] for body in told] == ["open"]
    rows = Delivery.objects.filter(endpoint=bot.endpoint)
    assert len({row.wire_id for row in rows}) == len(rows)


def test_what_was_told_as_a_notice_is_not_told_again_when_the_conversation_is_lost(house, bot):
    conversation = make_conversation(house.inbox, "Hello")
    for _time in range(2):
        conversation = services.assign(conversation, to=bot.member, by=None)
        conversation = services.take_over(conversation, by=house.person)
    told = [
        row for row in deliveries(bot) if row.event_type in ("message_created", "message.created")
    ]
    assert [row.schedule for row in told] == [NOTICE]
    asked = Delivery.objects.filter(endpoint=bot.endpoint, event_type="message.created")
    assert {row.state for row in asked} == {"canceled"}


def test_a_paused_bot_hears_nothing(house, bot, news):
    agents.pause_agent(bot, by=house.owner)
    make_conversation(house.inbox, "Hello")
    assert news() == []


def test_a_bot_that_is_paused_loses_what_waits_for_it(house, bot, talk, news):
    services.receive(house.inbox, said("And this?", visitor="same"))
    news()
    agents.pause_agent(bot, by=house.owner)
    assert news() == []
    waiting = Delivery.objects.filter(endpoint=bot.endpoint, state__in=Delivery.OPEN_STATES)
    assert not waiting.exists()


def test_the_outsiders_bot_hears_nothing_of_this_account(house, bot):
    theirs = factories.make_inbox(house.outsider_account)
    with account_context(house.outsider_account):
        other = agents.create_agent(
            house.outsider_account, name="O", url="http://127.0.0.1:9/", dialect="chatwoot",
            inboxes=[theirs],
        ).agent  # fmt: skip
    make_conversation(house.inbox, "Hello")
    assert deliveries(bot)
    with account_context(house.outsider_account):
        assert deliveries(other) == []


def test_a_rules_reply_is_told_after_what_it_replies_to(house, bot, news):
    AssignmentRule.objects.create(
        name="Greet",
        condition={"field": "first_message", "op": "is", "value": True},
        actions=[{"type": "reply", "text": "We are here"}],
    )
    make_conversation(house.inbox, "Hello")
    told = [body for body in news() if body["event"] == "message_created"]
    assert [body["content"] for body in told] == ["Hello", "We are here"]


def test_an_agent_of_our_own_protocol_hears_what_it_always_heard(house, bot):
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    services.assign(conversation, to=house.agent.member, by=None)
    say(conversation, "Hi", house.agent.member)
    services.add_note(conversation, text="?", author=house.person)
    types = [row.event_type for row in deliveries(house.agent)]
    assert types == ["conversation.assigned", "message.created"]
    assert {row.schedule for row in deliveries(house.agent)} == {LIVE}


def test_who_changes_the_dialect_changes_what_is_told(house, bot, news):
    agents.change_agent(bot, by=house.owner, dialect="native")
    assert bot.inboxes.count() == 1
    make_conversation(house.inbox, "Hello")
    assert news() == []
    agents.change_agent(bot, by=house.owner, dialect="chatwoot")
    make_conversation(house.inbox, "Hello")
    assert names(news()) == ["conversation_created", "message_created"]


# --- Shapes --------------------------------------------------------------------------------------


def test_ids_are_theirs(house, bot, rule, news):
    conversation = make_conversation(house.inbox, "Hello")
    body = news()[-1]
    message = Message.objects.get(text="Hello")
    assert body["id"] == body["message"]["id"] == message.pk
    assert body["conversation"]["id"] == conversation.number
    assert body["account"] == {"id": house.account.pk, "name": house.account.name}
    assert body["inbox"] == {"id": house.inbox.pk, "name": house.inbox.name}
    assert body["sender"]["id"] == conversation.contact_id
    assert body["conversation"]["contact_inbox"]["id"] == conversation.address_id
    assert body["conversation"]["meta"]["assignee"]["id"] == bot.pk
    assert body["conversation"]["assignee_id"] is None
    assert body["conversation"]["messages"][0]["message_type"] == 0


def test_a_whatsapp_contact_is_known_by_the_digits_of_their_number(house, bot, talk):
    talk.address.identifiers.create(inbox=house.inbox, kind="phone", value="+14155550123")
    talk.contact.phone = "+14155550123"
    talk.contact.save()
    services.add_labels(talk, ["x"], by=house.person)
    body = bodies(bot)[-1]
    assert body["contact_inbox"]["source_id"] == "14155550123"
    assert body["meta"]["sender"]["phone_number"] == "+14155550123"


PLACE = Location(44.4, 26.1, "Home", "Main Street 1")
INBOUND: list[tuple[dict[str, Any], list[str]]] = [
    ({"kind": Kind.IMAGE, "media": (Media(Kind.IMAGE, "image/jpeg", 48211, "a.jpg"),)}, ["image"]),
    ({"kind": Kind.VOICE, "media": (Media(Kind.VOICE, "audio/ogg"),)}, ["audio"]),
    ({"kind": Kind.STICKER, "media": (Media(Kind.STICKER, "image/webp"),)}, ["image"]),
    ({"kind": Kind.DOCUMENT, "media": (Media(Kind.DOCUMENT, filename="a.pdf"),)}, ["file"]),
    ({"kind": Kind.VIDEO, "media": (Media(Kind.VIDEO, "video/mp4"),)}, ["video"]),
    ({"kind": Kind.LOCATION, "location": PLACE}, ["location"]),
    ({"kind": Kind.CONTACTS, "cards": (Card("Ann Lee", ("+1",)), Card("Bo"))}, ["contact"] * 2),
    ({"kind": Kind.BUTTON_REPLY, "choice": Choice("billing", "Billing")}, []),
    ({"kind": Kind.FORM_REPLY, "form": {"size": "L"}}, []),
    ({"kind": Kind.REACTION, "text": "👍", "target_external_id": "x"}, []),
    ({"kind": Kind.UNSUPPORTED}, []),
]


@pytest.mark.parametrize(("fields", "types"), INBOUND, ids=[one["kind"] for one, _ in INBOUND])
def test_every_kind_of_message_has_its_shape(house, bot, talk, news, fields, types):
    services.receive(house.inbox, said(**{"text": "Look", **fields, "visitor": "same"}))
    body = news()[-1]
    check(body)
    assert [one["file_type"] for one in body.get("attachments", ())] == types
    assert ("attachments" in body) is bool(types)


def test_a_chosen_option_is_told_by_its_value(house, bot, talk, news):
    services.receive(
        house.inbox,
        said("Billing", kind=Kind.BUTTON_REPLY, choice=Choice("b1", "Billing"), visitor="same"),
    )
    [body] = news()
    assert body["content"] == "Billing"
    assert body["content_attributes"] == {"submitted_values": [{"title": "Billing", "value": "b1"}]}


def test_offered_options_are_an_input_select(house, bot, talk, news):
    buttons = (Choice("a", "A"), Choice("b", "B"))
    say(talk, "Which?", bot.member, kind=Kind.BUTTONS, buttons=buttons)
    rows = (Section("Lamps", (Choice("c", "C"),)),)
    say(talk, "Which?", bot.member, kind=Kind.LIST, sections=rows, list_button="Open")
    first, second = news()
    items = [{"title": "A", "value": "a"}, {"title": "B", "value": "b"}]
    assert (first["content_type"], first["content_attributes"]) == (
        "input_select",
        {"items": items},
    )
    assert second["content_attributes"]["items"] == [{"title": "C", "value": "c"}]
    check(first)
    check(second)


LOOK = CardAction(ActionKind.LINK, "Look", url="https://shop.example/lamp")
BUY = CardAction(ActionKind.POSTBACK, "Buy", id="buy-lamp")
ASKED: list[tuple[dict[str, Any], str, dict[str, Any], dict[str, Any]]] = [
    (
        {"kind": Kind.CAROUSEL, "carousel": (CarouselCard("Lamp", actions=(LOOK, BUY)),)},
        "cards",
        {"kind": Kind.BUTTON_REPLY, "choice": Choice("buy-lamp", "Buy")},
        {"submitted_values": [{"title": "Buy", "value": "buy-lamp"}]},
    ),
    (
        {"kind": Kind.FORM, "fields": (FormField("size", "Size"),)},
        "form",
        {"kind": Kind.FORM_REPLY, "form": {"size": "L"}},
        {"submitted_values": [{"name": "size", "title": "Size", "value": "L"}]},
    ),
    (
        {"kind": Kind.INPUT, "input": Input(FieldType.EMAIL)},
        "input_email",
        {"text": "b@example.com"},
        {"submitted_email": "b@example.com"},
    ),
    (
        {"kind": Kind.INPUT, "input": Input()},
        "input_text",
        {"text": "Petra"},
        {"submitted_values": [{"value": "Petra"}]},
    ),
]


@pytest.mark.parametrize(("asks", "content_type", "answer", "submitted"), ASKED)
def test_the_message_that_asked_is_updated_with_what_was_answered(
    house, bot, talk, news, asks, content_type, answer, submitted
):
    message = say(talk, "Please", bot.member, **asks, attributes={"flow": "help"})
    [told] = news()
    check_own(told, flow="help")
    assert told["content_type"] == content_type
    assert ("items" in told["content_attributes"]) is (content_type in ("cards", "form"))
    services.receive(house.inbox, said(**{**answer, "visitor": "same"}))
    [updated] = [body for body in news() if body["event"] == "message_updated"]
    assert updated["id"] == message.pk
    check_own(updated, flow="help")
    assert submitted.items() <= updated["content_attributes"].items()


def test_articles_are_told(house, bot, talk, news):
    link = "https://shop.example/returns"
    say(talk, "", bot.member, kind=Kind.ARTICLES, articles=(Article("Returns", link),))
    [told] = news()
    check(told)
    assert told["content_type"] == "article"
    assert told["content_attributes"] == {"items": [{"title": "Returns", "link": link}]}


def check_own(body, **own):
    """The author's own keys are there; without them the body has the shape of its event."""
    nested = body["conversation"]["messages"][0]
    for shown in (
        body["content_attributes"],
        body["message"]["content_attributes"],
        nested["content_attributes"],
    ):
        if own.items() <= shown.items():
            for key in own:
                del shown[key]
        else:
            assert shown is nested["content_attributes"]  # another message by now
    check(body)


def test_a_quoted_message_is_named(house, bot, talk, news):
    message = Message.objects.get(conversation=talk, direction="inbound")
    services.post_message(talk, content=Content(text="Yes"), author=house.person, reply_to=message)
    body = news()[-1]
    assert body["content_attributes"] == {
        "in_reply_to": message.pk,
        "in_reply_to_external_id": message.external_id,
    }


def test_a_persons_first_reply_and_the_wait_for_it_are_told(house, bot, talk, news):
    services.receive(house.inbox, said("Anybody?", visitor="same"))
    waiting = news()[-1]["conversation"]
    assert (waiting["first_reply_created_at"], waiting["waiting_since"] > 0) == (None, True)
    reply = say(talk, "I am here", house.person)
    body = news()[-1]["conversation"]
    assert body["first_reply_created_at"][:19] == reply.created_at.isoformat()[:19]
    assert body["waiting_since"] == 0


def test_a_body_holds_no_secret(house, bot, talk):
    raw = b"".join(row.body for row in deliveries(bot))
    assert b"whsec_" not in raw
    assert b"remote_ref" not in raw


# --- What it costs -------------------------------------------------------------------------------


def statements(house, people):
    with CaptureQueriesContext(connection) as seen:
        services.receive_messages(house.inbox, [said("And?", visitor=one) for one in people])
    return len(seen)


def test_many_are_told_with_as_many_statements_as_one(house, bot, rule):
    crowd = [f"v{n}" for n in range(12)]
    services.receive_messages(house.inbox, [said(visitor=one) for one in crowd])
    assert statements(house, crowd) == statements(house, crowd[:1])
    make_bot(house, name="Watcher")
    assert statements(house, crowd) == statements(house, crowd[:1])
    assert statements(house, [f"new{n}" for n in range(9)]) == statements(house, ["alone"])


def test_it_costs_nothing_where_no_agent_follows(house):
    services.receive_messages(house.inbox, [said(visitor="v1")])
    before = statements(house, ["v1"])
    bot: Agent = make_bot(house)
    assert statements(house, ["v1"]) > before
    agents.change_agent(bot, by=None, dialect="native")
    assert statements(house, ["v1"]) == before


def test_what_becomes_of_many_messages_is_told_with_as_many_statements_as_of_one(house, bot):
    crowd = [f"v{n}" for n in range(6)]
    services.receive_messages(house.inbox, [said(visitor=one) for one in crowd])
    messages = [
        say(conversation, "Hi", house.person)
        for conversation in Conversation.objects.order_by("pk")
    ]

    def told(status, some):
        updates = [
            StatusUpdate("", status, our_reference=f"{message.public_id}-0") for message in some
        ]
        with CaptureQueriesContext(connection) as seen:
            services.receive_statuses(house.inbox, updates)
        return len(seen)

    assert told(DeliveryStatus.SENT, messages[:1]) == told(DeliveryStatus.SENT, messages[1:])
    assert [body["event"] for body in bodies(bot)].count("message_updated") == 6
