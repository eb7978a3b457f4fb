"""API inboxes by the account's API and by the dashboard, and what an account may do in one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse

from accounts.tenancy import account_context
from conversations import services
from conversations.channels import CheckStep
from conversations.models import Conversation, Inbox, Message
from integrations.chatwoot.api_inbox.channel import ApiChannel
from integrations.http import GuardedClient
from tests.accounts.test_entry import logged_in
from tests.api import caller
from tests.factories import make_agent, make_conversation
from tests.integrations.chatwoot.api_inbox.conftest import App, make_app, proof
from tests.integrations.chatwoot.api_inbox.test_messages import answers
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.conftest import Client4, client
from tests.integrations.couriers import Reply, Server

SECRETS = {"inbox_identifier", "hmac_token", "secret"}
URL = "https://93.184.216.34/hook"


def owner(house: SimpleNamespace) -> Client4:
    return client(house.owner, house.account.pk)


def test_an_inbox_is_made_and_used(house: SimpleNamespace) -> None:
    desk = owner(house)
    made = desk.post("inboxes", {"name": "App", "channel": {"type": "api", "webhook_url": URL}})
    assert made.status_code == 200, made.content
    said = made.json()
    assert (said["name"], said["channel_type"], said["webhook_url"]) == ("App", "Channel::Api", URL)
    assert all(len(said[name]) > 20 for name in SECRETS)
    shown = desk.get(f"inboxes/{said['id']}").json()
    assert shown == {name: value for name, value in said.items() if name not in SECRETS}
    contract.check(
        {name: value for name, value in shown.items() if name in contract.INBOX}, contract.INBOX
    )
    assert said["id"] in {one["id"] for one in desk.get("inboxes").json()["payload"]}
    with account_context(house.account):
        app = App(Inbox.objects.get(pk=said["id"]), house)
    assert app.identifier == said["inbox_identifier"]
    proven = {"identifier": "7", "identifier_hash": proof("7", said["hmac_token"])}
    assert app.post("contacts", proven).status_code == 200


def test_what_it_says_is_for_who_sets_it_up(house: SimpleNamespace) -> None:
    app = make_app(house, webhook_url=URL)
    shown = client(house.person, house.account.pk).get(f"inboxes/{app.inbox.pk}").json()
    assert shown["name"] == "Our app"
    assert not {"webhook_url", *SECRETS} & set(shown)


def test_an_inbox_is_changed(house: SimpleNamespace) -> None:
    app, desk = make_app(house, webhook_url=URL), owner(house)
    path = f"inboxes/{app.inbox.pk}"
    changed = desk.patch(path, {"name": "New", "channel": {"hmac_mandatory": True}}).json()
    assert (changed["name"], changed["webhook_url"]) == ("New", URL)
    assert changed["hmac_mandatory"] is True
    assert app.get("").json()["identity_validation_enabled"] is True
    assert desk.patch(path, {"channel": {"webhook_url": ""}}).json()["webhook_url"] is None
    sandbox = f"inboxes/{house.inbox.pk}"
    assert desk.patch(sandbox, {"name": "Phone"}).json()["name"] == "Phone"
    assert desk.patch(sandbox, {"channel": {"webhook_url": URL}}).status_code == 422


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ({"name": "x"}, "API inboxes"),
        ({"name": "x", "channel": {"type": "whatsapp"}}, "API inboxes"),
        ({"channel": {"type": "api"}}, "Name can't be blank"),
        ({"name": "x" * 121, "channel": {"type": "api"}}, "name is too long"),
        ({"name": "x", "channel": {"type": "api", "webhook_url": "nonsense"}}, "http://"),
        ({"name": "x", "channel": {"type": "api", "webhook_url": "https://10.0.0.1/"}}, "public"),
        ({"name": "x", "channel": {"type": "api", "webhook_url": ["a"]}}, "webhook_url"),
    ],
    ids=["no channel", "another", "no name", "long name", "no address", "private", "a list"],
)
def test_an_inbox_that_cannot_be(house: SimpleNamespace, said: Any, about: str) -> None:
    refused = owner(house).post("inboxes", said)
    assert refused.status_code == 422, refused.content
    assert about in refused.content.decode()
    with account_context(house.account):
        assert not Inbox.objects.filter(platform="api").exists()


def test_who_may_not_makes_none(house: SimpleNamespace) -> None:
    said = {"name": "x", "channel": {"type": "api"}}
    assert client(house.person, house.account.pk).post("inboxes", said).status_code == 401
    stranger = client(house.outsider, house.account.pk)
    assert stranger.post("inboxes", said).status_code == 401


# --- What an account does in one -------------------------------------------------------------------


def test_an_account_says_what_its_customer_said(app: App, house: SimpleNamespace) -> None:
    """As integrations of theirs do: a contact, its place in the inbox, a thread, a message."""
    desk = owner(house)
    contact = desk.post("contacts", {"name": "Ana"}).json()["payload"]["contact"]["id"]
    place = desk.post(f"contacts/{contact}/contact_inboxes", {"inbox_id": app.inbox.pk}).json()
    assert len(place["source_id"]) == 36
    begun = {"inbox_id": app.inbox.pk, "contact_id": contact, "source_id": place["source_id"]}
    number = desk.post("conversations", begun).json()["id"]
    path = f"conversations/{number}/messages"
    said = {"content": "Hello", "message_type": "incoming", "source_id": "wa-1"}
    first = desk.post(path, said)
    assert first.status_code == 200, first.content
    contract.check(first.json(), contract.MESSAGE)
    assert (first.json()["message_type"], first.json()["source_id"]) == (0, "wa-1")
    assert first.json()["sender"]["type"] == "contact"
    assert desk.post(path, said).json()["id"] == first.json()["id"]
    shown = app.get(f"contacts/{place['source_id']}/conversations/{number}/messages").json()
    assert [one["content"] for one in shown] == ["Hello"]
    bo = app.customer("bo")
    other = desk.post(f"conversations/{bo.number}/messages", said)
    assert (other.status_code, other.json()) == (422, {"error": "source_id should be unique"})


def test_what_a_customer_says_may_quote(app: App, house: SimpleNamespace) -> None:
    ana, bo, desk = app.customer("ana"), app.customer("bo"), owner(house)
    hello, reply, others = ana.says("Hello"), answers(ana), answers(bo)
    path = f"conversations/{ana.number}/messages"
    with app.inside():
        note = services.add_note(ana.conversation(), text="VIP", author=house.person)

    def said(**quoted: Any) -> Any:
        sent = {"content": "Yes", "message_type": "incoming", "content_attributes": quoted}
        response = desk.post(path, sent)
        assert response.status_code == 200, response.content
        contract.check(response.json(), contract.MESSAGE)
        return response.json()["content_attributes"].get("in_reply_to")

    assert said(in_reply_to=reply.pk) == reply.pk
    assert said(in_reply_to=str(hello["id"])) == hello["id"]
    assert said(in_reply_to_external_id=f"api:{reply.public_id}-0") == reply.pk
    for other in (others.pk, note.pk, 2**62, "x", None, [1]):
        assert said(in_reply_to=other) is None


def test_nobody_else_speaks_for_a_customer(app: App, house: SimpleNamespace) -> None:
    ana = app.customer("ana")
    said = {"content": "Hello", "message_type": "incoming"}
    elsewhere = make_conversation(house.inbox)
    refused = owner(house).post(f"conversations/{elsewhere.number}/messages", said)
    assert (refused.status_code, refused.json()) == (
        422, {"error": "Incoming messages are only allowed in Api inboxes"},
    )  # fmt: skip
    bot = make_agent(house.account)
    with account_context(house.account):
        Conversation.objects.filter(number=ana.number).update(assignee=bot.member)
    speaks = client(bot.member, house.account.pk).post(f"conversations/{ana.number}/messages", said)
    assert speaks.status_code == 401
    with account_context(house.account):
        assert not Message.objects.filter(inbox=app.inbox).exists()


def test_an_app_says_what_became_of_a_message(app: App, house: SimpleNamespace) -> None:
    ana, desk = app.customer("ana"), owner(house)
    message = answers(ana)
    path = f"conversations/{ana.number}/messages/{message.pk}"
    assert desk.patch(path, {"status": "delivered"}).json()["status"] == "delivered"
    assert desk.patch(path, {"status": "read"}).json()["status"] == "read"
    assert desk.patch(path, {"status": "delivered"}).json()["status"] == "read"
    failed = answers(ana)
    path = f"conversations/{ana.number}/messages/{failed.pk}"
    shown = desk.patch(path, {"status": "failed", "external_error": "no such number"}).json()
    assert shown["status"] == "failed"
    assert shown["content_attributes"]["external_error"] == "no such number"
    for said in ({}, {"status": "eaten"}):
        assert desk.patch(path, said).status_code == 422
    hello = ana.says("Hello")["id"]
    path = f"conversations/{ana.number}/messages/{hello}"
    assert desk.patch(path, {"status": "read"}).status_code == 422


# --- The dashboard ---------------------------------------------------------------------------------


def test_an_inbox_is_connected_on_a_page(house: SimpleNamespace) -> None:
    admin = logged_in(house.admin)
    assert "API inbox" in admin.get(reverse("choose_platform")).content.decode()
    said = {"name": "App", "webhook_url": "", "secret": "s3cret-of-ours", "hmac_mandatory": "2"}
    connect = reverse("connect_inbox", args=["api"])
    assert admin.post(connect, said).status_code == 422
    page = admin.post(connect, {**said, "hmac_mandatory": ""}, follow=True).content.decode()
    with account_context(house.account):
        inbox = Inbox.objects.get(platform="api")
        app = App(inbox, house)
    assert f"/public/api/v1/inboxes/{app.identifier}" in page
    assert "s3cret-of-ours" not in page
    assert "Meta app" not in page
    with account_context(house.account):
        assert inbox.credentials["secret"] == "s3cret-of-ours"
    app.customer("ana").says("Hello")
    admin.get(reverse("inbox_settings", args=[inbox.public_id]))


def check(app: App) -> list[CheckStep]:
    async def run() -> list[CheckStep]:
        async with GuardedClient() as http:
            config = app.inbox.as_config()
            steps = ApiChannel().check(config, http, hook_url="")
            return [step async for step in steps if isinstance(step, CheckStep)]

    with app.inside():
        return asyncio.run(run())


def test_the_connection_test_looks_whether_somebody_answers(
    house: SimpleNamespace, settings: Any
) -> None:
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    [step] = check(make_app(house))
    assert step.ok
    with Server(lambda request: Reply(405)) as server:
        [step] = check(make_app(house, webhook_url=server.url))
        assert (step.ok, step.detail) == (True, "It has no secret, so what it gets is not signed.")
        [step] = check(make_app(house, webhook_url=server.url, secret="x"))
        assert (step.ok, step.detail) == (True, "")
    [step] = check(make_app(house, webhook_url="http://127.0.0.1:9/"))
    assert not step.ok
    assert "could not be reached" in step.detail
    settings.OUTBOUND_ALLOW = []
    [refused] = check(make_app(house, webhook_url="http://127.0.0.1:9/"))
    assert refused == step  # it does not tell what is closed from what we do not call


@pytest.mark.parametrize(
    "url",
    ["http://app.example/", "https://127.0.0.1/", "https://me:secret@app.example/", "javascript:x"],
    ids=["open", "inside", "password", "script"],
)
def test_an_address_that_we_would_not_call_is_not_kept(house: SimpleNamespace, url: str) -> None:
    """Bad inputs 43 and 47, wherever an inbox is connected or changed."""
    admin, connect = logged_in(house.admin), reverse("connect_inbox", args=["api"])
    assert admin.post(connect, {"name": "App", "webhook_url": url}).status_code == 422
    inbox = make_app(house).inbox
    change = reverse("change_inbox", args=[inbox.public_id])
    assert admin.post(change, {"name": "App", "webhook_url": url}).status_code == 422
    rest = caller(house.admin)
    made = {"platform": "api", "name": "App", "fields": {"webhook_url": url}}
    assert rest.post("/v1/inboxes/", made).status_code == 400
    changed = {"fields": {"webhook_url": url}}
    assert rest.patch(f"/v1/inboxes/{inbox.public_id}/", changed).status_code == 400
