"""The soft limit of what may wait in one account (DL-93)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client, override_settings
from django.urls import reverse

from accounts.models import Account
from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Content
from conversations.models import Conversation, Delivery
from integrations.courier import overload
from integrations.courier.database import Pool
from tests import factories
from tests.api import caller, code_of

pytestmark = pytest.mark.usefixtures("clean_database")


def mark() -> list[tuple[int, bool]]:
    async def once() -> list[tuple[int, bool]]:
        pool = Pool(1, "test")
        try:
            return await overload.mark(pool)
        finally:
            await pool.close()

    return asyncio.run(once())


def pile(house: Any, conversation: Conversation, number: int) -> None:
    with account_context(house.account.pk):
        for n in range(number):
            services.post_message(
                conversation, content=Content(text=f"hello {n}"), author=house.owner
            )


# As doors write them; and a lane that is busy with them.
_RECEIPTS = """
INSERT INTO integrations_receipt
    (account_id, inbox_id, lane_id, dedupe_key, headers, body_packed, received_at, state, tries, result)
SELECT %s, %s, 0, 'm:' || gen_random_uuid(), '{}', '', now() - %s * interval '1 second', 'done', 0, ''
FROM generate_series(1, %s)
"""
_LANE = """
INSERT INTO conversations_lane
    (account_id, kind, destination_id, key, due_at, last_sequence, blocked_reason)
VALUES (%s, 'inbound', %s, 'busy', now(), 1, '')
"""
_DELIVERED = """
INSERT INTO conversations_delivery
    (account_id, lane_id, kind, schedule, wire_id, event_id, event_type, part, sequence, epoch,
     state, attempts, due_at, body_sealed, content_type, possible_duplicate, provider_message_id,
     dead_reason, parked, created_at)
SELECT account_id, id, 'agent', 'live', 'w' || n, '', 'test', 0, n, 0, 'delivered', 1, now(),
       '', '', false, '', '', false, now()
FROM (SELECT * FROM conversations_lane LIMIT 1) lane, generate_series(1, 20000) n
"""


def receive(house: Any, number: int, *, ago: float = 1) -> None:
    with account_context(house.account.pk), connection.cursor() as cursor:
        cursor.execute(_RECEIPTS, [house.account.pk, house.inbox.pk, ago, number])


def test_dl_93_what_platforms_bring_is_counted_by_receipts_and_seconds() -> None:
    """500 a second over ten seconds; how many wait to be read says nothing."""
    house, other = factories.make_house(), factories.make_house()
    with connection.cursor() as cursor:
        for one in (house, other):
            cursor.execute(_LANE, [one.account.pk, one.inbox.pk])
    receive(other, 9000, ago=11)
    receive(house, 4990)
    assert mark() == []
    receive(house, 11)
    assert mark() == [(house.account.pk, True)]
    with account_context(house.account.pk), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE integrations_receipt SET received_at = now() - interval '20 seconds'"
        )
    receive(house, 4500)
    assert mark() == []  # still too many to be called relieved
    receive(house, 5000, ago=20)  # as if it were later
    assert mark() == [(house.account.pk, False)]


def test_dl_93_the_look_reads_what_is_open_and_no_more() -> None:
    """Also when the planner believes otherwise; and while little is open, accounts are not told apart."""
    house = factories.make_house()
    factories.make_conversation(house.inbox)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LANE, [house.account.pk, house.inbox.pk])
        cursor.execute(_DELIVERED)
        cursor.execute("ANALYZE conversations_delivery")
        cursor.execute(overload._BY_INDEX)
        arguments = overload.mark_arguments({house.account.pk: 1})
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {overload._MARK}", arguments)
        [found] = cursor.fetchone()
    text = found if isinstance(found, str) else json.dumps(found)
    [plan] = json.loads(text)
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 100
    assert "One-Time Filter" in text


@override_settings(OPEN_DELIVERIES=10)
def test_who_piles_up_too_much_is_asked_to_wait_and_its_owners_see_why() -> None:
    """DL-93: 429 with Retry-After for what is put on the pile, nothing else; over at four fifths."""
    house = factories.make_house()
    other = factories.make_account()
    conversation = factories.make_conversation(house.inbox)
    pile(house, conversation, 11)
    assert mark() == [(house.account.pk, True)]
    assert mark() == []

    api = caller(house.owner)
    address = f"/v1/conversations/{conversation.public_id}/messages/"
    refused = api.post(address, {"text": "one more"})
    assert (refused.status_code, code_of(refused)) == (429, "overloaded")
    assert refused["Retry-After"] == "10"
    assert api.get(address).status_code == 200

    page = Client()
    page.force_login(house.owner.user, backend="django.contrib.auth.backends.ModelBackend")
    assert "More waits here than usual" in page.get(reverse("agents")).content.decode()

    with account_context(house.account.pk):
        done = list(Delivery.objects.values_list("pk", flat=True)[:2])
        Delivery.objects.filter(pk__in=done).update(state=Delivery.State.DELIVERED)
    assert mark() == []  # nine are still too many to be called relieved
    with account_context(house.account.pk):
        Delivery.objects.filter(
            pk__in=list(Delivery.objects.values_list("pk", flat=True)[:5])
        ).update(state=Delivery.State.DELIVERED)
    assert mark() == [(house.account.pk, False)]
    assert api.post(address, {"text": "one more"}).status_code == 201
    assert not Account.objects.filter(pk=other.pk, overloaded_since__isnull=False).exists()
