"""What a bot calls (contract, 4): its messages, its hand-off, and the rest of its list."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import F
from django.utils import timezone

from accounts.models import Account
from accounts.tenancy import account_context
from agents.models import AgentInbox
from conversations import services
from conversations.models import Attachment, Contact, Conversation, Delivery, Message
from tests.factories import make_agent, make_conversation, make_inbox, make_team, said
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.conftest import client

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


def now(woot: SimpleNamespace, conversation: Conversation) -> Conversation:
    with account_context(woot.house.account):
        rows = Conversation.objects.select_related("assignee", "team")
        return rows.get(pk=conversation.pk)


def messages(woot: SimpleNamespace, conversation: Conversation, **narrow: Any) -> list[Message]:
    with account_context(woot.house.account):
        rows = Message.objects.filter(conversation=conversation, **narrow)
        return list(rows.select_related("author").order_by("pk"))


def to(conversation: Conversation, act: str = "messages") -> str:
    return f"conversations/{conversation.number}/{act}"


# --- Messages ------------------------------------------------------------------------------------


def test_a_bot_answers_as_on_the_product_page(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.bot.post(
        to(held), {"content": "Hello! How can I help you today?", "message_type": "outgoing"}
    )
    assert response.status_code == 200, response.content
    body = response.json()
    contract.check(body, contract.MESSAGE)
    assert body["message_type"] == 1
    assert body["conversation_id"] == held.number
    assert body["sender"] == {
        "id": woot.bot_id, "name": woot.house.agent.name, "avatar_url": "", "type": "agent_bot",
    }  # fmt: skip
    [said] = messages(woot, held, direction="outbound")
    assert said.author == woot.house.agent.member
    with account_context(woot.house.account):
        assert Delivery.objects.filter(message=said).exists()


@pytest.mark.parametrize("end", ["", "/", ".json"])
def test_every_form_of_an_address_takes_the_body(
    woot: SimpleNamespace, held: Conversation, end: str
) -> None:
    response = woot.bot.post(to(held) + end, {"content": "Hi"})
    assert response.status_code == 200
    assert response.json()["content"] == "Hi"


def test_the_clients_own_id_comes_back_and_is_no_key(
    woot: SimpleNamespace, held: Conversation
) -> None:
    for _ in range(2):
        body = woot.bot.post(to(held), {"content": "Hi", "echo_id": "tmp-1"}).json()
        contract.check(body, contract.MESSAGE)
        assert body["echo_id"] == "tmp-1"
    assert len(messages(woot, held, direction="outbound")) == 2


def test_the_same_idempotency_key_says_it_once(woot: SimpleNamespace, held: Conversation) -> None:
    first, second = (woot.bot.post(to(held), {"content": "Hi"}, key="one") for _ in range(2))
    assert first.json() == second.json()
    assert len(messages(woot, held, direction="outbound")) == 1


def test_private_is_a_note_for_colleagues(woot: SimpleNamespace, held: Conversation) -> None:
    body = woot.bot.post(to(held), {"content": "VIP", "private": True}).json()
    contract.check(body, contract.MESSAGE)
    assert body["private"] is True
    assert body["message_type"] == 1
    assert body["status"] == "sent"  # and never read: it has no reader that is told of
    assert [m.text for m in messages(woot, held, direction="note")] == ["VIP"]
    assert not messages(woot, held, direction="outbound")


def test_up_to_three_items_are_buttons_and_more_are_a_list(
    woot: SimpleNamespace, held: Conversation
) -> None:
    for n, kind in ((3, "buttons"), (4, "list")):
        items = [{"title": f"Option {i}", "value": f"o{i}"} for i in range(n)]
        body = woot.bot.post(
            to(held),
            {
                "content": "Pick one",
                "content_type": "input_select",
                "content_attributes": {"items": items},
            },
        ).json()
        contract.check(body, contract.MESSAGE)
        assert body["content_type"] == "input_select"
        assert body["content_attributes"]["items"] == items
        assert messages(woot, held, direction="outbound")[-1].kind == kind


def test_a_reply_quotes_a_message_of_the_thread_only(
    woot: SimpleNamespace, held: Conversation, open_one: Conversation
) -> None:
    [question] = messages(woot, held, direction="inbound")
    [foreign] = messages(woot, open_one, direction="inbound")
    for quoted, shown in ((question.pk, question.pk), (foreign.pk, None)):
        body = woot.bot.post(
            to(held), {"content": "Yes", "content_attributes": {"in_reply_to": quoted}}
        ).json()
        assert body["content_attributes"].get("in_reply_to") == shown


def test_files_come_as_a_form(
    woot: SimpleNamespace, held: Conversation, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    response = woot.bot.form(
        to(held),
        {
            "content": "Your receipt",
            "attachments[]": [
                SimpleUploadedFile("a.png", PNG, "image/png"),
                SimpleUploadedFile("b.txt", b"thanks", "text/plain"),
            ],
            "content_attributes": json.dumps({"own": 1}),
        },
    )
    assert response.status_code == 200, response.content
    body = response.json()
    contract.check(body, contract.MESSAGE)
    assert [one["file_type"] for one in body["attachments"]] == ["image", "file"]
    assert body["attachments"][0]["data_url"].startswith("http")
    with account_context(woot.house.account):
        assert Attachment.objects.count() == 2
    listed = woot.owner.get(to(held, "attachments")).json()
    contract.check(listed, {"meta": {"total_count": int}, "payload": [contract.LISTED_FILE]})
    assert [one["file_type"] for one in listed["payload"]] == ["file", "image"]


def test_a_clients_own_attributes_stay_with_the_message(
    woot: SimpleNamespace, held: Conversation
) -> None:
    own = {"flow": "returns", "step": {"n": 2}}
    for sent in (own, json.dumps(own)):
        body = woot.bot.post(to(held), {"content": "Hi", "content_attributes": sent}).json()
        assert body["content_attributes"] == own
    assert woot.bot.get(to(held)).json()["payload"][-1]["content_attributes"] == own
    too_large = {"content": "Hi", "content_attributes": {"x": "y" * 10_001}}
    assert woot.bot.post(to(held), too_large).status_code == 422


def test_urlencoded_bodies_are_read(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.bot.client.post(
        woot.bot.at(to(held)),
        "content=Hi+there&private=false",
        content_type="application/x-www-form-urlencoded",
    )
    assert response.json()["content"] == "Hi there"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": "   "},
        {"content": ["a"]},
        {"content": "x", "message_type": "incoming"},
        {"content": "x", "message_type": "template"},
        {"content": "x", "message_type": "shout"},
        {"content": "x", "content_type": "cards"},
        {"content": "x", "content_type": "nonsense"},
        {"content": "x", "content_type": "input_select"},
        {"content": "x", "content_type": "input_select", "content_attributes": {"items": [{}]}},
        {
            "content": "x",
            "content_type": "input_select",
            "content_attributes": {"items": [{"title": "a", "value": "b", "colour": "c"}]},
        },
        {"content": "x", "template_params": {"name": "purchase_receipt"}},
        {"content": "x", "source_id": "wamid.1"},
        {"content": "x", "attachments": ["signed-blob-id"]},
        {"content": "x" * 150_001},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_what_cannot_be_said_is_refused_with_a_sentence(
    woot: SimpleNamespace, held: Conversation, body: dict[str, Any]
) -> None:
    response = woot.bot.post(to(held), body)
    assert response.status_code == 422
    contract.check(response.json(), {"error": str})
    assert not messages(woot, held, direction="outbound")


def test_incoming_messages_are_refused_in_their_words(
    woot: SimpleNamespace, held: Conversation
) -> None:
    response = woot.owner.post(to(held), {"content": "x", "message_type": "incoming"})
    assert response.json() == {"error": "Incoming messages are only allowed in Api inboxes"}


@pytest.mark.parametrize("number", [1, "1"])
def test_a_type_may_be_said_by_its_number_and_an_echo_is_one(
    woot: SimpleNamespace, held: Conversation, number: int | str
) -> None:
    said = {"content": "Hello", "message_type": number, "echo_id": 17}
    body = woot.bot.post(to(held), said).json()
    assert (body["message_type"], body["echo_id"]) == (1, 17)
    refused = woot.bot.post(to(held), {**said, "message_type": 2})
    assert refused.status_code == 422


@pytest.mark.parametrize("content", ["Hello", ""])
def test_where_nothing_may_be_said_what_is_said_does_not_matter(
    woot: SimpleNamespace, content: str
) -> None:
    response = woot.bot.post("conversations/99999/messages", {"content": content})
    assert response.status_code == 404


def test_two_hundred_in_a_minute_are_enough(woot: SimpleNamespace, held: Conversation) -> None:
    with account_context(woot.house.account):
        Message.objects.bulk_create(
            [
                Message(conversation=held, inbox=held.inbox, direction="outbound", text=str(n))
                for n in range(199)
            ]
        )
        # Each of them has its event, and the customer's word before them had one.
        Conversation.objects.filter(pk=held.pk).update(last_sequence=F("last_sequence") + 199)
    response = woot.bot.post(to(held), {"content": "one more"})
    assert response.status_code == 422
    assert response.json() == {"error": "Validation failed: Too many messages"}
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        assert woot.bot.post(to(held), {"content": "later"}).status_code == 200


def test_after_a_person_took_over_nothing_reaches_the_customer(
    woot: SimpleNamespace, held: Conversation
) -> None:
    """Bad input 14: the words are kept as a draft."""
    with account_context(woot.house.account):
        services.take_over(held, by=woot.house.person)
    response = woot.bot.post(to(held), {"content": "Too late"})
    assert response.status_code == 422
    contract.check(response.json(), {"error": str})
    assert not messages(woot, held, direction="outbound")
    assert [m.text for m in messages(woot, held, direction="draft")] == ["Too late"]


def test_a_bot_that_lost_it_by_silence_does_not_finish(
    woot: SimpleNamespace, held: Conversation
) -> None:
    with account_context(woot.house.account):
        services.hand_off(held, by=None, reason="agent_timeout")
    assert woot.bot.post(to(held), {"content": "Too late"}).status_code == 422
    assert not messages(woot, held, direction="outbound")


def test_a_note_that_comes_too_late_is_refused_and_no_draft(
    woot: SimpleNamespace, held: Conversation
) -> None:
    """Somebody would send what was meant for colleagues to the customer."""
    with account_context(woot.house.account):
        services.take_over(held, by=woot.house.person)
    note = {"content": "The customer is rude", "private": True}
    response = woot.bot.post(to(held), note)
    assert response.status_code == 422
    contract.check(response.json(), {"error": str})
    with account_context(woot.house.account):
        AgentInbox.objects.all().delete()
    assert woot.bot.post(to(held), note).status_code == 422
    for direction in ("draft", "note", "outbound"):
        assert not messages(woot, held, direction=direction)


def test_what_a_bot_lost_long_ago_takes_no_drafts_of_it(
    woot: SimpleNamespace, held: Conversation
) -> None:
    with account_context(woot.house.account):
        AgentInbox.objects.all().delete()
        services.take_over(held, by=woot.house.person)
    assert woot.bot.post(to(held), {"content": "Too late"}).status_code == 422
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert woot.bot.post(to(held), {"content": "Much too late"}).status_code == 401
    assert [m.text for m in messages(woot, held, direction="draft")] == ["Too late"]


def kept_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_files_of_what_was_refused_are_not_kept(
    woot: SimpleNamespace, held: Conversation, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path

    def send(**fields: Any) -> int:
        picture = SimpleUploadedFile("photo.png", PNG, content_type="image/png")
        fields = {"content": "Look", "attachments[]": [picture], **fields}
        return int(woot.bot.form(to(held), fields).status_code)

    broken = SimpleUploadedFile("x.png", b"<html>", content_type="image/png")
    picture = SimpleUploadedFile("photo.png", PNG, content_type="image/png")
    assert send(private="true") == 422
    assert send(**{"attachments[]": [picture, broken]}) == 422
    assert kept_files(tmp_path) == []
    assert send() == 200
    assert len(kept_files(tmp_path)) == 1
    with account_context(woot.house.account):
        services.take_over(held, by=woot.house.person)
    assert send() == 422
    # Of a draft somebody may still need it.
    assert len(kept_files(tmp_path)) == 2


def test_a_person_who_answers_gets_the_conversation(
    woot: SimpleNamespace, held: Conversation
) -> None:
    body = woot.owner.post(to(held), {"content": "I am Olga"}).json()
    contract.check(body, contract.MESSAGE)
    assert body["sender"]["type"] == "user"
    assert now(woot, held).assignee == woot.house.owner


def test_a_person_speaks_for_a_bot_while_it_has_the_conversation(
    woot: SimpleNamespace, held: Conversation
) -> None:
    said_by = {"content": "Hi", "sender_type": "AgentBot", "sender_id": woot.bot_id}
    body = woot.owner.post(to(held), said_by).json()
    assert body["sender"]["type"] == "agent_bot"
    assert now(woot, held).assignee == woot.house.agent.member
    other = make_agent(woot.house.account)
    response = woot.owner.post(to(held), {**said_by, "sender_id": other.pk})
    assert response.status_code == 422


# --- Reading -------------------------------------------------------------------------------------


def test_messages_are_paged_in_three_ways(woot: SimpleNamespace, held: Conversation) -> None:
    with account_context(woot.house.account):
        for n in range(130):
            services.add_note(held, text=f"n{n}", author=woot.house.owner)
    page = woot.owner.get(to(held)).json()
    contract.check(page, contract.MESSAGES)
    ids = [one["id"] for one in page["payload"]]
    assert len(ids) == 20
    assert ids == sorted(ids)
    assert page["payload"][-1]["content"] == "n129"
    older = [one["id"] for one in woot.owner.get(to(held), before=ids[0]).json()["payload"]]
    assert len(older) == 20
    assert older[-1] < ids[0]
    first = messages(woot, held)[0].pk
    newer = [one["id"] for one in woot.owner.get(to(held), after=first).json()["payload"]]
    assert len(newer) == 100
    assert newer[0] > first
    between = woot.owner.get(to(held), after=first, before=ids[-1]).json()["payload"]
    assert len(between) > 100
    said_only = woot.owner.get(to(held), filter_internal_messages="true").json()["payload"]
    assert [one["message_type"] for one in said_only] == [0]


def test_a_bot_reads_no_notes_of_people(woot: SimpleNamespace, held: Conversation) -> None:
    with account_context(woot.house.account):
        services.add_note(held, text="he is difficult", author=woot.house.owner)
    body = woot.bot.get(to(held)).json()
    contract.check(body, contract.MESSAGES)
    assert [one["content"] for one in body["payload"]] == ["Hello, I need help"]
    shown = woot.bot.get(f"conversations/{held.number}").json()
    assert "difficult" not in json.dumps(shown)


def test_the_conversation_has_their_shape(woot: SimpleNamespace, held: Conversation) -> None:
    with account_context(woot.house.account):
        services.add_labels(held, ["billing"], by=None)
    for caller in (woot.bot, woot.owner):
        body = caller.get(f"conversations/{held.number}").json()
        contract.check(body, contract.CONVERSATION)
        assert body["id"] == held.number
        assert body["status"] == "pending"
        assert body["meta"]["assignee_type"] == "AgentBot"
        assert body["meta"]["assignee"]["id"] == woot.bot_id
        assert body["labels"] == ["billing"]
        assert body["last_non_activity_message"]["content"] == "Hello, I need help"


# --- Status --------------------------------------------------------------------------------------


def test_opening_is_the_bots_hand_off(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.bot.post(to(held, "toggle_status"), {"status": "open"})
    assert response.status_code == 200
    contract.check(response.json(), contract.TOGGLED)
    assert response.json()["payload"] == {
        "success": True, "conversation_id": held.number, "current_status": "open",
        "snoozed_until": None,
    }  # fmt: skip
    after = now(woot, held)
    assert after.assignee is None
    assert after.status == "open"
    with account_context(woot.house.account):
        last = after.assignments.order_by("-epoch")[0]
    assert last.reason == "handed_off"
    assert last.by == woot.house.agent.member
    assert last.summary


def test_a_bot_may_say_goodbye_after_it_gave_the_conversation_away(
    woot: SimpleNamespace, held: Conversation
) -> None:
    """The product page's own example assigns a team first, and tells the customer then."""
    team = make_team(woot.house.account)
    assert woot.bot.post(to(held, "assignments"), {"team_id": team.pk}).status_code == 200
    response = woot.bot.post(to(held), {"content": "I'm transferring you to our billing team."})
    assert response.status_code == 200, response.content
    assert woot.bot.post(to(held, "labels"), {"labels": ["billing"]}).status_code == 200
    assert now(woot, held).team == team
    with account_context(woot.house.account):
        services.take_over(held, by=woot.house.person)
    assert woot.bot.post(to(held), {"content": "And another thing"}).status_code == 422


