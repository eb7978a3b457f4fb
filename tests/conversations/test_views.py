"""The desk's pages and acts, through Django's whole stack."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import Member
from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Content, Kind, Media
from conversations.models import Address, Attachment, Contact, Conversation, Message
from conversations.services import media
from tests.factories import make_conversation, make_inbox, said
from tests.pictures import png

HTMX = {"HTTP_HX_REQUEST": "true"}


def logged_in(member: Member) -> Client:
    client = Client()
    assert member.user is not None
    client.force_login(member.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def desk(house: SimpleNamespace) -> SimpleNamespace:
    """A house with one conversation, and Petra at the desk."""
    house.conversation = make_conversation(house.inbox, "Do you ship to Cluj?", contact_name="Ion")
    house.url = f"/inbox/{house.conversation.public_id}/"
    house.client = logged_in(house.person)
    return house


def fresh(conversation: Conversation) -> Conversation:
    return Conversation.objects.get(pk=conversation.pk)


def toast(response: Any) -> dict[str, str]:
    return dict(json.loads(response["HX-Trigger"])["toast"])


# --- Pages --------------------------------------------------------------------------------------


def test_the_desk_shows_list_thread_and_details(desk: SimpleNamespace) -> None:
    page = desk.client.get(desk.url).content.decode()
    for words in ("Do you ship to Cluj?", "Ion", "Why is it here?", 'aria-current="true"'):
        assert words in page


def test_strangers_are_sent_to_the_login(desk: SimpleNamespace) -> None:
    for path in ("/", desk.url, "/inbox/rows/", desk.url + "pane/"):
        response = Client().get(path)
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")


GETS = ("", "pane/")
POSTS = (
    "assign/", "take-over/", "give-back/", "resolve/", "reopen/", "snooze/", "label/", "read/",
    "reply/", "drafts/msg_0000000000000/use/", "drafts/msg_0000000000000/drop/",
)  # fmt: skip


def test_the_outsider_finds_nothing_and_changes_nothing(desk: SimpleNamespace) -> None:
    """SX-08, SX-09"""
    client = logged_in(desk.outsider)
    for path in GETS:
        assert client.get(desk.url + path).status_code == 404
    for path in POSTS:
        assert (
            client.post(desk.url + path, {"to": "", "text": "x", "mode": "reply"}).status_code
            == 404
        )
    assert b"Cluj" not in client.get("/").content
    assert b"Ion" not in client.get("/inbox/find/?q=Ion").content
    assert fresh(desk.conversation).last_sequence == desk.conversation.last_sequence


def test_an_id_that_is_none_is_a_404(desk: SimpleNamespace) -> None:
    for public_id in ("cnv_x", "1", "msg_0000000000000", "cnv_" + "z" * 13):
        assert desk.client.get(f"/inbox/{public_id}/").status_code == 404


def test_customer_text_is_hostile(desk: SimpleNamespace) -> None:
    """SX-72: in the list, the thread, the head and the details."""
    evil = "<script>alert(1)</script>"
    conversation = make_conversation(desk.inbox, evil, contact_name=evil)
    services.set_attributes(conversation, {evil: evil}, by=None)
    page = desk.client.get(f"/inbox/{conversation.public_id}/").content.decode()
    assert "alert(1)" in page
    assert evil not in page


def test_no_page_carries_inline_style_or_script(desk: SimpleNamespace) -> None:
    """SX-70: the strict policy needs no exception."""
    for path in ("/", desk.url, "/ui/"):
        page = desk.client.get(path).content.decode()
        assert " style=" not in page
        assert " onclick=" not in page
        assert "<script>" not in page
        assert "hx-on" not in page


def test_htmx_gets_the_conversation_alone(desk: SimpleNamespace) -> None:
    page = desk.client.get(desk.url, **HTMX, HTTP_HX_TARGET="stage").content.decode()
    assert "Do you ship to Cluj?" in page
    assert "<html" not in page


# --- The list -----------------------------------------------------------------------------------


def listed(client: Client, query: str = "") -> list[str]:
    page = client.get(f"/inbox/rows/{query}").content.decode()
    return [part.split('"', 1)[0] for part in page.split('id="row-')[1:]]


def test_tabs_say_whose_conversations_and_how_many(desk: SimpleNamespace) -> None:
    mine, with_ai = make_conversation(desk.inbox), make_conversation(desk.inbox)
    services.assign(mine, to=desk.person, by=None)
    services.assign(with_ai, to=desk.agent.member, by=None)
    assert listed(desk.client, "?tab=mine") == [mine.public_id]
    assert listed(desk.client, "?tab=ai") == [with_ai.public_id]
    assert listed(desk.client, "?tab=unassigned") == [desk.conversation.public_id]
    assert len(listed(desk.client)) == 3
    page = desk.client.get("/").content.decode()
    assert 'All <span class="number">3</span>' in page


def test_filters_and_search_narrow_the_list(desk: SimpleNamespace) -> None:
    shop = make_inbox(desk.account, name="Shop")
    other = make_conversation(shop, "about an invoice", contact_name="Maria")
    services.add_labels(other, ["vip"], by=None)
    services.assign(other, to=desk.team, by=None)
    label = other.labels.get()
    for query in (
        f"?inbox={shop.public_id}",
        f"?team={desk.team.public_id}",
        f"?label={label.public_id}",
        "?q=maria",
        "?q=invoice",
        f"?q=%23{other.number}",
    ):
        assert listed(desk.client, query) == [other.public_id], query
    services.resolve(other, by=desk.person)
    assert listed(desk.client, "?q=maria") == []
    assert listed(desk.client, "?q=maria&status=resolved") == [other.public_id]
    assert listed(desk.client, "?q=maria&status=any") == [other.public_id]


@pytest.mark.parametrize(
    "query",
    ["?inbox=x", "?label=lab_x", "?before=x", "?before=2026-99-99T00:00~cnv_x", "?size=9e9",
     "?size=" + "9" * 5000, "?tab=zzz&status=zzz", "?q=%00", "?q=%25_%27"],
)  # fmt: skip
def test_a_senseless_query_is_no_error(desk: SimpleNamespace, query: str) -> None:
    assert desk.client.get(f"/inbox/rows/{query}").status_code == 200


def test_pages_go_by_key_and_miss_nothing(desk: SimpleNamespace) -> None:
    from conversations.desk import Query, cursor_of, listing

    for number in range(30):
        make_conversation(desk.inbox, f"number {number}")
    first = listing(Query(), desk.person)
    assert len(first.rows) == 25
    assert first.more == "?size=50"
    last = Conversation.objects.get(pk=Conversation.objects.recent_first()[24].pk)
    second = listing(Query(before=cursor_of(last)), desk.person)
    assert len(second.rows) == 6
    assert not {row.id for row in first.rows} & {row.id for row in second.rows}
    assert len(listed(desk.client, "?size=50")) == 31


def test_the_list_takes_the_same_queries_for_one_row_and_for_many(
    desk: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        services.add_labels(make_conversation(desk.inbox, f"n {number}"), ["a", "b"], by=None)
    with django_assert_max_num_queries(18):
        desk.client.get("/inbox/rows/")


def test_the_palette_finds_customers(desk: SimpleNamespace) -> None:
    assert b"Ion" in desk.client.get("/inbox/find/?q=ion").content
    assert desk.client.get("/inbox/find/?q=").content.strip() == b""


# --- Acts ---------------------------------------------------------------------------------------


def test_take_over_give_back_and_undo(desk: SimpleNamespace) -> None:
    agent = desk.agent.member
    services.assign(desk.conversation, to=agent, by=None)
    taken = desk.client.post(desk.url + "take-over/", **HTMX)
    assert taken.status_code == 204
    assert fresh(desk.conversation).assignee == desk.person
    assert f"live:{desk.conversation.public_id}" in json.loads(taken["HX-Trigger"])
    desk.client.post(toast(taken)["undo"], **HTMX)
    assert fresh(desk.conversation).assignee == agent
    desk.client.post(desk.url + "take-over/", **HTMX)
    assert toast(desk.client.post(desk.url + "give-back/", **HTMX))["text"].startswith("Given back")
    assert fresh(desk.conversation).assignee == agent


def test_an_undo_that_somebody_overtook_changes_nothing(desk: SimpleNamespace) -> None:
    taken = desk.client.post(desk.url + "take-over/", **HTMX)
    services.assign(desk.conversation, to=desk.owner, by=desk.owner)
    late = desk.client.post(toast(taken)["undo"], **HTMX)
    assert late.status_code == 409
    assert "Somebody else" in toast(late)["text"]
    assert fresh(desk.conversation).assignee == desk.owner


def test_assigning_to_a_person_a_team_an_agent_and_nobody(desk: SimpleNamespace) -> None:
    for holder in (desk.owner, desk.agent.member):
        desk.client.post(desk.url + "assign/", {"to": holder.public_id}, **HTMX)
        assert fresh(desk.conversation).assignee == holder
    desk.client.post(desk.url + "assign/", {"to": desk.team.public_id}, **HTMX)
    assert (fresh(desk.conversation).assignee, fresh(desk.conversation).team) == (None, desk.team)
    desk.client.post(desk.url + "assign/", {"to": ""}, **HTMX)
    assert fresh(desk.conversation).team is None


def test_nothing_is_assigned_to_an_outsider(desk: SimpleNamespace) -> None:
    path = desk.url + "assign/"
    assert desk.client.post(path, {"to": desk.outsider.public_id}, **HTMX).status_code == 404
    assert fresh(desk.conversation).assignee is None


def test_resolving_snoozing_and_opening_again(desk: SimpleNamespace) -> None:
    done = desk.client.post(desk.url + "resolve/", **HTMX)
    assert fresh(desk.conversation).status == "resolved"
    desk.client.post(toast(done)["undo"], **HTMX)
    assert fresh(desk.conversation).status == "open"
    until = timezone.localtime(timezone.now() + timedelta(hours=5))
    desk.client.post(desk.url + "snooze/", {"until": until.strftime("%Y-%m-%dT%H:%M")}, **HTMX)
    assert fresh(desk.conversation).status == "snoozed"
    past = desk.client.post(desk.url + "snooze/", {"until": "2020-01-01T10:00"}, **HTMX)
    assert toast(past)["text"] == "Choose a time in the future."


def test_labels_come_and_go(desk: SimpleNamespace) -> None:
    desk.client.post(desk.url + "label/", {"name": "delivery"}, **HTMX)
    assert [label.name for label in fresh(desk.conversation).labels.all()] == ["delivery"]
    desk.client.post(desk.url + "label/", {"name": "delivery", "remove": "on"}, **HTMX)
    assert not fresh(desk.conversation).labels.exists()


def test_without_script_an_act_is_a_redirect_with_a_message(desk: SimpleNamespace) -> None:
    response = desk.client.post(desk.url + "take-over/", follow=True)
    assert response.redirect_chain == [(desk.url, 302)]
    assert b"You have this conversation now." in response.content


def test_looking_marks_as_read_once(desk: SimpleNamespace) -> None:
    assert fresh(desk.conversation).unread_count == 1
    assert desk.client.post(desk.url + "read/", **HTMX).status_code == 204
    before = fresh(desk.conversation).last_sequence
    desk.client.post(desk.url + "read/", **HTMX)
    assert fresh(desk.conversation).unread_count == 0
    assert fresh(desk.conversation).last_sequence == before


# --- The composer -------------------------------------------------------------------------------


def reply(desk: SimpleNamespace, **data: Any) -> Any:
    return desk.client.post(desk.url + "reply/", {"mode": "reply", "text": ""} | data, **HTMX)


def test_a_reply_is_sent_and_the_conversation_becomes_ones_own(desk: SimpleNamespace) -> None:
    response = reply(desk, text="Yes, we do.")
    assert response.status_code == 200
    assert json.loads(response["HX-Trigger-After-Swap"])["sent"]
    message = Message.objects.get(direction="outbound")
    assert (message.text, message.author) == ("Yes, we do.", desk.person)
    assert fresh(desk.conversation).assignee == desk.person


def test_a_reply_sent_twice_is_said_once(desk: SimpleNamespace) -> None:
    for _ in range(2):
        reply(desk, text="Yes", client_id="same")
    assert Message.objects.filter(direction="outbound").count() == 1


def test_a_note_stays_inside(desk: SimpleNamespace) -> None:
    reply(desk, mode="note", text="Ask the depot")
    assert Message.objects.get(direction="note").text == "Ask the depot"
    assert not Message.objects.filter(direction="outbound").exists()
    assert fresh(desk.conversation).assignee is None


def test_an_empty_reply_comes_back_with_its_reason(desk: SimpleNamespace) -> None:
    response = reply(desk)
    assert response.status_code == 422
    assert b"Write something first." in response.content
    assert b"<html" not in response.content


def test_a_picture_is_sent_by_what_it_is(
    desk: SimpleNamespace, settings: Any, tmp_path: Any
) -> None:
    """SX-80: the content decides, not what the sender says."""
    settings.MEDIA_ROOT = tmp_path
    unnamed = SimpleUploadedFile("photo", png(), "application/octet-stream")
    reply(desk, text="Look", attached=unnamed)
    file = Attachment.objects.get()
    assert (file.kind, file.mime) == ("image", "image/png")


@pytest.mark.parametrize(
    ("name", "content", "mime", "words"),
    [
        (
            "a.html",
            b"<!DOCTYPE html><html><script>1</script></html>",
            "text/html",
            "cannot be sent",
        ),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "cannot be sent"),
        ("a.png", b"", "image/png", "empty"),
        ("a.txt", png(), "text/plain", "not what its name says"),
    ],
)
def test_files_that_must_not_travel_are_refused(
    desk: SimpleNamespace,
    settings: Any,
    tmp_path: Any,
    name: str,
    content: bytes,
    mime: str,
    words: str,
) -> None:
    settings.MEDIA_ROOT = tmp_path
    response = reply(desk, attached=SimpleUploadedFile(name, content, mime))
    assert response.status_code == 422
    assert words in response.content.decode()
    assert not Message.objects.filter(direction="outbound").exists()


def test_a_closed_window_is_said_before_and_after_trying(desk: SimpleNamespace) -> None:
    inbox = make_inbox(desk.account, "whatsapp")
    conversation = make_conversation(inbox, "Hej", sent_at=timezone.now() - timedelta(hours=25))
    desk.url = f"/inbox/{conversation.public_id}/"
    page = desk.client.get(desk.url).content.decode()
    assert "The reply window is closed" in page
    assert reply(desk, text="Too late").status_code == 422
    assert not Message.objects.filter(direction="outbound").exists()


def test_an_open_window_counts_down(desk: SimpleNamespace) -> None:
    inbox = make_inbox(desk.account, "whatsapp")
    conversation = make_conversation(inbox, "Hej", sent_at=timezone.now() - timedelta(hours=20))
    page = desk.client.get(f"/inbox/{conversation.public_id}/").content.decode()
    assert "window open" in page
    assert "3 h 59 m" in page


def test_a_blocked_contact_takes_notes_only(desk: SimpleNamespace) -> None:
    Contact.objects.filter(pk=desk.conversation.contact_id).update(blocked=True)
    assert "This contact is blocked" in desk.client.get(desk.url).content.decode()


def test_a_late_answer_waits_as_a_draft_to_be_sent_or_dropped(desk: SimpleNamespace) -> None:
    """DL-63"""
    agent = desk.agent.member
    drafts = [
        services.keep_draft(
            desk.conversation, content=Content(text=text), author=agent, reason="stale_epoch"
        )
        for text in ("Use me", "Drop me")
    ]
    page = desk.client.get(desk.url).content.decode()
    assert "somebody else had taken over" in page
    desk.client.post(f"{desk.url}drafts/{drafts[0].public_id}/use/", **HTMX)
    desk.client.post(f"{desk.url}drafts/{drafts[1].public_id}/drop/", **HTMX)
    assert Message.objects.get(direction="outbound").text == "Use me"
    assert "Drop me" not in desk.client.get(desk.url).content.decode()
    again = desk.client.post(f"{desk.url}drafts/{drafts[0].public_id}/use/", **HTMX)
    assert again.status_code == 404


# --- Files --------------------------------------------------------------------------------------


@pytest.fixture
def file(desk: SimpleNamespace, settings: Any, tmp_path: Any) -> Attachment:
    settings.MEDIA_ROOT = tmp_path
    inbound = said(
        "", visitor="x", kind=Kind.IMAGE, media=(Media(Kind.IMAGE, "image/png", remote_ref="r"),)
    )
    services.receive(desk.inbox, inbound)
    found = Attachment.objects.get(message__external_id=inbound.external_id)
    return media.keep_fetched(found.pk, content=png(), mime="image/png", filename="a b.png")


def test_a_picture_is_shown_in_place_and_sealed_off(
    desk: SimpleNamespace, file: Attachment
) -> None:
    """SX-81"""
    response = desk.client.get(f"/inbox/files/{file.public_id}/")
    assert b"".join(response.streaming_content) == png()
    assert response["Content-Disposition"].startswith("inline")
    assert "sandbox" in response["Content-Security-Policy"]
    assert response["X-Content-Type-Options"] == "nosniff"


def test_what_a_browser_might_run_is_a_download(desk: SimpleNamespace, file: Attachment) -> None:
    Attachment.objects.filter(pk=file.pk).update(mime="text/html")
    response = desk.client.get(f"/inbox/files/{file.public_id}/")
    assert b"".join(response.streaming_content) == png()
    assert response["Content-Disposition"].startswith("attachment")


def test_the_outsider_gets_no_file(desk: SimpleNamespace, file: Attachment) -> None:
    client = logged_in(desk.outsider)
    assert client.get(f"/inbox/files/{file.public_id}/").status_code == 404


def test_the_window_belongs_to_the_address(desk: SimpleNamespace) -> None:
    """The composer reads what the service checks, so the two cannot disagree."""
    with account_context(desk.account):
        address = Address.objects.get(conversations=desk.conversation)
    assert address.window_closes_at() is None
