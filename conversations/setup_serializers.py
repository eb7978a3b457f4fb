"""Shapes of what an account sets up for its desk."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import Team
from accounts.rest.fields import PublicIdField, RefField, StrictSerializer
from conversations.models import AttributeDefinition, Label, SavedReply


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


class LabelSerializer(serializers.ModelSerializer[Label]):
    id = PublicIdField()

    class Meta:
        model = Label
        fields = ["id", "name", "colour", "description", "in_filters"]
        read_only_fields = fields


class LabelChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=60)
    colour = serializers.RegexField(
        "^([a-z]{1,12}|#[0-9a-fA-F]{6})$",
        required=False,
        help_text="slate, blue, teal, green, amber, red, pink, violet; or #rrggbb.",
    )
    description = serializers.CharField(max_length=250, allow_blank=True, required=False)
    in_filters = serializers.BooleanField(required=False)


class AttributeDefinitionSerializer(serializers.ModelSerializer[AttributeDefinition]):
    id = PublicIdField()

    class Meta:
        model = AttributeDefinition
        fields = [
            "id", "of", "key", "name", "description", "kind", "values", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class DefinitionChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=250, allow_blank=True, required=False)
    kind = serializers.ChoiceField(choices=AttributeDefinition.Kind.choices, required=False)
    values = serializers.ListField(
        child=serializers.CharField(max_length=250),
        max_length=200,
        required=False,
        help_text="What a list offers.",
    )


class NewDefinitionSerializer(DefinitionChangeSerializer):
    of = serializers.ChoiceField(choices=AttributeDefinition.Of.choices)
    key = serializers.CharField(max_length=60)
