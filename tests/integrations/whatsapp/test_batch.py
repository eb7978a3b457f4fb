"""A batch of Meta's through the real door and courier (F-24, channels.md 2.4)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json

import pytest

from accounts.tenancy import account_context
from conversations.models import InboxRoute, Message
from integrations.door import Door
from integrations.models import Receipt
from tests import factories
from tests.integrations.couriers import courier, wait_for
from tests.integrations.test_door import call

pytestmark = pytest.mark.usefixtures("clean_database")

NUMBER, SECRET = "200000000000001", "app-secret"


def entry(n: int) -> dict:
    said: dict[str, object] = {
        "from": f"4072100{n:04d}",
        "id": f"wamid.{n}",
        "timestamp": "1795000000",
        "type": "text",
        "text": {"body": f"text {n}"},
    }
    if n == 37:
        said = {"id": 37}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "40312345678", "phone_number_id": NUMBER},
        "contacts": [{"profile": {"name": f"Ana {n}"}, "wa_id": f"4072100{n:04d}"}],
        "messages": [said],
    }
    return {"id": "1", "changes": [{"field": "messages", "value": value}]}


def test_f_24_99_of_100_entries_become_messages_and_the_malformed_one_is_kept():
    inbox = factories.make_inbox(
        factories.make_account(), "whatsapp", config={"phone_number_id": NUMBER}
    )
    token = InboxRoute.new_token()
    with account_context(inbox.account_id):
        inbox.credentials = {"app_secret": SECRET, "access_token": "x", "verify_token": "v"}
        inbox.save()
        InboxRoute.objects.create(
            account=inbox.account,
            inbox_id=inbox.pk,
            platform="whatsapp",
            token_sha256=InboxRoute.digest(token),
        )
    body = json.dumps(
        {"object": "whatsapp_business_account", "entry": [entry(n) for n in range(100)]}
    ).encode()
    signature = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()

    async def post():
        door = Door()
        try:
            headers = {"x-hub-signature-256": f"sha256={signature}"}
            return await call(door, f"/hooks/whatsapp/{token}", body, headers=headers)
        finally:
            await door.close()

    assert asyncio.run(post())[0] == 200
    with courier():
        wait_for(lambda: "new" not in states(inbox), 60)
    assert sorted(states(inbox)) == ["done"] * 99 + ["failed"]
    with account_context(inbox.account_id):
        assert Message.objects.filter(direction="inbound").count() == 99


def states(inbox):
    with account_context(inbox.account_id):
        return list(Receipt.objects.values_list("state", flat=True))