@pytest.mark.parametrize("status", ["resolved", "snoozed"])
def test_what_it_gave_to_people_it_hides_from_them_no_more(
    woot: SimpleNamespace, held: Conversation, status: str
) -> None:
    woot.bot.post(to(held, "toggle_status"), {"status": "open"})
    until = int((timezone.now() + timedelta(days=1)).timestamp())
    body = {"status": status, "snoozed_until": until}
    assert woot.bot.post(to(held, "toggle_status"), body).status_code != 200
    assert now(woot, held).status == "open"


def test_its_last_words_have_two_minutes(woot: SimpleNamespace, held: Conversation) -> None:
    woot.bot.post(to(held, "toggle_status"), {"status": "open"})
    with time_machine.travel(timezone.now() + timedelta(minutes=3)):
        assert woot.bot.post(to(held), {"content": "Still here?"}).status_code == 422
    assert not messages(woot, held, direction="outbound")


def test_the_agents_fallback_team_gets_what_it_hands_off(
    woot: SimpleNamespace, held: Conversation
) -> None:
    with account_context(woot.house.account):
        woot.house.agent.fallback_team = woot.house.team
        woot.house.agent.save()
    woot.bot.post(to(held, "toggle_status"), {"status": "open"})
    assert now(woot, held).team == woot.house.team


