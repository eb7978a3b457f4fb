"""What people have begun to write (contract, 6.2)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.tenancy import account_context
from conversations import services
from conversations.models import Conversation, Message, UnsentText
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.conftest import Client4, client

NONE = {"has_draft": False}


@pytest.fixture
def path(open_one: Conversation) -> str:
    return f"conversations/{open_one.number}/draft_messages"


def draft(text: Any) -> dict[str, Any]:
    return {"draft_message": {"message": text}}


def kept(caller: Client4, path: str) -> dict[str, Any]:
    answer = caller.get(path)
    assert answer.status_code == 200, answer.content
    contract.check(answer.json(), contract.DRAFT)
    return answer.json()


def test_a_draft_is_kept_replaced_and_taken_away(woot: SimpleNamespace, path: str) -> None:
    assert kept(woot.person, path) == NONE
    for method, text in (("patch", "Hello, I am "), ("put", " Hello,\nI am Petra")):
        answer = woot.person.send(method, path, draft(text))
        assert (answer.status_code, answer.content) == (200, b"")
        assert kept(woot.person, path) == {"has_draft": True, "message": text}
    for _twice in range(2):
        answer = woot.person.delete(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert kept(woot.person, path) == NONE


@pytest.mark.parametrize("text", ["", "  ", None], ids=str)
def test_blank_is_none(woot: SimpleNamespace, path: str, text: str | None) -> None:
    woot.person.patch(path, draft("Hello"))
    assert woot.person.patch(path, draft(text)).status_code == 200
    assert kept(woot.person, path) == NONE


def test_each_person_has_their_own_in_each_conversation(
    woot: SimpleNamespace, path: str, held: Conversation
) -> None:
    woot.person.patch(path, draft("Petra's"))
    woot.owner.patch(path, draft("Olga's"))
    assert kept(woot.person, path)["message"] == "Petra's"
    woot.owner.delete(path)
    assert kept(woot.owner, path) == NONE
    assert kept(woot.person, path)["message"] == "Petra's"
    assert kept(woot.person, f"conversations/{held.number}/draft_messages") == NONE


def test_it_is_nothing_that_was_said(
    woot: SimpleNamespace, path: str, open_one: Conversation
) -> None:
    """Nor a draft of those that the house keeps of late answers."""
    woot.person.patch(path, draft("Hello"))
    with account_context(woot.house.account):
        assert Message.objects.filter(conversation=open_one).count() == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"message": "x"}, {"draft_message": "x"}, draft(["x"]), draft("x" * 10_001)],
    ids=lambda body: str(body)[:40],
)
def test_a_draft_that_cannot_be(woot: SimpleNamespace, path: str, body: dict[str, Any]) -> None:
    woot.person.patch(path, draft("Hello"))
    refused = woot.person.patch(path, body)
    assert refused.status_code == 422, refused.content
    assert refused.json().get("attributes", ["message"]) == ["message"]
    assert kept(woot.person, path)["message"] == "Hello"


def test_nothing_is_kept_of_one_who_was_erased(
    woot: SimpleNamespace, path: str, open_one: Conversation
) -> None:
    woot.person.patch(path, draft("Hello Ana"))
    with account_context(woot.house.account):
        services.erase_contact(open_one.contact, by=woot.house.owner)
        assert not UnsentText.objects.exists()
    assert woot.person.patch(path, draft("Hello Ana")).status_code == 422
    assert kept(woot.person, path) == NONE


def test_the_walls(woot: SimpleNamespace, path: str) -> None:
    house = woot.house
    woot.person.patch(path, draft("Hello"))
    own = Client4(woot.outsider.token, house.outsider.account_id)
    reading = client(house.person, woot.account_id, scopes=["conversations:read"])
    for method in ("get", "patch", "delete"):
        assert own.send(method, path, draft("x")).status_code == 404
        assert woot.outsider.send(method, path, draft("x")).status_code == 401
        narrow = reading.send(method, path, draft("x"))
        assert narrow.status_code == (200 if method == "get" else 401)
    assert kept(woot.person, path)["message"] == "Hello"
    with account_context(house.account):
        assert UnsentText.objects.count() == 1
