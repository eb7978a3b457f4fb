"""REST: what was done in a period."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member, Team
from accounts.permissions import Permission, Role
from accounts.rest.views import AccountViewSet
from conversations import reports
from conversations.models import Conversation
from conversations.reports import By

LONGEST = timedelta(days=366)
# What is shown when nobody says which.
USUAL = timedelta(days=7)
# What each role may read, the first one without being asked (security.md 2: A, A, T, own).
READABLE: dict[str, tuple[By, ...]] = {
    Role.OWNER: tuple(By),
    Role.ADMIN: tuple(By),
    Role.SUPERVISOR: (By.TEAM, By.MEMBER),
    Role.PERSON: (By.MEMBER,),
}


class PeriodSerializer(serializers.Serializer[Any]):
    """The query of a summary."""

    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    type = serializers.ChoiceField(choices=[by.value for by in By], required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.setdefault("until", timezone.now())
        attrs.setdefault("since", attrs["until"] - USUAL)
        if not timedelta(0) < attrs["until"] - attrs["since"] <= LONGEST:
            message = _("It begins before it ends, and is no longer than a year.")
            raise serializers.ValidationError({"since": message})
        return attrs


class SummaryRowSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    conversations = serializers.IntegerField()
    incoming_messages = serializers.IntegerField()
    outgoing_messages = serializers.IntegerField()
    resolutions = serializers.IntegerField()
    avg_first_reply_s = serializers.FloatField(allow_null=True)
    avg_resolution_s = serializers.FloatField(allow_null=True)


class SummarySerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    type = serializers.CharField()
    results = SummaryRowSerializer(many=True)


class ReportViewSet(AccountViewSet):
    """Counts and means. Supervisors read those of their teams, people their own."""

    model = Conversation
    serializer_class = SummarySerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {"summary": Permission.REPORTS_READ}
    query_by_action: ClassVar[dict[str, frozenset[str]]] = {
        "summary": frozenset({"since", "until", "type"})
    }

    @extend_schema(
        parameters=[
            OpenApiParameter("since", str, description="A week before `until`, unless given."),
            OpenApiParameter("until", str, description="Now, unless given; not included."),
            OpenApiParameter("type", str, enum=[by.value for by in By]),
        ],
        responses=SummarySerializer,
    )
    def summary(self, request: Request) -> Response:
        """What was done in a period of up to a year, by account, inbox, member, team or label."""
        query = PeriodSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        readable = READABLE[self.member.role]
        by = By(asked.get("type", readable[0]))
        if by not in readable:
            raise PermissionDenied
        rows = reports.summary(asked["since"], asked["until"], by=by, only=self._own(by))
        found = [reports.as_json(row) for row in rows]
        return self.answer({**asked, "type": by.value, "results": found})

    def _own(self, by: By) -> Collection[int] | None:
        """The keys this caller keeps to; None for all."""
        role = self.member.role
        if role in (Role.OWNER, Role.ADMIN):
            return None
        if role == Role.PERSON:
            return [self.member.pk]
        teams = Team.objects.filter(memberships__member=self.member)
        if by is By.TEAM:
            return set(teams.values_list("pk", flat=True))
        theirs = Member.objects.filter(account=self.account, teams__in=teams)
        return {self.member.pk, *theirs.values_list("pk", flat=True)}
