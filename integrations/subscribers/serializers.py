"""Shapes of webhooks."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.rest.fields import PublicIdField, StrictSerializer
from agents import addresses
from agents.serializers import EndpointHealthSerializer, SecretHintSerializer
from conversations.models import Endpoint
from integrations.subscribers.catalogue import CHOOSABLE


class WebhookSerializer(serializers.ModelSerializer[Endpoint]):
    id = PublicIdField()
    event_types = serializers.ListField(child=serializers.CharField(), read_only=True)
    secrets = SecretHintSerializer(many=True, read_only=True)
    health = EndpointHealthSerializer(source="*", read_only=True)

    class Meta:
        model = Endpoint
        fields = [
            "id", "name", "url", "state", "event_types", "strict_order", "timeout_s", "secrets",
            "health", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class WebhookChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120)
    url = serializers.CharField(max_length=2000, validators=[addresses.check_printable])
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=40),
        max_length=len(CHOOSABLE),
        required=False,
        help_text="`message.*` is every event about messages, those of later versions too; none, or "
        "`*`, is every event. `*` is kept, and answered, as none.",
    )
    strict_order = serializers.BooleanField(required=False)
    timeout_s = serializers.IntegerField(min_value=5, max_value=30, required=False)


class CreatedWebhookSerializer(WebhookSerializer):
    """With its secret: the only time it is shown here."""

    secret = serializers.CharField(read_only=True)

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]
        read_only_fields = fields


class EventTypeSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    description = serializers.CharField()
