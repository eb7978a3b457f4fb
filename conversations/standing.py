"""How many conversations are open now, and what they wait for, by account, inbox, member, team or label; and
how those that began in a period stand now, by platform."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from accounts.models import Member
from conversations.models import Conversation
from conversations.reports import By, Row, rows_of

_BY_AI = Q(assignee__kind=Member.Kind.AGENT)
_COUNTS = {
    "open": Count("pk"),
    "with_ai": Count("pk", filter=_BY_AI),
    "unassigned": Count("pk", filter=Q(assignee=None)),
    "waiting": Count("pk", filter=Q(waiting_since__isnull=False) & ~_BY_AI),
}
_KEYS = {By.INBOX: "inbox", By.MEMBER: "assignee", By.TEAM: "team", By.LABEL: "labels"}


@dataclass(slots=True)
class Standing:
    """Of the open ones: those that an AI agent has, that nobody in person has, and those without an AI
    agent whose customer waits for an answer."""

    open: int = 0
    with_ai: int = 0
    unassigned: int = 0
    waiting: int = 0


def standing(*, by: By, only: Collection[int] | None = None) -> list[Row[Standing]]:
    """By name; what has nothing open has no row, but the whole account always has one. `only` keeps to
    these keys. Runs in the account's context, in one statement and one for the names."""
    rows = Conversation.objects.open().order_by()
    if by is By.ACCOUNT:
        return rows_of(by, {0: Standing(**rows.aggregate(**_COUNTS))})
    key = _KEYS[by]
    rows = rows.filter(**{f"{key}__isnull": False} if only is None else {f"{key}__in": only})
    found = rows.values(key).annotate(**_COUNTS)
    return rows_of(by, {one.pop(key): Standing(**one) for one in found})


@dataclass(slots=True)
class Fate:
    """How conversations stand now; of the open ones, those that an AI agent has are counted by themselves."""

    open: int = 0
    with_ai: int = 0
    snoozed: int = 0
    resolved: int = 0


def fates(since: datetime, until: datetime) -> dict[str, Fate]:
    """Of those that began from `since` until before `until`, by the slug of their inbox's platform. Runs in
    the account's context, in one statement."""
    # None has changed before it began, and when it changed is what an index knows.
    began = Q(updated_at__gte=since, created_at__gte=since, created_at__lt=until)
    is_open = Q(status=Conversation.Status.OPEN)
    rows = Conversation.objects.filter(began).order_by().values("inbox__platform")
    counted = rows.annotate(
        with_ai=Count("pk", filter=is_open & _BY_AI),
        all_open=Count("pk", filter=is_open),
        snoozed=Count("pk", filter=Q(status=Conversation.Status.SNOOZED)),
        resolved=Count("pk", filter=Q(status=Conversation.Status.RESOLVED)),
    )
    return {
        row["inbox__platform"]: Fate(
            open=row["all_open"] - row["with_ai"],
            with_ai=row["with_ai"],
            snoozed=row["snoozed"],
            resolved=row["resolved"],
        )
        for row in counted
    }
