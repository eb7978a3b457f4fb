"""Shapes of this room's resources."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers

from accounts.models import Account, ApiToken, Invitation, Member, Team, User
from accounts.permissions import Permission, Role
from accounts.rest.fields import PublicIdField, RefField, StrictSerializer, check_names

PERSON_ROLES = [role.value for role in Role if role != Role.AI]
SCOPES = [permission.value for permission in Permission]
MAX_SETTINGS = 100


def checked_time_zone(value: str) -> str:
    """Raises `ValidationError`. The machine's own zone is none that the database knows by this name."""
    if value == "localtime" or value not in zoneinfo.available_timezones():
        raise serializers.ValidationError(_("There is no such time zone."))
    return value


class AccountSerializer(serializers.ModelSerializer[Account]):
    id = PublicIdField()

    class Meta:
        model = Account
        fields = [
            "id", "name", "slug", "locale", "time_zone", "country", "languages",
            "support_access", "people_see", "factor_required", "agents_paused", "on_uncertain",
            "settings", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class AccountChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120, required=False)
    locale = serializers.ChoiceField(
        choices=[code for code, _name in settings.LANGUAGES], required=False
    )
    time_zone = serializers.CharField(max_length=60, required=False)
    country = serializers.RegexField("^[A-Z]{2}$", required=False)
    languages = serializers.ListField(
        child=serializers.RegexField("^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$"),
        max_length=20,
        required=False,
    )
    support_access = serializers.BooleanField(required=False)
    people_see = serializers.ChoiceField(choices=Account.PeopleSee.values, required=False)
    factor_required = serializers.BooleanField(required=False)
    on_uncertain = serializers.ChoiceField(choices=Account.OnUncertain.values, required=False)
    settings = serializers.DictField(child=serializers.JSONField(), required=False)

    def validate_time_zone(self, value: str) -> str:
        return checked_time_zone(value)

    def validate_settings(self, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) > MAX_SETTINGS:
            raise serializers.ValidationError(_("Too many settings."))
        return value


class MemberSerializer(serializers.ModelSerializer[Member]):
    id = PublicIdField()
    email = serializers.EmailField(source="user.email", default=None, read_only=True)

    class Meta:
        model = Member
        fields = ["id", "kind", "name", "role", "email", "active", "created_at"]
        read_only_fields = fields


class MemberChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120, required=False)
    role = serializers.ChoiceField(choices=PERSON_ROLES, required=False)


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    id = PublicIdField()
    invited_by = RefField(Member, read_only=True)
    open = serializers.BooleanField(read_only=True)

    class Meta:
        model = Invitation
        fields = [
            "id", "email", "role", "name", "invited_by", "open", "created_at", "expires_at",
            "accepted_at", "withdrawn_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewInvitationSerializer(StrictSerializer):
    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(choices=PERSON_ROLES, default=Role.PERSON.value)
    name = serializers.CharField(max_length=120, allow_blank=True, default="")


class TeamSerializer(serializers.ModelSerializer[Team]):
    id = PublicIdField()
    members = RefField(Member, many=True, read_only=True)

    class Meta:
        model = Team
        fields = ["id", "name", "description", "members", "created_at"]
        read_only_fields = fields


class TeamChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(max_length=250, allow_blank=True, required=False)
    members = RefField(Member, many=True, required=False)

    def validate_members(self, value: list[Member]) -> list[Member]:
        return check_people(value)


class TeamMembersSerializer(StrictSerializer):
    """Some to `add` and to `remove`, or with `set` the whole team."""

    add = RefField(Member, many=True, default=list)
    remove = RefField(Member, many=True, default=list)
    set = RefField(Member, many=True, required=False)

    def validate_add(self, value: list[Member]) -> list[Member]:
        return check_people(value)

    def validate_set(self, value: list[Member]) -> list[Member]:
        return check_people(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "set" in attrs and (attrs["add"] or attrs["remove"]):
            raise serializers.ValidationError(_("Set them all, or add and remove some."))
        return attrs


def check_people(members: list[Member]) -> list[Member]:
    """Raises `ValidationError` unless all of them can be in a team."""
    if len(members) > 1000 or not all(member.active and member.is_person for member in members):
        raise serializers.ValidationError(_("Only active people can be in a team."))
    return members


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    id = PublicIdField()
    hint = serializers.CharField(source="__str__", read_only=True)
    member = RefField(Member, read_only=True)
    created_by = RefField(Member, read_only=True)

    class Meta:
        model = ApiToken
        fields = [
            "id", "kind", "name", "hint", "member", "scopes", "created_by", "created_at",
            "expires_at", "last_used_at", "revoked_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewTokenSerializer(StrictSerializer):
    kind = serializers.ChoiceField(
        choices=[ApiToken.Kind.PERSONAL.value, ApiToken.Kind.INTEGRATION.value],
        default=ApiToken.Kind.PERSONAL.value,
    )
    name = serializers.CharField(max_length=120)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCOPES), required=False, max_length=len(SCOPES)
    )
    expires_at = serializers.DateTimeField(required=False)

    def validate_expires_at(self, value: Any) -> Any:
        if value <= timezone.now():
            raise serializers.ValidationError(_("Choose a time in the future."))
        return value


class CreatedTokenSerializer(TokenSerializer):
    """With the clear token: the only time it is shown."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class MeSerializer(serializers.Serializer[Any]):
    """Who is asking, and what they may do."""

    account = AccountSerializer()
    member = MemberSerializer()
    permissions = serializers.ListField(child=serializers.CharField())
    token = TokenSerializer(allow_null=True)


# --- /v1/auth/ -----------------------------------------------------------------------------------


class LoginSerializer(StrictSerializer):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=128, trim_whitespace=False)


class FactorSerializer(StrictSerializer):
    ephemeral_token = serializers.CharField(max_length=1000)
    code = serializers.CharField(max_length=40)


class ProofSerializer(StrictSerializer):
    """A code of the second factor; the password of somebody who has none."""

    proof = serializers.CharField(max_length=128, trim_whitespace=False)


class ConfirmedSerializer(serializers.Serializer[Any]):
    """For how many seconds sensitive acts are open."""

    fresh_for = serializers.IntegerField()


class LoginAnswerSerializer(serializers.Serializer[Any]):
    """Either the session is there, or a second factor is due."""

    mfa_required = serializers.BooleanField()
    ephemeral_token = serializers.CharField(required=False)
    expires_in = serializers.IntegerField(required=False)


class UserSerializer(serializers.ModelSerializer[User]):
    id = PublicIdField()
    language = serializers.ChoiceField(choices=settings.LANGUAGES, required=False)

    class Meta:
        model = User
        fields = ["id", "email", "name", "language", "time_zone", "shortcuts_enabled"]
        read_only_fields = ["email"]

    def to_internal_value(self, data: Any) -> Any:
        check_names(data, {"name", "language", "time_zone", "shortcuts_enabled"})
        return super().to_internal_value(data)

    def validate_time_zone(self, value: str) -> str:
        return checked_time_zone(value) if value else value


class PasswordChangeSerializer(StrictSerializer):
    old_password = serializers.CharField(max_length=128, trim_whitespace=False)
    new_password = serializers.CharField(max_length=128, trim_whitespace=False)


class PasswordResetSerializer(StrictSerializer):
    email = serializers.EmailField(max_length=254)


class PasswordResetConfirmSerializer(StrictSerializer):
    uid = serializers.CharField(max_length=60)
    token = serializers.CharField(max_length=100)
    new_password = serializers.CharField(max_length=128, trim_whitespace=False)


class DetailSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()
