"""The phone page: anybody with its address is the customer and sees what a customer may see."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import RateBucket
from accounts.tenancy import account_context
from conversations import services
from conversations.messages import (
    ActionKind,
    Article,
    CardAction,
    CarouselCard,
    Choice,
    Content,
    FieldType,
    FormField,
    Input,
    Kind,
    Section,
)
from conversations.models import Attachment, Conversation, Delivery, Inbox, Lane, Message
from conversations.services.media import keep_fetched
from integrations import routes, tickets
from integrations.models import Receipt
from tests import factories, pictures


@pytest.fixture(autouse=True)
def _own_media_root(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def token(house) -> str:
    return routes.create_route(house.inbox)


@pytest.fixture
def phone(client, token):
    """A client that has opened the page; `visitor` is its name there."""
    page = client.get(f"/sandbox/{token}/")
    client.visitor = found(r'data-visitor="(\w+)"', page.content.decode())
    client.page = f"/sandbox/{token}/"
    return client


def arrive(house) -> list[str]:
    """Let the desk take in what the phone has posted."""
    results = []
    with account_context(house.account):
        for receipt in Receipt.objects.filter(state="new").order_by("pk"):
            reading = house.inbox.channel.read(receipt.body, house.inbox.as_config())
            results.append(services.receive(house.inbox, reading))
            receipt.state = "done"
            receipt.save()
    return results


def talk(house, phone, text="Hello") -> Conversation:
    phone.post(f"{phone.page}say/", {"text": text})
    arrive(house)
    return Conversation.objects.latest("pk")


def answer(conversation, content, author, status="delivered") -> Message:
    message = services.post_message(conversation, content=content, author=author)
    Message.objects.filter(pk=message.pk).update(
        status=status, external_id=f"sandbox:{message.public_id}-0"
    )
    return message


def screen(phone) -> str:
    return phone.get(f"{phone.page}thread/").content.decode()


def found(pattern: str, html: str) -> str:
    """What the pattern's group caught; it must be there."""
    match = re.search(pattern, html, re.DOTALL)
    assert match is not None
    return match[1]


# --- Coming in ---------------------------------------------------------------------------------------


def test_anybody_with_the_address_gets_a_phone(phone, token):
    page = phone.get(f"/sandbox/{token}/")
    assert page.status_code == 200
    assert len(phone.visitor) == 32
    assert "unsafe-inline" not in page["Content-Security-Policy"]
    assert "microphone=(self)" in page["Permissions-Policy"]
    # Not `no-referrer`: browsers would then post forms with `Origin: null`.
    assert page["Referrer-Policy"] == "same-origin"
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page.content.decode())


def test_its_times_are_those_of_the_shops_desk(house, phone):
    house.account.time_zone = "Asia/Kathmandu"  # 5:45 ahead: no other clock shows the same minutes
    house.account.save()
    talk(house, phone)
    said = Message.objects.values_list("sent_at", flat=True).get(direction="inbound")
    assert said is not None
    here = said.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert f">{here:%H:%M}</time>" in screen(phone)


def test_other_pages_keep_the_microphone_shut(house, client):
    client.force_login(house.owner.user)
    assert "microphone=()" in client.get("/")["Permissions-Policy"]


def test_an_unknown_address_and_an_inbox_that_is_off_are_not_found(house, client, token):
    assert client.get("/sandbox/nonsense/").status_code == 404
    whatsapp = factories.make_inbox(house.account, "whatsapp")
    other = routes.create_route(whatsapp)
    assert client.get(f"/sandbox/{other}/").status_code == 404
    Inbox.objects.filter(pk=house.inbox.pk).update(state=Inbox.State.DISABLED)
    assert client.get(f"/sandbox/{token}/").status_code == 404


