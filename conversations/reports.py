"""What was done in a period, counted by account, inbox, member, team or label, in four statements.

What belongs to whom is decided by who held the conversation at that moment, from the history of
assignments: a resolved conversation is nobody's any more. Counting begins with the conversations that
changed since the period began, which an index finds; their messages and events hang on them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import connection

from accounts.models import Member, Team
from accounts.tenancy import current_account_id
from conversations.models import Inbox, Label


class By(StrEnum):
    """What a summary has a row for each of."""

    ACCOUNT = "account"
    INBOX = "inbox"
    MEMBER = "member"
    TEAM = "team"
    LABEL = "label"


@dataclass(slots=True)
class Numbers:
    """Counts of a period, and means in seconds; a mean of nothing is None."""

    conversations: int = 0
    incoming_messages: int = 0
    outgoing_messages: int = 0
    resolutions: int = 0
    avg_first_reply_s: float | None = None
    avg_resolution_s: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """`id` and `name` are empty for the whole account."""

    id: str
    name: str
    numbers: Numbers


# Who held the conversation when `moment` was; a history row ends where the next begins.
_HELD = """
LEFT JOIN conversations_assignment held ON held.conversation_id = c.id
    AND held.started_at <= {moment} AND (held.ended_at IS NULL OR held.ended_at > {moment})
"""
_LABELLED = "JOIN conversations_conversationlabel labelled ON labelled.conversation_id = c.id"
_CONVERSATIONS = """
SELECT {key}, count(DISTINCT c.id)
FROM conversations_conversation c {join}
WHERE c.account_id = %(account)s AND c.updated_at >= %(since)s
  AND {begun} >= %(since)s AND {begun} < %(until)s
GROUP BY 1
"""
_MESSAGES = """
SELECT {key}, count(*) FILTER (WHERE said.direction = 'inbound'),
       count(*) FILTER (WHERE said.direction = 'outbound')
FROM conversations_conversation c
JOIN conversations_message said ON said.conversation_id = c.id {join}
WHERE c.account_id = %(account)s AND c.updated_at >= %(since)s
  AND said.created_at >= %(since)s AND said.created_at < %(until)s
  AND said.direction IN ('inbound', 'outbound')
GROUP BY 1
"""
# From the customer's first word to ours, of conversations that began in the period. Somebody's: what
# the house says by itself answers nobody.
_FIRST_REPLIES = """
SELECT {key}, avg(extract(epoch FROM reply.created_at - asked.created_at))
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
  AND c.created_at >= %(since)s AND c.created_at < %(until)s
GROUP BY 1
"""
# From the customer's first word since the resolution before.
_RESOLUTIONS = """
SELECT {key}, count(*),
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
  AND done.occurred_at >= %(since)s AND done.occurred_at < %(until)s
GROUP BY 1
"""
_KEYS = {By.ACCOUNT: "0", By.INBOX: "c.inbox_id", By.LABEL: "labelled.label_id"}
_HOLDERS = {By.MEMBER: "held.member_id", By.TEAM: "held.team_id"}


def summary(
    since: datetime, until: datetime, *, by: By, only: Collection[int] | None = None
) -> list[Row]:
    """The account's numbers from `since` until before `until`, by name; what nothing happened to has no
    row, but the whole account always has one. `only` keeps to these keys.

    Runs in the account's context; the same number of statements however much there was.
    """
    values = {"account": current_account_id(), "since": since, "until": until}
    found: dict[int, Numbers] = {0: Numbers()} if by is By.ACCOUNT else {}

    def of(key: int) -> Numbers:
        return found.setdefault(key, Numbers())

    for key, number in _ask(_conversations(by), values):
        of(key).conversations = number
    for key, incoming, outgoing in _ask(_messages(by), values):
        of(key).incoming_messages, of(key).outgoing_messages = incoming, outgoing
    for key, mean in _ask(_first_replies(by), values):
        of(key).avg_first_reply_s = _seconds(mean)
    for key, number, mean in _ask(_resolutions(by), values):
        of(key).resolutions, of(key).avg_resolution_s = number, _seconds(mean)
    return _rows(by, {key: one for key, one in found.items() if only is None or key in only})


def as_json(row: Row) -> dict[str, Any]:
    """The row as the API shows it."""
    return {"id": row.id or None, "name": row.name, **asdict(row.numbers)}


def _conversations(by: By) -> str:
    """Those that began; for a member or a team, those that they got."""
    if by in _HOLDERS:
        join = "JOIN conversations_assignment held ON held.conversation_id = c.id"
        return _CONVERSATIONS.format(key=_HOLDERS[by], join=join, begun="held.started_at")
    return _CONVERSATIONS.format(key=_KEYS[by], join=_label_join(by), begun="c.created_at")


def _messages(by: By) -> str:
    key = _HOLDERS.get(by) or _KEYS[by]
    if by is By.MEMBER:  # what was said is its author's, what was heard the holder's
        key = "CASE said.direction WHEN 'outbound' THEN said.author_id ELSE held.member_id END"
    return _MESSAGES.format(key=key, join=_join(by, "said.created_at"))


def _first_replies(by: By) -> str:
    key = "reply.author_id" if by is By.MEMBER else _HOLDERS.get(by) or _KEYS[by]
    join = _label_join(by) if by is By.MEMBER else _join(by, "reply.created_at")
    return _FIRST_REPLIES.format(key=key, join=join)


def _resolutions(by: By) -> str:
    """Whoever held it before the resolution took it from them."""
    join = _label_join(by)
    if by in _HOLDERS:
        join = (
            "JOIN conversations_assignment held ON held.account_id = c.account_id"
            " AND held.conversation_id = c.id AND held.epoch = done.epoch - 1"
        )
    return _RESOLUTIONS.format(key=_HOLDERS.get(by) or _KEYS[by], join=join)


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


def _rows(by: By, found: dict[int, Numbers]) -> list[Row]:
    if by is By.ACCOUNT:
        return [Row("", "", numbers) for numbers in found.values()]
    named = {one.pk: one for one in _NAMED[by](found)}
    rows = [Row(named[pk].public_id, named[pk].name, n) for pk, n in found.items() if pk in named]
    return sorted(rows, key=lambda row: (row.name.casefold(), row.id))
