"""REST: what an account sets up for its desk."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Team
from accounts.permissions import Permission
from accounts.rest.filters import RefFilter, SinceFilter, search_words
from accounts.rest.views import AccountViewSet
from conversations import services
from conversations.models import AttributeDefinition, Label, SavedReply
from conversations.setup_serializers import (
    AttributeDefinitionSerializer,
    DefinitionChangeSerializer,
    LabelChangeSerializer,
    LabelSerializer,
    NewDefinitionSerializer,
    SavedReplyChangeSerializer,
    SavedReplySerializer,
)

P = Permission


class SavedReplyFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    q = filters.CharFilter(method="search")
    code = filters.CharFilter()
    team = RefFilter(Team, field_name="team_id")
    updated_since = SinceFilter(field_name="updated_at")

    def search(self, rows: Any, name: str, value: str) -> Any:
        """In the code and in the text."""
        return rows.matching(search_words(value))


class SavedReplyViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """Texts that are sent again and again. Owners and admins see all and write all, others everybody's and
    their teams'."""

    model = SavedReply
    serializer_class = SavedReplySerializer
    filterset_class = SavedReplyFilter
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONFIG_READ,
        "retrieve": P.CONFIG_READ,
        "create": P.CONFIG_WRITE,
        "partial_update": P.CONFIG_WRITE,
        "destroy": P.CONFIG_WRITE,
    }

    def rows(self) -> QuerySet[SavedReply]:
        found: QuerySet[SavedReply] = SavedReply.objects.usable_by(self.member)
        return found

    @extend_schema(request=SavedReplyChangeSerializer, responses={201: SavedReplySerializer})
    def create(self, request: Request) -> Response:
        given = self.shape(SavedReplyChangeSerializer)
        return self.answer(services.create_saved_reply(by=self.member, **given), status=201)

    @extend_schema(request=SavedReplyChangeSerializer, responses=SavedReplySerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        changes = self.shape(SavedReplyChangeSerializer, partial=True)
        reply = services.update_saved_reply(self.get_object(), by=self.member, **changes)
        return self.answer(reply)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        services.delete_saved_reply(self.get_object(), by=self.member)
        return Response(status=204)


class LabelFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    q = filters.CharFilter(method="search")
    name = filters.CharFilter()
    in_filters = filters.BooleanFilter()

    def search(self, rows: Any, name: str, value: str) -> Any:
        """In the name."""
        return rows.filter(name__icontains=search_words(value))


class LabelViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """Labels of conversations and contacts. Deleting one takes it off everything that has it."""

    model = Label
    serializer_class = LabelSerializer
    filterset_class = LabelFilter
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
        given = self.shape(LabelChangeSerializer)
        return self.answer(services.create_label(by=self.member, **given), status=201)

    @extend_schema(request=LabelChangeSerializer, responses=LabelSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        changes = self.shape(LabelChangeSerializer, partial=True)
        return self.answer(services.update_label(self.get_object(), by=self.member, **changes))

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        services.delete_label(self.get_object(), by=self.member)
        return Response(status=204)


class DefinitionFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    of = filters.ChoiceFilter(choices=AttributeDefinition.Of.choices)
    key = filters.CharFilter()
    kind = filters.ChoiceFilter(choices=AttributeDefinition.Kind.choices)


class AttributeDefinitionViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """What stands in the attributes of contacts and conversations. Values that do not fit are refused."""

    model = AttributeDefinition
    serializer_class = AttributeDefinitionSerializer
    filterset_class = DefinitionFilter
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONFIG_READ,
        "retrieve": P.CONFIG_READ,
        "create": P.CONFIG_WRITE,
        "partial_update": P.CONFIG_WRITE,
        "destroy": P.CONFIG_WRITE,
    }

    def rows(self) -> QuerySet[AttributeDefinition]:
        return AttributeDefinition.objects.all()

    @extend_schema(request=NewDefinitionSerializer, responses={201: AttributeDefinitionSerializer})
    def create(self, request: Request) -> Response:
        given = self.shape(NewDefinitionSerializer)
        return self.answer(services.define_attribute(by=self.member, **given), status=201)

    @extend_schema(request=DefinitionChangeSerializer, responses=AttributeDefinitionSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        """Everything but `of` and `key`; what stands there already stays."""
        changes = self.shape(DefinitionChangeSerializer, partial=True)
        definition = services.update_definition(self.get_object(), by=self.member, **changes)
        return self.answer(definition)

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        """The values stay, and may be anything from now on."""
        services.delete_definition(self.get_object(), by=self.member)
        return Response(status=204)