def test_the_visitor_stays_the_same_and_belongs_to_one_page(house, phone, token):
    again = phone.get(phone.page).content.decode()
    assert f'data-visitor="{phone.visitor}"' in again
    cookie = phone.cookies["sb_visitor"]
    assert cookie["path"] == phone.page
    assert cookie["httponly"]
    other = routes.create_route(factories.make_inbox(house.account))
    phone.cookies["sb_visitor"]["path"] = "/"
    assert phone.visitor not in phone.get(f"/sandbox/{other}/").content.decode()


def test_a_changed_cookie_is_a_new_visitor(phone):
    phone.cookies["sb_visitor"] = phone.visitor
    assert phone.visitor not in phone.get(phone.page).content.decode()


# --- Saying something --------------------------------------------------------------------------------


def test_without_script_a_form_is_enough(house, phone):
    """The same receipt path as through the hook door."""
    response = phone.post(f"{phone.page}say/", {"text": "Do you ship to Cluj?"})
    assert response["Location"] == phone.page
    receipt = Receipt.objects.get()
    lane = Lane.objects.get(pk=receipt.lane_id)
    assert (lane.kind, lane.destination_id, lane.key) == ("inbound", house.inbox.pk, phone.visitor)
    arrive(house)
    message = Message.objects.get(direction="inbound")
    assert message.text == "Do you ship to Cluj?"
    assert message.conversation.synthetic
    assert "Do you ship to Cluj?" in phone.get(phone.page).content.decode()


def test_the_phone_posts_need_the_pages_token_against_forgery(token):
    client = Client(enforce_csrf_checks=True)
    client.get(f"/sandbox/{token}/")
    for path in ("say/", "upload/", "start-over/"):
        assert client.post(f"/sandbox/{token}/{path}", {"text": "x"}).status_code == 403


def test_an_empty_message_is_refused_with_a_sentence(phone):
    response = phone.post(f"{phone.page}say/", {"text": "  "})
    assert response.status_code == 422
    assert "Write something first" in response.content.decode()
    assert not Receipt.objects.exists()


def test_a_tapped_choice_reaches_the_desk_as_one(house, phone):
    conversation = talk(house, phone)
    buttons = (Choice("r", "Return it"), Choice("x", "Exchange it"))
    asked = answer(conversation, Content(Kind.BUTTONS, text="What?", buttons=buttons), house.owner)
    html = screen(phone)
    assert 'name="choice_id" value="r"' in html
    asked.refresh_from_db()
    phone.post(
        f"{phone.page}say/",
        {"choice_id": "r", "choice_title": "Return it", "choice_from": "button",
         "reply_to": asked.external_id},
    )  # fmt: skip
    arrive(house)
    chosen = Message.objects.filter(direction="inbound").latest("pk")
    assert (chosen.kind, chosen.content["choice"]["id"]) == ("button_reply", "r")
    assert chosen.reply_to == asked


def test_a_list_is_shown_with_its_sections(house, phone):
    conversation = talk(house, phone)
    rows = (Choice("cj", "Cluj-Napoca", "two days"),)
    content = Content(
        Kind.LIST, text="Where?", list_button="Choose a town", sections=(Section("Romania", rows),)
    )
    answer(conversation, content, house.owner)
    html = screen(phone)
    for text in ("Choose a town", "Romania", "Cluj-Napoca", "two days"):
        assert text in html


BUY = CardAction(ActionKind.POSTBACK, "Buy", id="buy:1")
LOOK = CardAction(ActionKind.LINK, "Look", url="https://shop.example/lamp")
LAMP = CarouselCard("Lamp", "100 lei", "https://shop.example/lamp.png", (BUY, LOOK))
SIZES = (Choice("m", "Medium"), Choice("l", "Large"))
FORM = Content(
    Kind.FORM,
    text="Please:",
    fields=(
        FormField("name", "Your name", required=True),
        FormField("mail", "E-mail", FieldType.EMAIL, placeholder="a@b.c"),
        FormField("size", "Size", FieldType.SELECT, default="l", options=SIZES),
        FormField("why", "Why", FieldType.TEXT_AREA),
    ),
)


