"""The soft limit of what may wait in one account (DL-93)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
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
