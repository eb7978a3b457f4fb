"""Speaking to a Chatwoot server over real HTTP."""

from __future__ import annotations

import json

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from conversations.channels import ErrorClass, Recipient, Scope, SendError, SendResult
from conversations.messages import (
    ActionKind,
    Article,
    CardAction,
    CarouselCard,
    Choice,
    FieldType,
    FormField,
    Identifier,
    Input,
    Kind,
    Location,
    Media,
    OutboundMedia,
    OutboundMessage,
    Section,
)
from integrations.chatwoot.channel.channel import ChatwootChannel
from tests.integrations.chatwoot.channel.conftest import Desk
from tests.integrations.chatwoot.channel.fake import said
from tests.integrations.couriers import Reply

channel = ChatwootChannel()
ANA = Recipient((Identifier("chatwoot_contact", "456"),), "789/123")
HELLO = OutboundMessage(reference="msg_1", kind=Kind.TEXT, text="**Salut**")
CHOICES = (Choice("billing", "Billing"), Choice("delivery", "Delivery"))


def send(desk: Desk, message: OutboundMessage = HELLO, to: Recipient = ANA) -> SendResult:
    """Prepare and send as the courier does; the last part's result."""
    results = [
        desk.run(lambda http, part=part: channel.send(part, to, desk.inbox, http))  # type: ignore[misc]
        for part in channel.prepare(message)
    ]
    return results[-1]


def refusal(desk: Desk, message: OutboundMessage = HELLO, to: Recipient = ANA) -> SendError:
    with pytest.raises(SendError) as caught:
        send(desk, message, to)
    return caught.value


def test_a_text_is_said_by_our_bot_where_the_customer_wrote_last(desk: Desk) -> None:
    assert send(desk).external_id == "789/1001"
    [request] = desk.chatwoot.messages
    assert request.path == "/api/v1/accounts/1/conversations/789/messages"
    assert request.headers["Api-Access-Token"] == "bot-token-of-the-tests"
    assert request.json == {
        "content": "**Salut**",
        "message_type": "outgoing",
        "private": False,
        "content_type": "text",
        "content_attributes": {"switchboard_reference": "msg_1"},
        "echo_id": "msg_1",
    }


def test_who_has_not_written_yet_is_answered_in_the_newest_conversation(desk: Desk) -> None:
    known = [Identifier("chatwoot_conversation", number) for number in ("99", "100")]
    assert send(desk, to=Recipient(tuple(known))).external_id == "100/1001"
    nobody = refusal(desk, to=Recipient((Identifier("phone", "+40721000111"),)))
    assert nobody.error_class is ErrorClass.UNREACHABLE


def test_an_answer_to_a_tap_goes_where_it_was_tapped(desk: Desk) -> None:
    assert send(desk, to=Recipient((), "789/123/e6166cbb116ddc5a")).external_id == "789/1001"


def test_a_quoted_message_is_named_by_its_number(desk: Desk) -> None:
    send(desk, OutboundMessage("r", Kind.TEXT, "Da", reply_to_external_id="789/123"))
    assert desk.chatwoot.messages[0].json["content_attributes"]["in_reply_to"] == 123


@pytest.mark.parametrize(
    "message",
    [
        OutboundMessage("r", Kind.BUTTONS, "What is it about?", buttons=CHOICES),
        OutboundMessage(
            "r", Kind.LIST, "What is it about?", sections=(Section("", CHOICES),), list_button="Go"
        ),
    ],
    ids=lambda message: message.kind,
)
def test_choices_are_an_input_select(desk: Desk, message: OutboundMessage) -> None:
    send(desk, message)
    body = desk.chatwoot.messages[0].json
    assert (body["content_type"], body["content"]) == ("input_select", "What is it about?")
    assert body["content_attributes"]["items"] == [
        {"title": "Billing", "value": "billing"},
        {"title": "Delivery", "value": "delivery"},
    ]


