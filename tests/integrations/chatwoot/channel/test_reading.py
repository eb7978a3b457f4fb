"""Every fixture becomes what it promises; hostile JSON; who may knock."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations.channels import HookRequest, UnexpectedPayloadError, UnverifiedRequestError
from integrations.chatwoot.channel.channel import ChatwootChannel
from integrations.chatwoot.channel.reading import EVENTS, FILES
from tests.integrations.chatwoot.channel.samples import (
    INBOX,
    Sample,
    plain_item,
    plain_reading,
    sample,
    samples,
    signed,
)

channel = ChatwootChannel()
BODY = sample("text").body


@pytest.mark.parametrize("example", samples(), ids=str)
def test_every_sample_becomes_what_it_promises(example: Sample) -> None:
    [item] = channel.split(example.body, INBOX)
    assert plain_item(item) | plain_reading(channel.read(item.payload, INBOX)) == example.becomes


@pytest.mark.parametrize("example", samples(), ids=str)
def test_every_sample_says_where_its_shape_comes_from(example: Sample) -> None:
    assert example.source["how"] in ("documented", "captured", "guessed")
    assert example.source["where"]


def test_there_is_a_sample_for_every_event_we_read() -> None:
    assert set(EVENTS) <= {example.event["event"] for example in samples()}


@pytest.mark.parametrize("file_type", FILES)
def test_every_kind_of_file_is_fetched_from_its_link(file_type: str) -> None:
    event = sample("image").event
    file = {"file_type": file_type, "data_url": "https://chatwoot.test/x", "file_size": 1}
    read = channel.read(json.dumps({**event, "attachments": [file]}).encode(), INBOX)
    assert [media.remote_ref for media in read.media] == ["https://chatwoot.test/x"]  # type: ignore[union-attr]


def test_an_event_that_names_nobody_is_kept_as_failed() -> None:
    event = sample("text").event
    event["conversation"] |= {"meta": {}, "contact_inbox": None}
    body = json.dumps(event).encode()
    assert channel.split(body, INBOX)[0].lane_key == "unknown"
    with pytest.raises(UnexpectedPayloadError):
        channel.read(body, INBOX)


def test_another_answer_to_the_same_question_is_another_message() -> None:
    event = sample("choice").event
    first = channel.split(json.dumps(event).encode(), INBOX)[0].dedupe_key
    event["content_attributes"]["submitted_values"] = [{"title": "Delivery", "value": "delivery"}]
    assert channel.split(json.dumps(event).encode(), INBOX)[0].dedupe_key != first


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"event": 5}', b'{"event": "message_created"}', b"\xff",
     b'{"event": "message_created", "id": "1/2", "conversation": {"id": 1}}'],
)  # fmt: skip
def test_what_is_no_event_is_kept_as_failed(body: bytes) -> None:
    [item] = channel.split(body, INBOX)
    assert item.error
    assert item.weak_key


PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=20)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        PLAIN,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(PLAIN.map(str), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.sampled_from(["conversation", "content_attributes", "sender", "attachments", "id"]),
)
def test_odd_values_raise_nothing_but_what_the_port_knows(value: Any, key: str) -> None:
    body = json.dumps({**sample("choice").event, key: value}).encode()
    [item] = channel.split(body, INBOX)
    if not item.error:
        with suppress(UnexpectedPayloadError):
            channel.read(item.payload, INBOX)


# --- Who may knock --------------------------------------------------------------------------------


def test_a_signed_event_is_let_in() -> None:
    channel.verify(signed(BODY), INBOX)
    channel.verify(signed(BODY, age=290), INBOX)


@pytest.mark.parametrize(
    "request_",
    [
        signed(BODY, secret="another"),
        signed(BODY, age=100_000),
        signed(BODY, age=-100_000),
        dataclasses.replace(signed(BODY), body=BODY + b" "),
        dataclasses.replace(signed(BODY), headers={}),
        dataclasses.replace(
            signed(BODY),
            headers={**signed(BODY).headers, "x-chatwoot-timestamp": "soon"},
        ),
        dataclasses.replace(
            signed(BODY), headers={**signed(BODY).headers, "x-chatwoot-signature": "sha256=é"}
        ),
    ],
)
def test_what_is_not_signed_by_our_bots_secret_just_now_is_refused(request_: HookRequest) -> None:
    with pytest.raises(UnverifiedRequestError):
        channel.verify(request_, INBOX)


def test_the_address_alone_is_the_proof_of_servers_that_sign_nothing() -> None:
    old = dataclasses.replace(INBOX, credentials={"bot_token": "t"})
    channel.verify(HookRequest("POST", {}, {}, BODY), old)


def test_before_there_is_a_bot_nobody_is_let_in() -> None:
    new = dataclasses.replace(INBOX, credentials={}, config={**INBOX.config, "bot_id": ""})
    with pytest.raises(UnverifiedRequestError):
        channel.verify(HookRequest("POST", {}, {}, BODY), new)
