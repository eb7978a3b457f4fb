"""Speaking to the Graph API over real HTTP: our fake server checks what Meta requires."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from conversations.channels import CheckStep, ErrorClass, Recipient, SendError, SendResult
from conversations.messages import (
    ActionKind,
    Article,
    ButtonKind,
    Card,
    CardAction,
    CarouselCard,
    Choice,
    DeliveryStatus,
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
    StatusUpdate,
    Template,
    TemplateButton,
)
from integrations.whatsapp.channel import WhatsAppChannel
from tests.fakes.graph.files import PIXEL
from tests.integrations.whatsapp.conftest import Desk
from tests.integrations.whatsapp.samples import INBOX
from tests.integrations.whatsapp.test_errors import TABLE

channel = WhatsAppChannel()
ANA = Recipient((Identifier("bsuid", "RO.9"), Identifier("phone", "+40721000111")))
HELLO = OutboundMessage(reference="msg_1", kind=Kind.TEXT, text="Salut")


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


def stored(content: bytes, name: str = "a") -> str:
    return default_storage.save(name, ContentFile(content))


def test_a_text_arrives_and_names_its_id_and_its_number(desk: Desk) -> None:
    result = send(desk)
    assert result.external_id.startswith("wamid.")
    assert result.identifiers == (Identifier("phone", "+40721000111"),)
    (body,) = desk.graph.accepted
    assert (body["to"], body["text"]["body"]) == ("40721000111", "Salut")
    assert body["biz_opaque_callback_data"] == "msg_1"
    assert "recipient" not in body
    assert desk.graph.calls[0].path == "/v26.0/200000000000001/messages"


def test_a_customer_without_a_phone_is_reached_by_user_id(desk: Desk) -> None:
    result = send(desk, to=Recipient((Identifier("bsuid", "RO.9"), Identifier("username", "ana"))))
    (body,) = desk.graph.accepted
    assert body["recipient"] == "RO.9"
    assert "to" not in body
    assert result.identifiers == ()


def test_a_customer_with_neither_is_unreachable_and_nobody_is_called(desk: Desk) -> None:
    error = refusal(desk, to=Recipient((Identifier("username", "ana"),)))
    assert error.error_class is ErrorClass.UNREACHABLE
    assert desk.graph.calls == []


SPOKEN: list[dict[str, Any]] = [
    {"kind": Kind.TEXT, "text": "Da", "reply_to_external_id": "wamid.A"},
    {"kind": Kind.BUTTONS, "text": "Cum?", "buttons": (Choice("a", "Unu"), Choice("b", "Doi"))},
    {
        "kind": Kind.BUTTONS,
        "text": "Cum?",
        "buttons": tuple(Choice(f"{n}", f"{n}") for n in range(7)),
    },
    {
        "kind": Kind.LIST,
        "text": "Care?",
        "list_button": "Articole",
        "sections": (Section("Articole", (Choice("p1", "Produs A", "100 RON"),)),),
    },
    {"kind": Kind.LOCATION, "location": Location(44.4, 26.1)},
    {"kind": Kind.CONTACTS, "cards": (Card("Ion Dan", ("+40721000222",)), Card("Mia"))},
    {"kind": Kind.REACTION, "target_external_id": "wamid.A", "emoji": "👍"},
    {
        "kind": Kind.IMAGE,
        "text": "poza",
        "media": OutboundMedia(Kind.IMAGE, "image/png", url="https://example.com/a.png"),
    },
    {
        "kind": Kind.CAROUSEL,
        "carousel": (
            CarouselCard(
                "Lampă",
                "129 lei",
                "https://example.com/a.png",
                (CardAction(ActionKind.POSTBACK, "Comandă", id="order:1"),),
            ),
        ),
    },
    {"kind": Kind.FORM, "text": "Unde?", "fields": (FormField("street", "Strada"),)},
    {"kind": Kind.INPUT, "text": "E-mail?", "input": Input(FieldType.EMAIL)},
    {"kind": Kind.ARTICLES, "articles": (Article("Retur", "https://example.com/retur"),)},
    {"kind": Kind.TEMPLATE, "template": Template("hello", "ro")},
]


@pytest.mark.parametrize("parts", SPOKEN, ids=lambda parts: str(parts["kind"]))
def test_every_kind_is_taken_by_a_server_that_checks_it(desk: Desk, parts: dict[str, Any]) -> None:
    send(desk, OutboundMessage(reference="msg_2", **parts))
    assert desk.graph.refused == []
    assert len(desk.graph.accepted) == 1


def test_a_template_is_filled_in_as_meta_wants_it(desk: Desk) -> None:
    template = Template(
        "order_ready",
        "ro",
        header=(("1", "Ana"),),
        body=(("order", "12\n345     67"),),
        buttons=(
            TemplateButton(0, ButtonKind.QUICK_REPLY, "CONFIRM"),
            TemplateButton(2, ButtonKind.COPY_CODE, "SALE"),
        ),
    )
    send(desk, OutboundMessage("msg_4", Kind.TEMPLATE, template=template))
    assert desk.graph.refused == []
    [body] = desk.graph.accepted
    assert body["template"]["components"] == [
        {"type": "header", "parameters": [{"type": "text", "text": "Ana"}]},
        {
            "type": "body",
            "parameters": [{"type": "text", "parameter_name": "order", "text": "12 345   67"}],
        },
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": "0",
            "parameters": [{"type": "payload", "payload": "CONFIRM"}],
        },
        {
            "type": "button",
            "sub_type": "copy_code",
            "index": "2",
            "parameters": [{"type": "coupon_code", "coupon_code": "SALE"}],
        },
    ]


@pytest.mark.parametrize(
    ("kind", "mime", "content"),
    [
        (Kind.IMAGE, "image/png", PIXEL),
        (Kind.VIDEO, "video/mp4", b"film"),
        (Kind.DOCUMENT, "application/pdf", b"%PDF-1.7"),
        (Kind.AUDIO, "audio/mpeg", b"ID3"),
        (Kind.VOICE, "audio/opus", b"OggS...."),
        (Kind.STICKER, "image/webp", b"RIFF"),
    ],
)
def test_a_stored_file_is_uploaded_and_sent_by_its_id(
    desk: Desk, kind: Kind, mime: str, content: bytes
) -> None:
    media = OutboundMedia(kind, mime, path=stored(content), filename='fac"tură.pdf')
    send(desk, OutboundMessage(reference="msg_3", kind=kind, media=media))
    (body,) = desk.graph.accepted
    (file_id,) = desk.graph.files.uploaded()
    assert body[body["type"]]["id"] == file_id
    assert desk.graph.files.kept[file_id].content == content


def test_a_recording_that_is_no_ogg_is_refused_before_it_is_uploaded(desk: Desk) -> None:
    media = OutboundMedia(Kind.VOICE, "audio/ogg", path=stored(b"\x1aE\xdf\xa3webm"))
    error = refusal(desk, OutboundMessage(reference="msg_3", kind=Kind.VOICE, media=media))
    assert error.error_class is ErrorClass.INVALID
    assert desk.graph.calls == []


def test_a_file_that_is_gone_is_permanent(desk: Desk) -> None:
    media = OutboundMedia(Kind.IMAGE, "image/png", path="gone.png")
    error = refusal(desk, OutboundMessage(reference="msg_3", kind=Kind.IMAGE, media=media))
    assert error.error_class is ErrorClass.PERMANENT


def test_a_lost_answer_to_an_upload_may_simply_be_tried_again(desk: Desk) -> None:
    desk.graph.fail(on="upload", drop="after")
    media = OutboundMedia(Kind.IMAGE, "image/png", path=stored(PIXEL))
    error = refusal(desk, OutboundMessage(reference="msg_3", kind=Kind.IMAGE, media=media))
    assert error.error_class is ErrorClass.TRANSIENT
    assert desk.graph.accepted == []


@pytest.mark.parametrize(
    ("code", "error_class"),
    [(code, name) for name, codes in TABLE.items() for code in codes],
)
def test_every_error_of_the_table_comes_back_as_its_class(
    desk: Desk, code: int, error_class: str
) -> None:
    desk.graph.fail(code=code, message="Asked for", details="with details")
    error = refusal(desk)
    assert (error.error_class, error.code) == (error_class, str(code))
    assert "Asked for: with details" in str(error)
    assert desk.graph.accepted == []
    assert send(desk).external_id, "the failure was for one call only"


def test_a_throttle_names_its_pause(desk: Desk) -> None:
    desk.graph.fail(code=130429, status=429, retry_after="12")
    assert refusal(desk).retry_after == 12
    desk.graph.fail(status=429, retry_after="9")
    assert refusal(desk).retry_after == 9


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_page_instead_of_an_answer_is_transient(desk: Desk, status: int) -> None:
    desk.graph.fail(status=status)
    error = refusal(desk)
    assert error.error_class is ErrorClass.TRANSIENT
    assert "Sorry" in error.body


def test_a_passing_error_is_transient_whatever_its_code(desk: Desk) -> None:
    desk.graph.fail(code=131009, transient=True)
    assert refusal(desk).error_class is ErrorClass.TRANSIENT


def test_dl_42_a_connection_lost_after_writing_is_ambiguous(desk: Desk) -> None:
    desk.graph.fail(drop="after")
    assert refusal(desk).error_class is ErrorClass.AMBIGUOUS
    assert len(desk.graph.accepted) == 1


def test_dl_42_a_connection_lost_before_any_effect_is_ambiguous_too(desk: Desk) -> None:
    """Nobody on our side can tell it from the other."""
    desk.graph.fail(drop="before")
    assert refusal(desk).error_class is ErrorClass.AMBIGUOUS
    assert desk.graph.accepted == []


def test_dl_42_an_unreadable_yes_is_ambiguous(desk: Desk) -> None:
    desk.graph.fail(garbage=True)
    assert refusal(desk).error_class is ErrorClass.AMBIGUOUS


def test_a_wrong_token_needs_new_credentials_and_is_never_shown(desk: Desk) -> None:
    secret = "token-that-is-over"
    inbox = dataclasses.replace(INBOX, credentials={**INBOX.credentials, "access_token": secret})
    error = refusal(dataclasses.replace(desk, inbox=inbox))
    assert error.error_class is ErrorClass.REAUTH
    assert secret not in str(error) + error.body


def test_an_inbox_may_name_its_own_server_and_version(desk: Desk) -> None:
    config = {**INBOX.config, "api_base": desk.graph.base_url + "/", "api_version": "v23.0"}
    send(dataclasses.replace(desk, inbox=dataclasses.replace(INBOX, config=config)))
    assert desk.graph.calls[0].path.startswith("/v23.0/")


def test_a_read_receipt_may_show_typing(desk: Desk) -> None:
    for typing in (False, True):
        desk.run(
            lambda http, typing=typing: channel.mark_read(  # type: ignore[misc]
                "wamid.IN1", desk.inbox, http, typing=typing
            )
        )
    plain, with_typing = desk.graph.receipts
    assert plain == {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.IN1"}
    assert with_typing["typing_indicator"] == {"type": "text"}


def test_a_failed_read_receipt_disturbs_nobody(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.graph.fail(on="receipts", code=131009)
    with caplog.at_level("INFO"):
        desk.run(lambda http: channel.mark_read("wamid.IN1", desk.inbox, http))
    assert desk.graph.receipts == []
    assert "failed=invalid" in caplog.text


# --- Files of customers ---------------------------------------------------------------------------


def fetch(desk: Desk, media: Media) -> Any:
    return desk.run(lambda http: channel.fetch_media(media, desk.inbox, http))


def test_a_customers_file_is_fetched_by_its_id(desk: Desk) -> None:
    media_id = desk.graph.keep_file(b"%PDF", "application/pdf")
    file = fetch(desk, Media(Kind.DOCUMENT, filename="factura.pdf", remote_ref=media_id))
    assert (file.content, file.mime, file.filename) == (b"%PDF", "application/pdf", "factura.pdf")


@pytest.mark.parametrize("status", [401, 404])
def test_an_address_that_is_over_is_asked_for_once_more(desk: Desk, status: int) -> None:
    media_id = desk.graph.keep_file()
    desk.graph.fail(on="download", status=status)
    assert fetch(desk, Media(Kind.IMAGE, remote_ref=media_id)).content == PIXEL
    desk.graph.fail(on="download", status=status, times=2)
    with pytest.raises(SendError) as caught:
        fetch(desk, Media(Kind.IMAGE, remote_ref=media_id))
    assert caught.value.error_class is ErrorClass.PERMANENT


def test_a_passing_trouble_with_a_download_is_transient(desk: Desk) -> None:
    desk.graph.fail(on="download", status=503)
    with pytest.raises(SendError) as caught:
        fetch(desk, Media(Kind.IMAGE, remote_ref=desk.graph.keep_file()))
    assert caught.value.error_class is ErrorClass.TRANSIENT


def test_a_file_over_its_limit_is_not_even_fetched(desk: Desk) -> None:
    media_id = desk.graph.keep_file(b"x" * (600 * 1024), "image/webp")
    with pytest.raises(SendError, match="too large"):
        fetch(desk, Media(Kind.STICKER, remote_ref=media_id))
    assert not any("/_media/" in call.path for call in desk.graph.calls)


def test_an_odd_media_id_stays_one_part_of_the_path(desk: Desk) -> None:
    """The server reads three parts: the version, the node and nothing more."""
    with pytest.raises(SendError) as caught:
        fetch(desk, Media(Kind.IMAGE, remote_ref="../../v1/secret?x=1"))
    assert "Object with ID '../../v1/secret?x=1' does not exist" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/a",
        "http://lookaside.fbsbx.com/a",
        "https://lookaside.fbsbx.com.evil.example/a",
        "https://lookaside.fbsbx.com@evil.example/a",
        "https://lookaside.fbsbx.com:8443/a",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ],
)
def test_the_token_is_shown_to_no_other_host(desk: Desk, url: str) -> None:
    media_id = desk.graph.keep_file()
    desk.graph.files.foreign_url = url
    with pytest.raises(SendError, match="not WhatsApp's") as caught:
        fetch(desk, Media(Kind.IMAGE, remote_ref=media_id))
    assert caught.value.error_class is ErrorClass.PERMANENT


# --- The connection test --------------------------------------------------------------------------


def check(desk: Desk, hook_url: str = "") -> list[CheckStep]:
    async def steps(http: Any) -> list[CheckStep]:
        return [step async for step in channel.check(desk.inbox, http, hook_url=hook_url)]

    return desk.run(steps)


STEPS = ["number", "secret", "business_account", "subscription", "callback", "templates"]


def with_(desk: Desk, **values: str) -> Desk:
    """The same desk with other settings of the inbox."""
    config = {k: values.get(k, v) for k, v in INBOX.config.items()}
    credentials = {k: values.get(k, v) for k, v in INBOX.credentials.items()}
    inbox = dataclasses.replace(INBOX, config=config, credentials=credentials)
    return dataclasses.replace(desk, inbox=inbox)


def test_a_good_connection_passes_every_step(desk: Desk, hook_door: str) -> None:
    steps = check(desk, hook_door)
    assert [(step.name, step.ok) for step in steps] == [(name, True) for name in STEPS]
    assert steps[0].detail == "Shop of the tests +40 312 345 678"
    assert steps[-1].detail == "1 approved, 2 in all."
    assert desk.graph.sender.callbacks["100000000000001"] == hook_door


@pytest.mark.parametrize(
    ("changed", "failing", "advice"),
    [
        ({"access_token": "wrong"}, "number", "Copy the phone number id"),
        ({"access_token": ""}, "number", "access_token is empty"),
        ({"access_token": "two\nlines"}, "number", "Copy it once more"),
        ({"phone_number_id": "7"}, "number", "Copy the phone number id"),
        ({"app_secret": "wrong"}, "secret", "Copy the app secret"),
        ({"app_secret": ""}, "secret", "app_secret is empty"),
        ({"waba_id": "7"}, "business_account", "Copy the WhatsApp Business account id"),
        ({"verify_token": "wrong"}, "callback", "Set PUBLIC_URL"),
    ],
)
def test_a_wrong_field_stops_the_check_and_says_what_to_do(
    desk: Desk, hook_door: str, changed: dict[str, str], failing: str, advice: str
) -> None:
    steps = check(with_(desk, **changed), hook_door)
    assert [step.name for step in steps] == STEPS[: STEPS.index(failing) + 1]
    assert [step.ok for step in steps] == [True] * (len(steps) - 1) + [False]
    assert advice in steps[-1].detail


@pytest.mark.parametrize("failing", STEPS[3:])
def test_a_missing_permission_is_explained(desk: Desk, hook_door: str, failing: str) -> None:
    desk.graph.fail(on="management", skip=STEPS.index(failing), code=200)
    (*_passed, last) = check(desk, hook_door)
    assert (last.name, last.ok) == (failing, False)
    assert "whatsapp_business_management" in last.detail


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/hooks/x", "https://localhost/hooks/x", "https://10.0.0.5/hooks/x"],
)
def test_meta_is_not_asked_to_call_an_address_it_cannot_reach(desk: Desk, url: str) -> None:
    from integrations.whatsapp.checking import Check, StepFailedError

    async def callback(http: Any) -> str:
        inbox = dataclasses.replace(
            INBOX, config={**INBOX.config, "api_base": "https://graph.facebook.com"}
        )
        return await Check(inbox, http, hook_url=url).callback()

    with pytest.raises(StepFailedError, match="Meta cannot reach"):
        desk.run(callback)


def test_secrets_stand_in_no_step(desk: Desk, hook_door: str) -> None:
    words = json.dumps([dataclasses.asdict(step) for step in check(desk, hook_door)])
    assert not any(secret in words for secret in INBOX.credentials.values())
    assert hook_door.rpartition("/")[2] not in words


# --- There and back -------------------------------------------------------------------------------


def test_the_statuses_of_a_sent_message_name_it_and_us(desk: Desk, hook_door: str) -> None:
    desk.graph.sender.callbacks[""] = hook_door
    desk.graph.statuses = ["sent", "delivered", "read"]
    external_id = send(desk).external_id
    desk.graph.wait_for(lambda: len(desk.graph.webhooks) == 3)
    updates = [
        channel.read(item.payload, INBOX)
        for sent in desk.graph.webhooks
        for item in channel.split(sent.body, INBOX)
    ]
    assert updates == [
        StatusUpdate(
            external_id,
            status,
            at=update.at if isinstance(update, StatusUpdate) else None,
            our_reference="msg_1",
            identifiers=(Identifier("phone", "+40721000111"),),
        )
        for status, update in zip(
            (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.READ),
            updates,
            strict=True,
        )
    ]


def test_a_message_taken_at_first_can_fail_later(desk: Desk, hook_door: str) -> None:
    desk.graph.sender.callbacks[""] = hook_door
    desk.graph.fail(code=131047, later=True)
    assert send(desk).external_id
    desk.graph.wait_for(lambda: desk.graph.webhooks)
    (item,) = channel.split(desk.graph.webhooks[0].body, INBOX)
    update = channel.read(item.payload, INBOX)
    assert isinstance(update, StatusUpdate)
    assert (update.status, update.error_class) == ("failed", "window_closed")
