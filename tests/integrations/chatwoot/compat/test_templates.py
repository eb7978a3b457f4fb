"""`template_params` (contract, 4.2): templates of the platform, in a message and with a new conversation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Identifier
from conversations.models import Address, Contact, Conversation, Delivery, Message
from conversations.services.outbound import outbound_parts
from integrations.whatsapp.sending import body_of
from tests.factories import make_inbox, said
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.test_bots_calls import to

RECEIPT: dict[str, Any] = {
    "name": "purchase_receipt", "category": "UTILITY", "language": "en_US", "namespace": "old",
    "processed_params": {
        "header": {"media_url": "https://shop.example/r.pdf", "media_type": "document", "media_name": "r.pdf"},
        "body": {"2": "Visa\n ends 4242", "1": "Ana"},
        "buttons": [None, {"type": "url", "parameter": "otp123456"}],
    },
}  # fmt: skip
# As it is answered back: without what means nothing any more.
SHOWN = {key: value for key, value in RECEIPT.items() if key != "namespace"}
COMPONENTS = [
    {
        "type": "header",
        "parameters": [
            {
                "type": "document",
                "document": {"link": "https://shop.example/r.pdf", "filename": "r.pdf"},
            }
        ],
    },
    {
        "type": "body",
        "parameters": [
            {"type": "text", "text": "Ana"},
            {"type": "text", "text": "Visa  ends 4242"},
        ],
    },
    {
        "type": "button",
        "sub_type": "url",
        "index": "1",
        "parameters": [{"type": "text", "text": "otp123456"}],
    },
]


@pytest.fixture
def late(woot: SimpleNamespace) -> Conversation:
    """A WhatsApp conversation whose reply window closed yesterday."""
    inbox = make_inbox(woot.house.account, "whatsapp")
    with account_context(woot.house.account):
        named = (Identifier("phone", "+40721000111"),)
        services.receive(inbox, replace(said("Hello"), identifiers=named))
        Address.objects.filter(inbox=inbox).update(
            last_inbound_at=timezone.now() - timedelta(days=2)
        )
        return Conversation.objects.select_related("inbox").get(inbox=inbox)


def wire(woot: SimpleNamespace, pk: int) -> Any:
    """What goes to WhatsApp of a message."""
    with account_context(woot.house.account):
        [part] = outbound_parts(Message.objects.select_related("inbox").get(pk=pk))
    return body_of(part, {"to": "40721000111"}, {})["template"]


def test_a_template_is_sent_where_free_text_is_not(
    woot: SimpleNamespace, late: Conversation
) -> None:
    refused = woot.owner.post(to(late), {"content": "Your receipt"})
    assert refused.status_code == 422
    body = {"content": "Your receipt, Ana", "template_params": RECEIPT}
    response = woot.owner.post(to(late), body)
    assert response.status_code == 200, response.content
    shown = response.json()
    contract.check(shown, contract.MESSAGE)
    assert (shown["message_type"], shown["content_type"]) == (1, "text")
    assert shown["content"] == "Your receipt, Ana"
    assert wire(woot, shown["id"]) == {
        "name": "purchase_receipt", "language": {"code": "en_US"}, "components": COMPONENTS,
    }  # fmt: skip
    with account_context(woot.house.account):
        assert Delivery.objects.filter(message=shown["id"]).count() == 1


def test_what_was_filled_in_is_shown_with_the_message(
    woot: SimpleNamespace, late: Conversation
) -> None:
    woot.owner.post(to(late), {"template_params": RECEIPT})
    [last] = woot.owner.get(f"conversations/{late.number}").json()["messages"]
    assert last["additional_attributes"] == {"template_params": SHOWN}
    assert last["content"] is None


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({"2": "b", "1": "a"}, [{"text": "a"}, {"text": "b"}]),
        (["a", "b"], [{"text": "a"}, {"text": "b"}]),
        ({"body": "a"}, [{"text": "a", "parameter_name": "body"}]),
        ({"name": "a"}, [{"text": "a", "parameter_name": "name"}]),
        ({"body": {"1": 3, "2": ""}}, [{"text": "3"}]),
        ({"body": {"1": {"type": "currency", "fallback_value": "9 €"}}}, [{"text": "9 €"}]),
        ({str(n): str(n) for n in range(1, 12)}, [{"text": str(n)} for n in range(1, 12)]),
    ],
)
def test_older_and_newer_values_fill_in_the_body(
    woot: SimpleNamespace, late: Conversation, given: Any, parameters: Any
) -> None:
    body = {"template_params": {"name": "t", "language": "en", "processed_params": given}}
    pk = woot.owner.post(to(late), body).json()["id"]
    wanted = [{"type": "text", **one} for one in parameters]
    assert wire(woot, pk)["components"] == [{"type": "body", "parameters": wanted}]


def test_forms_bring_templates_too(woot: SimpleNamespace, late: Conversation) -> None:
    fields = {
        "template_params[name]": "t",
        "template_params[language]": "ro",
        "template_params[processed_params][body][1]": "Ana",
    }
    response = woot.owner.form(to(late), fields)
    assert response.status_code == 200, response.content
    assert wire(woot, response.json()["id"])["language"] == {"code": "ro"}


def test_a_conversation_begins_with_a_template(woot: SimpleNamespace, late: Conversation) -> None:
    """Who never wrote has no open window: nothing else reaches them."""
    with account_context(woot.house.account):
        contact = Contact.objects.create(name="Mia", phone="+40721000222")
    asked = {"inbox_id": late.inbox_id, "contact_id": contact.pk}
    refused = woot.owner.post("conversations", {**asked, "message": {"content": "Hi"}})
    assert refused.status_code == 422
    message = {"template_params": {"name": "hello", "language": "en"}}
    response = woot.owner.post("conversations", {**asked, "message": message})
    assert response.status_code == 200, response.content
    [last] = response.json()["messages"]
    assert last["additional_attributes"]["template_params"]["name"] == "hello"
    assert wire(woot, last["id"]) == {"name": "hello", "language": {"code": "en"}}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": ""}, "template_params.name"),
        ({"language": None}, "template_params.language"),
        ({"processed_params": "Ana"}, "processed_params should be an object"),
        ({"processed_params": {"body": {"1": ["a"]}}}, "1 should be a text"),
        ({"processed_params": {"body": {"1": "a"}, "header": ["a"]}}, "header should be an object"),
        (
            {"processed_params": {"body": {"1": "a"}, "buttons": {"1": "a"}}},
            "buttons should be a list",
        ),
        ({"processed_params": {"body": {"1": "a"}, "buttons": ["a"]}}, "buttons should be objects"),
        ({"processed_params": {"buttons": [{"type": "flow", "parameter": "x"}]}}, "flow"),
        ({"processed_params": {"buttons": [{"type": "copy_code", "parameter": "x" * 16}]}}, "15"),
        ({"processed_params": {"header": {"media_url": "ftp://x", "media_type": "image"}}}, "http"),
        ({"processed_params": {"header": {"media_url": "https://x.example/a"}}}, "media_type"),
        ({"processed_params": {"body": {str(n): "x" for n in range(51)}}}, "at most 50 values"),
    ],
    ids=str,
)
def test_what_fills_in_nothing_is_refused(
    woot: SimpleNamespace, late: Conversation, wrong: Any, sentence: str
) -> None:
    asked = {"name": "t", "language": "en", **wrong}
    response = woot.owner.post(to(late), {"template_params": asked})
    assert response.status_code == 422, response.content
    contract.check(response.json(), {"error": str})
    assert sentence in response.json()["error"]


def test_a_channel_without_templates_says_so(woot: SimpleNamespace, open_one: Conversation) -> None:
    body = {"content": "x", "template_params": {"name": "t", "language": "en"}}
    response = woot.owner.post(to(open_one), body)
    assert response.status_code == 422
    assert "template" in response.json()["error"]
    with account_context(woot.house.account):
        assert not Message.objects.filter(conversation=open_one, kind="template").exists()


def test_notes_and_files_are_no_templates(woot: SimpleNamespace, late: Conversation) -> None:
    asked = {"template_params": {"name": "t", "language": "en"}}
    for more in ({"private": True}, {"content_type": "input_text", "content": "?"}):
        assert woot.owner.post(to(late), {**asked, **more}).status_code == 422


def test_a_bot_sends_a_template_only_where_it_has_the_conversation(
    woot: SimpleNamespace, late: Conversation
) -> None:
    asked = {"template_params": {"name": "t", "language": "en"}}
    assert woot.bot.post(to(late), asked).status_code == 401
    assert woot.outsider.post(to(late), asked).status_code == 401
    with account_context(woot.house.account):
        services.assign(late, to=woot.house.agent.member, by=None)
    assert woot.bot.post(to(late), asked).status_code == 200