@pytest.mark.parametrize("who", ["bot", "owner"])
def test_the_team_it_is_held_for_gets_it(
    woot: SimpleNamespace, open_one: Conversation, who: str
) -> None:
    with account_context(woot.house.account):
        services.assign(open_one, to=woot.house.team, by=None)
        services.assign(open_one, to=woot.house.agent.member, by=None)
    getattr(woot, who).post(to(open_one, "toggle_status"), {"status": "open"})
    after = now(woot, open_one)
    assert (after.assignee, after.team) == (None, woot.house.team)


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("pending", None, "open"),
        ("pending", "resolved", "resolved"),
        ("pending", "snoozed", "snoozed"),
        ("pending", "pending", "pending"),
        ("open", None, "resolved"),
        ("open", "open", "open"),
        ("open", "pending", "pending"),
        ("resolved", None, "open"),
        ("resolved", "open", "open"),
        ("resolved", "pending", "pending"),
        ("resolved", "resolved", "resolved"),
        ("snoozed", None, "open"),
        ("snoozed", "open", "open"),
        ("snoozed", "pending", "pending"),
    ],
)
@pytest.mark.parametrize("who", ["owner", "person"])
def test_people_bring_a_conversation_into_every_status(
    woot: SimpleNamespace, held: Conversation, who: str, before: str, wanted: str, after: str
) -> None:
    with account_context(woot.house.account):
        if before == "open":
            services.hand_off(held, by=None)
        elif before == "resolved":
            services.resolve(held, by=None)
        elif before == "snoozed":
            services.snooze(held, by=None, until=timezone.now() + timedelta(hours=1))
    caller = client(getattr(woot.house, who), woot.account_id)
    body = {"status": wanted} if wanted else {}
    response = caller.post(to(held, "toggle_status"), body)
    assert response.status_code == 200, response.content
    contract.check(response.json(), contract.TOGGLED)
    assert response.json()["payload"]["current_status"] == after
    shown = caller.get(f"conversations/{held.number}").json()
    assert shown["status"] == after


