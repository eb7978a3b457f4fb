"""What comes by an address of Django's own: kept like everything else, and read at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conversations.models import Inbox, Lane, Message
from integrations.models import Receipt
from integrations.posting import take_in_now
from tests.integrations.couriers import House, make_house

State = Receipt.State


@pytest.fixture
def paper(db: None) -> House:
    return make_house()


def say(house: House, text: str, key: str = "1") -> Receipt:
    body = json.dumps({"items": [{"id": key, "from": "ana", "text": text}]}).encode()
    with house.inside():
        return take_in_now(house.inbox, body)


def test_it_is_a_message_when_the_call_is_answered(paper: House) -> None:
    receipt = say(paper, "Hello")
    assert (receipt.state, receipt.tries) == (State.DONE, 1)
    with paper.inside():
        message = Message.objects.get()
        assert receipt.result == f"message {message.public_id}"
        assert Lane.all_accounts.get(pk=receipt.lane_id).kind == Lane.Kind.INBOUND


def test_a_copy_changes_nothing(paper: House) -> None:
    first, again = say(paper, "Hello"), say(paper, "Hello again")
    assert first.pk == again.pk
    with paper.inside():
        assert [one.text for one in Message.objects.all()] == ["Hello"]


def test_what_breaks_us_is_kept_for_the_courier(paper: House) -> None:
    broken = say(paper, "poison")
    assert broken.state == State.NEW
    assert broken.next_try_at is not None
    assert "a bug of ours" in broken.result
    assert say(paper, "unreadable", "2").state == State.FAILED


def test_the_inbox_says_when_it_was_called(
    paper: House, django_capture_on_commit_callbacks: Any
) -> None:
    def last() -> str:
        with paper.inside():
            paper.inbox = Inbox.objects.get(pk=paper.inbox.pk)
        return str(paper.inbox.health.get("hooks", {}).get("received_at", ""))

    assert last() == ""
    with django_capture_on_commit_callbacks(execute=True):
        say(paper, "Hello")
    noted = last()
    assert noted
    with django_capture_on_commit_callbacks(execute=True):
        say(paper, "Hello", "2")
    assert last() == noted
