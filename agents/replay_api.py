"""REST: bringing something once more, one delivery or many (delivery.md 9)."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member
from accounts.permissions import Permission
from accounts.rest.fields import PublicIdField, RefField, StrictSerializer
from accounts.rest.filters import RefFilter
from accounts.rest.views import AccountViewSet
from agents import replaying
from conversations.models import Delivery, Endpoint, Replay, in_sight
from conversations.serializers import DeliverySerializer, NothingSerializer

P = Permission


class ConfirmSerializer(StrictSerializer):
    """`confirm`: a message, although the customer may have got it already."""

    confirm = serializers.BooleanField(default=False)


class ReplayRequestSerializer(StrictSerializer):
    """Which events: `missed` (the endpoint never got them), or by how they ended."""

    state = serializers.ChoiceField(
        choices=[replaying.MISSED, *Delivery.ENDED_STATES], default=replaying.MISSED
    )
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=50, default=list
    )
    limit = serializers.IntegerField(min_value=1, max_value=replaying.MOST, default=replaying.MOST)


class ReplaySerializer(serializers.ModelSerializer[Replay]):
    """`total` were found; `put` are on their way or there, `skipped` could not be sent again."""

    id = PublicIdField()
    endpoint = RefField(Endpoint, read_only=True)
    created_by = RefField(Member, read_only=True, allow_null=True)
    filters = serializers.DictField(read_only=True)
    limit = serializers.IntegerField(source="most", read_only=True)

    class Meta:
        model = Replay
        fields = [
            "id", "endpoint", "state", "filters", "limit", "total", "put", "skipped", "created_by",
            "created_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields


class DeliveryReplayViewSet(AccountViewSet):
    """One delivery once more."""

    model = Delivery
    serializer_class = DeliverySerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {"replay": P.DELIVERIES_REPLAY}

    def rows(self) -> QuerySet[Delivery]:
        rows = Delivery.objects.select_related("lane", "endpoint", "message", "conversation")
        return in_sight(rows, self.member, or_none=True)

    @extend_schema(request=ConfirmSerializer, responses={201: DeliverySerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        """Bring what has ended once more: the same id and body, at the tail of its lane.

        409 `not_assigned` when the AI agent does not hold the conversation any more, `not_replayable`
        with the reason, `window_closed`, and `confirmation_needed` for a message that may have arrived.
        """
        delivery = self.get_object()
        confirm: bool = self.shape(ConfirmSerializer)["confirm"]
        return self.answer(replaying.replay(delivery, by=self.member, confirm=confirm), status=201)


class EndpointReplayViewSet(AccountViewSet):
    """The events of an AI agent's or subscriber's address once more, slowly."""

    model = Endpoint
    serializer_class = ReplaySerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {"replay": P.DELIVERIES_REPLAY}

    def rows(self) -> QuerySet[Endpoint]:
        return Endpoint.objects.all()

    @extend_schema(request=ReplayRequestSerializer, responses={202: ReplaySerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: str) -> Response:  # noqa: A002
        """Oldest first, at most a fifth of what the address takes at once, so that nothing new waits."""
        endpoint = self.get_object()
        given = self.shape(ReplayRequestSerializer)
        most: int = given.pop("limit")
        return self.answer(
            replaying.start(endpoint, by=self.member, most=most, **given), status=202
        )


class ReplayFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    endpoint = RefFilter(Endpoint, field_name="endpoint_id")
    state = filters.ChoiceFilter(choices=Replay.State.choices)


class ReplayViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """Bulk replays and how far they are."""

    model = Replay
    serializer_class = ReplaySerializer
    filterset_class = ReplayFilter
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.DELIVERIES_READ,
        "retrieve": P.DELIVERIES_READ,
        "cancel": P.DELIVERIES_REPLAY,
    }

    def rows(self) -> QuerySet[Replay]:
        return Replay.objects.all()

    @extend_schema(request=NothingSerializer, responses=ReplaySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: str) -> Response:  # noqa: A002
        """Put nothing more; what has been put stays."""
        self.shape(NothingSerializer)
        return self.answer(replaying.cancel(self.get_object(), by=self.member))
