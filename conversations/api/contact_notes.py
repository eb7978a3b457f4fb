"""REST: what people write down about contacts."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.views import AccountViewSet
from conversations import services
from conversations.api.contacts import contact_by_id, contacts_of
from conversations.models import Contact, ContactNote
from conversations.serializers import ContactNoteChangeSerializer, ContactNoteSerializer

P = Permission


class ContactNoteViewSet(AccountViewSet):
    """Notes about a customer, newest first, for people only: neither the customer nor an AI agent reads them."""

    model = ContactNote
    serializer_class = ContactNoteSerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONTACTS_READ,
        "retrieve": P.CONTACTS_READ,
        "create": P.CONTACTS_WRITE,
        "partial_update": P.CONTACTS_WRITE,
        "destroy": P.CONTACTS_WRITE,
    }

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if self.member.is_agent:
            raise PermissionDenied(_("Only people can do this."))

    def contact(self) -> Contact:
        contact: Contact = contact_by_id(self, contacts_of(self.member), self.kwargs["contact_id"])
        return contact

    def rows(self) -> QuerySet[ContactNote]:
        rows = ContactNote.objects.filter(contact=self.contact())
        return rows.select_related("author", "contact")

    def list(self, request: Request, contact_id: str) -> Response:
        return self.page()

    def retrieve(self, request: Request, contact_id: str, id: str) -> Response:  # noqa: A002
        return self.answer(self.get_object())

    @extend_schema(request=ContactNoteChangeSerializer, responses={201: ContactNoteSerializer})
    def create(self, request: Request, contact_id: str) -> Response:
        """Write something down, up to 10,000 letters."""
        given = self.shape(ContactNoteChangeSerializer)
        note = services.add_contact_note(self.contact(), by=self.member, **given)
        return self.answer(note, status=201)

    @extend_schema(request=ContactNoteChangeSerializer, responses=ContactNoteSerializer)
    def partial_update(self, request: Request, contact_id: str, id: str) -> Response:  # noqa: A002
        """Its author stays who wrote it first."""
        given: dict[str, Any] = self.shape(ContactNoteChangeSerializer)
        note = services.change_contact_note(self.get_object(), by=self.member, **given)
        return self.answer(note)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, contact_id: str, id: str) -> Response:  # noqa: A002
        services.delete_contact_note(self.get_object(), by=self.member)
        return Response(status=204)
