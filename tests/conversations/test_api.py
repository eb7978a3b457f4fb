"""The desk over REST: conversations and their acts, messages, contacts, events, deliveries."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.tenancy import AccountModel, account_context
from agents.models import Agent
from conversations import services
from conversations.messages import Choice, Content, Kind
from conversations.models import (
    Address,
    Attempt,
    Contact,
    Conversation,
    Delivery,
    Event,
    Inbox,
    Label,
    Message,
)
from conversations.serializers import ConversationSerializer
from tests.api import Caller, attrs_of, code_of
from tests.factories import make_agent, make_conversation, make_inbox, make_person, make_team, said

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


@pytest.fixture
def thread(api: SimpleNamespace) -> Conversation:
    return make_conversation(api.house.inbox, "Do you ship to Cluj?")


@pytest.fixture
def held(api: SimpleNamespace, thread: Conversation) -> Conversation:
    """The thread, held by the AI agent."""
    return give(api, thread)


def give(api: SimpleNamespace, conversation: Conversation, to=None) -> Conversation:
    with account_context(api.house.account):
        return services.assign(conversation, to=to or api.house.agent.member, by=api.house.owner)


def test_a_conversation_is_shown_as_its_fields_say(
    api: SimpleNamespace, held: Conversation
) -> None:
    """The serializer says by hand what the schema promises by its fields."""
    house = api.house
    made = [held, *(make_conversation(house.inbox, contact_name="Ion") for _ in range(4))]
    whatsapp = make_conversation(make_inbox(house.account, "whatsapp"))
    with account_context(house.account):
        services.assign(made[1], to=house.team, by=None)
        services.snooze(made[2], until=timezone.now() + timedelta(hours=1), by=None)
        services.resolve(made[3], by=None)
        services.add_labels(made[4], ["vip", "Größe"], by=None)
        services.set_attributes(
            made[4], {"a": None, "n": 1.5, "b": True}, by=None, on="conversation"
        )
        for pk in [*(one.pk for one in made), whatsapp.pk]:
            row = Conversation.objects.get(pk=pk)
            serializer = ConversationSerializer()
            by_fields = super(ConversationSerializer, serializer).to_representation(row)
            assert list(serializer.to_representation(row).items()) == list(by_fields.items())
            assert [*by_fields] == [*serializer.fields]


def path(conversation: Conversation, rest: str = "") -> str:
    return f"/v1/conversations/{conversation.public_id}/{rest}"


def now(api: SimpleNamespace, conversation: Conversation) -> Conversation:
    with account_context(api.house.account):
        return Conversation.objects.select_related("assignee", "team").get(pk=conversation.pk)


# --- Lists ---------------------------------------------------------------------------------------


def test_a_conversation_shows_who_holds_it_and_what_was_last_said(
    api: SimpleNamespace, held: Conversation
) -> None:
    shown = api.person.get(path(held)).json()
    assert shown["assignee"] == {
        "id": api.house.agent.member.public_id,
        "kind": "agent",
        "name": api.house.agent.name,
    }
    assert shown["preview"] == "Do you ship to Cluj?"
    assert (shown["status"], shown["assignment_epoch"], shown["labels"]) == ("open", 1, [])
    assert shown["inbox"] == api.house.inbox.public_id


def test_lists_are_filtered(api: SimpleNamespace) -> None:
    house = api.house
    first, second = (make_conversation(house.inbox, text) for text in ("apples", "pears"))
    give(api, first)
    with account_context(house.account):
        services.add_labels(second, ["vip"], by=house.owner)
        services.assign(second, to=house.team, by=house.owner)

    def found(**query: str) -> list[str]:
        response = api.person.get("/v1/conversations/", **query)
        assert response.status_code == 200, response.content
        return [row["preview"] for row in response.json()["results"]]

    assert found() == ["pears", "apples"]
    assert found(assignee=house.agent.member.public_id) == found(assignee="ai") == ["apples"]
    assert found(assignee="none") == found(team=house.team.public_id) == ["pears"]
    assert found(label="vip") == found(q="pear") == ["pears"]
    assert found(inbox=house.inbox.public_id, status="open") == ["pears", "apples"]
    assert found(status="resolved") == found(assignee="people") == []
    ago = (timezone.now() - timedelta(minutes=1)).isoformat()
    assert len(found(updated_since=ago)) == 2
    assert found(updated_since=(timezone.now() + timedelta(minutes=1)).isoformat()) == []


@pytest.mark.parametrize(
    "query",
    [
        "assignee=me", "assignee=cnv_0000000000000", "inbox=1", "status=closed", "q=%00",
        "updated_since=yesterday", "contact__account__name=x", "attributes__x%22]=1", "label=%00",
        "q=a'%20OR%201=1--&ordering=x",
    ],
)  # fmt: skip
def test_filters_that_make_no_sense_are_errors(api: SimpleNamespace, query: str) -> None:
    """bad inputs 4, 60"""
    assert api.person.get(f"/v1/conversations/?{query}").status_code == 400


def test_a_search_is_a_text_and_nothing_else(api: SimpleNamespace, thread: Conversation) -> None:
    """bad input 60"""
    for text in ("' OR 1=1 --", "%", "_", "\\", "#99999999999", "²"):
        assert api.person.get("/v1/conversations/", q=text).status_code == 200


@pytest.mark.parametrize("case", ["conversations", "messages", "contacts", "deliveries", "events"])
def test_lists_take_the_same_number_of_queries_at_any_length(
    api: SimpleNamespace, case: str
) -> None:
    house = api.house
    thread = make_conversation(house.inbox)

    def fill(count: int) -> None:
        for number in range(count):
            conversation = give(api, make_conversation(house.inbox))
            with account_context(house.account):
                services.add_labels(conversation, [f"l{number}", "x"], by=house.owner)
                services.post_message(thread, content=Content(text="hi"), author=house.person)
                Event.objects.update(occurred_at=timezone.now() - timedelta(minutes=1))

    address = path(thread, "messages/") if case == "messages" else f"/v1/{case}/"

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            response = api.owner.get(address, limit=100)
        assert response.status_code == 200
        assert len(response.json()["results"]) > 5
        return len(captured)

    fill(6)
    queries()
    few = queries()
    fill(20)
    assert queries() == few


def test_a_list_takes_few_queries(api: SimpleNamespace, held: Conversation) -> None:
    """performance.md P9: without the transaction's own three statements at most four"""
    api.person.get("/v1/conversations/")
    with CaptureQueriesContext(connection) as captured:
        api.person.get("/v1/conversations/")
    asked = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]
    content = [sql for sql in asked if "set_config" not in sql]
    assert len(content) <= 4, content


