"""Outgoing messages with a `source_id`: said from the phone itself, and only recorded here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.tenancy import account_context
from conversations import services
from conversations.models import Conversation, Delivery, Message
from tests.factories import make_conversation

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
PHONE = {"content": "I am on my way", "source_id": "wamid.7"}


def path(conversation: Conversation) -> str:
    return f"conversations/{conversation.number}/messages"


def now(woot: SimpleNamespace, conversation: Conversation) -> Conversation:
    with account_context(woot.house.account):
        return Conversation.objects.select_related("assignee").get(pk=conversation.pk)


def test_it_stands_in_the_thread_and_is_not_sent(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    body = woot.owner.post(path(open_one), {**PHONE, "echo_id": "e1"}).json()
    assert (body["content"], body["message_type"]) == ("I am on my way", 1)
    assert (body["source_id"], body["status"], body["echo_id"]) == ("wamid.7", "sent", "e1")
    assert body["content_attributes"]["external_echo"] is True
    with account_context(woot.house.account):
        assert not Delivery.objects.filter(conversation=open_one, kind="send").exists()


def test_a_file_comes_along(
    woot: SimpleNamespace, open_one: Conversation, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    picture = SimpleUploadedFile("photo.png", PNG, content_type="image/png")
    form = {"content": "Look", "source_id": "wamid.8", "attachments[]": [picture]}
    body = woot.owner.form(path(open_one), form).json()
    assert [one["file_type"] for one in body["attachments"]] == ["image"]
    assert [one for one in tmp_path.rglob("*") if one.is_file()]


def test_a_source_id_is_said_once(woot: SimpleNamespace, open_one: Conversation) -> None:
    first, again = (woot.owner.post(path(open_one), PHONE).json() for _ in range(2))
    assert again["id"] == first["id"]
    other = make_conversation(woot.house.inbox)
    response = woot.owner.post(path(other), PHONE)
    assert (response.status_code, response.json()) == (
        422,
        {"error": "source_id should be unique"},
    )
    with account_context(woot.house.account):
        assert Message.objects.filter(external_id="wamid.7").count() == 1


def test_the_agent_that_had_it_gives_it_to_people(
    woot: SimpleNamespace, held: Conversation
) -> None:
    assert woot.owner.post(path(held), PHONE).status_code == 200
    after = now(woot, held)
    assert not after.held_by_agent
    assert after.waiting_since is None


@pytest.mark.parametrize(
    "more",
    [
        {"private": True},
        {
            "content_type": "input_select",
            "content_attributes": {"items": [{"title": "a", "value": "b"}]},
        },
    ],
    ids=["note", "choice"],
)
def test_what_no_phone_says_is_refused(
    woot: SimpleNamespace, open_one: Conversation, more: dict[str, object]
) -> None:
    response = woot.owner.post(path(open_one), {**PHONE, **more})
    assert response.status_code == 422
    with account_context(woot.house.account):
        assert not Message.objects.filter(external_id="wamid.7").exists()


def test_a_bot_says_things_by_this_way(woot: SimpleNamespace, held: Conversation) -> None:
    assert woot.bot.post(path(held), PHONE).status_code == 422
    assert now(woot, held).held_by_agent


def test_f_32_nothing_is_recorded_of_who_was_erased(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    with account_context(woot.house.account):
        services.erase_contact(open_one.contact, by=woot.house.owner)
    response = woot.owner.post(path(open_one), PHONE)
    assert response.status_code == 422
    with account_context(woot.house.account):
        assert not Message.objects.filter(external_id="wamid.7").exists()
        assert Conversation.objects.count() == 1
