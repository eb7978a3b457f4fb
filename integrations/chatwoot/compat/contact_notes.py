"""What people wrote down about a contact."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from conversations import services
from conversations.models import ContactNote
from conversations.services.contact_notes import MAX_TEXT
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import P, nothing
from integrations.chatwoot.compat.contacts import ContactView
from integrations.chatwoot.shapes.parts import Json, seconds
from integrations.chatwoot.shapes.people import agent_json

NOTES = 100


class NoteView(ContactView):
    field_names: ClassVar[dict[str, str]] = {"text": "content"}

    def notes(self, contact_id: str) -> QuerySet[ContactNote]:
        rows = ContactNote.objects.filter(contact=self.contact(contact_id))
        return rows.select_related("author__user", "contact").order_by("-pk")

    def note(self, contact_id: str, pk: str) -> ContactNote:
        note: ContactNote = self.find(self.notes(contact_id), pk=int(pk))
        return note

    def content(self, default: str = "") -> str:
        """What the request says, bare or inside `note`."""
        given = params.inside(self.params, "note")
        return params.text(given, "content", default, most=2 * MAX_TEXT)


class ContactNotes(NoteView):
    """`/contacts/{id}/notes`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONTACTS_READ,
        "post": P.CONTACTS_WRITE,
    }

    def get(self, request: Request, contact_id: str) -> Response:
        """The newest first, 100 a `page`."""
        start = (params.page(self.params) - 1) * NOTES
        notes = self.notes(contact_id)[start : start + NOTES]
        return Response([note_json(note) for note in notes])

    def post(self, request: Request, contact_id: str) -> Response:
        contact = self.contact(contact_id)
        note = services.add_contact_note(contact, text=self.content(), by=self.member)
        return Response(note_json(note))


class OneContactNote(NoteView):
    """`/contacts/{id}/notes/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONTACTS_READ,
        "patch": P.CONTACTS_WRITE,
        "put": P.CONTACTS_WRITE,
        "delete": P.CONTACTS_WRITE,
    }

    def get(self, request: Request, contact_id: str, note_id: str) -> Response:
        return Response(note_json(self.note(contact_id, note_id)))

    def patch(self, request: Request, contact_id: str, note_id: str) -> Response:
        note = self.note(contact_id, note_id)
        text = self.content(note.text)
        return Response(note_json(services.change_contact_note(note, text=text, by=self.member)))

    put = patch

    def delete(self, request: Request, contact_id: str, note_id: str) -> Response:
        services.delete_contact_note(self.note(contact_id, note_id), by=self.member)
        return nothing()


def note_json(note: ContactNote) -> Json:
    """`user` is missing where nobody is known to have written it."""
    shown: Json = {
        "id": note.pk,
        "content": note.text,
        "account_id": note.account_id,
        "contact_id": note.contact_id,
        "created_at": seconds(note.created_at),
        "updated_at": seconds(note.updated_at),
    }
    return {**shown, "user": agent_json(note.author)} if note.author is not None else shown