# --- Acts ----------------------------------------------------------------------------------------


def test_every_act_of_a_person(api: SimpleNamespace, thread: Conversation) -> None:
    house = api.house
    member = house.person.public_id

    def act(name: str, body: dict | None = None) -> dict:
        response = api.person.post(path(thread, f"{name}/"), body)
        assert response.status_code == 200, (name, response.content)
        return response.json()

    assert act("assign", {"assignee": house.agent.member.public_id})["assignee"]["kind"] == "agent"
    assert act("take_over")["assignee"]["id"] == member
    assert act("give_back", {"reason": "done"})["assignee"]["kind"] == "agent"
    handed = act("hand_off", {"team": house.team.public_id, "reason": "r", "summary": "s"})
    assert (handed["assignee"], handed["team"]) == (None, house.team.public_id)
    assert act("assign", {"assignee": None})["team"] is None
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    assert act("snooze", {"until": tomorrow})["status"] == "snoozed"
    assert act("reopen")["status"] == "open"
    assert act("labels", {"add": ["vip", "new"]})["labels"] == ["new", "vip"]
    assert act("labels", {"remove": ["new"]})["labels"] == ["vip"]
    assert act("priority", {"priority": "high"})["priority"] == "high"
    own = act("attributes", {"values": {"order": 7}, "on": "conversation"})
    assert own["attributes"] == {"order": 7}
    act("attributes", {"values": {"city": "Cluj"}})
    assert act("read")["unread_count"] == 0
    assert act("resolve", {"reason": "answered"})["status"] == "resolved"
    with account_context(house.account):
        assert Contact.objects.get(pk=thread.contact_id).attributes == {"city": "Cluj"}


