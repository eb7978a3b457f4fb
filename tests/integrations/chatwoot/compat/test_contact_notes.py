"""Notes about contacts (contract, 6.5)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from accounts.tenancy import account_context
from conversations import services
from conversations.models import ContactNote, Conversation
from tests.factories import make_conversation
from tests.integrations.chatwoot.compat import contract


def test_notes_are_written_read_changed_and_deleted(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    path = f"contacts/{open_one.contact_id}/notes"
    made = woot.person.post(path, {"note": {"content": " Prefers calls "}})
    assert made.status_code == 200, made.content
    contract.check(made.json(), contract.NOTE)
    assert made.json()["content"] == "Prefers calls"
    assert made.json()["user"]["id"] == woot.house.person.pk
    second = woot.owner.post(path, {"content": "Pays late"}).json()
    assert woot.owner.get(path).json() == [second, made.json()]  # the newest first
    one = f"{path}/{second['id']}"
    assert woot.owner.get(one).json() == second
    changed = woot.person.patch(one, {"content": "Pays in time"}).json()
    assert (changed["content"], changed["user"]) == ("Pays in time", second["user"])
    gone = woot.owner.delete(one)
    assert (gone.status_code, gone.content) == (200, b"")
    assert woot.owner.get(one).status_code == 404
    assert woot.owner.get(path).json() == [made.json()]


@pytest.mark.parametrize("content", ["", "  ", "x" * 10_001], ids=["none", "blank", "too long"])
def test_a_note_that_cannot_be(woot: SimpleNamespace, open_one: Conversation, content: str) -> None:
    path = f"contacts/{open_one.contact_id}/notes"
    made = woot.owner.post(path, {"content": "Known"}).json()
    for method, target in (("post", path), ("patch", f"{path}/{made['id']}")):
        refused = woot.owner.send(method, target, {"content": content})
        assert (refused.status_code, refused.json()["attributes"]) == (422, ["content"])
    assert woot.owner.get(path).json() == [made]


def test_a_note_is_of_its_contact_and_account_only(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    other = make_conversation(woot.house.inbox, visitor="other")
    note = woot.owner.post(f"contacts/{open_one.contact_id}/notes", {"content": "x"}).json()
    own = woot.outsider.__class__(woot.outsider.token, woot.house.outsider.account_id)
    for method in ("get", "patch", "delete"):
        wrong = f"contacts/{other.contact_id}/notes/{note['id']}"
        assert woot.owner.send(method, wrong, {"content": "y"}).status_code == 404
        right = f"contacts/{open_one.contact_id}/notes/{note['id']}"
        assert own.send(method, right, {"content": "y"}).status_code == 404
    with account_context(woot.house.account):
        assert ContactNote.objects.get().text == "x"


def test_notes_of_who_was_merged_are_those_of_who_they_are(
    woot: SimpleNamespace, open_one: Conversation
) -> None:
    other = make_conversation(woot.house.inbox, visitor="other")
    woot.owner.post(f"contacts/{other.contact_id}/notes", {"content": "of the other"})
    with account_context(woot.house.account):
        services.merge_contacts(open_one.contact, other.contact, by=woot.house.owner)
    for pk in (open_one.contact_id, other.contact_id):
        [note] = woot.owner.get(f"contacts/{pk}/notes").json()
        assert (note["content"], note["contact_id"]) == ("of the other", open_one.contact_id)


def test_a_long_list_comes_in_pages(woot: SimpleNamespace, open_one: Conversation) -> None:
    with account_context(woot.house.account):
        for n in range(103):
            services.add_contact_note(open_one.contact, text=str(n), by=woot.house.owner)
    path = f"contacts/{open_one.contact_id}/notes"
    first, second, third = (woot.owner.get(path, page=page).json() for page in (1, 2, 3))
    assert [note["content"] for note in first] == [str(n) for n in range(102, 2, -1)]
    assert [note["content"] for note in second] == ["2", "1", "0"]
    assert third == []
    assert woot.owner.get(path).json() == first