def test_a_card_is_shown_with_the_picture_that_was_fetched(house, phone):
    conversation = talk(house, phone)
    answer(conversation, Content(Kind.CAROUSEL, carousel=(LAMP,)), house.owner)
    html = screen(phone)
    for text in ("Lamp", "100 lei", 'value="buy:1"', 'href="https://shop.example/lamp"'):
        assert text in html
    assert "<img" not in html
    picture = Attachment.objects.get()
    assert Delivery.objects.filter(kind="media").count() == 1
    keep_fetched(picture.pk, content=pictures.png(), mime="image/png", filename="")
    address = found(r'<img src="(/media/[^"]+)"', screen(phone))
    assert b"".join(phone.get(address).streaming_content) == pictures.png()


def test_a_form_is_filled_in_without_script_and_shows_what_was_answered(house, phone):
    asked = answer(talk(house, phone), FORM, house.owner)
    html = screen(phone)
    for text in ('name="field:name"', 'type="email"', 'value="l" selected', "<textarea", "a@b.c"):
        assert text in html
    asked.refresh_from_db()
    form = {"field:name": "Ana", "field:size": "m", "reply_to": asked.external_id}
    assert phone.post(f"{phone.page}say/", form).status_code == 302
    arrive(house)
    reply = Message.objects.filter(direction="inbound").latest("pk")
    assert (reply.kind, reply.reply_to) == ("form_reply", asked)
    assert reply.content["form"] == {"name": "Ana", "size": "m"}
    asked.refresh_from_db()
    assert [one["value"] for one in asked.content["submitted"]] == ["Ana", "m"]
    html = screen(phone)
    assert 'name="field:name"' not in html
    assert html.count('<dd dir="auto">Medium</dd>') == 2  # on the form, and on the answer


def test_a_form_that_is_too_long_is_refused_with_a_sentence(house, phone):
    response = phone.post(f"{phone.page}say/", {"field:why": "x" * 5000})
    assert response.status_code == 422
    assert "longer than a message may be" in response.content.decode()


def test_an_asked_value_is_asked_until_it_is_there(house, phone):
    question = Content(Kind.INPUT, text="Your e-mail?", input=Input(FieldType.EMAIL, "ana@…"))
    asked = answer(talk(house, phone), question, house.owner)
    assert '<input type="email" name="text"' in screen(phone)
    asked.refresh_from_db()
    said = {"text": "ana@shop.example", "reply_to": asked.external_id}
    phone.post(f"{phone.page}say/", said)
    arrive(house)
    asked.refresh_from_db()
    assert asked.content["submitted"] == [{"value": "ana@shop.example"}]
    assert '<input type="email"' not in screen(phone)


def test_articles_are_links(house, phone):
    article = Article("Returns <b>", "https://shop.example/r?a=1&b=2", "30 days")
    answer(talk(house, phone), Content(Kind.ARTICLES, articles=(article,)), house.owner)
    html = screen(phone)
    assert 'href="https://shop.example/r?a=1&amp;b=2"' in html
    assert "Returns &lt;b&gt;" in html


def test_a_line_is_the_same_until_something_of_it_changes(house, phone):
    """A form that is being filled in stays while other things happen."""
    asked = answer(talk(house, phone), FORM, house.owner)
    version = rf'id="{asked.public_id}".*?data-version="([^"]+)"'
    before = found(version, screen(phone))
    assert found(version, screen(phone)) == before
    services.receive(
        house.inbox,
        factories.said(kind=Kind.FORM_REPLY, form={"name": "Ana"}, visitor=phone.visitor),
    )
    assert found(version, screen(phone)) != before


# --- Files -------------------------------------------------------------------------------------------


def test_a_picture_is_there_at_once(house, phone):
    upload = SimpleUploadedFile("../cană.png", pictures.png(), "image/png")
    phone.post(f"{phone.page}say/", {"text": "look", "file": upload})
    arrive(house)
    attachment = Attachment.objects.get()
    assert attachment.state == Attachment.State.READY
    assert attachment.filename == "cană.png"
    assert attachment.path.startswith(f"{house.account.pk}/")
    assert not Lane.objects.filter(kind="media").exists()
    address = found(r'src="(/media/[^"]+)"', screen(phone))
    assert b"".join(phone.get(address).streaming_content) == pictures.png()


