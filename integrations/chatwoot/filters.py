"""Which conversations a list shows: their query parameters and their filter rows, as querysets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Sum, Value, When
from django.utils import timezone

from accounts.models import Member
from accounts.rest.filters import search_words
from conversations.desk import matches
from conversations.models import AddressIdentifier, Conversation, ConversationTally, sees_all
from conversations.models.conversation import ConversationQuerySet
from integrations.chatwoot import comparing
from integrations.chatwoot.comparing import same_or_not
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import unprocessable
from integrations.chatwoot.shapes.conversations import PENDING

Status = Conversation.Status
Priority = Conversation.Priority
Rows = ConversationQuerySet

BY_BOT = Q(assignee__kind=Member.Kind.AGENT)
BY_PERSON = Q(assignee__kind=Member.Kind.PERSON)
STATUSES: dict[str, Q] = {
    "open": Q(status=Status.OPEN) & ~BY_BOT,
    PENDING: Q(status=Status.OPEN) & BY_BOT,
    "resolved": Q(status=Status.RESOLVED),
    "snoozed": Q(status=Status.SNOOZED),
    "all": Q(),
}
CONVERSATION_TYPES = ("unattended", "participating")
ASSIGNEE_TYPES = ("me", "unassigned", "assigned", "all")
_RANK = Case(
    *[
        When(priority=name, then=Value(rank))
        for rank, name in enumerate(
            (Priority.LOW, Priority.MEDIUM, Priority.HIGH, Priority.URGENT), start=1
        )
    ],
    default=Value(0),
    output_field=IntegerField(),
)
SORTS: dict[str, tuple[Any, ...]] = {
    "last_activity_at_desc": ("-last_activity_at", "-id"),
    "last_activity_at_asc": ("last_activity_at", "id"),
    "created_at_desc": ("-created_at", "-id"),
    "created_at_asc": ("created_at", "id"),
    "priority_desc": (_RANK.desc(), "-last_activity_at", "-id"),
    "priority_asc": (_RANK.asc(), "-last_activity_at", "-id"),
    "priority_desc_created_at_asc": (_RANK.desc(), "created_at", "id"),
    "waiting_since_desc": (F("waiting_since").desc(nulls_last=True), "-id"),
    "waiting_since_asc": (F("waiting_since").asc(nulls_last=True), "id"),
    "unread": (F("unread_count").desc(), "-last_activity_at", "-id"),
}
# An older client sends these.
_SORT_NAMES = {"latest": "last_activity_at_desc", "sort_on_priority": "priority_desc"}


# --- Query parameters ----------------------------------------------------------------------------


def narrowed(rows: Rows, given: Params, member: Member) -> Rows:
    """By everything but whose they are."""
    rows = rows.filter(_tallied(given))
    if labels := params.texts(given, "labels"):
        rows = rows.filter(pk__in=_labelled(labels))
    if words := search_words(params.text(given, "q", most=1000)):
        rows = rows.filter(matches(words))
    if source_id := params.text(given, "source_id"):
        rows = rows.filter(address__in=_known_as(source_id))
    match params.choice(given, "conversation_type", CONVERSATION_TYPES):
        case "unattended":
            rows = rows.filter(waiting_since__isnull=False)
        case "participating":
            rows = rows.filter(pk__in=Conversation.objects.followed_by(member).values("pk"))
    if (age := params.number(given, "updated_within")) is not None:
        rows = rows.filter(updated_at__gte=timezone.now() - timedelta(seconds=min(age, 10**9)))
    return rows


# What `narrowed` looks at beyond what tallies know.
_UNTALLIED = ("labels", "q", "source_id", "conversation_type", "updated_within")


def _tallied(given: Params) -> Q:
    """The part of `narrowed` that tallies know, too."""
    wanted = STATUSES[params.choice(given, "status", STATUSES, "open")]
    for name in ("inbox_id", "team_id"):
        if (pk := params.number(given, name)) is not None:
            wanted &= Q(**{name: pk})
    return wanted


def whose(rows: Rows, given: Params, member: Member) -> Rows:
    """By whose they are: what a bot holds is assigned, as with their later versions."""
    match params.choice(given, "assignee_type", ASSIGNEE_TYPES, "all"):
        case "me":
            return rows.filter(assignee=member)
        case "unassigned":
            return rows.filter(assignee__isnull=True)
        case "assigned":
            return rows.filter(assignee__isnull=False)
    return rows


def counts(rows: Rows, given: Params, member: Member) -> dict[str, int]:
    """How many of what is `narrowed` are whose, in one query: added up where tallies know it, so that an
    account may have as many as it likes."""
    if sees_all(member) and not any(given.get(name) for name in _UNTALLIED):
        tallies = ConversationTally.objects.filter(_tallied(given))
        return _by_whose(tallies, partial(Sum, "n"), member)
    return counted(rows, member)


def counted(rows: Rows, member: Member) -> dict[str, int]:
    """How many of these are whose, in one query."""
    return _by_whose(rows.order_by(), partial(Count, "pk"), member)


def _by_whose(rows: QuerySet[Any], how_many: Callable[..., Any], member: Member) -> dict[str, int]:
    found = rows.aggregate(
        mine_count=how_many(filter=Q(assignee=member)),
        assigned_count=how_many(filter=Q(assignee__isnull=False)),
        unassigned_count=how_many(filter=Q(assignee__isnull=True)),
        all_count=how_many(),
    )
    return {name: int(n or 0) for name, n in found.items()}


def ordered(rows: Rows, given: Params) -> Rows:
    name = params.choice(given, "sort_by", {*SORTS, *_SORT_NAMES}, "last_activity_at_desc")
    return rows.order_by(*SORTS[_SORT_NAMES.get(name, name)])


def _labelled(names: list[str]) -> Any:
    return Conversation.objects.filter(labels__name__in=names).values("pk")


def _known_as(source_id: str) -> Any:
    names = AddressIdentifier.objects.filter(value__in=[source_id, f"+{source_id}"])
    return names.values("address")


# --- Filter rows ---------------------------------------------------------------------------------

Test = Callable[[str, str, list[Any]], Q]
MAX_ROWS = 50


def filtered(rows: Rows, given: Params) -> Rows:
    """Conversations by the rows of `payload`. Raises `ChatwootError` (422) for what is no filter."""
    return rows.filter(read_rows(given, condition))


# The keys of rows that tallies know, too.
_TALLIED_KEYS = {"status", "inbox_id", "team_id", "assignee_id"}


def filtered_counts(rows: Rows, given: Params, member: Member) -> dict[str, int]:
    """How many of what is `filtered` are whose, as `counts`."""
    if sees_all(member) and {row["attribute_key"] for row in given["payload"]} <= _TALLIED_KEYS:
        tallies = ConversationTally.objects.filter(read_rows(given, condition))
        return _by_whose(tallies, partial(Sum, "n"), member)
    return counted(rows, member)


def read_rows(given: Params, condition: Test) -> Q:
    """The rows of `payload`, each joined with the next by its `query_operator`; AND binds tighter than OR.

    `condition` says what one row means. Raises `ChatwootError` (422).
    """
    wanted = given.get("payload")
    if not isinstance(wanted, list) or len(wanted) > MAX_ROWS:
        raise unprocessable("payload should be a list of filters")
    # Of the groups one has to hold, and of a group everything.
    found, group = Q(pk__in=[]), Q()
    for place, row in enumerate(wanted, start=1):
        if not isinstance(row, dict):
            raise unprocessable("a filter should be an object")
        group &= condition(*_parts(row))
        operator = row.get("query_operator") or "AND"
        if not isinstance(operator, str) or operator.upper() not in ("AND", "OR"):
            raise unprocessable("query_operator should be AND or OR")
        if operator.upper() == "OR" and place < len(wanted):
            found, group = found | group, Q()
    return found | group if wanted else Q()


def _parts(row: dict[str, Any]) -> tuple[str, str, list[Any]]:
    """Key, operator and values of one row."""
    key, operator = params.text(row, "attribute_key"), params.text(row, "filter_operator")
    values = row.get("values")
    values = values if isinstance(values, list) else [] if values is None else [values]
    if len(values) > 100 or any(isinstance(value, dict | list) for value in values):
        raise unprocessable("values should be a short list of plain values")
    if not 0 < len(key) <= 60:
        raise unprocessable(f"Invalid attribute key - [{key[:60]}]")
    return key, operator, values


def condition(key: str, operator: str, values: list[Any]) -> Q:
    return _TESTS.get(key, comparing.attribute)(key, operator, values)


def _status(_key: str, operator: str, values: list[Any]) -> Q:
    found = Q(pk__in=[])
    for value in values:
        if value not in STATUSES:
            raise unprocessable(f"'{str(value)[:60]}' is not a valid status")
        found |= STATUSES[value]
    if "all" in values:
        found = Q(pk__gt=0)
    return same_or_not(operator, found)


def _reference(key: str, operator: str, values: list[Any]) -> Q:
    column = {"contact_id": "contact", "display_id": "number"}.get(key, key.removesuffix("_id"))
    if operator in ("is_present", "is_not_present"):
        return Q(**{f"{column}__isnull": operator == "is_not_present"})
    pks = [params.as_number(value) for value in values]
    if not pks or None in pks:
        raise unprocessable(f"{key} takes numbers")
    return same_or_not(operator, Q(**{f"{column}__in": pks}))


def _priority(_key: str, operator: str, values: list[Any]) -> Q:
    if operator in ("is_present", "is_not_present"):
        none = Q(priority=Priority.NONE)
        return none if operator == "is_not_present" else ~none
    if not values or any(value not in Priority.values for value in values):
        raise unprocessable("priority takes low, medium, high, urgent")
    return same_or_not(operator, Q(priority__in=values))


def _labels(_key: str, operator: str, values: list[Any]) -> Q:
    some = Q(pk__in=Conversation.objects.filter(labels__isnull=False).values("pk"))
    match operator:
        case "is_present":
            return some
        case "is_not_present":
            return ~some
    return same_or_not(operator, Q(pk__in=_labelled([str(value) for value in values])))


def _language(_key: str, operator: str, values: list[Any]) -> Q:
    return same_or_not(operator, Q(language__in=[str(value) for value in values]))


def _time(key: str, operator: str, values: list[Any]) -> Q:
    return comparing.time(key, key, operator, values)


_TESTS: dict[str, Test] = {
    "status": _status,
    "assignee_id": _reference,
    "inbox_id": _reference,
    "team_id": _reference,
    "contact_id": _reference,
    "display_id": _reference,
    "priority": _priority,
    "labels": _labels,
    "conversation_language": _language,
    "created_at": _time,
    "last_activity_at": _time,
}
