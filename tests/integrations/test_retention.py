"""Old bodies and deliveries go, keys and what is unfinished stay (DL-16, SX-103)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Content
from conversations.models import Delivery, Lane
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