def test_with_script_a_file_goes_ahead_of_its_message(house, phone):
    note = SimpleUploadedFile("voice.ogg", b"OggS" + bytes(40), "audio/ogg")
    answered = phone.post(f"{phone.page}upload/", {"file": note, "voice": "on"})
    assert answered.status_code == 201
    said = {"visitor": phone.visitor, "id": "1", "upload": answered.json()["upload"]}
    reading = house.inbox.channel.read(json.dumps(said).encode(), house.inbox.as_config())
    services.receive(house.inbox, reading)
    assert Message.objects.get(direction="inbound").kind == "voice"


@pytest.mark.parametrize(
    ("content", "name", "status"),
    [
        (b"<script>alert(1)</script>", "x.jpg", 415),
        (pictures.png(), "x.pdf", 415),
        (pictures.png(50_000, 50_000), "x.png", 415),
        (b"", "x.png", 400),
    ],
)
def test_what_is_not_a_file_of_the_list_is_refused(phone, content, name, status):
    """SX-80, bad input 55."""
    upload = SimpleUploadedFile(name, content, "image/jpeg")
    response = phone.post(f"{phone.page}upload/", {"file": upload})
    assert response.status_code == status
    assert response.json()["error"]


def test_a_file_over_the_limit_is_refused(phone, settings):
    settings.MAX_UPLOAD_BYTES = 100
    upload = SimpleUploadedFile("x.txt", b"a" * 101, "text/plain")
    assert phone.post(f"{phone.page}upload/", {"file": upload}).status_code == 413
    upload = SimpleUploadedFile("x.txt", b"a" * 101, "text/plain")
    assert phone.post(f"{phone.page}say/", {"file": upload}).status_code == 413


def test_a_file_name_of_any_length_is_no_reason_to_break(phone):
    """Bad input 56."""
    upload = SimpleUploadedFile("a" * 4096 + ".png", pictures.png(), "image/png")
    assert phone.post(f"{phone.page}upload/", {"file": upload}).status_code == 201


# --- What the customer sees --------------------------------------------------------------------------


def test_only_what_the_customer_may_see_is_on_the_page(house, phone):
    conversation = talk(house, phone)
    services.add_note(conversation, text="secret note", author=house.person)
    services.assign(conversation, to=house.agent.member, by=None)
    services.keep_draft(
        conversation, content=Content(text="secret draft"), author=house.agent.member, reason="late"
    )
    services.add_labels(conversation, ["secret label"], by=None)
    answer(conversation, Content(text="An answer"), house.agent.member)
    answer(conversation, Content(text="still on its way"), house.agent.member, status="queued")
    answer(conversation, Content(text="never arrived"), house.agent.member, status="failed")
    html = screen(phone)
    assert "An answer" in html
    for hidden in ("secret", "still on its way", "never arrived", "Assigned to"):
        assert hidden not in html


def test_who_answers_is_said_and_a_person_joining_too(house, phone):
    conversation = talk(house, phone)
    services.assign(conversation, to=house.agent.member, by=None)
    assert f"AI agent {house.agent.name} answers" in screen(phone)
    assert 'id="typing"' in screen(phone)
    services.hand_off(conversation, by=house.agent.member, to=house.team, detail="secret reason")
    assert "Waiting for a person" in screen(phone)
    services.take_over(conversation, by=house.person)
    html = screen(phone)
    assert "A person joined" in html
    assert "A person answers" in html
    assert house.person.name not in html
    assert "secret reason" not in html
    assert 'id="typing"' not in html
    services.resolve(conversation, by=house.person)
    assert "Write to open it again" in screen(phone)