def test_who_is_slower_gets_409(api: SimpleNamespace, thread: Conversation) -> None:
    body = {"assignee": api.house.person.public_id, "expected_epoch": thread.assignment_epoch}
    assert api.person.post(path(thread, "assign/"), body).status_code == 200
    body["assignee"] = api.house.admin.public_id
    response = api.admin.post(path(thread, "assign/"), body)
    assert (response.status_code, code_of(response)) == (409, "assignee_changed")
    assert now(api, thread).assignee == api.house.person


def test_a_stranger_is_an_unknown_assignee(api: SimpleNamespace, thread: Conversation) -> None:
    """bad input 2"""
    stranger = api.house.outsider.public_id
    response = api.owner.post(path(thread, "assign/"), {"assignee": stranger})
    assert (response.status_code, code_of(response)) == (400, "does_not_exist")
    response = api.owner.patch(path(thread), {"assignee_id": stranger})
    assert (response.status_code, code_of(response)) == (400, "unknown_field")
    assert now(api, thread).assignee is None


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("assign", {}), ("assign", {"assignee": 1}), ("assign", {"assignee": None, "team": "x"}),
        ("snooze", {"until": "2000-01-01T00:00:00Z"}), ("snooze", {"until": "9999-01-01T00:00:00Z"}),
        ("snooze", {}), ("labels", {"add": ["x" * 61]}), ("labels", {"add": "x"}),
        ("priority", {"priority": "top"}), ("attributes", {"values": {"a": {"b": 1}}}),
        ("attributes", {"values": {"x" * 61: 1}}), ("attributes", {"values": {"a": "x" * 1001}}),
        ("resolve", {"force": True}), ("take_over", {"by": "x"}), ("read", {"x": 1}),
        ("hand_off", {"reason": "x" * 501}),
    ],
)  # fmt: skip
def test_acts_that_make_no_sense_are_refused(
    api: SimpleNamespace, thread: Conversation, act: str, body: dict
) -> None:
    """bad input 53"""
    response = api.owner.post(path(thread, f"{act}/"), body)
    assert response.status_code in (400, 409), response.content
    code_of(response)


# --- Messages ------------------------------------------------------------------------------------


def test_a_person_answers_and_has_it(api: SimpleNamespace, held: Conversation) -> None:
    response = api.person.post(path(held, "messages/"), {"text": "Yes, we do."})
    assert response.status_code == 201
    message = response.json()
    assert (message["direction"], message["status"]) == ("outbound", "queued")
    assert message["author"]["name"] == api.house.person.name
    assert now(api, held).assignee == api.house.person
    with account_context(api.house.account):
        assert Delivery.objects.filter(kind="send", message__text="Yes, we do.").count() == 1


def test_messages_are_read_newest_first(api: SimpleNamespace, thread: Conversation) -> None:
    api.person.post(path(thread, "messages/"), {"text": "second"})
    texts = [m["text"] for m in api.person.get(path(thread, "messages/")).json()["results"]]
    assert [text for text in texts if text in ("second", "Do you ship to Cluj?")] == [
        "second",
        "Do you ship to Cluj?",
    ]


