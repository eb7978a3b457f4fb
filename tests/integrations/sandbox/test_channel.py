"""The sandbox's own wire shape: what it reads, keeps as failed, and refuses to believe."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.core import signing

from conversations.channels import (
    InboxConfig,
    Recipient,
    UnexpectedPayloadError,
    UnsupportedMessageError,
)
from conversations.files import check_upload
from conversations.messages import (
    Choice,
    DeliveryStatus,
    Identifier,
    InboundMessage,
    Kind,
    OutboundMessage,
    StatusUpdate,
)
from integrations.http import GuardedClient
from integrations.sandbox import uploads
from integrations.sandbox.channel import SandboxChannel
from tests import pictures

channel = SandboxChannel()
inbox = InboxConfig(id=7, account_id=3, platform="sandbox", credentials={}, config={})


def body(**item: Any) -> bytes:
    return json.dumps({"visitor": "abc", "id": "1", **item}).encode()


def said(**item: Any) -> InboundMessage:
    reading = channel.read(body(**item), inbox)
    assert isinstance(reading, InboundMessage)
    return reading


@pytest.fixture(autouse=True)
def _own_media_root(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


def test_a_text_is_a_message_of_the_visitor():
    message = said(text="Hello")
    assert (message.kind, message.text) == (Kind.TEXT, "Hello")
    assert message.identifiers == (Identifier("visitor", "abc"),)
    assert message.external_id == "abc:1"


def test_a_pressed_button_and_a_row_of_a_list_are_told_apart():
    choice = {"id": "r", "title": "Return it"}
    pressed = said(choice=choice, reply_to="sandbox:msg_1-0")
    assert (pressed.kind, pressed.choice) == (Kind.BUTTON_REPLY, Choice("r", "Return it"))
    assert pressed.reply_to_external_id == "sandbox:msg_1-0"
    assert said(choice=choice, **{"from": "list"}).kind == Kind.LIST_REPLY


def test_a_filled_in_form_is_its_answers_by_name():
    form = {"name": "Ana", "size": "m"}
    filled = said(form=form, reply_to="sandbox:msg_1-0")
    assert (filled.kind, filled.form, filled.text) == (Kind.FORM_REPLY, form, "")
    assert filled.reply_to_external_id == "sandbox:msg_1-0"


@pytest.mark.parametrize(
    "form",
    [{}, [], "x", {"a": 1}, {"a": {"b": "c"}}, {"a" * 121: "x"}, {"a": "x" * 4097},
     {str(n): "x" for n in range(51)}],
    ids=lambda form: str(form)[:40],
)  # fmt: skip
def test_a_form_that_is_none_is_refused(form):
    with pytest.raises(UnexpectedPayloadError):
        channel.read(body(form=form), inbox)


def test_everything_goes_whole_however_long_it_is():
    long = OutboundMessage("msg_1", Kind.TEXT, text="word " * 5000)
    assert channel.prepare(long) == (long,)
    with pytest.raises(UnsupportedMessageError):
        channel.prepare(OutboundMessage("msg_1", Kind.CAROUSEL))


def test_looking_at_our_message_is_a_status():
    seen = channel.read(body(seen="sandbox:msg_1-0"), inbox)
    assert seen == StatusUpdate("sandbox:msg_1-0", DeliveryStatus.READ)


def test_a_file_is_the_one_that_was_let_in():
    slip = uploads.keep(
        check_upload(pictures.png(), filename="a.png"), account_id=3, inbox_id=7, voice=False
    )
    message = said(upload=slip, text="look")
    assert (message.kind, message.text) == (Kind.IMAGE, "look")
    (file,) = message.media
    assert file.path.startswith("3/")
    assert (file.mime, file.filename, file.size) == ("image/png", "a.png", len(pictures.png()))


def test_a_recording_is_a_voice_note_whatever_it_is_called():
    checked = check_upload(b"OggS" + bytes(30), filename="voice.ogg")
    slip = uploads.keep(checked, account_id=3, inbox_id=7, voice=True)
    assert said(upload=slip).kind == Kind.VOICE


@pytest.mark.parametrize(
    "slip",
    ["", "3/ab/cd", "../../switchboard.env", {"path": "3/ab/cd"}, 7, "a:b:c"],
)
def test_no_visitor_can_name_a_file_of_their_own(slip):
    """SX-81: the path is ours, signed, or nothing."""
    with pytest.raises(UnexpectedPayloadError):
        channel.read(body(upload=slip), inbox)


def test_a_slip_works_for_its_own_inbox_and_purpose_only():
    checked = check_upload(pictures.png())
    slip = uploads.keep(checked, account_id=3, inbox_id=8, voice=False)
    with pytest.raises(UnexpectedPayloadError):
        channel.read(body(upload=slip), inbox)
    with pytest.raises(UnexpectedPayloadError):
        channel.read(body(upload=signing.dumps({"inbox": 7, "path": "x"}, salt="else")), inbox)


@pytest.mark.parametrize(
    "item",
    [
        {"text": ""},
        {"text": "   "},
        {},
        {"text": "x" * 4097},
        {"text": 7},
        {"text": "nul \x00"},
        {"text": "half \ud800"},
        {"text": "hi", "name": "x" * 121},
        {"choice": "r"},
        {"choice": {"id": "x" * 251, "title": "t"}},
    ],
)
def test_what_makes_no_message_is_said_by_name(item):
    """Bad inputs 40 and 53."""
    with pytest.raises(UnexpectedPayloadError):
        channel.read(body(**item), inbox)


def test_one_request_is_one_item_in_the_visitors_lane():
    (item,) = channel.split(body(text="Hello"), inbox)
    assert (item.dedupe_key, item.lane_key, item.error) == ("m:abc:1", "abc", "")


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"nonsense", b"[]", b"7", b"{}", b'{"visitor": "abc"}', b'{"id": "1"}',
        b'{"visitor": "a b", "id": "1"}', b'{"visitor": "abc", "id": ""}',
        b'{"visitor": 7, "id": "1"}', b'{"visitor": "' + b"a" * 65 + b'", "id": "1"}',
        b'{"visitor": "a", "visitor": "b", "id": "1"}', b"[" * 100_000, b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_names_nobody_is_kept_as_failed(raw):
    """Bad input 40: kept, never an exception in the door."""
    (item,) = channel.split(raw, inbox)
    assert item.error
    assert item.weak_key
    assert item.payload == raw
    assert channel.split(raw, inbox)[0].dedupe_key == item.dedupe_key


def test_what_was_stored_has_arrived():
    message = OutboundMessage(reference="msg_1-0", kind=Kind.TEXT, text="Hi")
    result = asyncio.run(channel.send(message, Recipient(()), inbox, GuardedClient()))
    assert (result.external_id, result.delivered) == ("sandbox:msg_1-0", True)


def test_its_conversations_are_kept_out_of_statistics():
    assert SandboxChannel.synthetic
