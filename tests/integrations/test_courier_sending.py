"""Send, media and signal lanes: what the channel's answer does to the message (channels.md 1.4)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Account
from conversations import services
from conversations.channels import ErrorClass
from conversations.messages import (
    Content,
    DeliveryStatus,
    Identifier,
    Kind,
    OutboundMedia,
    StatusUpdate,
    Template,
)
from conversations.models import Address, Attachment, Attempt, Delivery, Inbox, Lane, Message, Timer
from conversations.services import sending
from integrations.courier import beginning, parts
from integrations.models import Receipt
from tests import factories
from tests.integrations.couriers import Reply, Server, courier, make_house, takes, wait_for

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State


def refuses(error_class, **more):
    """A channel's API that refuses every message in this class."""

    def answer(request):
        if request.path == "/read":
            return Reply()
        said = {"class": error_class, "text": "the platform's words", "code": "131", **more}
        return Reply(400, json.dumps(said).encode())

    return answer


def post(house, text="Hello", conversation=None):
    conversation = conversation or factories.make_conversation(house.inbox, visitor="ana")
    with house.inside():
        return services.post_message(conversation, content=Content(text=text), author=None)


def sends():
    return Delivery.all_accounts.filter(kind="send").order_by("id")


def ended(*wanted):
    return lambda: set(sends().values_list("state", flat=True)) <= set(wanted)


def test_parts_go_strictly_one_after_another_and_the_message_is_sent_after_the_last():
    states_seen = []

    def watching(request):
        if request.path == "/send":
            states_seen.append(request.json["text"])
        reply = takes(request)
        reply.after = 0.1
        return reply

    with Server(watching) as channel:
        house = make_house(channel_url=channel.url)
        message = post(house, "one|two|three")
        with courier(), courier():
            wait_for(ended(State.DELIVERED))
        assert channel.most_at_once == 1
    assert states_seen == ["one", "two", "three"]
    with house.inside():
        message.refresh_from_db()
    assert (message.status, message.external_id) == ("sent", f"ext:{message.public_id}-0")
    assert [d.provider_message_id for d in sends()] == [
        f"ext:{message.public_id}-{n}" for n in range(3)
    ]


@pytest.mark.parametrize(
    "error_class",
    ["window_closed", "unreachable", "reauth", "policy", "invalid", "permanent"],
)
def test_f_21_what_the_platform_refuses_for_good_is_said_and_not_tried_again(error_class):
    with Server(refuses(error_class)) as channel:
        house = make_house(channel_url=channel.url)
        message = post(house, "one|two")
        with courier():
            wait_for(ended(State.DEAD, State.CANCELED))
        assert len([r for r in channel.requests if r.path == "/send"]) == 1
    assert list(sends().values_list("state", flat=True)) == [State.DEAD, State.CANCELED]
    with house.inside():
        message.refresh_from_db()
        assert (message.status, message.error_code) == ("failed", "131")
        assert message.error_text == "the platform's words"
        reason = Address.objects.get().unreachable_reason
        assert bool(reason) is (error_class == "unreachable")
        reauth = Inbox.objects.get().state == Inbox.State.NEEDS_REAUTH
        assert reauth is (error_class == "reauth")
    assert Attempt.all_accounts.get().outcome == error_class


def test_after_lost_credentials_the_queue_is_kept_and_goes_on_with_new_ones():
    replies = [refuses("reauth")]
    with Server(lambda request: replies[-1](request)) as channel:
        house = make_house(channel_url=channel.url)
        conversation = factories.make_conversation(house.inbox, visitor="ana")
        post(house, "lost", conversation)
        with courier():
            wait_for(ended(State.DEAD))
            kept = post(house, "kept", conversation)
            lane = Lane.all_accounts.get(kind="send")
            wait_for(lambda: blocked(lane) == "needs_reauthorization")
            replies.append(takes)
            with house.inside():
                Inbox.objects.update(state=Inbox.State.ACTIVE)
            Lane.all_accounts.filter(pk=lane.pk).update(due_at=timezone.now())
            wait_for(ended(State.DEAD, State.DELIVERED))
    with house.inside():
        kept.refresh_from_db()
    assert kept.status == "sent"


def blocked(lane):
    lane.refresh_from_db()
    return lane.blocked_reason


