"""Through the whole stack, on a real socket: their header with its underscores, chunks, both slashes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from accounts.tenancy import account_context
from agents.models import AgentInbox
from conversations import services
from conversations.models import Message
from tests.api import token_of
from tests.factories import make_conversation, make_house
from tests.serving import serve

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


@pytest.fixture
def desk(clean_database: None, tmp_path: Path) -> Iterator[SimpleNamespace]:
    house = make_house()
    conversation = make_conversation(house.inbox)
    with account_context(house.account):
        AgentInbox.objects.create(agent=house.agent, inbox=house.inbox)
        services.assign(conversation, to=house.agent.member, by=None)
    with serve(tmp_path) as served:
        yield SimpleNamespace(
            house=house,
            conversation=conversation,
            place=urlsplit(served.url).netloc,
            token=token_of(house.agent.member),
            base=f"/api/v1/accounts/{house.account.pk}/conversations/{conversation.number}",
        )


def call(
    desk: SimpleNamespace, path: str, body: bytes, *, chunked: bool = False, **headers: str
) -> tuple[int, dict]:
    connection = http.client.HTTPConnection(desk.place, timeout=20)
    half = len(body) // 2
    connection.request(
        "POST",
        desk.base + path,
        body=iter([body[:half], body[half:]]) if chunked else body,
        headers={"Content-Type": "application/json", **headers},
        encode_chunked=chunked,
    )
    response = connection.getresponse()
    raw = response.read()
    connection.close()
    return response.status, json.loads(raw or b"null")


def test_their_header_arrives_and_bodies_come_in_every_way(desk: SimpleNamespace) -> None:
    said = json.dumps({"content": "Hello"}).encode()
    for headers in (
        {"api_access_token": desk.token},
        {"Api-Access-Token": desk.token},
        {"API_ACCESS_TOKEN": desk.token},
        {"Authorization": f"Bearer {desk.token}"},
    ):
        for path in ("/messages", "/messages/"):
            for chunked in (False, True):
                status, body = call(desk, path, said, chunked=chunked, **headers)
                assert (status, body.get("content")) == (200, "Hello"), (headers, path, chunked)
    with account_context(desk.house.account):
        rows = Message.objects.filter(conversation=desk.conversation, direction="outbound")
        assert rows.count() == 16


def test_a_form_without_its_length_carries_its_file(desk: SimpleNamespace) -> None:
    edge = b"--edge\r\nContent-Disposition: form-data; name="
    body = (
        edge + b'"content"\r\n\r\nYour receipt\r\n'
        + edge + b'"attachments[]"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        + PNG + b"\r\n--edge--\r\n"
    )  # fmt: skip
    status, answer = call(
        desk, "/messages", body, chunked=True, api_access_token=desk.token,
        **{"Content-Type": "multipart/form-data; boundary=edge"},
    )  # fmt: skip
    assert status == 200, answer
    assert answer["content"] == "Your receipt"
    assert answer["attachments"][0]["file_type"] == "image"
    connection = http.client.HTTPConnection(desk.place, timeout=20)
    connection.request("GET", urlsplit(answer["attachments"][0]["data_url"]).path)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, PNG)
    connection.close()


def test_without_a_token_and_too_large(desk: SimpleNamespace) -> None:
    status, body = call(desk, "/messages", b"{}")
    assert (status, body) == (
        401,
        {"errors": ["You need to sign in or sign up before continuing."]},
    )
    assert announced(desk, "/messages", 1_100_000, api_access_token=desk.token) == 413


def announced(desk: SimpleNamespace, path: str, size: int, **headers: str) -> int:
    """The answer to a body that is announced and not sent: while one is, the connection may be cut."""
    connection = http.client.HTTPConnection(desk.place, timeout=20)
    connection.putrequest("POST", desk.base + path)
    for name, value in {"Content-Length": str(size), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status
