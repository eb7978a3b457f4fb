"""REST: the webhooks of integrators."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import ClassVar

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import Throttled
from rest_framework.mixins import ListModelMixin
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.views import AccountViewSet, check_match
from agents import addresses
from agents.serializers import GraceSerializer, SecretSerializer
from conversations.models import Endpoint, EndpointSecret
from conversations.serializers import DeliverySerializer, NothingSerializer
from integrations.subscribers import services
from integrations.subscribers.catalogue import EVENT_TYPES
from integrations.subscribers.serializers import (
    CreatedWebhookSerializer,
    EventTypeSerializer,
    WebhookChangeSerializer,
    WebhookSerializer,
)
from integrations.subscribers.services import TooManyTestsError

P = Permission


class WebhookViewSet(ListModelMixin, AccountViewSet):
    """Addresses of yours that get what happens. A secret is shown once, in the answer that makes it.

    What was sent to one of them: `/v1/deliveries/?endpoint=` with its id.
    """

    model = Endpoint
    serializer_class = WebhookSerializer
    fresh_actions = frozenset({"create", "destroy", "rotate_secret"})
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.WEBHOOKS_READ,
        "retrieve": P.WEBHOOKS_READ,
        "event_types": P.WEBHOOKS_READ,
        "create": P.WEBHOOKS_WRITE,
        "partial_update": P.WEBHOOKS_WRITE,
        "destroy": P.WEBHOOKS_WRITE,
        "rotate_secret": P.WEBHOOKS_WRITE,
        "test": P.WEBHOOKS_WRITE,
        "enable": P.WEBHOOKS_WRITE,
        "disable": P.WEBHOOKS_WRITE,
    }

    def before_transaction(self, request: Request) -> None:
        if self.action in ("create", "partial_update"):
            addresses.refuse_bad(request)

    def rows(self) -> QuerySet[Endpoint]:
        secrets = EndpointSecret.objects.defer("sealed")
        return services.subscribers().prefetch_related(Prefetch("secrets", secrets))

    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        return self._show(self.get_object())

    @extend_schema(request=WebhookChangeSerializer, responses={201: CreatedWebhookSerializer})
    def create(self, request: Request) -> Response:
        given = self.shape(WebhookChangeSerializer)
        made = services.create_subscriber(by=self.member, **given)
        endpoint = self.rows().get(pk=made.endpoint.pk)
        shown = {**self.get_serializer(endpoint).data, "secret": made.secret}
        return Response(shown, status=201, headers={"ETag": tag_of(endpoint)})

    @extend_schema(request=WebhookChangeSerializer, responses=WebhookSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        """With `If-Match`, only if nobody has changed it since (412). What waits goes to the new address."""
        self.find(services.subscribers(), id, lock=True)
        endpoint = self.get_object()
        check_match(request, tag_of(endpoint))
        given = self.shape(WebhookChangeSerializer, partial=True)
        if given.get("url", endpoint.url) != endpoint.url:
            self.require_fresh()
        services.change_subscriber(endpoint, by=self.member, **given)
        return self._show(self.get_object())

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        """What waits for it is canceled. There is no way back."""
        endpoint = self.get_object()
        check_match(request, tag_of(endpoint))
        services.delete_subscriber(endpoint, by=self.member)
        return Response(status=204)

    @extend_schema(request=GraceSerializer, responses=SecretSerializer)
    @action(detail=True, methods=["post"])
    def rotate_secret(self, request: Request, id: str) -> Response:  # noqa: A002
        """A new signing secret; the old one signs beside it for `grace_hours`."""
        grace = timedelta(hours=self.shape(GraceSerializer)["grace_hours"])
        secret = services.rotate_secret(self.get_object(), by=self.member, grace=grace)
        return Response({"secret": secret})

    @extend_schema(request=NothingSerializer, responses={202: DeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:  # noqa: A002
        """Send `webhook.test`, once, at most ten times a minute; look its delivery up for the answer."""
        self.shape(NothingSerializer)
        try:
            delivery = services.send_test(self.get_object(), by=self.member)
        except TooManyTestsError as error:
            raise Throttled(error.wait, error.message) from error
        return Response(DeliverySerializer(delivery).data, status=202)

    @extend_schema(request=NothingSerializer, responses=WebhookSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, id: str) -> Response:  # noqa: A002
        """Call it again. Nothing old is sent by itself."""
        self.shape(NothingSerializer)
        services.switch_on(self.get_object(), by=self.member)
        return self._show(self.get_object())

    @extend_schema(request=NothingSerializer, responses=WebhookSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, id: str) -> Response:  # noqa: A002
        """Call it no more; what waits is canceled."""
        self.shape(NothingSerializer)
        services.switch_off(self.get_object(), by=self.member)
        return self._show(self.get_object())

    @extend_schema(responses=EventTypeSerializer(many=True))
    @action(detail=False, methods=["get"], pagination_class=None)
    def event_types(self, request: Request) -> Response:
        """What can be subscribed to."""
        known = [{"type": name, "description": words} for name, words in EVENT_TYPES.items()]
        return Response(EventTypeSerializer(known, many=True).data)

    def _show(self, endpoint: Endpoint) -> Response:
        return self.answer(endpoint, headers={"ETag": tag_of(endpoint)})


def tag_of(endpoint: Endpoint) -> str:
    """The state of a webhook as people set it; its health changes by itself and does not count."""
    shown = {
        name: value for name, value in WebhookSerializer(endpoint).data.items() if name != "health"
    }
    return f'"{hashlib.sha256(JSONRenderer().render(shown)).hexdigest()[:20]}"'
