"""REST: what was done in a period, and what is open now."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member, Team
from accounts.permissions import Permission, Role
from accounts.rest.views import AccountViewSet
from accounts.serializers import checked_time_zone
from accounts.tenancy import current_account_id
from conversations import reports
from conversations.models import Conversation, Inbox, Label
from conversations.reports import MEASURES, USUAL, YEARS, By, Every, check_period
from conversations.standing import standing

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
        until = attrs.setdefault("until", timezone.now())
        attrs.setdefault("since", until - USUAL if until.year in YEARS else until)
        check_period(attrs["since"], attrs["until"])
        return attrs


class SeriesQuerySerializer(PeriodSerializer):
    """The query of a series."""

    id = serializers.CharField(required=False, max_length=80)
    of = serializers.ChoiceField(choices=list(MEASURES))
    every = serializers.ChoiceField(choices=[every.value for every in Every], default="day")
    time_zone = serializers.CharField(required=False, max_length=60)

    def validate_time_zone(self, value: str) -> str:
        return checked_time_zone(value)


class NowSerializer(serializers.Serializer[Any]):
    """The query of what is open now."""

    type = serializers.ChoiceField(choices=[by.value for by in By], required=False)


class SummaryRowSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    conversations = serializers.IntegerField()
    incoming_messages = serializers.IntegerField()
    outgoing_messages = serializers.IntegerField()
    resolutions = serializers.IntegerField()
    avg_first_reply_s = serializers.FloatField(allow_null=True)
    avg_resolution_s = serializers.FloatField(allow_null=True)
    avg_reply_s = serializers.FloatField(allow_null=True)


class SummarySerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    type = serializers.CharField()
    results = SummaryRowSerializer(many=True)


class PointSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    value = serializers.FloatField(allow_null=True)
    count = serializers.IntegerField()


class SeriesSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    type = serializers.CharField()
    id = serializers.CharField(allow_null=True)
    of = serializers.CharField()
    every = serializers.CharField()
    time_zone = serializers.CharField()
    results = PointSerializer(many=True)


class StandingRowSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    open = serializers.IntegerField()
    with_ai = serializers.IntegerField()
    unassigned = serializers.IntegerField()
    waiting = serializers.IntegerField()


class StandingSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    type = serializers.CharField()
    results = StandingRowSerializer(many=True)


_TYPE = OpenApiParameter("type", str, enum=[by.value for by in By])
_PERIOD = [
    OpenApiParameter("since", str, description="A week before `until`, unless given."),
    OpenApiParameter("until", str, description="Now, unless given; not included."),
    _TYPE,
]


class ReportViewSet(AccountViewSet):
    """Counts and means. Supervisors read those of their teams, people their own."""

    model = Conversation
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "summary": Permission.REPORTS_READ,
        "series": Permission.REPORTS_READ,
        "now": Permission.REPORTS_READ,
    }
    query_by_action: ClassVar[dict[str, frozenset[str]]] = {
        "summary": frozenset({"since", "until", "type"}),
        "series": frozenset({"since", "until", "type", "id", "of", "every", "time_zone"}),
        "now": frozenset({"type"}),
    }

    @extend_schema(parameters=_PERIOD, responses=SummarySerializer)
    def summary(self, request: Request) -> Response:
        """What was done in a period of up to a year, by account, inbox, member, team or label."""
        asked = self._query(PeriodSerializer)
        by = self._by(asked)
        rows = reports.summary(asked["since"], asked["until"], by=by, only=self._own(by))
        found = [reports.as_json(row) for row in rows]
        return _shown(SummarySerializer, {**asked, "type": by.value, "results": found})

    @extend_schema(
        parameters=[
            *_PERIOD,
            OpenApiParameter("id", str, description="Whose, unless `type` is `account`."),
            OpenApiParameter("of", str, required=True, enum=list(MEASURES)),
            OpenApiParameter("every", str, enum=[every.value for every in Every]),
            OpenApiParameter("time_zone", str, description="The account's, unless given."),
        ],
        responses=SeriesSerializer,
    )
    def series(self, request: Request) -> Response:
        """One number through a period of up to a year: by the hour, day, week, month or year."""
        asked = self._query(SeriesQuerySerializer)
        by, zone = self._by(asked), asked.setdefault("time_zone", self.account.time_zone)
        points = reports.series(
            asked["since"],
            asked["until"],
            of=asked["of"],
            every=Every(asked["every"]),
            zone=ZoneInfo(zone),
            by=by,
            key=self._key(by, asked.setdefault("id", None)),
        )
        found = [asdict(point) for point in points]
        return _shown(SeriesSerializer, {**asked, "type": by.value, "results": found})

    @extend_schema(parameters=[_TYPE], responses=StandingSerializer)
    def now(self, request: Request) -> Response:
        """What is open now, and what it waits for."""
        by = self._by(self._query(NowSerializer))
        found = [reports.as_json(row) for row in standing(by=by, only=self._own(by))]
        return _shown(
            StandingSerializer, {"at": timezone.now(), "type": by.value, "results": found}
        )

    def _query(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        query = serializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        asked: dict[str, Any] = query.validated_data
        return asked

    def _by(self, asked: dict[str, Any]) -> By:
        """What the caller wants to see it by; raises `PermissionDenied`."""
        readable = READABLE[self.member.role]
        by = By(asked.get("type", readable[0]))
        if by not in readable:
            raise PermissionDenied
        return by

    def _key(self, by: By, public_id: str | None) -> int:
        """Whose series it is. Raises `ValidationError`, `NotFound`."""
        if by is By.ACCOUNT:
            return 0
        if public_id is None:
            raise ValidationError({"id": [_("Say whose.")]}, "required")
        rows, own = _ROWS[by](), self._own(by)
        if own is not None:
            rows = rows.filter(pk__in=own)
        key: int = self.find(rows, public_id).pk
        return key

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


# Where the keys of a type are looked up.
_ROWS: dict[By, Callable[[], QuerySet[Any]]] = {
    By.INBOX: lambda: Inbox.objects.only("pk"),
    By.MEMBER: lambda: Member.objects.filter(account=current_account_id()),
    By.TEAM: lambda: Team.objects.all(),
    By.LABEL: lambda: Label.objects.all(),
}


def _shown(serializer: type[serializers.Serializer[Any]], found: dict[str, Any]) -> Response:
    return Response(serializer(found).data)