def test_the_same_key_sends_once(api: SimpleNamespace, thread: Conversation) -> None:
    for _time in range(2):
        response = api.person.post(path(thread, "messages/"), {"text": "once"}, key="m1")
        assert response.status_code == 201
    with account_context(api.house.account):
        assert Message.objects.filter(text="once").count() == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"text": "Which?", "buttons": [{"id": "a", "title": "A"}]}, "buttons"),
        (
            {
                "text": "Which?",
                "list": {"button": "Open", "sections": [{"rows": [{"id": "a", "title": "A"}]}]},
            },
            "list",
        ),
        ({"location": {"latitude": 46.77, "longitude": 23.6, "name": "Shop"}}, "location"),
        ({"contacts": [{"name": "Ana", "phones": ["+40700000001"]}]}, "contacts"),
        ({"media": [{"url": "https://files.example.com/a.png", "kind": "image"}]}, "image"),
        ({"carousel": [{"title": "Lamp"}]}, "carousel"),
        ({"text": "Please:", "fields": [{"name": "mail", "type": "email"}]}, "form"),
        ({"text": "Your e-mail?", "input": {"type": "email"}}, "input"),
        ({"articles": [{"title": "Returns", "link": "https://shop.example/r"}]}, "articles"),
    ],
    ids=str,
)
def test_more_than_text_can_be_said(
    api: SimpleNamespace, thread: Conversation, body: dict, kind: str
) -> None:
    response = api.person.post(path(thread, "messages/"), body)
    assert (response.status_code, response.json()["kind"]) == (201, kind), response.content
    assert response.json() == read_again(api.person, thread, response)


def read_again(caller: Caller, thread: Conversation, response: Any) -> Any:
    """What was just said, as whoever asks for it later gets it."""
    return caller.get(path(thread, f"messages/{response.json()['id']}/")).json()


@pytest.mark.parametrize("microsecond", [0, 120])
def test_the_answer_is_what_is_read_later(
    api: SimpleNamespace, held: Conversation, settings, tmp_path, microsecond: int
) -> None:
    """Nothing is read again for it, but its files."""
    settings.MEDIA_ROOT = tmp_path
    messages = path(held, "messages/")
    with account_context(api.house.account):
        first = Message.objects.get(conversation=held, direction="inbound").public_id
        draft = services.keep_draft(
            held, content=Content(text="Yes."), author=api.house.agent.member, reason="late"
        )
        Agent.objects.update(stale_gate=False)
    files = [SimpleUploadedFile(f"{name}.png", PNG, "image/png") for name in "ab"]
    with time_machine.travel(timezone.now().replace(microsecond=microsecond), tick=False):
        said = [
            api.agent.post(messages, {"text": " Which? ", "reply_to": first}),
            api.agent.post(messages, {"text": "For you", "note": True}),
            api.person.post(messages, {"text": "One", "client_id": "1"}),
            api.person.post(messages, {"text": "One", "client_id": "1"}),
            api.agent.post(messages, {"text": "late"}),
            api.person.post(path(held, f"messages/{draft.public_id}/use/")),
            api.person.client.post(messages, {"text": "look", "files": files}),
        ]
        assert [one.status_code for one in said] == [201] * 7
        assert [one.json() for one in said] == [read_again(api.person, held, one) for one in said]
    assert said[0].json()["reply_to"] == first
    assert said[2].json()["id"] == said[3].json()["id"]
    assert said[4].json()["content"] == {"late": True}
    assert [one["filename"] for one in said[6].json()["attachments"]] == ["a.png", "b.png"]


def test_what_was_said_and_what_was_answered_reads_as_it_was_given(api: SimpleNamespace) -> None:
    actions = [
        {"kind": "postback", "title": "Buy", "id": "buy:1"},
        {"kind": "link", "title": "Look", "url": "https://shop.example/lamp"},
    ]
    card = {"title": "Lamp", "description": "100 lei", "actions": actions}
    thread = make_conversation(api.house.inbox, visitor="ana")
    message = api.person.post(path(thread, "messages/"), {"carousel": [card]}).json()
    assert message["content"] == {"carousel": [card]}
    with account_context(api.house.account):
        choice = Choice("buy:1", "Buy")
        reply = said("Buy", visitor="ana", kind=Kind.BUTTON_REPLY, choice=choice)
        services.receive(api.house.inbox, reply)
    read = api.person.get(path(thread, f"messages/{message['id']}/")).json()
    assert read["content"]["submitted"] == [{"title": "Buy", "value": "buy:1"}]


