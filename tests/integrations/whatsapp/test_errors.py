"""The error table of channels.md 2.10, code by code, in both of its forms."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from conversations.channels import HttpAnswer, SendError
from conversations.messages import StatusUpdate
from integrations.whatsapp.channel import WhatsAppChannel
from integrations.whatsapp.errors import MEANINGS, error_from
from tests.integrations.whatsapp.samples import INBOX

TABLE = {
    "reauth": [0, 190, 3, 10, 200, 250, 299, 131005],
    "throttled": [4, 80007, 130429, 131056, 131048, 133016],
    "transient": [1, 2, 131000, 131016, 131057, 135000],
    "window_closed": [131047],
    "unreachable": [131026, 131050],
    "invalid": [
        131021, 131030, 131062, 131063, 137000, 131008, 131009, 100, 33, 131051, 131053,
        132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132068, 132069,
    ],
    "permanent": [131049, 130472, 131052, 999999, 300],
    "policy": [131064, 131031, 368, 130497, 131042, 131044, 131045, 131037],
}  # fmt: skip
ROWS = [(code, error_class) for error_class, codes in TABLE.items() for code in codes]


def answer(status: int = 400, headers: dict[str, str] | None = None, **error: Any) -> SendError:
    body = json.dumps({"error": error}).encode() if error else b"<html>Sorry</html>"
    return error_from(HttpAnswer(status, headers or {}, body))


@pytest.mark.parametrize(("code", "error_class"), ROWS)
def test_a_refused_send_has_the_class_of_its_code(code: int, error_class: str) -> None:
    error = answer(code=code, message="Words of Meta")
    assert error.error_class == error_class
    assert error.code == str(code)
    assert "Words of Meta" in str(error)


@pytest.mark.parametrize(("code", "error_class"), ROWS)
def test_a_failed_status_has_the_class_of_its_code(code: int, error_class: str) -> None:
    status = {"id": "wamid.O", "status": "failed", "errors": [{"code": code, "title": "Words"}]}
    payload = json.dumps({"field": "messages", "metadata": {}, "status": status}).encode()
    reading = WhatsAppChannel().read(payload, INBOX)
    assert isinstance(reading, StatusUpdate)
    assert (reading.error_class, reading.error_code) == (error_class, str(code))


def test_the_table_here_knows_every_code_of_the_channel() -> None:
    listed = {code for codes in TABLE.values() for code in codes}
    assert {code for code in MEANINGS if not 200 <= code < 300} <= listed


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (500, "transient"),
        (502, "transient"),
        (503, "transient"),
        (408, "transient"),
        (429, "throttled"),
        (401, "reauth"),
        (403, "permanent"),
        (404, "permanent"),
        (302, "permanent"),
    ],
)
def test_an_answer_without_a_code_is_judged_by_its_status(status: int, error_class: str) -> None:
    error = answer(status)
    assert (error.error_class, error.status) == (error_class, status)
    assert error.body == "<html>Sorry</html>"


def test_the_code_outranks_the_status() -> None:
    assert answer(500, code=131047).error_class == "window_closed"
    assert answer(200, code=131056).error_class == "throttled"


def test_an_unknown_code_of_a_broken_server_is_transient() -> None:
    assert answer(500, code=777777).error_class == "transient"


def test_is_transient_outranks_the_code_but_a_throttle_keeps_its_pause() -> None:
    assert answer(code=131009, is_transient=True).error_class == "transient"
    assert answer(code=131009, is_transient=False).error_class == "invalid"
    throttled = answer(code=4, is_transient=True)
    assert (throttled.error_class, throttled.retry_after) == ("throttled", 30)


def test_retry_after_wins_over_our_own_pause_in_both_its_forms() -> None:
    assert answer(code=130429).retry_after == 30
    assert answer(429, {"Retry-After": "7"}, code=130429).retry_after == 7
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    waited = answer(429, {"retry-after": in_a_minute}).retry_after
    assert waited is not None
    assert 55 < waited <= 60


@pytest.mark.parametrize("odd", ["", "soon", "-5", "٣"])
def test_an_odd_retry_after_is_no_reason_to_fail(odd: str) -> None:
    assert answer(429, {"Retry-After": odd}).retry_after == 30


def test_pauses_grow_with_the_weight_of_the_reason() -> None:
    pauses = [answer(code=code).retry_after or 0 for code in (131056, 130429, 131048, 133016)]
    assert pauses == sorted(pauses)
    assert pauses[2] >= 3600


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"error":7}', b'{"error":{"code":[]}}', b"[" * 9999]
)
def test_an_odd_error_body_is_judged_by_its_status(body: bytes) -> None:
    assert error_from(HttpAnswer(503, {}, body)).error_class == "transient"
