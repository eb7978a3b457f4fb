"""Old bodies and deliveries go, keys and what is unfinished stay (DL-16, SX-103)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.tenancy import account_context
from agents import replaying
from conversations import services
from conversations.messages import Content
from conversations.models import Attempt, Delivery, Lane, UnsentText
from integrations.models import Receipt
from integrations.tasks import prune
from tests import factories

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.fixture
def inbox():
    return factories.make_inbox(factories.make_account())


def test_a_receipt_keeps_its_key_when_its_body_is_forgotten(inbox):
    now = timezone.now()
    with account_context(inbox.account_id):
        for days, key in ((31, "old"), (29, "new")):
            Receipt.objects.create(
                inbox=inbox,
                lane_id=1,
                dedupe_key=key,
                body_packed=Receipt.pack(b"words"),
                received_at=now - timedelta(days=days),
            )
    assert prune()["receipt_bodies"] == 1
    with account_context(inbox.account_id):
        assert {r.dedupe_key: r.body for r in Receipt.objects.all()} == {
            "old": b"",
            "new": b"words",
        }


def test_deliveries_lose_their_body_after_a_week_and_go_after_a_month(inbox):
    now = timezone.now()
    conversation = factories.make_conversation(inbox)
    with account_context(inbox.account_id):
        for _ in range(4):
            services.post_message(conversation, content=Content(text="x"), author=None)
        first, second, third, fourth = Delivery.objects.filter(kind="send").order_by("id")
        for delivery, days, state in (
            (first, 31, "dead"),
            (second, 8, "delivered"),
            (third, 6, "delivered"),
            (fourth, None, "pending"),
        ):
            delivery.body = b"body"
            delivery.state = state
            delivery.finished_at = now - timedelta(days=days) if days else None
            delivery.save()
    counts = prune()
    assert (counts["deliveries"], counts["delivery_bodies"]) == (1, 1)
    with account_context(inbox.account_id):
        left = Delivery.objects.filter(kind="send").order_by("id")
        assert [delivery.body for delivery in left] == [b"", b"body", b"body"]
        assert Lane.objects.filter(kind="send").exists()


def test_the_lane_of_a_file_goes_with_its_delivery(inbox):
    with account_context(inbox.account_id):
        Lane.objects.create(kind="media", destination_id=inbox.pk, key="att_1")
    assert prune()["lanes"] == 1


def test_dl_83_dead_letters_stay_for_30_days_with_body_and_attempts(inbox):
    now = timezone.now()
    conversation = factories.make_conversation(inbox)
    with account_context(inbox.account_id):
        services.post_message(conversation, content=Content(text="x"), author=None)
        letter = Delivery.objects.get(kind="send")
        letter.body, letter.state = b"body", "dead"
        letter.finished_at = now - timedelta(days=29)
        letter.save()
        for n in (1, 2):
            Attempt.objects.create(delivery=letter, n=n, started_at=now)
    prune()
    with account_context(inbox.account_id):
        assert Delivery.objects.get(pk=letter.pk).body == b"body"
        assert Attempt.objects.filter(delivery=letter).count() == 2
        Delivery.objects.update(finished_at=now - timedelta(days=31))
    prune()
    with account_context(inbox.account_id):
        assert not Delivery.objects.filter(kind="send").exists()
        assert not Attempt.objects.exists()


def test_the_first_of_a_message_stays_as_long_as_a_replay_of_it(inbox):
    """Two replays that name nothing any more would be the same message twice (`send_once`)."""
    now = timezone.now()
    conversation = factories.make_conversation(inbox)
    with account_context(inbox.account_id):
        services.post_message(conversation, content=Content(text="x"), author=None)
        first = Delivery.objects.get(kind="send")
        Delivery.objects.update(state="dead", finished_at=now - timedelta(days=40))
        first.refresh_from_db()
        for days in (35, 1):
            again = replaying.replay(first, by=None)
            ended = now - timedelta(days=days)
            Delivery.objects.filter(pk=again.pk).update(state="dead", finished_at=ended)
    prune()
    with account_context(inbox.account_id):
        assert list(Delivery.objects.order_by("pk")) == [first, again]
        Delivery.objects.filter(pk=again.pk).update(finished_at=now - timedelta(days=31))
    prune()
    prune()
    with account_context(inbox.account_id):
        assert not Delivery.objects.exists()


def test_the_lane_of_a_bulk_replay_goes_when_it_is_done(inbox):
    with account_context(inbox.account_id):
        Lane.objects.create(kind="replay", destination_id=1, due_at=timezone.now())
        Lane.objects.create(kind="replay", destination_id=2)
    assert prune()["lanes"] == 1


def test_what_nobody_sent_is_forgotten_a_month_after_it_was_changed(inbox):
    conversation = factories.make_conversation(inbox)
    account = inbox.account
    with account_context(account):
        for days in (31, 29):
            person = factories.make_person(account)
            services.keep_unsent(conversation, text=f"{days} days", by=person)
            UnsentText.objects.filter(member=person).update(
                updated_at=timezone.now() - timedelta(days=days)
            )
    assert prune()["unsent_texts"] == 1
    with account_context(account):
        assert UnsentText.objects.get().text == "29 days"
