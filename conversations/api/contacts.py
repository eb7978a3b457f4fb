"""REST: contacts and labels."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.filters import SinceFilter, search_words
from accounts.rest.views import AccountViewSet
from conversations.models import Contact, Conversation, Label, sees_all
from conversations.serializers import (
    ContactChangeSerializer,
    ContactSerializer,
    LabelChangeSerializer,
    LabelSerializer,
)
from conversations.services import erase_contact, update_contact

P = Permission


class ContactFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    q = filters.CharFilter(method="search")
    phone = filters.CharFilter()
    email = filters.CharFilter(lookup_expr="iexact")
    blocked = filters.BooleanFilter()
    updated_since = SinceFilter(field_name="updated_at")

    def search(self, rows: Any, name: str, value: str) -> Any:
        """In name, phone and e-mail."""
        words = search_words(value)
        return rows.filter(
            Q(name__icontains=words)
            | Q(phone__contains=words.replace(" ", ""))
            | Q(email__icontains=words)
        )


class ContactViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """The customers. They come by writing; who does not see all conversations sees those of theirs."""

    model = Contact
    serializer_class = ContactSerializer
    filterset_class = ContactFilter
    ordering = ("-updated_at", "-id")
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONTACTS_READ,
        "retrieve": P.CONTACTS_READ,
        "partial_update": P.CONTACTS_WRITE,
        "destroy": P.CONTACTS_ERASE,
    }
    fresh_actions = frozenset({"destroy"})

    def rows(self) -> QuerySet[Contact]:
        if sees_all(self.member):
            return Contact.objects.all()
        seen = Conversation.objects.visible_to(self.member)
        return Contact.objects.filter(pk__in=seen.values("contact"))

    @extend_schema(request=ContactChangeSerializer, responses=ContactSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        changes = self.shape(ContactChangeSerializer, partial=True)
        return self.answer(update_contact(self.get_object(), by=self.member, **changes))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        """Erase the contact for good: what was said goes, numbers stay, nothing more is sent."""
        erase_contact(self.get_object(), by=self.member)
        return Response(status=204)


class LabelViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """Labels of conversations."""

    model = Label
    serializer_class = LabelSerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONFIG_READ,
        "retrieve": P.CONFIG_READ,
        "create": P.CONFIG_WRITE,
        "partial_update": P.CONFIG_WRITE,
        "destroy": P.CONFIG_WRITE,
    }

    def rows(self) -> QuerySet[Label]:
        return Label.objects.all()

    @extend_schema(request=LabelChangeSerializer, responses={201: LabelSerializer})
    def create(self, request: Request) -> Response:
        label = Label(**self.shape(LabelChangeSerializer))
        return self.answer(_saved(label), status=201)

    @extend_schema(request=LabelChangeSerializer, responses=LabelSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        label = self.get_object()
        for name, value in self.shape(LabelChangeSerializer, partial=True).items():
            setattr(label, name, value)
        return self.answer(_saved(label))

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        self.get_object().delete()
        return Response(status=204)


def _saved(label: Label) -> Label:
    try:
        with transaction.atomic():
            label.save()
    except IntegrityError as error:
        raise ValidationError(
            {"name": _("There is a label of this name already.")}, code="already_exists"
        ) from error
    return label
