"""REST: contacts."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.ids import encode
from accounts.models import Member
from accounts.permissions import Permission
from accounts.rest.filters import SinceFilter, search_words
from accounts.rest.views import AccountViewSet
from conversations.models import Contact, Conversation, Label, sees_all
from conversations.serializers import (
    ContactChangeSerializer,
    ContactSerializer,
    LabelsSerializer,
    MergeSerializer,
)
from conversations.services import (
    add_contact_labels,
    create_contact,
    erase_contact,
    merge_contacts,
    remove_contact_labels,
    set_contact_labels,
    update_contact,
)

P = Permission
_PEOPLES = frozenset({"blocked", "identifier"})


class ContactFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    q = filters.CharFilter(method="search")
    phone = filters.CharFilter()
    email = filters.CharFilter(lookup_expr="iexact")
    identifier = filters.CharFilter()
    blocked = filters.BooleanFilter()
    label = filters.CharFilter(method="labelled")
    updated_since = SinceFilter(field_name="updated_at")

    def search(self, rows: Any, name: str, value: str) -> Any:
        """In name, phone, e-mail and identifier."""
        return rows.matching(search_words(value))

    def labelled(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(labels__name=value[:60])


def shown(rows: QuerySet[Contact]) -> QuerySet[Contact]:
    """With what a serialized contact shows, labels too, in the one query."""
    labels = Label.objects.filter(contactlabel__contact=OuterRef("pk")).order_by("name")
    return rows.annotate(label_names=ArraySubquery(labels.values("name")))


def contacts_of(member: Member) -> QuerySet[Contact]:
    """Who is there; who does not see all conversations sees those of theirs."""
    rows: QuerySet[Contact] = Contact.objects.present()
    if sees_all(member):
        return rows
    seen = Conversation.objects.visible_to(member)
    return rows.filter(pk__in=seen.values("contact"))


def contact_by_id(
    view: AccountViewSet, rows: QuerySet[Contact], public_id: str, *, lock: bool = False
) -> Any:
    """Also by the id of somebody who turned out to be this one. Raises `NotFound`."""
    try:
        return AccountViewSet.find(view, rows, public_id, lock=lock)
    except NotFound:
        merged = AccountViewSet.find(view, Contact.objects.exclude(merged_into=None), public_id)
        into = encode(Contact.public_id, merged.merged_into_id)
        return AccountViewSet.find(view, rows, into, lock=lock)


class ContactViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """The customers. They come by writing, or are made before they do; who does not see all conversations
    sees those of theirs. The id of one who was merged leads to the one they are now."""

    model = Contact
    serializer_class = ContactSerializer
    filterset_class = ContactFilter
    ordering = ("-updated_at", "-id")
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONTACTS_READ,
        "retrieve": P.CONTACTS_READ,
        "create": P.CONTACTS_WRITE,
        "partial_update": P.CONTACTS_WRITE,
        "destroy": P.CONTACTS_ERASE,
        "labels": P.CONTACTS_WRITE,
        "merge": P.CONTACTS_ERASE,
    }
    fresh_actions = frozenset({"destroy"})

    def rows(self) -> QuerySet[Contact]:
        return shown(contacts_of(self.member))

    def find(self, rows: QuerySet[Any], public_id: str, *, lock: bool = False) -> Any:
        return contact_by_id(self, rows, public_id, lock=lock)

    @extend_schema(request=ContactChangeSerializer, responses={201: ContactSerializer})
    def create(self, request: Request) -> Response:
        """Somebody who has not written yet, by a name, a phone number, an e-mail or an identifier."""
        given = self.shape(ContactChangeSerializer)
        if self.member.is_agent:
            raise PermissionDenied(_("Only people can do this."))
        made = create_contact(by=self.member, **given)
        return self.answer(shown(Contact.objects.filter(pk=made.pk)).get(), status=201)

    @extend_schema(request=ContactChangeSerializer, responses=ContactSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        """An AI agent changes what it learns; who a contact is and who is let in is people's to say."""
        changes = self.shape(ContactChangeSerializer, partial=True)
        if self.member.is_agent and _PEOPLES & changes.keys():
            raise PermissionDenied(_("Only people can do this."))
        update_contact(self.get_object(), by=self.member, **changes)
        return self.answer(self.get_object())

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        """Erase the contact for good: what was said goes, numbers stay, nothing more is sent."""
        erase_contact(self.get_object(), by=self.member)
        return Response(status=204)

    @extend_schema(request=LabelsSerializer, responses=ContactSerializer)
    @action(detail=True, methods=["post"])
    def labels(self, request: Request, id: str) -> Response:  # noqa: A002
        """Add and remove labels by name, or `set` which there are."""
        given, contact = self.shape(LabelsSerializer), self.get_object()
        if "set" in given:
            set_contact_labels(contact, given["set"])
        else:
            add_contact_labels(contact, given["add"])
            remove_contact_labels(contact, given["remove"])
        return self.answer(self.get_object())

    @extend_schema(request=MergeSerializer, responses=ContactSerializer)
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, id: str) -> Response:  # noqa: A002
        """Make another contact a part of this one, whose own values win. It cannot be taken back."""
        base, given = self.get_object(), self.shape(MergeSerializer)
        merge_contacts(base, given["contact"], by=self.member)
        return self.answer(self.get_object())