def test_a_file_is_sent_and_can_be_fetched(
    api: SimpleNamespace, thread: Conversation, settings, tmp_path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    data = {"text": "look", "files": SimpleUploadedFile("../../a.png", PNG, "image/png")}
    response = api.person.client.post(path(thread, "messages/"), data)
    assert response.status_code == 201, response.content
    (attachment,) = response.json()["attachments"]
    assert attachment["mime"] == "image/png"
    assert "/" not in attachment["filename"]
    assert attachment["url"].startswith(settings.PUBLIC_URL)


@pytest.mark.parametrize("who", ["agent", "person"])
def test_nothing_is_stored_for_a_conversation_that_is_not_there(
    api: SimpleNamespace, settings: Any, tmp_path: Path, who: str
) -> None:
    settings.MEDIA_ROOT = tmp_path
    data = {"text": "look", "files": SimpleUploadedFile("a.png", PNG, "image/png")}
    url = "/v1/conversations/cnv_00000000000000000000000000/messages/"
    assert getattr(api, who).client.post(url, data).status_code == 404
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jpg", b"<html><script>alert(1)</script></html>"),
        ("x.png", b"<svg xmlns='http://www.w3.org/2000/svg'></svg>"),
        ("x.jpg", b"<?php system($_GET['c']); ?>"),
        ("x.png", b"MZ\x90\x00 not a picture"),
    ],
    ids=["html", "svg", "php", "exe"],
)
def test_files_that_are_something_else_are_refused(
    api: SimpleNamespace, thread: Conversation, name: str, content: bytes, settings, tmp_path
) -> None:
    """bad input 55"""
    settings.MEDIA_ROOT = tmp_path
    data = {"files": SimpleUploadedFile(name, content, "image/jpeg")}
    response = api.person.client.post(path(thread, "messages/"), data)
    assert response.status_code in (400, 415), response.content
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    "body",
    [
        {}, {"text": "  "}, {"text": "x" * 10_001}, {"text": "a", "to": "+40700000001"},
        {"text": "a", "note": True, "buttons": [{"id": "a", "title": "A"}]},
        {"buttons": [{"id": "a", "title": "A"}]}, {"text": "a", "buttons": []},
        {"media": [{"url": "http://files.example.com/a.png", "kind": "image"}]},
        {"media": [{"url": "https://user:pass@example.com/a.png", "kind": "image"}]},
        {"media": [{"url": "file:///etc/passwd", "kind": "image"}]},
        {"location": {"latitude": 91, "longitude": 0}}, {"text": "a", "reply_to": "msg_x"},
        {"text": "a", "location": {"latitude": 1, "longitude": 0}, "contacts": [{"name": "A"}]},
        {"text": "a", "account": "acc_x"},
        {"input": {"type": "email"}}, {"text": "a", "input": {"type": "select"}},
        {"carousel": [{"title": "A", "actions": [{"kind": "link", "title": "B", "id": "c"}]}]},
        {"carousel": [{"title": "A", "actions": [{"kind": "postback", "title": "B"}]}]},
        {"carousel": [{"title": "A", "image_url": "http://files.example.com/a.png"}]},
        {"carousel": [{"title": "A"}], "articles": [{"title": "A", "link": "https://a.example"}]},
        {"fields": [{"name": "a", "type": "select"}]}, {"fields": [{"name": "a"}, {"name": "a"}]},
        {"articles": [{"title": "A", "link": "ftp://a.example/"}]},
    ],
)  # fmt: skip
def test_messages_that_make_no_sense_are_refused(
    api: SimpleNamespace, thread: Conversation, body: dict
) -> None:
    """bad inputs 6, 47, 53"""
    before = count(api, Message)
    assert api.person.post(path(thread, "messages/"), body).status_code == 400
    assert count(api, Message) == before


def count(api: SimpleNamespace, model: type[AccountModel]) -> int:
    with account_context(api.house.account):
        return model.objects.count()


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "{{7*7}} {% load x %}", "\u202egnp.exe", "a\u200bb"]
)
def test_text_is_stored_as_it_is(api: SimpleNamespace, thread: Conversation, text: str) -> None:
    """bad inputs 53, 58"""
    response = api.person.post(path(thread, "messages/"), {"text": text})
    assert response.json()["text"] == text
    assert response["Content-Type"] == "application/json"


