"""REST: events to catch up with, and the log of deliveries."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.redaction import hide_callbacks
from accounts.rest.filters import RefFilter, SinceFilter
from accounts.rest.views import AccountViewSet
from conversations.models import (
    Attempt,
    Conversation,
    Delivery,
    Endpoint,
    Event,
    Lane,
    Message,
    in_sight,
)
from conversations.serializers import (
    DeliveryDetailSerializer,
    DeliverySerializer,
    EventSerializer,
)

P = Permission
KEPT = timedelta(days=30)
# An event gets its id before its transaction commits. Readers stay this far behind, so that none
# that commits late is passed over.
SETTLED = timedelta(seconds=2)
_EVENT_ID = re.compile("evt_[0-9a-hjkmnp-tv-z]{26}")


class EventFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    after = filters.CharFilter(method="later")
    conversation = RefFilter(Conversation, field_name="conversation_id")
    type = filters.CharFilter()

    def later(self, rows: Any, name: str, value: str) -> Any:
        """The id of the last event that was read."""
        if not _EVENT_ID.fullmatch(value):
            raise ValidationError({name: _("An event's id.")})
        return rows.filter(pk__gt=value)


class EventViewSet(ListModelMixin, AccountViewSet):
    """What happened, oldest first, for 30 days: `?after=` the last id that was read (DL-84).

    An event appears here two seconds after it happened.
    """

    model = Event
    serializer_class = EventSerializer
    filterset_class = EventFilter
    ordering = ("id",)
    permissions_by_action: ClassVar[dict[str, Permission]] = {"list": P.CONVERSATIONS_READ}

    def rows(self) -> QuerySet[Event]:
        now = timezone.now()
        rows = Event.objects.filter(occurred_at__gt=now - KEPT, occurred_at__lte=now - SETTLED)
        return in_sight(rows, self.member)


class DeliveryFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    endpoint = RefFilter(Endpoint, field_name="endpoint_id")
    conversation = RefFilter(Conversation, field_name="conversation_id")
    message = RefFilter(Message, field_name="message_id")
    state = filters.ChoiceFilter(choices=Delivery.State.choices)
    kind = filters.ChoiceFilter(choices=Lane.Kind.choices)
    event_type = filters.CharFilter()
    since = SinceFilter(field_name="created_at")


class DeliveryViewSet(AccountViewSet):
    """Everything that travelled or still has to, newest first (delivery.md 15)."""

    model = Delivery
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.DELIVERIES_READ,
        "retrieve": P.DELIVERIES_READ,
    }

    def rows(self) -> QuerySet[Delivery]:
        ahead = Delivery.objects.filter(
            lane=OuterRef("lane"),
            sequence__lt=OuterRef("sequence"),
            state__in=Delivery.OPEN_STATES,
        )
        seen = in_sight(Delivery.objects.all(), self.member, or_none=True)
        return seen.select_related("lane").annotate(is_behind=Exists(ahead))

    def list(self, request: Request) -> Response:
        return self.page(self.filter_queryset(self.get_queryset()).defer("body_sealed"))

    @extend_schema(responses=DeliveryDetailSerializer)
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        """With every attempt; the request's body for those who may send it again."""
        log = Prefetch("attempt_log", Attempt.objects.order_by("n"))
        delivery = self.find(self.get_queryset().prefetch_related(log), id)
        delivery.request_body = None
        if self.may(P.DELIVERIES_REPLAY):
            body = delivery.body.decode("utf-8", errors="replace")
            delivery.request_body = hide_callbacks(body)
        return Response(DeliveryDetailSerializer(delivery).data)
