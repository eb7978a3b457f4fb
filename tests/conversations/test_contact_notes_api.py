"""REST: notes about contacts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from accounts.ids import encode
from accounts.tenancy import account_context
from conversations import services
from conversations.models import ContactNote, Conversation
from tests.factories import make_conversation


@pytest.fixture
def thread(api: SimpleNamespace) -> Conversation:
    return make_conversation(api.house.inbox, "Hello")


def notes(thread: Conversation) -> str:
    return f"/v1/contacts/{who(thread)}/notes/"


def who(thread: Conversation) -> str:
    return encode("con", thread.contact_id)


def test_notes_are_written_read_changed_and_deleted(
    api: SimpleNamespace, thread: Conversation
) -> None:
    first = api.person.post(notes(thread), {"text": " Prefers calls "})
    assert first.status_code == 201, first.content
    made = first.json()
    assert set(made) == {"id", "contact", "text", "author", "created_at", "updated_at"}
    assert (made["text"], made["contact"]) == ("Prefers calls", who(thread))
    assert made["author"]["id"] == api.house.person.public_id
    second = api.owner.post(notes(thread), {"text": "Pays late"}).json()
    assert api.owner.get(notes(thread)).json()["results"] == [second, made]
    one = f"{notes(thread)}{second['id']}/"
    assert api.owner.get(one).json() == second
    changed = api.person.patch(one, {"text": "Pays in time"}).json()
    assert (changed["text"], changed["author"]) == ("Pays in time", second["author"])
    assert api.owner.delete(one).status_code == 204
    assert api.owner.get(one).status_code == 404


@pytest.mark.parametrize(
    "given",
    [{}, {"text": ""}, {"text": "  "}, {"text": "x" * 10_001}, {"text": "x", "author": "y"}],
)
def test_a_note_that_cannot_be(
    api: SimpleNamespace, thread: Conversation, given: dict[str, str]
) -> None:
    assert api.owner.post(notes(thread), given).status_code == 400
    with account_context(api.house.account):
        assert not ContactNote.objects.exists()


def test_a_note_is_of_its_contact_and_for_who_sees_them(
    api: SimpleNamespace, thread: Conversation
) -> None:
    other = make_conversation(api.house.inbox, visitor="other")
    note = api.owner.post(notes(thread), {"text": "x"}).json()
    assert api.owner.get(f"{notes(other)}{note['id']}/").status_code == 404
    assert api.outsider.get(notes(thread)).status_code == 404
    assert api.outsider.post(notes(thread), {"text": "y"}).status_code == 404
    with account_context(api.house.account):
        services.assign(thread, to=api.house.agent.member, by=None)
    for call in (api.agent.get(notes(thread)), api.agent.post(notes(thread), {"text": "y"})):
        assert call.status_code == 403  # they are for people


def test_long_lists_come_in_pages(api: SimpleNamespace, thread: Conversation) -> None:
    with account_context(api.house.account):
        for n in range(3):
            services.add_contact_note(thread.contact, text=f"{n}", by=api.house.owner)
    page = api.owner.get(notes(thread), limit=2).json()
    assert [one["text"] for one in page["results"]] == ["2", "1"]
    rest = api.owner.get(page["next"]).json()
    assert [one["text"] for one in rest["results"]] == ["0"]


def test_who_was_merged_is_found_by_their_old_id(
    api: SimpleNamespace, thread: Conversation
) -> None:
    other = make_conversation(api.house.inbox, visitor="other")
    api.owner.post(notes(other), {"text": "of the other"})
    path = notes(other)
    with account_context(api.house.account):
        services.merge_contacts(thread.contact, other.contact, by=api.house.owner)
    for each in (path, notes(thread)):
        [note] = api.owner.get(each).json()["results"]
        assert (note["text"], note["contact"]) == ("of the other", who(thread))
