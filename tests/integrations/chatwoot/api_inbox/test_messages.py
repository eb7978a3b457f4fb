"""What customers say by an app, and what they read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import Account
from agents.models import AgentInbox
from conversations import services
from conversations.messages import (
    Choice,
    Content,
    DeliveryStatus,
    FieldType,
    FormField,
    Input,
    Kind,
    Section,
)
from conversations.models import Conversation, Event, Message
from integrations.chatwoot import bots
from integrations.models import Receipt
from tests import pictures
from tests.integrations.chatwoot.api_inbox.conftest import App, Customer

KEYS = {
    "id", "content", "message_type", "content_type", "content_attributes", "created_at",
    "conversation_id", "attachments", "sender",
}  # fmt: skip


def answers(customer: Customer, content: Content | str = "With pleasure") -> Message:
    """Somebody answers, and the courier has sent it."""
    said = Content(text=content) if isinstance(content, str) else content
    with customer.app.inside():
        message = services.post_message(
            customer.conversation(), content=said, author=customer.app.house.person
        )
        Message.objects.filter(pk=message.pk).update(
            status=DeliveryStatus.SENT, external_id=f"api:{message.public_id}-0"
        )
    return message


def test_a_customer_says_something(app: App) -> None:
    ana = app.customer("ana", name="Ana")
    said = ana.says("Hello", echo_id="e-1")
    assert set(said) == {*KEYS, "echo_id"}
    assert (said["content"], said["message_type"], said["echo_id"]) == ("Hello", 0, "e-1")
    assert said["conversation_id"] == ana.number
    assert said["sender"]["name"] == "Ana"
    with app.inside():
        message, receipt = Message.objects.get(), Receipt.objects.get()
    assert message.pk == said["id"]
    assert (receipt.state, receipt.dedupe_key) == ("done", f"m:{message.external_id}")
    assert ana.conversation().unread_count == 1


def test_the_same_echo_id_is_said_once(app: App) -> None:
    ana, bo = app.customer("ana"), app.customer("bo")
    first = ana.says("Hello", echo_id="e-1")
    assert ana.says("Hello again", echo_id="e-1") == first
    assert bo.says("Hello", echo_id="e-1")["id"] != first["id"]
    assert ana.says("Hello")["id"] != ana.says("Hello")["id"]
    with app.inside():
        assert Message.objects.filter(conversation=ana.conversation()).count() == 3


def test_files_that_nobody_reads_are_not_kept(
    app: App, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    ana = app.customer("ana")
    with app.inside():
        contact = ana.conversation().contact
        services.update_contact(contact, by=app.house.owner, blocked=True)
    for _ in range(2):  # the second one is a copy
        png = SimpleUploadedFile("cat.png", pictures.png(), "image/png")
        with django_capture_on_commit_callbacks(execute=True):
            sent = app.form(ana.messages, {"attachments[]": [png], "echo_id": "e-1"})
        assert sent.status_code == 422
        assert [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()] == []


def test_files_are_checked_and_kept(app: App) -> None:
    ana = app.customer("ana")
    png = SimpleUploadedFile("cat.png", pictures.png(), "image/png")
    sent = app.form(ana.messages, {"content": "Look", "attachments[]": [png]})
    assert sent.status_code == 200, sent.content
    [file] = sent.json()["attachments"]
    assert (file["file_type"], file["content_type"]) == ("image", "image/png")
    path = file["data_url"].partition("/media/")[2]
    served: Any = app.client.get(f"/media/{path}")
    assert b"".join(served.streaming_content) == pictures.png()
    bad = SimpleUploadedFile("cat.png", b"<script>", "image/png")
    refused = app.form(ana.messages, {"attachments[]": [bad]})
    assert refused.status_code == 422
    assert set(refused.json()) == {"error"}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"content": "  "},
        {"content": ["x"]},
        {"attachments": ["id"]},
        {"content": "x" * 150_001},
    ],
    ids=["nothing", "blank", "a list", "ids of uploads", "too long"],
)
def test_what_cannot_be_said(app: App, said: dict[str, Any]) -> None:
    ana = app.customer("ana")
    assert app.post(ana.messages, said).status_code == 422
    with app.inside():
        assert not Message.objects.exists()


def test_a_blocked_customer_is_not_heard(app: App) -> None:
    ana = app.customer("ana")
    with app.inside():
        services.update_contact(ana.conversation().contact, by=app.house.owner, blocked=True)
    refused = app.post(ana.messages, {"content": "Hello"})
    assert (refused.status_code, refused.json()) == (422, {"error": "The contact is blocked"})
    with app.inside():
        assert Receipt.objects.get().state == "ignored"


def test_an_answer_is_read_when_it_has_arrived(app: App) -> None:
    ana = app.customer("ana")
    hello = ana.says("Hello")
    with app.inside():
        services.add_note(ana.conversation(), text="a secret note", author=app.house.person)
        services.post_message(
            ana.conversation(), content=Content(text="on its way"), author=app.house.person
        )
    reply = answers(ana)
    shown = app.get(ana.messages).json()
    assert [one["content"] for one in shown] == ["Hello", "With pleasure"]
    assert all(set(one) == KEYS for one in shown)
    assert shown[1]["message_type"] == 1
    assert "email" not in shown[1]["sender"]
    assert [one["id"] for one in app.get(ana.messages, after=hello["id"]).json()] == [reply.pk]
    assert [one["id"] for one in app.get(ana.messages, before=reply.pk).json()] == [hello["id"]]
    [thread] = app.get("contacts/ana/conversations").json()
    assert thread == app.get(ana.thread).json()
    assert set(thread) == {
        "id", "uuid", "inbox_id", "contact_last_seen_at", "status", "agent_last_seen_at",
        "messages", "contact",
    }  # fmt: skip
    assert [one["id"] for one in thread["messages"]] == [hello["id"], reply.pk]
    assert "secret" not in str(thread)


def test_customers_do_not_read_what_the_business_keeps(app: App) -> None:
    ana = app.customer("ana", custom_attributes={"tier": "difficult"})
    ana.says("Hello")
    answers(ana, Content(text="Hi", attributes={"prompt": "be nice", "in_house": 1}))
    for path in (ana.messages, ana.thread, "contacts/ana", "contacts/ana/conversations"):
        shown = app.get(path).content.decode()
        assert not [
            word for word in ("difficult", "prompt", "in_house", "blocked") if word in shown
        ]


def test_what_was_seen_is_read(app: App) -> None:
    ana = app.customer("ana")
    reply = answers(ana)
    assert app.post(f"{ana.thread}/update_last_seen").status_code == 200
    with app.inside():
        assert Message.objects.get(pk=reply.pk).status == DeliveryStatus.READ
        assert Event.objects.filter(type="message.status").exists()


def test_a_customer_is_done_and_comes_back(app: App) -> None:
    ana = app.customer("ana")
    ana.says("Hello")
    assert app.post(f"{ana.thread}/toggle_status").json()["status"] == "resolved"
    assert app.post(f"{ana.thread}/toggle_status").json()["status"] == "resolved"
    again = app.post("contacts/ana/conversations").json()
    assert (again["id"], again["status"]) == (ana.number, "resolved")
    ana.says("One more thing")
    assert app.get(ana.thread).json()["status"] == "open"


def test_a_thread_has_attributes_and_goes_to_the_inboxs_bot(app: App) -> None:
    with app.inside():
        bots.attach(app.house.agent, app.inbox, by=app.house.owner)
    app.post("contacts", {"source_id": "ana"})
    made = app.post("contacts/ana/conversations", {"custom_attributes": {"page": "/shoes"}})
    assert made.json()["status"] == "pending"
    with app.inside():
        conversation = Conversation.objects.get()
        assert conversation.attributes == {"page": "/shoes"}
        assert AgentInbox.objects.filter(inbox=app.inbox).exists()
    bad = app.post("contacts/ana/conversations", {"custom_attributes": {"a": {"b": 1}}})
    assert bad.status_code == 422


def test_typing_is_taken(app: App) -> None:
    ana = app.customer("ana")
    typing = f"{ana.thread}/toggle_typing"
    assert app.post(typing, {"typing_status": "on"}).status_code == 200
    assert app.post(typing, {"typing_status": "sideways"}).status_code == 422


# --- Answers to what was offered or asked ---------------------------------------------------------

YES_NO = (Choice("yes", "Yes please"), Choice("no", "No"))
BUTTONS = Content(kind=Kind.BUTTONS, text="Shall we?", buttons=YES_NO)
LIST = Content(
    kind=Kind.LIST, text="Shall we?", sections=(Section("", YES_NO),), list_button="Choose"
)
FORM = Content(kind=Kind.FORM, text="About you", fields=(FormField("size", "Size"),))
EMAIL = Content(kind=Kind.INPUT, text="Your e-mail?", input=Input(FieldType.EMAIL))
PICKED = [{"title": "Yes please", "value": "yes"}]


@pytest.mark.parametrize(
    ("asked", "given", "kept", "kind"),
    [
        (BUTTONS, PICKED, {"submitted_values": PICKED}, Kind.BUTTON_REPLY),
        (LIST, [{"value": "yes"}], {"submitted_values": PICKED}, Kind.LIST_REPLY),
        (
            FORM,
            [{"name": "size", "value": "42"}],
            {"submitted_values": [{"name": "size", "title": "Size", "value": "42"}]},
            Kind.FORM_REPLY,
        ),
        (EMAIL, [{"value": "a@b.example"}], {"submitted_email": "a@b.example"}, Kind.TEXT),
    ],
    ids=["buttons", "list", "form", "email"],
)
def test_submitted_values_are_the_customers_answer(
    app: App, asked: Content, given: list[Any], kept: dict[str, Any], kind: Kind
) -> None:
    ana = app.customer("ana")
    message = answers(ana, asked)
    path = f"{ana.messages}/{message.pk}"
    for _ in range(2):
        answer = app.patch(path, {"submitted_values": given})
        assert answer.status_code == 200, answer.content
        assert answer.json()["id"] == message.pk
        assert answer.json()["content_attributes"].items() >= kept.items()
    with app.inside():
        said = Message.objects.get(direction="inbound")
    assert (said.kind, said.reply_to_id) == (kind, message.pk)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("Hello", PICKED),
        (BUTTONS, []),
        (BUTTONS, "yes"),
        (BUTTONS, ["yes"]),
        (BUTTONS, [{"title": "Perhaps", "value": "perhaps"}]),
        (BUTTONS, [{}]),
        (BUTTONS, [{"value": {"a": 1}}]),
        (FORM, [{"name": "colour", "value": "red"}]),
        (FORM, [{"value": "x"}] * 51),
        (EMAIL, [{"value": "nonsense"}]),
    ],
    ids=[
        "asks nothing", "nothing", "a text", "no objects", "not offered", "empty",
        "no text", "no such field", "too many", "no e-mail",
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be(app: App, asked: Content | str, given: Any) -> None:
    ana = app.customer("ana")
    message = answers(ana, asked)
    refused = app.patch(f"{ana.messages}/{message.pk}", {"submitted_values": given})
    assert refused.status_code == 422
    assert set(refused.json()) == {"error"}
    with app.inside():
        assert not Message.objects.filter(direction="inbound").exists()


def test_too_much_waits(app: App, house: SimpleNamespace) -> None:
    ana = app.customer("ana")
    Account.objects.filter(pk=house.account.pk).update(overloaded_since=timezone.now())
    assert app.post(ana.messages, {"content": "Hello"}).status_code == 429
    assert app.get(ana.messages).status_code == 200
