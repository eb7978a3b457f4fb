"""Inbound lanes: receipts become messages, in order, once (delivery.md 2)."""

from __future__ import annotations

import asyncio
import json

import pytest
from django.utils import timezone

from conversations.models import InboxRoute, Lane, Message
from integrations.door import Door
from integrations.models import Receipt
from tests.integrations.couriers import courier, make_house, wait_for
from tests.integrations.test_door import call, paper_body

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.fixture
def house():
    made = make_house()
    with made.inside():
        made.inbox.credentials = {"secret": "s3cret", "token": InboxRoute.new_token()}
        made.inbox.save()
        InboxRoute.objects.create(
            account=made.account,
            inbox_id=made.inbox.pk,
            platform="paper",
            token_sha256=InboxRoute.digest(made.inbox.credentials["token"]),
        )
    return made


def bring(house, *items):
    """What the platform posts at the door, one request for all items."""

    async def run():
        door = Door()
        try:
            path = f"/hooks/paper/{house.inbox.credentials['token']}"
            return await call(door, path, paper_body(*items))
        finally:
            await door.close()

    assert asyncio.run(run())[0] == 200


def said(key, text="hello", contact="ana"):
    return {"id": key, "from": contact, "text": text}


def receipt_states(house):
    with house.inside():
        return list(Receipt.objects.order_by("id").values_list("state", flat=True))


def texts(house):
    with house.inside():
        return list(
            Message.objects.filter(direction="inbound")
            .order_by("id")
            .values_list("text", flat=True)
        )


def none_new(house):
    return lambda: "new" not in receipt_states(house)


def test_dl_15_a_batch_becomes_messages_in_order(house):
    with courier(), courier():
        bring(house, *(said(f"{n}", f"text {n}") for n in range(60)))
        wait_for(none_new(house), 30)
    assert texts(house) == [f"text {n}" for n in range(60)]
    assert set(receipt_states(house)) == {"done"}
    assert Lane.all_accounts.get(kind="inbound").due_at is None


def test_dl_05_the_same_message_under_another_key_has_one_effect(house):
    with courier():
        bring(house, said("1"))
        wait_for(none_new(house))
        with house.inside():
            first = Receipt.objects.get()
            Receipt.objects.create(
                inbox=house.inbox,
                lane_id=first.lane_id,
                dedupe_key="other",
                body_packed=first.body_packed,
            )
        Lane.all_accounts.filter(kind="inbound").update(due_at=timezone.now())
        wait_for(none_new(house))
    assert texts(house) == ["hello"]


def test_an_unreadable_item_fails_at_once_and_its_siblings_go_on(house):
    with courier():
        bring(house, said("1"), said("2", "unreadable"), said("3", "after"))
        wait_for(none_new(house))
    assert receipt_states(house) == ["done", "failed", "done"]
    assert texts(house) == ["hello", "after"]
    with house.inside():
        assert "no text" in Receipt.objects.get(state="failed").result


def test_dl_18_a_receipt_that_breaks_us_is_tried_five_times_then_the_lane_goes_on(house, caplog):
    with courier(), caplog.at_level("CRITICAL"):
        bring(house, said("1", "poison"), said("2", "after"))
        for tries in range(1, 5):
            wait_for(tried(house, tries))
            assert texts(house) == []
            hurry(house)
        wait_for(none_new(house))
    assert receipt_states(house) == ["failed", "done"]
    assert texts(house) == ["after"]
    with house.inside():
        receipt = Receipt.objects.get(state="failed")
    assert (receipt.tries, receipt.result) == (5, "RuntimeError: a bug of ours")


def tried(house, times):
    def met():
        with house.inside():
            return Receipt.objects.earliest("id").tries == times

    return met


def hurry(house):
    with house.inside():
        Receipt.objects.filter(state="new").exclude(next_try_at=None).update(
            next_try_at=timezone.now()
        )
    Lane.all_accounts.filter(kind="inbound").update(due_at=timezone.now())


def test_a_status_of_an_unknown_message_is_waited_for_shortly_and_then_ignored(house):
    with courier():
        bring(house, {"id": "s1", "from": "ana", "status": "read", "about": "nobody"})
        wait_for(none_new(house))
    assert receipt_states(house) == ["ignored"]
    with house.inside():
        assert Receipt.objects.get().tries == 4


def test_two_customers_do_not_wait_for_each_other(house, caplog):
    with courier(), caplog.at_level("CRITICAL"):
        bring(house, said("1", "poison", "ana"), said("2", "quick", "bo"))
        wait_for(lambda: texts(house) == ["quick"], 2)
    assert json.dumps(receipt_states(house)) == '["new", "done"]'
