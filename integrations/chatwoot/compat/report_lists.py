"""Reports with a row for each person, inbox, label or team: as JSON, and to be opened in a spreadsheet.

Everybody and everything that there is has a row, and nobody who has left: theirs does so, too. The words in
a table are for programs as well, and so in their language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member, Team
from accounts.rest.sheets import Cell, as_csv
from conversations import reports
from conversations.models import Inbox, Label
from conversations.reports import By, Numbers
from conversations.standing import Fate, fates
from integrations.chatwoot.compat.reports import ReportView
from integrations.chatwoot.shapes.inboxes import channel_named
from integrations.chatwoot.shapes.parts import Json

One = Member | Inbox | Label | Team
# What a table is called, and what stands above its columns; the first ones say whose row it is.
NAMES = {By.MEMBER: "agents", By.INBOX: "inboxes", By.LABEL: "labels", By.TEAM: "teams"}
WHOSE = {
    By.MEMBER: ("Agent name", "Assigned conversations"),
    By.INBOX: ("Inbox name", "Inbox type", "No. of conversations"),
    By.LABEL: ("Label", "No. of conversations"),
    By.TEAM: ("Team name", "Conversations count"),
}
FIGURES = (
    "Avg first response time",
    "Avg resolution time",
    "Avg customer waiting time",
    "Resolution Count",
)
UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}


class ListView(ReportView):
    by = By.MEMBER

    def listed(self, since: datetime, until: datetime) -> list[tuple[One, Numbers]]:
        """By name; who did nothing has nothing but zeros."""
        rows: Iterable[One] = self.people()
        if self.by is not By.MEMBER:
            rows = self.rows(self.by).order_by("name", "pk")
        rows = list(rows)
        summed = reports.summary(since, until, by=self.by, only=[one.pk for one in rows])
        found = {row.id: row.numbers for row in summed}
        return [(one, found.get(one.public_id, Numbers())) for one in rows]


class SummaryList(ListView):
    """`/summary_reports/agent`, `…/inbox`, `…/label`, `…/team`"""

    def get(self, request: Request) -> Response:
        """Labels have their names, as theirs do."""
        named = self.by is By.LABEL
        return Response(
            [
                {**row_json(one.pk, numbers), **({"name": one.name} if named else {})}
                for one, numbers in self.listed(*self.period())
            ]
        )


class SummaryOfChannels(ReportView):
    """`/summary_reports/channel`"""

    def get(self, request: Request) -> Response:
        """How the conversations that began in the period stand now; a channel without any is left out."""
        found: dict[str, Counter[str]] = {}
        for platform, fate in fates(*self.period()).items():
            found.setdefault(channel_named(platform), Counter()).update(fate_json(fate))
        return Response(found)


def fate_json(fate: Fate) -> dict[str, int]:
    counts = {
        "open": fate.open,
        "resolved": fate.resolved,
        "pending": fate.with_ai,
        "snoozed": fate.snoozed,
    }
    return {**counts, "total": sum(counts.values())}


def row_json(pk: int, numbers: Numbers) -> Json:
    return {
        "id": pk,
        "conversations_count": numbers.conversations,
        "resolved_conversations_count": numbers.resolutions,
        "avg_resolution_time": numbers.avg_resolution_s,
        "avg_first_response_time": numbers.avg_first_reply_s,
        "avg_reply_time": numbers.avg_reply_s,
    }


class Table(ListView):
    """`/reports/agents`, `…/inboxes`, `…/labels`, `…/teams`: a download."""

    def get(self, request: Request) -> HttpResponse:
        since, until = self.period()
        first, last = (moment.astimezone(UTC).date() for moment in (since, until))
        rows: list[tuple[Cell, ...]] = [
            (f"Reporting period {first} to {last}",),
            (),
            (*WHOSE[self.by], *FIGURES),
        ]
        rows += [cells_of(one, numbers) for one, numbers in self.listed(since, until)]
        table = HttpResponse(as_csv(rows), content_type="text/csv; charset=utf-8")
        name = f"{NAMES[self.by]}_report.csv"
        table["Content-Disposition"] = f"attachment; filename={name}"
        return table


def cells_of(one: One, numbers: Numbers) -> tuple[Cell, ...]:
    kind = (str(one.channel.name),) if isinstance(one, Inbox) else ()
    means = (numbers.avg_first_reply_s, numbers.avg_resolution_s, numbers.avg_reply_s)
    said = (spelt_out(seconds) for seconds in means)
    return (one.name, *kind, numbers.conversations, *said, numbers.resolutions)


def spelt_out(seconds: float | None) -> str:
    """In the two largest units that there are; empty for a mean of nothing."""
    if seconds is None:
        return ""
    left, words = int(seconds), []
    for unit, size in UNITS.items():
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}" if count == 1 else f"{count} {unit}s")
    return " ".join(words[:2]) or "0 seconds"