def test_a_closed_window_is_409(api: SimpleNamespace) -> None:
    inbox = make_inbox(api.house.account, "whatsapp")
    thread = make_conversation(make_inbox(api.house.account))
    with account_context(api.house.account):
        Conversation.objects.filter(pk=thread.pk).update(inbox=inbox)
        Address.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))
    response = api.person.post(path(thread, "messages/"), {"text": "too late"})
    assert (response.status_code, code_of(response)) == (409, "window_closed")


def test_what_cannot_be_sent_is_400(api: SimpleNamespace, thread: Conversation) -> None:
    with account_context(api.house.account):
        Inbox.objects.update(state=Inbox.State.DISABLED)
    response = api.person.post(path(thread, "messages/"), {"text": "hello"})
    assert (response.status_code, code_of(response)) == (400, "cannot_send")


def test_a_draft_is_used_once_or_put_away(api: SimpleNamespace, held: Conversation) -> None:
    with account_context(api.house.account):
        first, second = (
            services.keep_draft(
                held,
                content=Content(text=text),
                author=api.house.agent.member,
                reason="late",
            )
            for text in ("used", "dropped")
        )
    address = path(held, f"messages/{first.public_id}/use/")
    assert api.person.post(address).json()["text"] == "used"
    again = api.person.post(address)
    assert (again.status_code, code_of(again)) == (409, "wrong_state")
    drop = path(held, f"messages/{second.public_id}/discard/")
    assert api.person.post(drop).status_code == 204
    assert api.person.post(drop).status_code == 409


# --- AI agents -----------------------------------------------------------------------------------


def test_an_agent_sees_only_what_it_holds(api: SimpleNamespace, thread: Conversation) -> None:
    """bad input 13, SX-23"""
    assert api.agent.get(path(thread)).status_code == 404
    assert api.agent.get(path(thread, "messages/")).status_code == 404
    assert api.agent.get(path(thread, "decisions/")).status_code == 404
    assert api.agent.get("/v1/conversations/").json()["results"] == []
    assert api.agent.get("/v1/contacts/").json()["results"] == []
    assert api.agent.post(path(thread, "messages/"), {"text": "hi"}).status_code == 404
    assert api.agent.post(path(thread, "resolve/")).status_code == 404
    give(api, thread)
    assert api.agent.get(path(thread)).status_code == 200
    assert len(api.agent.get("/v1/conversations/").json()["results"]) == 1
    assert len(api.agent.get("/v1/contacts/").json()["results"]) == 1


def test_an_agent_answers_and_hands_over(api: SimpleNamespace, held: Conversation) -> None:
    assert api.agent.post(path(held, "messages/"), {"text": "Yes."}).status_code == 201
    handed = api.agent.post(path(held, "hand_off/"), {"reason": "asks for a person"})
    assert (handed.status_code, handed.json()["assignee"]) == (200, None)
    assert api.agent.get(path(held)).status_code == 404


def test_after_a_take_over_the_agents_text_is_kept_and_not_sent(
    api: SimpleNamespace, held: Conversation
) -> None:
    """bad input 14"""
    api.person.post(path(held, "take_over/"))
    for _time in range(2):
        response = api.agent.post(path(held, "messages/"), {"text": "late answer"}, key="a1")
        assert (response.status_code, code_of(response)) == (409, "not_assigned")
    with account_context(api.house.account):
        kept = Message.objects.get(text="late answer")
        assert not Delivery.objects.filter(message=kept).exists()
    assert (kept.direction, kept.draft_reason) == ("draft", "stale_epoch")
    assert kept.author == api.house.agent.member
    for act in ("resolve", "labels", "hand_off"):
        assert code_of(api.agent.post(path(held, f"{act}/"))) == "not_assigned"


def test_nothing_is_kept_of_a_customer_who_was_erased(
    api: SimpleNamespace, held: Conversation
) -> None:
    with account_context(api.house.account):
        services.erase_contact(held.contact, by=api.house.owner)
    before = count(api, Message)
    for body in ({"text": "Dear Ana"}, {"text": "Ana called", "note": True}):
        response = api.agent.post(path(held, "messages/"), body)
        assert (response.status_code, code_of(response)) == (409, "not_assigned")
    assert count(api, Message) == before