def test_who_opens_a_bots_conversation_gets_it_unless_they_administer(
    woot: SimpleNamespace, held: Conversation
) -> None:
    """>= 4.16: a user who opens it clears the bot; agents get it themselves."""
    woot.person.post(to(held, "toggle_status"), {"status": "open"})
    assert now(woot, held).assignee == woot.house.person
    other = make_conversation(woot.house.inbox)
    with account_context(woot.house.account):
        services.assign(other, to=woot.house.agent.member, by=None)
    woot.owner.post(to(other, "toggle_status"), {"status": "open"})
    assert now(woot, other).assignee is None


def test_snoozing_until_a_time(woot: SimpleNamespace, held: Conversation) -> None:
    until = int(timezone.now().timestamp()) + 3600
    body = woot.bot.post(
        to(held, "toggle_status"), {"status": "snoozed", "snoozed_until": until}
    ).json()
    contract.check(body, contract.TOGGLED)
    snoozed = now(woot, held).snoozed_until
    assert snoozed is not None
    assert int(snoozed.timestamp()) == until


@pytest.mark.parametrize(
    "body",
    [
        {"status": "nonsense"},
        {"status": 7},
        {"status": "snoozed", "snoozed_until": 1},
        {"status": "snoozed", "snoozed_until": "soon"},
        {"status": "snoozed", "snoozed_until": 10**17},
        {"status": "snoozed", "snoozed_until": {"a": 1}},
    ],
    ids=str,
)
def test_a_status_that_makes_no_sense_is_422(
    woot: SimpleNamespace, held: Conversation, body: dict[str, Any]
) -> None:
    response = woot.bot.post(to(held, "toggle_status"), body)
    assert response.status_code == 422
    contract.check(response.json(), {"error": str})
    assert now(woot, held).status == "open"


