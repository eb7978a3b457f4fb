"""Reports: what was done in a period, step by step or in one, and what is open now. For administrators."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import ClassVar

from django.db.models import QuerySet
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member, Team
from accounts.permissions import Permission
from conversations import reports
from conversations.ai_reports import ai_numbers
from conversations.models import Inbox, Label
from conversations.reports import By, Every, Numbers, check_period
from conversations.standing import Standing, standing
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import P
from integrations.chatwoot.compat.people import PeopleView
from integrations.chatwoot.errors import missing, unprocessable
from integrations.chatwoot.shapes.parts import Json, seconds
from integrations.chatwoot.shapes.people import availability, role_of

TYPES = {
    "account": By.ACCOUNT,
    "agent": By.MEMBER,
    "inbox": By.INBOX,
    "label": By.LABEL,
    "team": By.TEAM,
}
# Their name of each of our numbers.
METRICS = {
    "conversations_count": "conversations",
    "incoming_messages_count": "incoming_messages",
    "outgoing_messages_count": "outgoing_messages",
    "resolutions_count": "resolutions",
    "avg_first_response_time": "avg_first_reply_s",
    "avg_resolution_time": "avg_resolution_s",
    "reply_time": "avg_reply_s",
}
MEANS = ("avg_first_response_time", "avg_resolution_time", "reply_time")
PAGE = 25
# Where the clocks differ most from UTC.
FARTHEST = 14


class ReportView(PeopleView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.REPORTS_READ}

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if role_of(self.member) != "administrator":
            raise PermissionDenied

    def kind(self) -> By:
        """What the report is about. Raises 422."""
        if not self.params.get("type"):
            raise missing("type")
        return TYPES[params.choice(self.params, "type", TYPES)]

    def key(self, by: By) -> int:
        """Which of them; 0 is the account. Raises `NotFound`, 422."""
        if by is By.ACCOUNT:
            return 0
        found: int = self.find(self.rows(by), pk=params.required_number(self.params, "id")).pk
        return found

    def rows(self, by: By) -> QuerySet[Inbox] | QuerySet[Label] | QuerySet[Team] | QuerySet[Member]:
        match by:
            case By.INBOX:
                return Inbox.objects.only("pk", "name", "platform")
            case By.LABEL:
                return Label.objects.all()
            case By.TEAM:
                return Team.objects.all()
        return self.with_former()

    def period(self) -> tuple[datetime, datetime]:
        """Raises `FieldError`, 422."""
        since, until = (params.moment(self.params, name) for name in ("since", "until"))
        if since is None or until is None:
            raise missing("since" if since is None else "until")
        check_period(since, until)
        return since, until


class Summary(ReportView):
    """`/reports/summary`"""

    def get(self, request: Request) -> Response:
        """`previous` is as long a time before."""
        by = self.kind()
        key, (since, until) = self.key(by), self.period()
        now = summary_json(since, until, by, key)
        return Response({**now, "previous": summary_json(since - (until - since), since, by, key)})


def summary_json(since: datetime, until: datetime, by: By, key: int) -> Json:
    rows = reports.summary(since, until, by=by, only=[key])
    numbers = rows[0].numbers if rows else Numbers()
    return {theirs: getattr(numbers, ours) for theirs, ours in METRICS.items()}


class Series(ReportView):
    """`/reports`"""

    def get(self, request: Request) -> Response:
        """One `metric`, hour by hour up to year by year; means say of how much they are."""
        if not self.params.get("metric"):
            raise missing("metric")
        metric = params.choice(self.params, "metric", METRICS)
        by = self.kind()
        key, (since, until) = self.key(by), self.period()
        points = reports.series(
            since,
            until,
            of=METRICS[metric],
            every=Every(params.choice(self.params, "group_by", list(Every), Every.DAY)),
            zone=timezone(self.offset()),
            by=by,
            key=key,
        )
        counts = [{"count": point.count} if metric in MEANS else {} for point in points]
        return Response(
            [
                {"value": point.value or 0, "timestamp": seconds(point.since), **count}
                for point, count in zip(points, counts, strict=True)
            ]
        )

    def offset(self) -> timedelta:
        """`timezone_offset`, in hours with their fractions."""
        given = params.text(self.params, "timezone_offset", "0")
        try:
            hours = float(given or 0)
        except ValueError:
            hours = FARTHEST + 1
        if not -FARTHEST <= hours <= FARTHEST:  # nor is it no number at all
            raise unprocessable("timezone_offset should be a number of hours")
        return timedelta(minutes=round(hours * 60))


class BotMetrics(ReportView):
    """`/reports/bot_metrics`"""

    def get(self, request: Request) -> Response:
        """Rates in whole percents of the conversations."""
        numbers = ai_numbers(*self.period())
        return Response(
            {
                "conversation_count": numbers.conversations,
                "message_count": numbers.messages,
                "resolution_rate": numbers.resolved_percent,
                "handoff_rate": numbers.handed_off_percent,
            }
        )


class Standings(ReportView):
    """`/reports/conversations`"""

    def get(self, request: Request) -> Response:
        """Of the account, or of each of its people: those with most of them first."""
        kind = params.choice(self.params, "type", ("account", "agent"))
        if not kind:
            raise missing("type")
        return Response(self._of_account() if kind == "account" else self._of_people())

    def _of_account(self) -> Json:
        [row] = standing(by=By.ACCOUNT)
        unassigned, pending = row.numbers.unassigned, row.numbers.with_ai
        return {**metric_json(row.numbers), "unassigned": unassigned, "pending": pending}

    def _of_people(self) -> list[Json]:
        start = (params.page(self.params) - 1) * PAGE
        people = list(self.people()[start : start + PAGE])
        rows = standing(by=By.MEMBER, only=[member.pk for member in people])
        found = {row.id: row.numbers for row in rows}
        shown = [
            {
                "id": member.pk,
                "name": member.name,
                "email": member.user.email if member.user else "",
                "thumbnail": "",
                "availability": availability(member),
                "metric": metric_json(found.get(member.public_id, Standing())),
            }
            for member in people
        ]
        return sorted(shown, key=lambda one: -one["metric"]["open"])


def metric_json(numbers: Standing) -> Json:
    """What a bot has is pending, and not open."""
    return {"open": numbers.open - numbers.with_ai, "unattended": numbers.waiting}