def test_a_channel_is_told_what_the_customer_said_last_alone_and_among_others():
    house = make_house()
    post(house)
    with house.inside():
        said = Message.objects.get(direction="inbound")
        delivery = sends().get()
        alone = parts.recipient_of(delivery)
        among = beginning._people([delivery.conversation_id])[delivery.conversation_id][0]
    assert alone == among
    assert alone.last_external_id == said.external_id != ""


def test_a_passing_trouble_is_tried_again():
    answers = [refuses("transient"), takes]
    with Server(lambda r: answers.pop(0)(r) if r.path == "/send" else Reply()) as channel:
        house = make_house(channel_url=channel.url)
        message = post(house)
        with courier():
            wait_for(ended(State.DELIVERED))
    assert [(a.n, a.outcome) for a in Attempt.all_accounts.order_by("id")] == [
        (1, "transient"), (2, "ok"),
    ]  # fmt: skip
    with house.inside():
        message.refresh_from_db()
    assert message.status == "sent"


def test_dl_96_a_channel_that_slows_us_down_costs_no_attempt():
    answers = [refuses("throttled", retry_after=0.6), refuses("throttled", retry_after=0.6), takes]
    with Server(lambda r: answers.pop(0)(r) if r.path == "/send" else Reply()) as channel:
        house = make_house(channel_url=channel.url)
        post(house)
        with courier():
            wait_for(ended(State.DELIVERED))
    delivery = sends().get()
    assert delivery.attempts == 1
    outcomes = list(Attempt.all_accounts.order_by("id").values_list("outcome", flat=True))
    assert outcomes == ["throttled", "throttled", "ok"]


def test_dl_44_a_channel_that_cannot_be_reached_is_no_ambiguity():
    with Server(takes) as channel:
        house = make_house(channel_url=channel.url)  # and nobody listens there any more
    post(house)
    with courier():
        wait_for(lambda: Attempt.all_accounts.filter(outcome="transient").count() >= 2)
    assert sends().get().state == State.RETRY_WAIT


def hangs(request):
    return Reply(after=3) if request.path == "/send" else Reply()


def make_hanging_house(channel):
    house = make_house(channel_url=channel.url)
    with house.inside():
        Inbox.objects.update(config={"api": channel.url, "timeout": 0.3})
        house.inbox.refresh_from_db()
    return house


def test_dl_42_f_19_a_lost_answer_is_uncertain_until_a_status_proves_the_arrival():
    with Server(hangs) as channel:
        house = make_hanging_house(channel)
        message = post(house, "one|two")
        with courier():
            wait_for(lambda: sends().first().state == State.UNCERTAIN)
            assert sends().last().state == State.PENDING
            timer = Timer.all_accounts.get(kind="reconcile")
            assert 25 < (timer.due_at - timezone.now()).total_seconds() <= 30
            channel.answer = takes
            with house.inside():
                services.receive(
                    house.inbox,
                    StatusUpdate(
                        "ext:real", DeliveryStatus.DELIVERED, our_reference=f"{message.public_id}-0"
                    ),
                )
            wait_for(ended(State.DELIVERED))
        texts = [r.json["text"] for r in channel.requests if r.path == "/send"]
    assert texts == ["one", "two"]
    assert Attempt.all_accounts.earliest("id").outcome == "ambiguous"
    with house.inside():
        message.refresh_from_db()
    assert (message.status, message.external_id) == ("delivered", "ext:real")


def status_of(house, message, status):
    update = StatusUpdate("ext:real", status, our_reference=f"{message.public_id}-0")
    with house.inside():
        services.receive(house.inbox, update)


def test_dl_42_a_status_that_came_while_the_answer_was_awaited_proves_the_arrival():
    with Server(hangs) as channel:
        house = make_hanging_house(channel)
        message = post(house)
        with courier():
            wait_for(lambda: sends().get().state == State.IN_FLIGHT)
            status_of(house, message, DeliveryStatus.SENT)
            wait_for(ended(State.DELIVERED))
        assert len([r for r in channel.requests if r.path == "/send"]) == 1
    assert not Timer.all_accounts.filter(kind="reconcile").exists()