# --- Small changes -------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", ["low", "medium", "high", "urgent", None])
def test_priority_by_both_calls(
    woot: SimpleNamespace, held: Conversation, priority: str | None
) -> None:
    response = woot.bot.post(to(held, "toggle_priority"), {"priority": priority})
    assert (response.status_code, response.content) == (200, b"")
    shown = woot.bot.patch(f"conversations/{held.number}", {"priority": priority})
    contract.check(shown.json(), contract.CONVERSATION)
    assert shown.json()["priority"] == priority
    assert now(woot, held).priority == (priority or "none")


def test_an_unknown_priority_is_422(woot: SimpleNamespace, held: Conversation) -> None:
    for response in (
        woot.bot.post(to(held, "toggle_priority"), {"priority": "extreme"}),
        woot.bot.patch(f"conversations/{held.number}", {"priority": "extreme"}),
    ):
        assert response.status_code == 422
        contract.check(response.json(), {"error": str})


def test_typing_answers_nothing_and_keeps_the_customer_waiting_longer(
    woot: SimpleNamespace, held: Conversation
) -> None:
    for body in ({"typing_status": "on", "is_private": False}, {"typing_status": "off"}):
        response = woot.bot.post(to(held, "toggle_typing_status"), body)
        assert (response.status_code, response.content) == (200, b"")
    assert (
        woot.person.post(to(held, "toggle_typing_status"), {"typing_status": "on"}).status_code
        == 200
    )


def test_custom_attributes_are_replaced(woot: SimpleNamespace, held: Conversation) -> None:
    woot.bot.post(to(held, "custom_attributes"), {"custom_attributes": {"a": 1, "b": "x"}})
    response = woot.bot.post(to(held, "custom_attributes"), {"custom_attributes": {"order": "A-1"}})
    assert response.json() == {"custom_attributes": {"order": "A-1"}}
    assert now(woot, held).attributes == {"order": "A-1"}


@pytest.mark.parametrize("said", [{}, {"custom_attributes": "x"}, {"custom_attributes": [1]}])
def test_custom_attributes_are_not_wiped_by_mistake(
    woot: SimpleNamespace, held: Conversation, said: dict[str, Any]
) -> None:
    kept = {"custom_attributes": {"order": "A-1"}}
    woot.bot.post(to(held, "custom_attributes"), kept)
    response = woot.bot.post(to(held, "custom_attributes"), said)
    assert response.status_code == 422
    contract.check(response.json(), {"error": str})
    assert woot.bot.get(f"conversations/{held.number}").json()["custom_attributes"] == {
        "order": "A-1"
    }


@pytest.mark.parametrize("nothing", [{}, None, "{}"])
def test_custom_attributes_are_emptied_on_purpose(
    woot: SimpleNamespace, held: Conversation, nothing: Any
) -> None:
    woot.bot.post(to(held, "custom_attributes"), {"custom_attributes": {"order": "A-1"}})
    response = woot.bot.post(to(held, "custom_attributes"), {"custom_attributes": nothing})
    assert response.json() == {"custom_attributes": {}}


def test_when_it_was_said_elsewhere_is_kept(woot: SimpleNamespace, held: Conversation) -> None:
    said = {"content": "Hi", "external_created_at": 1781690400, "content_attributes": {"flow": 1}}
    body = woot.bot.post(to(held), said).json()
    assert body["content_attributes"] == {"flow": 1, "external_created_at": 1781690400}
    for odd in ({"a": 1}, [1], True, "x" * 101):
        assert woot.bot.post(to(held), {**said, "external_created_at": odd}).status_code == 422


