"""Who may knock: the signature (security.md 13, lines 31, 32, 35) and the challenge (34)."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json

import pytest

from conversations.channels import HookRequest, UnverifiedRequestError
from integrations.whatsapp.channel import WhatsAppChannel
from tests.integrations.whatsapp.samples import APP_SECRET, INBOX, sample, signed

channel = WhatsAppChannel()
BODY = b'{"object":"whatsapp_business_account", "entry":[]}'
RIGHT = hmac.new(APP_SECRET.encode(), BODY, hashlib.sha256).hexdigest()


def call(signature: str | None, body: bytes = BODY) -> HookRequest:
    headers = {} if signature is None else {"x-hub-signature-256": signature}
    return HookRequest("POST", {}, headers, body)


def test_a_signed_sample_is_let_in() -> None:
    channel.verify(sample("batch").request(), INBOX)
    channel.verify(call(f"sha256={RIGHT}"), INBOX)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        RIGHT,
        "sha256=",
        f"sha256={RIGHT.upper()}",
        f"SHA256={RIGHT}",
        f"sha1={RIGHT}",
        f"sha256={RIGHT[:-1]}",
        f"sha256={RIGHT}0",
        f"sha256={RIGHT}\n",
        f" sha256={RIGHT}",
        f"sha256={RIGHT},sha256={RIGHT}",
        f"sha256={'0' * 64}",
        "sha256=" + "é" * 64,
        "sha256=" + "٣" * 64,
        f"sha256={hmac.new(b'another', BODY, hashlib.sha256).hexdigest()}",
        f"sha256={hmac.new(APP_SECRET.encode(), b'', hashlib.sha256).hexdigest()}",
    ],
)
def test_sx_31_a_wrong_missing_or_upper_cased_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(UnverifiedRequestError):
        channel.verify(call(signature), INBOX)


def test_sx_32_the_raw_bytes_count_not_the_json() -> None:
    again = json.dumps(json.loads(BODY)).encode()
    assert again != BODY
    with pytest.raises(UnverifiedRequestError):
        channel.verify(call(f"sha256={RIGHT}", again), INBOX)


def test_sx_35_the_secret_of_another_account_opens_nothing() -> None:
    with pytest.raises(UnverifiedRequestError):
        channel.verify(signed(BODY, secret="secret-of-somebody-else"), INBOX)


@pytest.mark.parametrize("credentials", [{}, {"app_secret": ""}])
def test_an_inbox_without_a_secret_lets_nobody_in(credentials: dict[str, str]) -> None:
    inbox = dataclasses.replace(INBOX, credentials=credentials)
    with pytest.raises(UnverifiedRequestError):
        channel.verify(signed(BODY, secret=""), inbox)


def probe(**query: str) -> HookRequest:
    named = {f"hub.{key}": value for key, value in query.items()}
    return HookRequest("GET", named, {}, b"")


TOKEN = INBOX.credentials["verify_token"]


def test_sx_34_the_right_token_gets_the_challenge_back_as_plain_text() -> None:
    challenge = "<b>1158201444</b>"
    answer = channel.challenge(
        probe(mode="subscribe", verify_token=TOKEN, challenge=challenge), INBOX
    )
    assert (answer.status, answer.body) == (200, challenge.encode())
    assert answer.content_type.startswith("text/plain")


@pytest.mark.parametrize(
    "query",
    [
        {"mode": "subscribe", "verify_token": "wrong", "challenge": "1"},
        {"mode": "subscribe", "verify_token": TOKEN.upper(), "challenge": "1"},
        {"mode": "subscribe", "verify_token": "", "challenge": "1"},
        {"mode": "subscribe", "verify_token": "é\ud800", "challenge": "1"},
        {"mode": "unsubscribe", "verify_token": TOKEN, "challenge": "1"},
        {"verify_token": TOKEN, "challenge": "1"},
        {},
    ],
)
def test_sx_34_any_other_probe_is_forbidden_and_echoes_nothing(query: dict[str, str]) -> None:
    answer = channel.challenge(probe(**query), INBOX)
    assert (answer.status, answer.body) == (403, b"forbidden")


def test_sx_34_an_inbox_without_a_verify_token_is_never_opened() -> None:
    inbox = dataclasses.replace(INBOX, credentials={})
    assert channel.challenge(probe(mode="subscribe", verify_token=""), inbox).status == 403
