"""Shapes of what an account sets up for its desk."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import Team
from accounts.rest.fields import PublicIdField, RefField, StrictSerializer
from conversations.models import SavedReply


class SavedReplySerializer(serializers.ModelSerializer[SavedReply]):
    id = PublicIdField()
    team = RefField(Team, read_only=True, allow_null=True)

    class Meta:
        model = SavedReply
        fields = ["id", "code", "text", "team", "created_at", "updated_at"]
        read_only_fields = fields


class SavedReplyChangeSerializer(StrictSerializer):
    code = serializers.CharField(max_length=60)
    text = serializers.CharField(max_length=10_000, trim_whitespace=False)
    team = RefField(Team, required=False, allow_null=True, help_text="Null: for everybody.")