def make_timer_due():
    return Timer.all_accounts.filter(kind="reconcile").update(due_at=timezone.now())


def test_dl_43_without_a_word_a_text_is_sent_once_more_and_marked():
    with Server(hangs) as channel:
        house = make_hanging_house(channel)
        message = post(house)
        with courier():
            wait_for(ended(State.UNCERTAIN))
            channel.answer = takes
            make_timer_due()
            wait_for(ended(State.DELIVERED))
        assert len([r for r in channel.requests if r.path == "/send"]) == 2
    with house.inside():
        message.refresh_from_db()
    assert message.possible_duplicate
    assert sends().get().possible_duplicate


def test_dl_42_an_account_may_want_every_silence_to_be_held_for_a_person():
    with Server(hangs) as channel:
        house = make_hanging_house(channel)
        Account.objects.filter(pk=house.account.pk).update(on_uncertain=Account.OnUncertain.HOLD)
        post(house)
        with courier():
            wait_for(ended(State.UNCERTAIN))
            make_timer_due()
            wait_for(ended(State.HELD))
        assert len([r for r in channel.requests if r.path == "/send"]) == 1


def test_dl_42_a_second_silence_is_held_for_a_person():
    with Server(hangs) as channel:
        house = make_hanging_house(channel)
        message = post(house)
        with courier():
            for wanted in (State.UNCERTAIN, State.UNCERTAIN):
                wait_for(ended(wanted))
                wait_for(make_timer_due)
                wait_for(lambda: not ended(State.UNCERTAIN)())
            wait_for(ended(State.HELD))
            lane = Lane.all_accounts.get(kind="send")
            wait_for(lambda: blocked(lane) == "held")
    with house.inside():
        message.refresh_from_db()
    assert message.error_code == "uncertain"


def make_held(house):
    """A message of which nobody knows whether it arrived, and one that waits behind it."""
    conversation = factories.make_conversation(house.inbox, visitor="ana")
    with house.inside():
        services.assign(conversation, to=house.agent.member, by=None)
    held = post(house, "Hello", conversation)
    post(house, "waits", conversation)
    first = sends().first()
    sends().filter(pk=first.pk).update(state=State.UNCERTAIN, possible_duplicate=True)
    with house.inside():
        sending.uncertain(first)
        sending.reconcile(Timer.objects.get(kind="reconcile"))
        conversation.refresh_from_db()
    assert sends().first().state == State.HELD
    return conversation, held


def test_a_held_message_brings_people_and_gives_way_when_somebody_goes_on():
    with Server(takes) as channel:
        house = make_house(channel_url=channel.url)
        conversation, _held = make_held(house)
        assert conversation.assignee is None
        with house.inside():
            services.post_message(
                conversation,
                content=Content(text="Did it arrive?"),
                author=factories.make_person(house.account),
            )
        with courier():
            wait_for(ended(State.CANCELED, State.DELIVERED))
        texts = [r.json["text"] for r in channel.requests if r.path == "/send"]
    assert texts == ["waits", "Did it arrive?"]


def test_a_status_that_comes_late_ends_the_holding():
    with Server(takes) as channel:
        house = make_house(channel_url=channel.url)
        _conversation, held = make_held(house)
        status_of(house, held, DeliveryStatus.SENT)
        with courier():
            wait_for(ended(State.DELIVERED))
        texts = [r.json["text"] for r in channel.requests if r.path == "/send"]
    assert texts == ["waits"]


def test_dl_97_a_message_whose_window_closed_is_told_without_a_call():
    with Server(takes) as channel:
        house = make_house(channel_url=channel.url, platform="daypaper")
        conversation = factories.make_conversation(house.inbox, visitor="ana")
        message = post(house, conversation=conversation)
        with house.inside():
            Address.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))
        with courier():
            wait_for(ended(State.DEAD))
        assert [r for r in channel.requests if r.path == "/send"] == []
    with house.inside():
        message.refresh_from_db()
    assert (message.status, message.error_code) == ("failed", "window_would_close")


