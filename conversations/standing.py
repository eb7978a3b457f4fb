"""How many conversations are open now, and what they wait for, by account, inbox, member, team or label."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

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
