"""What was done in a period, counted by account, inbox, member, team or label, in five statements;
or one of these numbers through the period, hour by hour or day by day, in one.

What belongs to whom is decided by who held the conversation at that moment, from the history of
assignments: a resolved conversation is nobody's any more. Counting begins with the conversations that
changed since the period began, which an index finds; their messages and events hang on them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Generic, TypeVar

from django.db import connection
from django.utils.translation import gettext as _

from accounts.models import Member, Team
from accounts.tenancy import current_account_id
from conversations.errors import FieldError
from conversations.models import Inbox, Label

LONGEST = timedelta(days=366)
# What is shown when nobody says which.
USUAL = timedelta(days=7)
# In other years calendars end, a step before or after.
YEARS = range(1971, 9000)
N = TypeVar("N")


class By(StrEnum):
    """What a summary has a row for each of."""

    ACCOUNT = "account"
    INBOX = "inbox"
    MEMBER = "member"
    TEAM = "team"
    LABEL = "label"


class Every(StrEnum):
    """How long each step of a series is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(slots=True)
class Numbers:
    """Counts of a period, and means in seconds; a mean of nothing is None."""

    conversations: int = 0
    incoming_messages: int = 0
    outgoing_messages: int = 0
    resolutions: int = 0
    avg_first_reply_s: float | None = None
    avg_resolution_s: float | None = None
    avg_reply_s: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a series. `value` of a mean is None where there was nothing; `count` says of how much."""

    since: datetime
    value: float | None
    count: int


@dataclass(frozen=True)
class Row(Generic[N]):
    """`id` and `name` are empty for the whole account."""

    id: str
    name: str
    numbers: N


# Who held the conversation when `moment` was; a history row ends where the next begins.
_HELD = """
LEFT JOIN conversations_assignment held ON held.conversation_id = c.id
    AND held.started_at <= {moment} AND (held.ended_at IS NULL OR held.ended_at > {moment})
"""
_LABELLED = "JOIN conversations_conversationlabel labelled ON labelled.conversation_id = c.id"
# What all statements end with: rows of some keys only, where it is said which.
_ONLY = """
  AND (%(only)s::bigint[] IS NULL OR {key} = ANY(%(only)s::bigint[]))
GROUP BY 1
"""
_CONVERSATIONS = """
SELECT {of}, count(DISTINCT c.id)
FROM conversations_conversation c {join}
WHERE c.account_id = %(account)s AND c.updated_at >= %(since)s
  AND {moment} >= %(since)s AND {moment} < %(until)s
"""
_MESSAGES = """
SELECT {of}, count(*) FILTER (WHERE said.direction = 'inbound'),
       count(*) FILTER (WHERE said.direction = 'outbound')
FROM conversations_conversation c
JOIN conversations_message said ON said.conversation_id = c.id {join}
WHERE c.account_id = %(account)s AND c.updated_at >= %(since)s
  AND {moment} >= %(since)s AND {moment} < %(until)s
  AND said.direction IN ('inbound', 'outbound')
"""
# From the customer's first word to ours, of conversations that began in the period. Somebody's: what
# the house says by itself answers nobody.
_FIRST_REPLIES = """
SELECT {of}, count(*), avg(extract(epoch FROM reply.created_at - asked.created_at))
FROM conversations_conversation c
JOIN LATERAL (
    SELECT id, created_at FROM conversations_message
    WHERE conversation_id = c.id AND direction = 'inbound' ORDER BY id LIMIT 1) asked ON true
JOIN LATERAL (
    SELECT created_at, author_id FROM conversations_message
    WHERE conversation_id = c.id AND direction = 'outbound' AND id > asked.id
      AND (author_id IS NOT NULL OR content ? 'device')
    ORDER BY id LIMIT 1) reply ON true {join}
WHERE c.account_id = %(account)s AND c.updated_at >= %(since)s
  AND {moment} >= %(since)s AND {moment} < %(until)s
"""
# From the customer's first word since our last to our next, of all that was answered in the period.
_REPLIES = """
SELECT {of}, count(*), avg(extract(epoch FROM reply.created_at - asked.created_at))
FROM conversations_conversation c
JOIN conversations_message reply ON reply.conversation_id = c.id AND reply.direction = 'outbound'
    AND (reply.author_id IS NOT NULL OR reply.content ? 'device')
LEFT JOIN LATERAL (
    SELECT id FROM conversations_message
    WHERE conversation_id = c.id AND direction = 'outbound' AND id < reply.id
      AND (author_id IS NOT NULL OR content ? 'device')
    ORDER BY id DESC LIMIT 1) before ON true
JOIN LATERAL (
    SELECT created_at FROM conversations_message
    WHERE conversation_id = c.id AND direction = 'inbound'
      AND id > COALESCE(before.id, 0) AND id < reply.id
    ORDER BY id LIMIT 1) asked ON true {join}
WHERE c.account_id = %(account)s AND c.updated_at >= %(since)s
  AND {moment} >= %(since)s AND {moment} < %(until)s