def test_what_anybody_writes_is_shown_as_text(house, phone):
    """SX-72, bad input 53."""
    conversation = talk(house, phone, "<script>alert(1)</script>")
    answer(
        conversation,
        Content(
            Kind.BUTTONS,
            text="javascript:alert(1) <img src=x onerror=alert(1)>",
            header="<b>h</b>",
            buttons=(Choice('"><script>', "<i>t</i>"),),
        ),
        house.owner,
    )
    html = screen(phone)
    for raw in (
        "<script>alert",
        "<img src=x",
        "<b>h</b>",
        '"><script>',
        "<i>t</i>",
        'href="javascript',
    ):
        assert raw not in html


def test_the_customer_sees_that_their_message_was_read(house, phone):
    conversation = talk(house, phone)
    assert "is-read" not in screen(phone)
    services.mark_read(conversation, by=house.person)
    assert "is-read" in screen(phone)


def test_a_message_that_was_looked_at_is_read_for_the_desk(house, phone):
    conversation = talk(house, phone)
    message = answer(conversation, Content(text="Hi"), house.owner)
    seen = found(r'data-unseen="([^"]+)"', screen(phone))
    body = json.dumps({"visitor": phone.visitor, "id": "s1", "seen": seen}).encode()
    services.receive(house.inbox, house.inbox.channel.read(body, house.inbox.as_config()))
    message.refresh_from_db()
    assert message.status == "read"
    assert "data-unseen" not in screen(phone)


def test_another_visitor_sees_nothing_of_it(house, phone, token):
    talk(house, phone, "my own words")
    stranger = Client()
    assert "my own words" not in stranger.get(f"/sandbox/{token}/").content.decode()
    assert "my own words" not in stranger.get(f"/sandbox/{token}/thread/").content.decode()


def test_starting_over_makes_a_new_customer(house, phone):
    first = talk(house, phone, "first words")
    phone.post(f"{phone.page}start-over/")
    assert "first words" not in phone.get(phone.page).content.decode()
    second = talk(house, phone, "second words")
    assert second.contact_id != first.contact_id


# --- Live --------------------------------------------------------------------------------------------


def test_the_ticket_opens_the_visitors_own_conversation_only(house, phone):
    assert phone.get(f"{phone.page}ticket/").status_code == 404
    conversation = talk(house, phone)
    address = phone.get(f"{phone.page}ticket/").json()["address"]
    card = tickets.read(address.partition("ticket=")[2])
    assert card.topics == (f"conversation:{conversation.public_id}",)
    assert (card.account_id, card.member_id) == (house.account.pk, None)


# --- Limits ------------------------------------------------------------------------------------------


def test_too_many_messages_at_once_are_refused_for_a_while(house, phone):
    """Section 6: 20 a minute for one visitor."""
    answers = [phone.post(f"{phone.page}say/", {"text": str(n)}).status_code for n in range(21)]
    assert answers == [302] * 20 + [429]
    RateBucket.objects.update(updated_at=timezone.now() - timedelta(minutes=2))
    assert phone.post(f"{phone.page}say/", {"text": "again"}).status_code == 302


def test_too_many_files_at_once_are_refused_for_a_while(phone):
    """Counted for themselves: with script a picture is a file first and then a message."""
    phone.post(f"{phone.page}say/", {"text": "hi"})

    def post() -> int:
        file = SimpleUploadedFile("a.png", pictures.png(), "image/png")
        return phone.post(f"{phone.page}upload/", {"file": file}).status_code

    assert [post() for _ in range(21)] == [201] * 20 + [429]


def test_the_quick_phrases_are_the_inboxes_own(house, phone):
    assert "Vreau să vorbesc cu un om" in phone.get(phone.page).content.decode()
    house.inbox.config = {"phrases": ["<b>Try me</b>"]}
    house.inbox.save()
    html = phone.get(phone.page).content.decode()
    assert "&lt;b&gt;Try me&lt;/b&gt;" in html
    assert "<b>Try me</b>" not in html


def test_the_page_knows_its_door(house, phone, token):
    html = phone.get(phone.page).content.decode()
    assert f'data-hook="/hooks/sandbox/{token}"' in html
    assert reverse("sandbox_thread", args=[token]) in html
