"""REST: inboxes, what can be connected, and the search for what happened."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.views import AccountViewSet
from conversations.models import Event, Inbox
from conversations.serializers import NothingSerializer
from integrations import registry, removing, services
from integrations.serializers import (
    InboxChangeSerializer,
    InboxDetailSerializer,
    InboxSerializer,
    NewInboxSerializer,
    PlatformSerializer,
    TraceSerializer,
    check_values,
)
from integrations.tracing import trace

P = Permission


class InboxFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    platform = filters.CharFilter()
    state = filters.ChoiceFilter(choices=Inbox.State.choices)


class InboxViewSet(AccountViewSet):
    """Connected channel accounts. Credentials are written and never read."""

    model = Inbox
    serializer_class = InboxSerializer
    fresh_actions = frozenset({"rotate_address", "destroy"})
    filterset_class = InboxFilter
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.INBOXES_READ,
        "retrieve": P.INBOXES_READ,
        "create": P.INBOXES_WRITE,
        "partial_update": P.INBOXES_WRITE,
        "destroy": P.INBOXES_WRITE,
        "disable": P.INBOXES_WRITE,
        "enable": P.INBOXES_WRITE,
        "rotate_address": P.INBOXES_WRITE,
        "check": P.INBOXES_WRITE,
    }

    def rows(self) -> QuerySet[Inbox]:
        return Inbox.objects.present()

    def list(self, request: Request) -> Response:
        return self.page(self.filter_queryset(self.get_queryset()).defer("credentials_sealed"))

    @extend_schema(responses=InboxDetailSerializer)
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        return self._show(self.get_object())

    @extend_schema(request=NewInboxSerializer, responses={201: InboxDetailSerializer})
    def create(self, request: Request) -> Response:
        given = self.shape(NewInboxSerializer)
        inbox = services.connect_inbox(
            platform=given["platform"],
            name=given["name"],
            values=given.get("fields", {}),
            fallback_team=given.get("fallback_team"),
            by=self.member,
        )
        return self._show(inbox, status=201)

    @extend_schema(request=InboxChangeSerializer, responses=InboxDetailSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        """A secret that is left out or empty stays as it is."""
        inbox = self._locked(id)
        given = self.shape(InboxChangeSerializer, partial=True)
        check_values(inbox.platform, given.get("fields", {}), complete=False)
        services.change_inbox(
            inbox,
            by=self.member,
            name=given.get("name", inbox.name),
            fallback_team=given.get("fallback_team", inbox.fallback_team),
            values=given.get("fields", {}),
        )
        return self._show(inbox)

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        """For good: its open conversations are resolved, its secrets forgotten, and what was said stays."""
        removing.remove_inbox(self._locked(id), by=self.member)
        return Response(status=204)

    @extend_schema(request=NothingSerializer, responses=InboxDetailSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, id: str) -> Response:  # noqa: A002
        """Nothing is received and nothing is sent; what waits, waits."""
        return self._switch(id, on=False)

    @extend_schema(request=NothingSerializer, responses=InboxDetailSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, id: str) -> Response:  # noqa: A002
        return self._switch(id, on=True)

    @extend_schema(request=NothingSerializer, responses=InboxDetailSerializer)
    @action(detail=True, methods=["post"])
    def rotate_address(self, request: Request, id: str) -> Response:  # noqa: A002
        """A new `hook_url`; the one before works for another week."""
        self.shape(NothingSerializer)
        inbox = self._locked(id)
        services.rotate_address(inbox, by=self.member)
        return self._show(inbox)

    @extend_schema(request=NothingSerializer, responses={202: InboxDetailSerializer})
    @action(detail=True, methods=["post"])
    def check(self, request: Request, id: str) -> Response:  # noqa: A002
        """Test the connection step by step; the result comes into `health.check`."""
        self.shape(NothingSerializer)
        inbox = self._locked(id)
        services.start_check(inbox, by=self.member)
        return self._show(inbox, status=202)

    def _switch(self, public_id: str, *, on: bool) -> Response:
        self.shape(NothingSerializer)
        return self._show(services.switch(self._locked(public_id), on=on, by=self.member))

    def _locked(self, public_id: str) -> Inbox:
        inbox: Inbox = self.find(self.get_queryset(), public_id, lock=True)
        return inbox

    def _show(self, inbox: Inbox, *, status: int = 200) -> Response:
        context = {"may_set_up": self.may(P.INBOXES_WRITE) and self.proved}
        return Response(InboxDetailSerializer(inbox, context=context).data, status=status)


class PlatformViewSet(AccountViewSet):
    """What can be connected, and what it asks for. Not a page: there are a handful."""

    model = Inbox
    serializer_class = PlatformSerializer
    pagination_class = None  # type: ignore[assignment]
    permissions_by_action: ClassVar[dict[str, Permission]] = {"list": P.INBOXES_READ}

    def list(self, request: Request) -> Response:
        known = [
            {"slug": each.slug, "name": each.name, "fields": each.channel.fields}
            for each in registry.all_platforms()
            if each.channel and each.connectable
        ]
        return Response(PlatformSerializer(known, many=True).data)


NOTHING_FOUND: dict[str, Any] = {
    "kind": None, "conversation": None, "choices": [], "lines": [], "older": None,
}  # fmt: skip


class TraceViewSet(AccountViewSet):
    """Everything that happened because of one thing, in order of time (delivery.md 15)."""

    model = Event
    serializer_class = TraceSerializer
    pagination_class = None  # type: ignore[assignment]
    permissions_by_action: ClassVar[dict[str, Permission]] = {"list": P.DELIVERIES_READ}
    query_by_action: ClassVar[dict[str, frozenset[str]]] = {"list": frozenset({"q", "before"})}

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "q",
                description="A phone number, a `webhook-id`, `#12`, the platform's id of a message, or an"
                " id of ours: `msg_`, `evt_`, `dlv_`, `rcp_`, `cnv_`.",
                required=True,
            ),
            OpenApiParameter("before", int, description="The `older` of the page before."),
        ],
        responses=TraceSerializer,
    )
    def list(self, request: Request) -> Response:
        """The story of one turn, oldest first; of a whole conversation newest first, in pages."""
        query = request.query_params.get("q", "").strip()
        if not query:
            raise ValidationError({"q": [_("Say what to search for.")]})
        before = request.query_params.get("before", "0")
        if not (before.isascii() and before.isdecimal() and len(before) < 19):
            raise ValidationError({"before": [_("Take it from `older`.")]})
        found = trace(query, self.member, before=int(before))
        if found is None:
            return Response(NOTHING_FOUND)
        return Response({**TraceSerializer(found).data, "older": found.older or None})