def test_where_an_inbox_shows_no_choices_they_stand_in_the_text_too(desk: Desk) -> None:
    desk.change(inbox_types=["Channel::TwilioSms", "Channel::WebWidget"])
    send(desk, OutboundMessage("r", Kind.BUTTONS, "What is it about?", buttons=CHOICES))
    content = desk.chatwoot.messages[0].json["content"]
    assert content == "What is it about?\n\n- Billing\n- Delivery"


def test_a_list_with_descriptions_loses_none_of_them(desk: Desk) -> None:
    rows = (Choice("a", "Small", "10 RON"), Choice("b", "Large", "20 RON"))
    send(desk, OutboundMessage("r", Kind.LIST, "Which?", sections=(Section("Sizes", rows),)))
    body = desk.chatwoot.messages[0].json
    assert body["content_type"] == "text"
    assert all(word in body["content"] for word in ("Sizes", "Small", "10 RON", "20 RON"))


def test_cards_forms_and_articles_are_theirs_and_say_the_same_in_words(desk: Desk) -> None:
    card = CarouselCard(
        "Shoes", "Red", "https://e.com/a.png",
        (CardAction(ActionKind.LINK, "See", url="https://e.com"),
         CardAction(ActionKind.POSTBACK, "Buy", id="buy")),
    )  # fmt: skip
    send(desk, OutboundMessage("r", Kind.CAROUSEL, "Our offer", carousel=(card,)))
    field = FormField("size", "Your size", FieldType.SELECT, required=True, options=CHOICES)
    send(desk, OutboundMessage("r", Kind.FORM, "About you", fields=(field,)))
    send(
        desk,
        OutboundMessage(
            "r", Kind.ARTICLES, "Read on", articles=(Article("Returns", "https://e.com/r"),)
        ),
    )
    cards, form, articles = (request.json for request in desk.chatwoot.messages)
    assert cards["content_type"] == "cards"
    assert cards["content_attributes"]["items"] == [
        {
            "title": "Shoes",
            "description": "Red",
            "media_url": "https://e.com/a.png",
            "actions": [
                {"type": "link", "text": "See", "uri": "https://e.com"},
                {"type": "postback", "text": "Buy", "payload": "buy"},
            ],
        }
    ]
    assert all(word in cards["content"] for word in ("Our offer", "Shoes", "Buy", "e.com/a.png"))
    assert form["content_type"] == "form"
    assert form["content_attributes"]["items"] == [
        {
            "name": "size",
            "label": "Your size",
            "type": "select",
            "required": True,
            "options": [
                {"label": "Billing", "value": "billing"},
                {"label": "Delivery", "value": "delivery"},
            ],
        }
    ]
    assert "Your size" in form["content"]
    assert articles["content_type"] == "article"
    assert "https://e.com/r" in articles["content"]


def test_a_value_is_asked_for_in_their_way(desk: Desk) -> None:
    send(desk, OutboundMessage("r", Kind.INPUT, "Your e-mail?", input=Input(FieldType.EMAIL)))
    body = desk.chatwoot.messages[0].json
    assert (body["content_type"], body["content"]) == ("input_email", "Your e-mail?")


def test_a_place_is_a_map_link(desk: Desk) -> None:
    send(desk, OutboundMessage("r", Kind.LOCATION, location=Location(44.4, 26.1, "Store")))
    assert "44.4" in desk.chatwoot.messages[0].json["content"]


def test_a_file_goes_with_its_words_in_one_form(desk: Desk) -> None:
    path = default_storage.save("a", ContentFile(b"OggS..."))
    media = OutboundMedia(Kind.IMAGE, "image/png", "a.png", path=path)
    send(desk, OutboundMessage("msg_2", Kind.IMAGE, "The shoes", media=media))
    [request] = desk.chatwoot.messages
    assert request.headers["Content-Type"].startswith("multipart/form-data")
    for part in (b'"attachments[]"; filename="a.png"', b"OggS...", b"The shoes", b"msg_2"):
        assert part in request.body