def test_a_template_is_sent_when_the_window_has_closed():
    with Server(takes) as channel:
        house = make_house(channel_url=channel.url, platform="daypaper")
        conversation = factories.make_conversation(house.inbox, visitor="ana")
        said = Content(Kind.TEMPLATE, text="Hello again", template=Template("hello", "en"))
        with house.inside():
            Address.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))
            services.post_message(conversation, content=said, author=None)
        with courier():
            wait_for(ended(State.DELIVERED))
        assert [r.json["text"] for r in channel.requests if r.path == "/send"] == ["Hello again"]


def test_a_status_that_came_first_is_not_taken_back():
    """The platform said `read` before our own answer was recorded (F-23)."""
    with Server(takes) as channel:
        house = make_house(channel_url=channel.url)
        message = post(house)
        with house.inside():
            services.receive(
                house.inbox,
                StatusUpdate(
                    "ext:real", DeliveryStatus.READ, our_reference=f"{message.public_id}-0"
                ),
            )
        with courier():
            wait_for(ended(State.DELIVERED))
    with house.inside():
        message.refresh_from_db()
    assert (message.status, message.external_id) == ("read", "ext:real")


def test_a_file_of_an_agent_is_fetched_before_its_message_is_sent():
    with (
        Server(lambda request: Reply(body=b"PNG", headers={"Content-Type": "image/png"})) as web,
        Server(takes) as channel,
    ):
        house = make_house(channel_url=channel.url)
        conversation = factories.make_conversation(house.inbox, visitor="ana")
        file = OutboundMedia(Kind.IMAGE, "", url=f"{web.url}/pictures/a%20b.png")
        with house.inside():
            services.post_message(
                conversation, content=Content(Kind.IMAGE, "look", (file,)), author=None
            )
        with courier():
            wait_for(ended(State.DELIVERED))
    with house.inside():
        attachment = Attachment.objects.get()
    assert (attachment.state, attachment.mime, attachment.size) == ("ready", "image/png", 3)
    assert attachment.filename == "a b.png"


def test_a_file_that_cannot_be_had_fails_its_message():
    with Server(lambda r: Reply(404)) as web, Server(takes) as channel:
        house = make_house(channel_url=channel.url)
        conversation = factories.make_conversation(house.inbox, visitor="ana")
        file = OutboundMedia(Kind.IMAGE, "", url=f"{web.url}/gone.png")
        with house.inside():
            message = services.post_message(
                conversation, content=Content(Kind.IMAGE, "look", (file,)), author=None
            )
        with courier():
            wait_for(ended(State.DEAD))
    with house.inside():
        message.refresh_from_db()
        assert (message.status, message.error_code) == ("failed", "file_missing")
        assert Attachment.objects.get().state == "failed"


def test_a_customers_file_is_fetched_by_its_channel():
    def gives(request):
        return Reply(body=b"PNG") if request.path == "/files/f1" else takes(request)

    with Server(gives) as channel:
        house = make_house(channel_url=channel.url)
        with house.inside():
            from conversations.messages import InboundMessage, Media

            services.receive(
                house.inbox,
                InboundMessage(
                    "x1",
                    Kind.IMAGE,
                    (Identifier("paper", "ana"),),
                    media=(Media(Kind.IMAGE, remote_ref="f1"),),
                ),
            )
        with courier():
            wait_for(lambda: attachment_state(house) == "ready")
    with house.inside():
        assert Attachment.objects.get().mime == "image/png"


def attachment_state(house):
    with house.inside():
        return Attachment.objects.get().state


def test_read_receipts_are_given_once_and_their_failure_disturbs_nobody():
    with Server(lambda request: Reply(500)) as channel:
        house = make_house(channel_url=channel.url)
        conversation = factories.make_conversation(house.inbox, visitor="ana")
        from conversations.services.courtesies import acknowledge

        with house.inside():
            for typing in (False, False, True):
                conversation.refresh_from_db()
                acknowledge(conversation, typing=typing)
        with courier():
            wait_for(lambda: not signals().filter(state__in=Delivery.OPEN_STATES).exists())
        assert [r.json["typing"] for r in channel.requests] == [True]
    states = list(signals().values_list("state", flat=True))
    assert states[:2] == [State.CANCELED, State.CANCELED]
    with house.inside():
        assert Message.objects.count() >= 1
        assert not Receipt.objects.exists()
    assert ErrorClass.PERMANENT not in states


def signals():
    return Delivery.all_accounts.filter(kind="signal").order_by("id")