def test_an_empty_field_of_a_form_is_no_file(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.bot.form(to(held), {"content": "Hi", "attachments[]": ""})
    assert response.status_code == 200, response.content
    assert "attachments" not in response.json()
    for none in ([], [""], [None], None):
        assert woot.bot.post(to(held), {"content": "Hi", "attachments": none}).status_code == 200


def test_labels_are_replaced_and_read(woot: SimpleNamespace, held: Conversation) -> None:
    woot.bot.post(to(held, "labels"), {"labels": ["old", "vip"]})
    response = woot.bot.post(to(held, "labels"), {"labels": ["billing", "vip"]})
    assert response.json() == {"payload": ["billing", "vip"]}
    assert woot.bot.get(to(held, "labels")).json() == {"payload": ["billing", "vip"]}
    assert woot.bot.post(to(held, "labels"), {"labels": []}).json() == {"payload": []}
    assert woot.bot.post(to(held, "labels"), {}).status_code == 422


# --- Assignments ---------------------------------------------------------------------------------


def test_to_a_person(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.bot.post(to(held, "assignments"), {"assignee_id": woot.house.person.pk})
    contract.check(response.json(), contract.AGENT)
    assert response.json()["id"] == woot.house.person.pk
    assert now(woot, held).assignee == woot.house.person


def test_to_a_team(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.bot.post(to(held, "assignments"), {"team_id": woot.house.team.pk})
    contract.check(response.json(), contract.RAW_TEAM)
    after = now(woot, held)
    assert (after.assignee, after.team) == (None, woot.house.team)


def test_to_nobody(woot: SimpleNamespace, held: Conversation, open_one: Conversation) -> None:
    response = woot.bot.post(to(held, "assignments"), {"assignee_id": 987_654_321})
    assert (response.status_code, response.content) == (200, b"null")
    assert now(woot, held).assignee is None
    for body in ({}, {"team_id": 0}, {"assignee_id": None}):
        response = woot.owner.post(to(open_one, "assignments"), body)
        assert (response.status_code, response.content) == (200, b"null")


def test_to_a_bot_makes_it_pending(woot: SimpleNamespace, open_one: Conversation) -> None:
    wanted = {"assignee_id": woot.bot_id, "assignee_type": "AgentBot"}
    response = woot.owner.post(to(open_one, "assignments"), wanted)
    contract.check(response.json(), contract.SLIM_BOT)
    assert woot.owner.get(f"conversations/{open_one.number}").json()["status"] == "pending"


def test_an_empty_answer_is_repeated_as_it_was(woot: SimpleNamespace, held: Conversation) -> None:
    for _time in range(2):
        response = woot.owner.post(to(held, "assignments"), {"assignee_id": 0}, key="k1")
        assert (response.status_code, response.content) == (200, b"null")
        assert response["Content-Type"] == "application/json"
    assert response["Idempotent-Replayed"] == "true"
    for _time in range(2):
        response = woot.bot.post(to(held, "toggle_typing_status"), {}, key="k2")
        assert (response.status_code, response.content) == (200, b"")


def test_a_bot_sees_no_other_bots_address(woot: SimpleNamespace, held: Conversation) -> None:
    """Where others listen is nothing for it."""
    path = f"conversations/{held.number}"
    assert "outgoing_url" in woot.bot.get(path).json()["meta"]["assignee"]
    with account_context(woot.house.account):
        services.assign(held, to=make_agent(woot.house.account).member, by=None)
    assert "outgoing_url" in woot.owner.get(path).json()["meta"]["assignee"]
    shown = woot.bot.get(path).json()["meta"]
    assert shown["assignee_type"] == "AgentBot"
    assert "outgoing_url" not in shown["assignee"]


def test_what_a_bot_gives_to_another_tells_no_address(
    woot: SimpleNamespace, held: Conversation
) -> None:
    other = make_agent(woot.house.account)
    account = Account.objects.get(pk=woot.account_id)
    account.settings = {**account.settings, "agents_may_assign_agents": True}
    account.save()
    wanted = {"assignee_id": other.pk, "assignee_type": "AgentBot"}
    body = woot.bot.post(to(held, "assignments"), wanted).json()
    assert (body["id"], "outgoing_url" in body) == (other.pk, False)


def test_a_bot_gives_nothing_to_itself_or_to_other_bots(
    woot: SimpleNamespace, held: Conversation, open_one: Conversation
) -> None:
    """Bad input 15."""
    to_itself = {"assignee_id": woot.bot_id, "assignee_type": "AgentBot"}
    before = now(woot, open_one).assignment_epoch
    response = woot.bot.post(to(open_one, "assignments"), to_itself)
    assert response.status_code == 401
    assert now(woot, open_one).assignment_epoch == before
    other = make_agent(woot.house.account)
    to_other = {"assignee_id": other.pk, "assignee_type": "AgentBot"}
    assert woot.bot.post(to(held, "assignments"), to_other).status_code == 401
    Account.objects.filter(pk=woot.account_id).update(settings={"agents_may_assign_agents": True})
    assert woot.bot.post(to(held, "assignments"), to_other).status_code == 200
    assert now(woot, held).assignee == other.member


def test_somebody_of_another_account_is_nobody(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    """Bad input 2."""
    foreign_team = make_team(woot.house.outsider_account)
    for body in ({"assignee_id": woot.house.outsider.pk}, {"team_id": foreign_team.pk}):
        response = woot.owner.post(to(open_one, "assignments"), body)
        assert response.content == b"null"
    assert now(woot, open_one).assignee is None


# --- Beginning one -------------------------------------------------------------------------------


def test_a_person_begins_a_conversation(woot: SimpleNamespace, open_one: Conversation) -> None:
    other = make_inbox(woot.house.account, name="Other")
    response = woot.owner.post(
        "conversations",
        {
            "inbox_id": other.pk,
            "contact_id": open_one.contact_id,
            "source_id": "visitor-9",
            "custom_attributes": {"order": "A-1"},
            "message": {"content": "Hi"},
        },
    )
    assert response.status_code == 200, response.content
    body = response.json()
    contract.check(body, contract.CONVERSATION)
    assert body["id"] != open_one.number
    assert body["messages"][0]["content"] is not None
    assert body["custom_attributes"] == {"order": "A-1"}
    assert body["messages"][0]["conversation"]["contact_inbox"] == {"source_id": "visitor-9"}
    # A contact has one thread in an inbox: the same comes back.
    again = woot.owner.post("conversations", {"source_id": "visitor-9"}).json()
    assert again["id"] == body["id"]


def test_beginning_refuses_what_is_not_there_or_somebody_elses(
    woot: SimpleNamespace, open_one: Conversation, held: Conversation
) -> None:
    taken = woot.owner.get(f"conversations/{held.number}").json()
    source_id = taken["messages"][0]["conversation"]["contact_inbox"]["source_id"]
    cases = [
        ({}, 422),
        ({"inbox_id": woot.house.inbox.pk}, 422),
        ({"inbox_id": 987_654_321, "contact_id": open_one.contact_id}, 404),
        ({"inbox_id": woot.house.inbox.pk, "contact_id": 987_654_321}, 404),
        ({"source_id": "nobody"}, 404),
    ]
    for body, status in cases:
        assert woot.owner.post("conversations", body).status_code == status, body
    response = woot.owner.post(
        "conversations",
        {
            "inbox_id": woot.house.inbox.pk,
            "contact_id": open_one.contact_id,
            "source_id": source_id,
        },
    )
    assert response.status_code == 422
    assert response.json() == {"error": "source_id should be unique"}


def test_a_bot_begins_conversations_of_its_inboxes_only(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    other = make_inbox(woot.house.account, name="Other")
    wanted = {"inbox_id": other.pk, "contact_id": open_one.contact_id, "source_id": "v-77"}
    assert woot.bot.post("conversations", wanted).status_code == 401
    attached = woot.owner.post(
        f"agent_bots/{woot.bot_id}/agent_bot_inboxes", {"inbox_id": other.pk}
    )
    assert attached.status_code == 200
    response = woot.bot.post("conversations", {**wanted, "message": {"content": "Hi"}})
    assert response.status_code == 200, response.content
    assert response.json()["status"] == "pending"


@pytest.mark.parametrize("people_see", ["own", "teams"])
def test_nobody_begins_a_conversation_that_is_hidden_from_them(
    woot: SimpleNamespace, held: Conversation, people_see: str
) -> None:
    """Neither by its contact nor by the name the contact has there, and no new one with them."""
    house, other = woot.house, make_inbox(woot.house.account, name="Other")
    with account_context(house.account):
        services.assign(held, to=house.owner, by=None)
    shown = woot.owner.get(f"conversations/{held.number}").json()
    source_id = shown["messages"][0]["conversation"]["contact_inbox"]["source_id"]
    Account.objects.filter(pk=woot.account_id).update(people_see=people_see)
    for wanted in (
        {"inbox_id": house.inbox.pk, "contact_id": held.contact_id},
        {"source_id": source_id},
        {"inbox_id": other.pk, "contact_id": held.contact_id, "source_id": "v-1"},
    ):
        body = {**wanted, "assignee_id": house.person.pk, "message": {"content": "Hi"}}
        assert woot.person.post("conversations", body).status_code == 404, wanted
    assert now(woot, held).assignee == house.owner
    assert not messages(woot, held, direction="outbound")
    mine = make_conversation(house.inbox, visitor="mine")
    with account_context(house.account):
        services.assign(mine, to=house.person, by=None)
    seen = {"inbox_id": house.inbox.pk, "contact_id": mine.contact_id}
    assert woot.person.post("conversations", seen).json()["id"] == mine.number


def test_a_hidden_thread_with_a_contact_one_sees_stays_hidden(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    house, other = woot.house, make_inbox(woot.house.account, name="Other")
    wanted = {"inbox_id": other.pk, "contact_id": open_one.contact_id, "source_id": "v-1"}
    begun = woot.owner.post("conversations", {**wanted, "assignee_id": house.owner.pk})
    assert begun.json()["meta"]["assignee"]["id"] == house.owner.pk
    Account.objects.filter(pk=woot.account_id).update(people_see="own")
    assert woot.person.get(f"contacts/{open_one.contact_id}").status_code == 200
    assert woot.person.post("conversations", wanted).status_code == 404


def test_beginning_needs_the_scopes_of_what_it_reads_and_makes(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    other = make_inbox(woot.house.account, name="Other")
    there = {"inbox_id": woot.house.inbox.pk, "contact_id": open_one.contact_id}
    new = {"inbox_id": other.pk, "contact_id": open_one.contact_id, "source_id": "v-1"}
    scopes = ["conversations:write"]
    for added, known, made in (
        (None, 401, 401),
        ("contacts:read", 200, 401),
        ("contacts:write", 200, 200),
    ):
        scopes += [added] if added else []
        caller = client(woot.house.owner, woot.account_id, scopes=scopes)
        assert caller.post("conversations", there).status_code == known, scopes
        assert caller.post("conversations", new).status_code == made, scopes


def test_a_bot_reaches_only_whom_its_inboxes_know(woot: SimpleNamespace) -> None:
    """Else one call would make anybody of the account its own, to read and to rewrite."""
    elsewhere = make_conversation(make_inbox(woot.house.account, name="Other"))
    with account_context(woot.house.account):
        silent = Contact.objects.create(name="Never wrote")
    for contact_id in (elsewhere.contact_id, silent.pk):
        wanted = {"inbox_id": woot.house.inbox.pk, "contact_id": contact_id, "source_id": "v-9"}
        woot.owner.post(f"inboxes/{woot.house.inbox.pk}/set_agent_bot", {"agent_bot": woot.bot_id})
        response = woot.bot.post("conversations", wanted)
        assert response.status_code == 401
        assert response.json() == {"error": "You are not authorized to do this action"}
        assert woot.bot.get(f"contacts/{contact_id}").status_code == 404
        # Somebody with an address in the inbox, by a person's doing, is the bot's to talk with.
        reached = {"inbox_id": woot.house.inbox.pk, "source_id": f"known-{contact_id}"}
        woot.owner.post(f"contacts/{contact_id}/contact_inboxes", reached)
        response = woot.bot.post("conversations", {**wanted, "source_id": ""})
        assert response.status_code == 200, response.content
        assert response.json()["status"] == "pending"
    wanted = {"inbox_id": woot.house.inbox.pk, "contact_id": 987_654_321, "source_id": "v-9"}
    assert woot.bot.post("conversations", wanted).status_code == 404


# --- Whose business it is ------------------------------------------------------------------------


def test_a_bot_has_no_business_outside_its_inboxes(woot: SimpleNamespace) -> None:
    other = make_inbox(woot.house.account, name="Other")
    conversation = make_conversation(other)
    for path in (
        f"conversations/{conversation.number}",
        to(conversation),
        to(conversation, "labels"),
    ):
        response = woot.bot.get(path)
        assert response.status_code == 401
        assert response.json() == {"error": "You are not authorized to do this action"}
    for act, body in (
        ("messages", {"content": "x"}),
        ("toggle_status", {"status": "resolved"}),
        ("labels", {"labels": ["x"]}),
        ("assignments", {"team_id": woot.house.team.pk}),
    ):
        assert woot.bot.post(to(conversation, act), body).status_code == 401
    assert now(woot, conversation).status == "open"
    assert not messages(woot, conversation, direction="outbound")


def test_a_bot_reads_but_does_not_change_what_others_hold_in_its_inbox(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    """SX-23."""
    with account_context(woot.house.account):
        services.assign(open_one, to=woot.house.person, by=None)
    assert woot.bot.get(f"conversations/{open_one.number}").status_code == 200
    for act, body in (
        ("toggle_status", {"status": "resolved"}),
        ("toggle_status", {"status": "pending"}),
        ("labels", {"labels": ["x"]}),
        ("custom_attributes", {"custom_attributes": {"x": 1}}),
        ("toggle_priority", {"priority": "high"}),
        ("assignments", {"team_id": woot.house.team.pk}),
    ):
        assert woot.bot.post(to(open_one, act), body).status_code == 401, act
    assert woot.bot.post(to(open_one), {"content": "x"}).status_code == 422
    assert [m.text for m in messages(woot, open_one, direction="draft")] == ["x"]
    assert now(woot, open_one).assignee == woot.house.person


def test_numbers_of_nothing_are_404(woot: SimpleNamespace) -> None:
    for caller in (woot.bot, woot.owner):
        for number in ("0", "987654", "9" * 18):
            response = caller.get(f"conversations/{number}")
            assert response.status_code == 404
            assert response.json() == {"error": "Resource could not be found"}


def test_a_bot_without_inboxes_works_on_what_it_holds(
    woot: SimpleNamespace, held: Conversation, open_one: Conversation
) -> None:
    """It may serve every inbox; its token opens what it has, and what it had just now."""
    with account_context(woot.house.account):
        AgentInbox.objects.all().delete()
        services.receive(woot.house.inbox, said("still there?", visitor="v1"))
    assert woot.bot.post(to(held), {"content": "Hi"}).status_code == 200
    assert woot.bot.get(f"conversations/{open_one.number}").status_code == 401
    woot.bot.post(to(held, "toggle_status"), {"status": "open"})
    assert woot.bot.post(to(held), {"content": "A colleague comes"}).status_code == 200