def test_a_file_that_is_gone_is_said_to_be_gone(desk: Desk) -> None:
    media = OutboundMedia(Kind.IMAGE, "image/png", path="nowhere")
    error = refusal(desk, OutboundMessage("r", Kind.IMAGE, media=media))
    assert error.error_class is ErrorClass.PERMANENT


@pytest.mark.parametrize(
    ("reply", "error_class", "retry_after"),
    [
        (said({"error": "Invalid Access Token"}, 401), ErrorClass.REAUTH, None),
        (said({"error": "Account limit exceeded"}, 402), ErrorClass.POLICY, None),
        (said({"error": "Resource could not be found"}, 404), ErrorClass.UNREACHABLE, None),
        (said({"error": "Content is too long"}, 422), ErrorClass.INVALID, None),
        (said({"error": "Validation failed: Too many messages"}, 422), ErrorClass.THROTTLED, 60),
        (Reply(429, b"Retry later", {"Retry-After": "17"}), ErrorClass.THROTTLED, 17),
        (Reply(429, b"Retry later"), ErrorClass.THROTTLED, None),
        (Reply(500, b"<html>"), ErrorClass.TRANSIENT, None),
        (Reply(503), ErrorClass.TRANSIENT, None),
        (Reply(502), ErrorClass.AMBIGUOUS, None),
        (Reply(504), ErrorClass.AMBIGUOUS, None),
        (Reply(403), ErrorClass.PERMANENT, None),
        (Reply(301, headers={"Location": "https://e.com"}), ErrorClass.PERMANENT, None),
        (said({"no": "id"}), ErrorClass.AMBIGUOUS, None),
        (Reply(200, b"<html>"), ErrorClass.AMBIGUOUS, None),
    ],
)
def test_a_refusal_has_its_class(
    desk: Desk, reply: Reply, error_class: ErrorClass, retry_after: float | None
) -> None:
    desk.chatwoot.refusal = reply
    error = refusal(desk)
    assert (error.error_class, error.retry_after) == (error_class, retry_after)


def test_too_many_messages_slow_down_this_conversation_only(desk: Desk) -> None:
    desk.chatwoot.refusal = said({"error": "Validation failed: Too many messages"}, 422)
    assert refusal(desk).scope is Scope.CONTACT
    desk.chatwoot.refusal = Reply(429)
    assert refusal(desk).scope is Scope.INBOX


def test_that_somebody_is_typing_is_said_and_nothing_else(desk: Desk) -> None:
    desk.run(lambda http: channel.mark_read("789/123", desk.inbox, http))
    desk.run(lambda http: channel.mark_read("789/123", desk.inbox, http, typing=True))
    [request] = desk.chatwoot.typing
    assert request.path == "/api/v1/accounts/1/conversations/789/toggle_typing_status"
    assert json.loads(request.body) == {"typing_status": "on", "is_private": False}


def test_a_file_is_fetched_through_redirects_and_without_a_token(desk: Desk) -> None:
    desk.chatwoot.files = {
        "/signed/a.png": Reply(302, headers={"Location": "/disk/a.png"}),
        "/disk/a.png": Reply(200, b"bytes", {"Content-Type": "image/png"}),
        "/round": Reply(302, headers={"Location": "/round"}),
        "/gone": Reply(404),
    }

    def fetch(path: str) -> bytes:
        media = Media(Kind.IMAGE, remote_ref=desk.chatwoot.url + path)
        return desk.run(lambda http: channel.fetch_media(media, desk.inbox, http)).content

    assert fetch("/signed/a.png") == b"bytes"
    assert all("Api-Access-Token" not in one.headers for one in desk.chatwoot.downloads)
    for path in ("/round", "/gone"):
        with pytest.raises(SendError):
            fetch(path)
