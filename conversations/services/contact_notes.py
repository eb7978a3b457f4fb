"""What people write down about a customer."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member
from conversations.errors import FieldError
from conversations.models import Contact, ContactNote
from conversations.services.contacts import lock_present

MAX_TEXT = 10_000


@transaction.atomic
def add_contact_note(contact: Contact, *, text: str, by: Member) -> ContactNote:
    """Raises `FieldError` for no words or too many, `WrongStateError` for somebody who was erased."""
    contact = lock_present(contact)
    return ContactNote.objects.create(contact=contact, author=by, text=_checked(text))


@transaction.atomic
def change_contact_note(note: ContactNote, *, text: str, by: Member) -> ContactNote:
    """Its author stays who wrote it first. Raises `FieldError`, `WrongStateError`."""
    contact = lock_present(note.contact)
    note.contact, note.text = contact, _checked(text)
    note.save(update_fields=["contact", "text", "updated_at"])
    audit("contact.note_changed", by=by, target=contact)
    return note


@transaction.atomic
def delete_contact_note(note: ContactNote, *, by: Member) -> None:
    audit("contact.note_deleted", by=by, target=note.contact)
    note.delete()


def _checked(text: str) -> str:
    text = text.strip()
    if not 0 < len(text) <= MAX_TEXT or "\x00" in text:
        raise FieldError("text", _("Write a text of up to 10,000 letters."))
    return text