"""
# From the customer's first word since the resolution before.
_RESOLUTIONS = """
SELECT {of}, count(*),
       avg(extract(epoch FROM done.occurred_at - COALESCE(asked.created_at, c.created_at)))
FROM conversations_conversation c
JOIN conversations_event done ON done.account_id = c.account_id AND done.conversation_id = c.id
    AND done.type = 'conversation.resolved'
LEFT JOIN LATERAL (
    SELECT max(occurred_at) AS at FROM conversations_event
    WHERE account_id = c.account_id AND conversation_id = c.id
      AND type = 'conversation.resolved' AND sequence < done.sequence) before ON true
LEFT JOIN LATERAL (
    SELECT created_at FROM conversations_message
    WHERE conversation_id = c.id AND direction = 'inbound'
      AND created_at > COALESCE(before.at, '-infinity') ORDER BY id LIMIT 1) asked ON true {join}
WHERE c.account_id = %(account)s AND c.updated_at >= %(since)s
  AND {moment} >= %(since)s AND {moment} < %(until)s
"""
# The number of the step that a moment is in, from 1. PostgreSQL is told when each begins and asked for no
# calendar: its zones are of another edition than ours, and some names mean something else there (EET).
_STEP = "width_bucket({moment}, %(steps)s::timestamptz[])"
_KEYS = {By.ACCOUNT: "0", By.INBOX: "c.inbox_id", By.LABEL: "labelled.label_id"}
_HOLDERS = {By.MEMBER: "held.member_id", By.TEAM: "held.team_id"}


@dataclass(frozen=True, slots=True)
class _Question:
    """A statement of above with what differs: to whom its rows belong, and when each of them was."""

    statement: str
    key: str
    moment: str
    join: str

    def by_key(self) -> str:
        return self._filled(self.key)

    def by_step(self) -> str:
        return self._filled(_STEP.format(moment=self.moment))

    def _filled(self, of: str) -> str:
        whole = self.statement + _ONLY
        return whole.format(of=of, key=self.key, moment=self.moment, join=self.join)


def check_period(since: datetime, until: datetime) -> None:
    """Raises `FieldError` for one that ends before it begins, is too long, or far from our time."""
    if not timedelta(0) < until - since <= LONGEST:
        raise FieldError("since", _("It begins before it ends, and is no longer than a year."))
    if since.year not in YEARS or until.year not in YEARS:
        raise FieldError("since", _("Nothing was done then."))


def summary(
    since: datetime, until: datetime, *, by: By, only: Collection[int] | None = None
) -> list[Row[Numbers]]:
    """The account's numbers from `since` until before `until`, by name; what nothing happened to has no
    row, but the whole account always has one. `only` keeps to these keys.

    Runs in the account's context; the same number of statements however much there was.
    """
    values = _values(since, until, only)
    found: dict[int, Numbers] = {0: Numbers()} if by is By.ACCOUNT else {}

    def of(key: int) -> Numbers:
        return found.setdefault(key, Numbers())

    for key, number in _ask(_conversations(by).by_key(), values):
        of(key).conversations = number
    for key, incoming, outgoing in _ask(_messages(by).by_key(), values):
        of(key).incoming_messages, of(key).outgoing_messages = incoming, outgoing
    for key, _number, mean in _ask(_first_replies(by).by_key(), values):
        of(key).avg_first_reply_s = _seconds(mean)
    for key, number, mean in _ask(_resolutions(by).by_key(), values):
        of(key).resolutions, of(key).avg_resolution_s = number, _seconds(mean)
    for key, _number, mean in _ask(_replies(by).by_key(), values):
        of(key).avg_reply_s = _seconds(mean)
    return rows_of(by, found)


def series(
    since: datetime,
    until: datetime,
    *,
    of: str,
    every: Every,
    zone: tzinfo,
    by: By = By.ACCOUNT,
    key: int = 0,
) -> list[Point]:
    """One of `MEASURES` through the period: of the whole account, or of one inbox, member, team or label.

    Every step has its point, the first and the last one as far as they are in the period.
    """
    question, count_at, mean_at = MEASURES[of]
    begins = list(steps(since, until, every, zone))
    points = [Point(step, None if mean_at else 0, 0) for step in begins]
    values = _values(since, until, [key]) | {"steps": begins}
    for row in _ask(question(by).by_step(), values):
        n, count = row[0] - 1, row[count_at]
        points[n] = Point(begins[n], _seconds(row[mean_at]) if mean_at else count, count)
    return points


def steps(since: datetime, until: datetime, every: Every, zone: tzinfo) -> Iterable[datetime]:
    """When each step begins, in UTC; the first one holds `since`. A day whose midnight comes twice begins
    at the first."""
    local = since.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if every is Every.HOUR:
        step = local.astimezone(UTC)
        while step < until:
            yield step
            step += timedelta(hours=1)
        return
    day = local.replace(hour=0, tzinfo=None, fold=0)
    match every:
        case Every.WEEK:
            day -= timedelta(days=day.weekday())
        case Every.MONTH:
            day = day.replace(day=1)
        case Every.YEAR:
            day = day.replace(month=1, day=1)
    while (step := day.replace(tzinfo=zone).astimezone(UTC)) < until:
        yield step
        day = _next(day, every)


def _next(day: datetime, every: Every) -> datetime:
    match every:
        case Every.WEEK:
            return day + timedelta(days=7)
        case Every.MONTH:
            return (day + timedelta(days=31)).replace(day=1)
        case Every.YEAR:
            return day.replace(year=day.year + 1)
    return day + timedelta(days=1)


def as_json(row: Row[Any]) -> dict[str, Any]:
    """The row as the API shows it."""
    return {"id": row.id or None, "name": row.name, **asdict(row.numbers)}


def _values(since: datetime, until: datetime, only: Collection[int] | None) -> dict[str, Any]:
    return {
        "account": current_account_id(),
        "since": since,
        "until": until,
        "only": None if only is None else list(only),
    }


def _conversations(by: By) -> _Question:
    """Those that began; for a member or a team, those that they got."""
    if by in _HOLDERS:
        join = "JOIN conversations_assignment held ON held.conversation_id = c.id"
        return _Question(_CONVERSATIONS, _HOLDERS[by], "held.started_at", join)
    return _Question(_CONVERSATIONS, _KEYS[by], "c.created_at", _label_join(by))


def _messages(by: By) -> _Question:
    key = _HOLDERS.get(by) or _KEYS[by]
    if by is By.MEMBER:  # what was said is its author's, what was heard the holder's
        key = "CASE said.direction WHEN 'outbound' THEN said.author_id ELSE held.member_id END"
    return _Question(_MESSAGES, key, "said.created_at", _join(by, "said.created_at"))


def _first_replies(by: By) -> _Question:
    key, join = _answering(by)
    return _Question(_FIRST_REPLIES, key, "c.created_at", join)


def _replies(by: By) -> _Question:
    key, join = _answering(by)
    return _Question(_REPLIES, key, "reply.created_at", join)


def _answering(by: By) -> tuple[str, str]:
    """Whose an answer is: its author's, or of the team that had the conversation then."""
    if by is By.MEMBER:
        return "reply.author_id", ""
    return _HOLDERS.get(by) or _KEYS[by], _join(by, "reply.created_at")