def test_an_answer_under_an_old_epoch_is_kept_too(api: SimpleNamespace, held: Conversation) -> None:
    """DL-63"""
    old = held.assignment_epoch
    api.person.post(path(held, "take_over/"))
    api.person.post(path(held, "give_back/"))
    response = api.agent.post(path(held, "messages/"), {"text": "old", "epoch": old})
    assert (response.status_code, code_of(response)) == (409, "not_assigned")
    current = now(api, held).assignment_epoch
    response = api.agent.post(path(held, "messages/"), {"text": "new", "epoch": current})
    assert response.status_code == 201


def test_an_agent_takes_nothing_to_itself(api: SimpleNamespace, thread: Conversation) -> None:
    """bad input 15"""
    myself = {"assignee": api.house.agent.member.public_id}
    assert api.agent.post(path(thread, "assign/"), myself).status_code == 403
    assert now(api, thread).assignment_epoch == thread.assignment_epoch
    give(api, thread)
    epoch = now(api, thread).assignment_epoch
    other = {"assignee": make_agent(api.house.account).member.public_id}
    for body in (myself, other):
        assert api.agent.post(path(thread, "assign/"), body).status_code == 403
    for act in ("take_over", "give_back", "read"):
        assert api.agent.post(path(thread, f"{act}/")).status_code == 403
    assert now(api, thread).assignment_epoch == epoch


def test_an_agent_does_not_read_notes_and_drafts(api: SimpleNamespace, held: Conversation) -> None:
    note = api.supervisor.post(path(held, "messages/"), {"text": "she is angry", "note": True})
    assert note.status_code == 201
    texts = [m["text"] for m in api.agent.get(path(held, "messages/")).json()["results"]]
    assert texts == ["Do you ship to Cluj?"]
    assert api.agent.get(path(held, f"messages/{note.json()['id']}/")).status_code == 404


# --- Contacts and labels -------------------------------------------------------------------------


def test_contacts_are_found_and_changed(api: SimpleNamespace, thread: Conversation) -> None:
    contact = api.person.get(path(thread)).json()["contact"]["id"]
    address = f"/v1/contacts/{contact}/"
    body = {"name": "Ana Pop", "phone": "+40700000001", "attributes": {"vip": True, "city": "Cluj"}}
    assert api.person.patch(address, body).json()["attributes"] == {"vip": True, "city": "Cluj"}
    assert api.person.patch(address, {"attributes": {"vip": None}}).json()["attributes"] == {
        "city": "Cluj"
    }
    for query in ({"q": "ana"}, {"q": "+40700 000001"}, {"phone": "+40700000001"}):
        assert len(api.person.get("/v1/contacts/", **query).json()["results"]) == 1, query
    assert api.person.get("/v1/contacts/", q="nobody").json()["results"] == []
    for wrong in ({"phone": "abc"}, {"email": "x"}, {"name": "x" * 251}, {"id": "con_1"}):
        assert api.person.patch(address, wrong).status_code == 400


def test_labels_are_made_renamed_and_deleted(api: SimpleNamespace) -> None:
    label = api.supervisor.post("/v1/labels/", {"name": "vip", "colour": "amber"}).json()
    address = f"/v1/labels/{label['id']}/"
    assert code_of(api.supervisor.post("/v1/labels/", {"name": "vip"})) == "already_exists"
    assert api.supervisor.patch(address, {"name": "VIP"}).json()["name"] == "VIP"
    assert api.person.post("/v1/labels/", {"name": "x"}).status_code == 403
    assert api.supervisor.delete(address).status_code == 204
    assert count(api, Label) == 0


# --- Events and deliveries -----------------------------------------------------------------------


