"""The fake Graph server demands what Meta demands: a careless channel must not pass here."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.graph import FakeGraph, GraphError
from tests.fakes.graph.files import PIXEL
from tests.fakes.graph.hooks import kinds
from tests.fakes.graph.rules import check_message, check_read_receipt, check_upload

FRAME = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": "40721000111"}
TEXT = {**FRAME, "type": "text", "text": {"body": "Salut"}}


def interactive(kind: str, **parts: Any) -> dict[str, Any]:
    content = {"type": kind, "body": {"text": "Which?"}, **parts}
    return {**FRAME, "type": "interactive", "interactive": content}


def buttons(*pairs: tuple[str, str]) -> dict[str, Any]:
    rows = [{"type": "reply", "reply": {"id": key, "title": title}} for key, title in pairs]
    return interactive("button", action={"buttons": rows})


def rows(*sections: list[dict[str, str]], title: str = "T") -> dict[str, Any]:
    wanted = [{"title": f"{title}{n}", "rows": found} for n, found in enumerate(sections)]
    return interactive("list", action={"button": "Choose", "sections": wanted})


def row(number: int, **parts: str) -> dict[str, str]:
    return {"id": f"r{number}", "title": f"Row {number}", **parts}


def without(body: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != key}


GOOD: list[dict[str, Any]] = [
    TEXT,
    {**without(TEXT, "to"), "recipient": "RO.123"},
    {**TEXT, "context": {"message_id": "wamid.A"}, "biz_opaque_callback_data": "x" * 512},
    {**FRAME, "type": "image", "image": {"id": "m1", "caption": "x" * 1024}},
    {**FRAME, "type": "document", "document": {"link": "https://e.com/a", "filename": "a.pdf"}},
    {**FRAME, "type": "reaction", "reaction": {"message_id": "wamid.A", "emoji": ""}},
    buttons(("a", "x" * 20), ("b", "B"), ("c", "C")),
    rows([row(n) for n in range(5)], [row(n) for n in range(5, 10)]),
]


@pytest.mark.parametrize("body", GOOD, ids=lambda body: str(body["type"]))
def test_what_meta_takes_is_taken(body: dict[str, Any]) -> None:
    check_message(body, {"m1"})


BAD: dict[str, Any] = {
    "no object": [],
    "no product": without(TEXT, "messaging_product"),
    "group": {**TEXT, "recipient_type": "group"},
    "nobody": without(TEXT, "to"),
    "to and recipient": {**TEXT, "recipient": "RO.1"},
    "bsuid as to": {**TEXT, "to": "RO.123"},
    "phone as recipient": {**without(TEXT, "to"), "recipient": "40721000111"},
    "unknown type": {**TEXT, "type": "hologram"},
    "no content": without(TEXT, "text"),
    "content of another type": {**FRAME, "type": "image", "text": {"body": "x"}},
    "empty text": {**TEXT, "text": {"body": ""}},
    "long text": {**TEXT, "text": {"body": "x" * 4097}},
    "long in utf-16": {**TEXT, "text": {"body": "😀" * 2049}},
    "unknown key": {**TEXT, "novelty": 1},
    "unknown inner key": {**TEXT, "text": {"body": "x", "colour": "red"}},
    "preview as text": {**TEXT, "text": {"body": "x", "preview_url": "true"}},
    "context of a string": {**TEXT, "context": "wamid.A"},
    "context without id": {**TEXT, "context": {}},
    "long reference": {**TEXT, "biz_opaque_callback_data": "x" * 513},
    "unknown file": {**FRAME, "type": "image", "image": {"id": "m2"}},
    "id and link": {**FRAME, "type": "image", "image": {"id": "m1", "link": "https://e.com"}},
    "neither": {**FRAME, "type": "image", "image": {"caption": "x"}},
    "caption of a sticker": {**FRAME, "type": "sticker", "sticker": {"id": "m1", "caption": "x"}},
    "long caption": {**FRAME, "type": "video", "video": {"id": "m1", "caption": "x" * 1025}},
    "four buttons": buttons(("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")),
    "long title": buttons(("a", "x" * 21)),
    "long id": buttons(("a" * 257, "A")),
    "same id": buttons(("a", "A"), ("a", "B")),
    "same title": buttons(("a", "A"), ("b", "A")),
    "blank in id": buttons((" a", "A")),
    "no buttons": buttons(),
    "eleven rows": rows([row(n) for n in range(6)], [row(n) for n in range(6, 11)]),
    "long description": rows([row(1, description="x" * 73)]),
    "long row title": rows([row(1, title="x" * 25)]),
    "sections without titles": {
        **rows([row(1)], [row(2)]),
        "interactive": {
            "type": "list",
            "body": {"text": "x"},
            "action": {"button": "B", "sections": [{"rows": [row(1)]}, {"rows": [row(2)]}]},
        },
    },
    "long list button": interactive("list", action={"button": "x" * 21, "sections": []}),
    "long body": interactive("button", body={"text": "x" * 1025}, action={}),
    "long header": interactive("button", header={"type": "text", "text": "x" * 61}, action={}),
    "six cards": {**FRAME, "type": "contacts", "contacts": [{"name": {}}] * 6},
    "nameless card": {**FRAME, "type": "contacts", "contacts": [{"name": {"first_name": "I"}}]},
    "off earth": {**FRAME, "type": "location", "location": {"latitude": 91, "longitude": 0}},
    "reaction without emoji": {**FRAME, "type": "reaction", "reaction": {"message_id": "w"}},
    "template without language": {**FRAME, "type": "template", "template": {"name": "x"}},
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_what_meta_refuses_is_refused(body: Any) -> None:
    with pytest.raises(GraphError):
        check_message(body, {"m1"})


@pytest.mark.parametrize(
    "body",
    [
        {"status": "read", "message_id": "wamid.A"},
        {"messaging_product": "whatsapp", "status": "delivered", "message_id": "wamid.A"},
        {"messaging_product": "whatsapp", "status": "read", "message_id": "msg_1"},
        {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A", "x": 1},
        {
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": "wamid.A",
            "typing_indicator": True,
        },
    ],
)
def test_odd_read_receipts_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(GraphError):
        check_read_receipt(body)


@pytest.mark.parametrize(
    ("mime", "size"),
    [
        ("audio/webm", 10),
        ("audio/opus", 10),
        ("audio/ogg", 10),
        ("image/png", 6 << 20),
        ("text/plain", 0),
    ],
)
def test_files_meta_does_not_take_are_refused(mime: str, size: int) -> None:
    with pytest.raises(GraphError) as caught:
        check_upload(mime, size)
    assert caught.value.code == 131053


# --- By hand, as with curl ------------------------------------------------------------------------


@pytest.fixture
def graph() -> Iterator[FakeGraph]:
    with FakeGraph(tokens=["token"], media_seconds=0.2, retry_delays=(0.01, 0.01)) as server:
        yield server


def curl(
    graph: FakeGraph, path: str, body: Any = None, bearer: str = "token"
) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    request = urllib.request.Request(f"{graph.base_url}{path}", data=data, headers=headers)  # noqa: S310
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            raw = error.read()
            return error.code, json.loads(raw) if raw.startswith(b"{") else {}


SEND = "/v26.0/200000000000001/messages"


def test_a_message_is_answered_like_meta_does(graph: FakeGraph) -> None:
    status, answer = curl(graph, SEND, TEXT)
    assert status == 200
    assert answer["contacts"] == [{"input": "40721000111", "wa_id": "40721000111"}]
    assert answer["messages"][0]["id"].startswith("wamid.")


@pytest.mark.parametrize("token", ["", "another"])
def test_no_call_passes_without_a_valid_token(graph: FakeGraph, token: str) -> None:
    status, answer = curl(graph, SEND, TEXT, token)
    assert (status, answer["error"]["code"]) == (401, 190)
    media = graph.files.describe(graph.keep_file(), "")
    assert curl(graph, media["url"], bearer=token)[0] == 401


def test_an_unknown_number_is_no_object(graph: FakeGraph) -> None:
    status, answer = curl(graph, "/v26.0/7/messages", TEXT)
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (400, 100, 33)


def test_a_link_to_a_file_is_over_after_its_time(graph: FakeGraph) -> None:
    link = graph.files.describe(graph.keep_file(b"{}", "application/json"), "")["url"]
    assert curl(graph, link)[0] == 200
    time.sleep(0.25)
    assert curl(graph, link)[0] == 404


def test_a_customers_file_cannot_be_sent_on(graph: FakeGraph) -> None:
    body = {**FRAME, "type": "image", "image": {"id": graph.keep_file(PIXEL)}}
    assert curl(graph, SEND, body)[0] == 400


def test_the_callback_of_an_account_is_probed_before_it_is_kept(graph: FakeGraph) -> None:
    path = "/v26.0/100000000000001/subscribed_apps"
    wish = {"override_callback_uri": f"{graph.base_url}/nobody", "verify_token": "v"}
    assert "must be subscribed" in curl(graph, path, wish)[1]["error"]["message"]
    assert curl(graph, path, {})[0] == 200
    assert curl(graph, path, wish)[1]["error"]["code"] == 2200
    assert "100000000000001" not in graph.sender.callbacks


def test_the_control_door_lets_calls_fail_and_tells_what_happened(graph: FakeGraph) -> None:
    assert curl(graph, "/_control/fail", {"code": 131056, "times": 2, "retry_after": "4"})[0] == 200
    assert [curl(graph, SEND, TEXT)[0] for _ in range(3)] == [400, 400, 200]
    log = curl(graph, "/_control/log")[1]
    assert [call["answer"] for call in log["calls"]] == [400, 400, 200]
    assert curl(graph, "/_control/fail", {"colour": "red"})[0] == 400
    assert curl(graph, "/_control/inbound", {"kind": "hologram"})[0] == 400
    curl(graph, "/_control/clear", {})
    assert curl(graph, "/_control/log")[1]["calls"] == []


def test_a_webhook_is_sent_again_until_it_is_answered_with_200(graph: FakeGraph) -> None:
    """The server's own address answers webhooks with 401: they are not messages to Meta."""
    graph.sender.callbacks[""] = f"{graph.base_url}/v26.0/200000000000001/messages"
    answer = curl(graph, "/_control/inbound", {"text": "Salut", "sender": "40733000222"})[1]
    assert answer["answer"] == 401
    assert [sent.answer for sent in graph.webhooks] == [401, 401, 401]
    assert len({sent.body for sent in graph.webhooks}) == 1


@pytest.mark.parametrize("kind", kinds())
def test_customers_can_send_every_kind_there_is_a_sample_of(graph: FakeGraph, kind: str) -> None:
    graph.sender.retry_delays = ()
    graph.sender.callbacks[""] = f"{graph.base_url}/nobody"
    ids = graph.inbound(kind, sender="40733000222", name="Bob", copies=2)
    (sent,) = graph.webhooks
    value = json.loads(sent.body)["entry"][0]["changes"][0]["value"]
    assert [message["id"] for message in value["messages"]] == ids
    assert {message["from"] for message in value["messages"]} == {"40733000222"}
    assert value["contacts"] == [{"profile": {"name": "Bob"}, "wa_id": "40733000222"}]