def _resolutions(by: By) -> _Question:
    """Whoever held it before the resolution took it from them."""
    join = _label_join(by)
    if by in _HOLDERS:
        join = (
            "JOIN conversations_assignment held ON held.account_id = c.account_id"
            " AND held.conversation_id = c.id AND held.epoch = done.epoch - 1"
        )
    return _Question(_RESOLUTIONS, _HOLDERS.get(by) or _KEYS[by], "done.occurred_at", join)


# What a series can be of: its question, and where in a row the count and the mean stand (0: no mean).
MEASURES: dict[str, tuple[Callable[[By], _Question], int, int]] = {
    "conversations": (_conversations, 1, 0),
    "incoming_messages": (_messages, 1, 0),
    "outgoing_messages": (_messages, 2, 0),
    "resolutions": (_resolutions, 1, 0),
    "avg_first_reply_s": (_first_replies, 1, 2),
    "avg_resolution_s": (_resolutions, 1, 2),
    "avg_reply_s": (_replies, 1, 2),
}


def _join(by: By, moment: str) -> str:
    return _HELD.format(moment=moment) if by in _HOLDERS else _label_join(by)


def _label_join(by: By) -> str:
    return _LABELLED if by is By.LABEL else ""


def _ask(statement: str, values: dict[str, Any]) -> Iterable[tuple[Any, ...]]:
    """Rows that belong to somebody; nobody's are left out."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [row for row in cursor.fetchall() if row[0] is not None]


def _seconds(mean: Any) -> float | None:
    return None if mean is None else round(float(mean), 1)


_Named = Callable[[Collection[int]], Iterable[Any]]
_NAMED: dict[By, _Named] = {
    By.INBOX: lambda keys: Inbox.objects.filter(pk__in=keys).only("pk", "name"),
    By.MEMBER: lambda keys: Member.objects.filter(account=current_account_id(), pk__in=keys),
    By.TEAM: lambda keys: Team.objects.filter(pk__in=keys),
    By.LABEL: lambda keys: Label.objects.filter(pk__in=keys),
}


def rows_of(by: By, found: Mapping[int, N]) -> list[Row[N]]:
    """What was found by key, with the names, in their order."""
    if by is By.ACCOUNT:
        return [Row("", "", numbers) for numbers in found.values()]
    named = {one.pk: one for one in _NAMED[by](found)}
    rows = [Row(named[pk].public_id, named[pk].name, n) for pk, n in found.items() if pk in named]
    return sorted(rows, key=lambda row: (row.name.casefold(), row.id))
