"""Shapes of agents, rules and decisions."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import Member, Team
from accounts.rest.fields import PublicIdField, RefField, StrictSerializer
from agents import addresses
from agents.models import Agent, AssignmentRule, Decision
from conversations.models import Conversation, Endpoint, EndpointSecret, Inbox


class SecretHintSerializer(serializers.ModelSerializer[EndpointSecret]):
    """What may be said of a secret (SX-51)."""

    ends_in = serializers.CharField(source="hint", read_only=True)

    class Meta:
        model = EndpointSecret
        fields = ["ends_in", "created_at", "expires_at"]
        read_only_fields = fields


class EndpointHealthSerializer(serializers.ModelSerializer[Endpoint]):
    class Meta:
        model = Endpoint
        fields = [
            "state", "disabled_reason", "disabled_at", "consecutive_failures", "last_success_at",
            "last_failure_at", "last_error",
        ]  # fmt: skip
        read_only_fields = fields


class AgentSerializer(serializers.ModelSerializer[Agent]):
    id = PublicIdField()
    member = RefField(Member, read_only=True)
    name = serializers.CharField(read_only=True)
    url = serializers.CharField(source="endpoint.shown_url", read_only=True)
    timeout_s = serializers.IntegerField(source="endpoint.timeout_s", read_only=True)
    endpoint = RefField(Endpoint, read_only=True)
    fallback_team = RefField(Team, read_only=True, allow_null=True)
    inboxes = RefField(Inbox, many=True, read_only=True)
    secrets = SecretHintSerializer(source="endpoint.secrets", many=True, read_only=True)
    health = EndpointHealthSerializer(source="endpoint", read_only=True)

    class Meta:
        model = Agent
        fields = [
            "id", "member", "name", "description", "dialect", "url", "timeout_s", "endpoint",
            "state", "paused_at", "patience_s", "fallback_team", "fallback_text", "stale_gate",
            "inboxes", "secrets", "health", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class AgentChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120)
    url = serializers.CharField(max_length=2000, validators=[addresses.check_printable])
    dialect = serializers.CharField(max_length=30, required=False)
    description = serializers.CharField(max_length=250, allow_blank=True, required=False)
    patience_s = serializers.IntegerField(min_value=10, max_value=1800, required=False)
    timeout_s = serializers.IntegerField(min_value=5, max_value=60, required=False)
    fallback_team = RefField(Team, allow_null=True, required=False)
    fallback_text = serializers.CharField(max_length=1000, allow_blank=True, required=False)
    inboxes = RefField(Inbox, many=True, required=False)
    # Withhold what it says after it has lost the conversation.
    stale_gate = serializers.BooleanField(required=False)


class CreatedAgentSerializer(AgentSerializer):
    """With its secret and token: the only time they are shown."""

    secret = serializers.CharField(read_only=True)
    token = serializers.CharField(read_only=True)

    class Meta(AgentSerializer.Meta):
        fields = [*AgentSerializer.Meta.fields, "secret", "token"]
        read_only_fields = fields


class GraceSerializer(StrictSerializer):
    grace_hours = serializers.IntegerField(min_value=0, max_value=168, default=24)


class SecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField()


class ClearTokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField()


class MovedSerializer(serializers.Serializer[Any]):
    """How many conversations changed hands."""

    conversations = serializers.IntegerField()


class CheckSerializer(serializers.Serializer[Any]):
    """One thing that has to be right; `tone` is ok, warn (it may be why) or danger (it is why)."""

    key = serializers.CharField()
    tone = serializers.CharField()
    title = serializers.CharField()
    detail = serializers.CharField()


class AgentHealthSerializer(serializers.Serializer[Any]):
    """`p95_ms`: how long the slowest 20th of the last day's calls took at least."""

    state = serializers.ChoiceField(choices=Agent.State.choices)
    endpoint = EndpointHealthSerializer()
    open_conversations = serializers.IntegerField()
    deliveries_last_hour = serializers.DictField(child=serializers.IntegerField())
    attempts_last_day = serializers.IntegerField()
    errors_last_day = serializers.IntegerField()
    p95_ms = serializers.IntegerField(allow_null=True)
    checks = CheckSerializer(many=True)


class RuleSerializer(serializers.ModelSerializer[AssignmentRule]):
    id = PublicIdField()
    condition = serializers.DictField(read_only=True)
    actions = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta:
        model = AssignmentRule
        fields = [
            "id", "name", "position", "event", "condition", "actions", "stop", "enabled",
            "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class RuleContentSerializer(StrictSerializer):
    """What a rule says; `agents.rules` judges it."""

    event = serializers.CharField(max_length=40, default="message.created")
    condition = serializers.DictField(default=dict)
    actions = serializers.ListField(child=serializers.DictField(), max_length=20)


class RuleChangeSerializer(RuleContentSerializer):
    name = serializers.CharField(max_length=120)
    stop = serializers.BooleanField(default=True)
    enabled = serializers.BooleanField(default=True)


class RuleOrderSerializer(StrictSerializer):
    order = serializers.ListField(
        child=serializers.CharField(max_length=40), allow_empty=False, max_length=1000
    )


class VerdictSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    id = PublicIdField()
    conversation = RefField(Conversation, read_only=True)
    facts = serializers.DictField(read_only=True)
    trace = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta:
        model = Decision
        fields = [
            "id", "conversation", "event_id", "event_type", "outcome", "facts", "trace",
            "epoch_before", "epoch_after", "created_at",
        ]  # fmt: skip
        read_only_fields = fields
