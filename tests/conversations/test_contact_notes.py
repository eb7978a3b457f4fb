"""Notes about customers: on every page with them, gone with them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from conversations import services
from conversations.errors import FieldError, WrongStateError
from conversations.models import ContactNote
from conversations.services.erasing import erase_latecomers
from conversations.services.merging import move_latecomers
from tests.conversations.test_views import HTMX, logged_in
from tests.factories import make_conversation


def test_a_note_stands_on_the_page_and_is_taken_away_there(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    client: Any = logged_in(house.person)
    page = f"/inbox/{conversation.public_id}/"
    assert client.post(f"{page}notes/", {"text": "Prefers <calls>"}, **HTMX).status_code == 204
    note = ContactNote.objects.get()
    assert (note.author, note.contact) == (house.person, conversation.contact)
    shown = client.get(page).content.decode()
    assert "Prefers &lt;calls&gt;" in shown
    assert "Petra" in shown
    assert client.post(f"{page}notes/{note.public_id}/delete/").status_code == 302
    assert not ContactNote.objects.exists()


def test_only_notes_of_this_customer_are_taken_away(house: SimpleNamespace) -> None:
    one, other = make_conversation(house.inbox), make_conversation(house.inbox)
    note = services.add_contact_note(other.contact, text="x", by=house.person)
    client = logged_in(house.person)
    for public_id in (note.public_id, "cno_x", one.public_id):
        address = f"/inbox/{one.public_id}/notes/{public_id}/delete/"
        assert client.post(address).status_code == 404
    assert ContactNote.objects.exists()


def test_a_note_has_words(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    for text in ("", " ", "x" * 10_001, "\x00"):
        with pytest.raises(FieldError):
            services.add_contact_note(conversation.contact, text=text, by=house.person)
    address = f"/inbox/{conversation.public_id}/notes/"
    client: Any = logged_in(house.person)
    client.post(address, {"text": " "}, **HTMX)
    assert not ContactNote.objects.exists()


def test_notes_go_with_an_erased_customer_and_none_come_after(house: SimpleNamespace) -> None:
    contact = make_conversation(house.inbox).contact
    note = services.add_contact_note(contact, text="x", by=house.person)
    services.erase_contact(contact, by=house.owner)
    assert not ContactNote.objects.exists()
    with pytest.raises(WrongStateError):
        services.add_contact_note(contact, text="x", by=house.person)
    with pytest.raises(WrongStateError):
        services.change_contact_note(note, text="y", by=house.person)


def test_notes_that_an_older_process_overlooked_follow_their_customer(
    house: SimpleNamespace,
) -> None:
    """It erases and merges without knowing of them, while both run."""
    erased, mergee = (make_conversation(house.inbox).contact for _ in range(2))
    base = services.create_contact(by=house.owner, name="Ion")
    services.erase_contact(erased, by=house.owner)
    services.merge_contacts(base, mergee, by=house.owner)
    for contact in (erased, mergee):
        ContactNote.objects.create(contact=contact, author=house.person, text="x")
    erase_latecomers()
    move_latecomers()
    assert [note.contact for note in ContactNote.objects.all()] == [base]


def test_the_newest_stands_first(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    for n in range(2):
        services.add_contact_note(conversation.contact, text=f"note {n}", by=house.person)
    shown = logged_in(house.person).get(f"/inbox/{conversation.public_id}/").content.decode()
    assert shown.index("note 1") < shown.index("note 0")
