"""Shapes of inboxes. Secrets go in and never come out (SX-51)."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Team
from accounts.rest.fields import PublicIdField, RefField, StrictSerializer
from conversations import channels
from conversations.models import Conversation, Inbox
from integrations import registry, routes, services


class InboxSecretSerializer(serializers.Serializer[Any]):
    """“Set, ends in ..abcd”."""

    name = serializers.CharField()
    set_at = serializers.DateTimeField(allow_null=True)
    ends_in = serializers.CharField(source="ending")


class InboxSerializer(serializers.ModelSerializer[Inbox]):
    id = PublicIdField()
    config = serializers.DictField(read_only=True)
    health = serializers.DictField(read_only=True)
    fallback_team = RefField(Team, read_only=True, allow_null=True)

    class Meta:
        model = Inbox
        fields = [
            "id", "platform", "name", "state", "config", "fallback_team", "health", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class InboxDetailSerializer(InboxSerializer):
    """With its address for those who may set it up, and what may be said of its secrets."""

    secrets = serializers.SerializerMethodField()
    hook_url = serializers.SerializerMethodField()

    class Meta(InboxSerializer.Meta):
        fields = [*InboxSerializer.Meta.fields, "secrets", "hook_url"]
        read_only_fields = fields

    @extend_schema_field(InboxSecretSerializer(many=True))
    def get_secrets(self, inbox: Inbox) -> Any:
        return InboxSecretSerializer(services.stored_secrets(inbox), many=True).data

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_hook_url(self, inbox: Inbox) -> str | None:
        """Where the platform delivers; null for those who may not set inboxes up, and for a session
        whose last proof is more than ten minutes old."""
        return routes.hook_url(inbox) or None if self.context.get("may_set_up") else None


class InboxChangeSerializer(StrictSerializer):
    """`fields` answers what the channel asks for (`/v1/platforms/`); secrets are write-only."""

    name = serializers.CharField(max_length=120)
    fallback_team = RefField(Team, allow_null=True, required=False)
    fields = serializers.DictField(  # type: ignore[assignment]  # the name on the wire
        child=serializers.CharField(max_length=4000, allow_blank=True), required=False
    )


class NewInboxSerializer(InboxChangeSerializer):
    platform = serializers.CharField(max_length=30)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        connectable = {known.slug for known in registry.all_platforms() if known.channel}
        if attrs["platform"] not in connectable:
            raise serializers.ValidationError(
                {
                    "platform": _("Connected can be: %(names)s.")
                    % {"names": ", ".join(sorted(connectable))}
                }
            )
        check_values(attrs["platform"], attrs.get("fields", {}), complete=True)
        return attrs


def check_values(platform: str, values: dict[str, str], *, complete: bool) -> None:
    """Every name is one of the channel's fields, and with `complete` none that it needs is missing."""
    fields = {field.name: field for field in channels.get(platform).fields}
    errors = {
        f"fields.{name}": [_("This channel has no such field.")]
        for name in values
        if name not in fields
    }
    for name, field in fields.items():
        if (
            not field.secret and name in values and field.required and not values[name].strip()
        ) or (complete and field.required and not values.get(name, "").strip()):
            errors[f"fields.{name}"] = [_("This field is needed.")]
        elif sentence := field.refusal(values.get(name, "")):
            errors[f"fields.{name}"] = [sentence]
    if errors:
        raise serializers.ValidationError(errors)


class PlatformFieldSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the name on the wire
    secret = serializers.BooleanField()
    required = serializers.BooleanField()  # type: ignore[assignment]  # the name on the wire
    help = serializers.CharField()
    choices = serializers.DictField(
        child=serializers.CharField(), help_text="Values and how they are called; empty: any text."
    )


class PlatformSerializer(serializers.Serializer[Any]):
    """A channel that can be connected, and what it asks for."""

    slug = serializers.CharField()
    name = serializers.CharField()
    fields = PlatformFieldSerializer(many=True)  # type: ignore[assignment]  # the name on the wire


class TraceLineSerializer(serializers.Serializer[Any]):
    """One thing that happened; `code` and `ids` are for programs, the rest is for people."""

    at = serializers.DateTimeField()
    kind = serializers.CharField()
    code = serializers.CharField()
    title = serializers.CharField()
    outcome = serializers.CharField()
    detail = serializers.CharField()
    ids = serializers.ListField(child=serializers.CharField())
    marked = serializers.BooleanField()


class TraceSerializer(serializers.Serializer[Any]):
    """What a search led to. `kind` says what was named; null: nothing was found.

    `choices` are conversations, when a phone number has several. `older` goes into `before`.
    """

    kind = serializers.CharField(allow_null=True)
    conversation = RefField(Conversation, read_only=True, allow_null=True)
    choices = RefField(Conversation, many=True, read_only=True)
    lines = TraceLineSerializer(many=True)
    older = serializers.IntegerField(allow_null=True)