def test_events_are_read_after_the_last_one(api: SimpleNamespace, thread: Conversation) -> None:
    """DL-84"""
    assert api.person.get("/v1/events/").json()["results"] == []
    with account_context(api.house.account):
        Event.objects.update(occurred_at=timezone.now() - timedelta(seconds=3))
    events = api.person.get("/v1/events/").json()["results"]
    assert [event["type"] for event in events][:2] == ["conversation.created", "message.created"]
    later = api.person.get("/v1/events/", after=events[0]["id"]).json()["results"]
    assert later == events[1:]
    assert api.person.get("/v1/events/", after="evt_1").status_code == 400
    assert api.agent.get("/v1/events/").json()["results"] == []


def test_the_log_of_deliveries_says_why_something_waits(
    api: SimpleNamespace, thread: Conversation
) -> None:
    """delivery.md 15"""
    for text in ("one", "two"):
        api.person.post(path(thread, "messages/"), {"text": text})
    newest, oldest = api.owner.get("/v1/deliveries/", kind="send").json()["results"]
    assert (oldest["state"], oldest["waiting_because"]) == ("pending", "due")
    assert newest["waiting_because"] == "earlier_delivery"
    only = {"conversation": thread.public_id, "state": "pending", "kind": "send"}
    assert len(api.owner.get("/v1/deliveries/", **only).json()["results"]) == 2
    assert api.owner.get("/v1/deliveries/", state="dead").json()["results"] == []
    assert api.person.get("/v1/deliveries/").status_code == 403


def test_a_delivery_shows_its_attempts_and_its_body_to_those_who_may(
    api: SimpleNamespace, thread: Conversation
) -> None:
    """delivery.md 15"""
    api.person.post(path(thread, "messages/"), {"text": "one"})
    with account_context(api.house.account):
        delivery = Delivery.objects.get(kind="send")
        delivery.body = b'{"text": "one"}'
        delivery.save()
        Attempt.objects.create(
            delivery=delivery, n=1, started_at=timezone.now(), outcome="timeout_read", status=None
        )
    address = f"/v1/deliveries/{delivery.public_id}/"
    shown = api.owner.get(address).json()
    assert shown["request_body"] == '{"text": "one"}'
    assert [attempt["outcome"] for attempt in shown["attempt_log"]] == ["timeout_read"]
    assert api.supervisor.get(address).json()["request_body"] is None


def test_strangers_see_nothing(api: SimpleNamespace, thread: Conversation) -> None:
    """bad inputs 1, 3"""
    unknown = "cnv_" + "0" * 13
    for method, rest, body in (
        ("get", "", None),
        ("get", "messages/", None),
        ("post", "messages/", {"text": "x"}),
        ("post", "resolve/", {}),
    ):
        call = getattr(api.outsider, method)
        arguments = () if body is None else (body,)
        foreign = call(path(thread, rest), *arguments)
        none = call(f"/v1/conversations/{unknown}/{rest}", *arguments)
        assert foreign.status_code == none.status_code == 404
        first, second = foreign.json(), none.json()
        del first["request_id"], second["request_id"]
        assert first == second
    assert api.outsider.get("/v1/conversations/").json()["results"] == []
    assert now(api, thread).status == "open"


def test_filters_do_not_tell_what_is_elsewhere(api: SimpleNamespace, thread: Conversation) -> None:
    query = {"contact": api.person.get(path(thread)).json()["contact"]["id"]}
    assert api.outsider.get("/v1/conversations/", **query).json()["results"] == []


def test_bodies_with_fields_of_files_are_json_or_multipart_only(
    api: SimpleNamespace, thread: Conversation
) -> None:
    response = api.person.client.post(
        path(thread, "messages/"), "text=x", content_type="application/x-www-form-urlencoded"
    )
    assert response.status_code == 415
    response = api.person.post(path(thread, "messages/"), {"text": "a", "files": ["x"]})
    assert (response.status_code, attrs_of(response)) == (400, {"files.0"})
    assert Caller().post(path(thread, "messages/"), {"text": "a"}).status_code == 401


def test_the_holder_may_be_a_team_with_many_members(api: SimpleNamespace) -> None:
    team = make_team(api.house.account, members=(make_person(api.house.account),))
    thread = make_conversation(api.house.inbox)
    body = {"team": team.public_id}
    assert api.person.post(path(thread, "assign/"), body).json()["team"] == team.public_id
