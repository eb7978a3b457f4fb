"""How a row of a filter compares: references, times, and attributes of conversations and contacts.

Attributes are compared as texts, whatever their case: clients send `"5"` for 5, and so does their own
dashboard. Greater and less take numbers and dates.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Case, F, FloatField, Func, Q, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, Left
from django.db.models.lookups import (
    GreaterThan,
    IContains,
    IExact,
    LessThan,
    Lookup,
    Regex,
)
from django.utils import timezone

from integrations.chatwoot.compat import params
from integrations.chatwoot.errors import ChatwootError, unprocessable

MAX_DAYS = 36_500
DATE_OPERATORS = ("is_greater_than", "is_less_than", "days_before")
TEXT_OPERATORS = ("equal_to", "not_equal_to", "contains", "does_not_contain")
ATTRIBUTE_OPERATORS = (*TEXT_OPERATORS, "is_present", "is_not_present", *DATE_OPERATORS)
NUMBER = r"^-?[0-9]{1,30}([.][0-9]{1,30})?$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
DAY_LENGTH = len("2026-01-31")


def unknown(operator: str, known: Iterable[str]) -> ChatwootError:
    """422 for an operator that a key does not take."""
    return unprocessable(
        f"Invalid operator. The allowed operators are {', '.join(known)}: {operator[:40]}"
    )


def same_or_not(operator: str, same: Q) -> Q:
    """What is so, or everything else. Raises 422."""
    match operator:
        case "equal_to":
            return same
        case "not_equal_to":
            return ~same
    raise unknown(operator, ("equal_to", "not_equal_to"))


def any_of(tests: Iterable[Q]) -> Q:
    """Where one of them holds; nothing where there are none."""
    found = Q(pk__in=[])
    for test in tests:
        found |= test
    return found


def time(column: str, key: str, operator: str, values: list[Any]) -> Q:
    """A time of ours by whole days, the account's. Raises 422."""
    value = values[0] if values else None
    if operator == "days_before":
        return Q(**{f"{column}__lt": timezone.now() - _days(key, value)})
    if operator not in DATE_OPERATORS:
        raise unprocessable(f"Invalid operator for {key}: {operator[:40]}")
    day = _day(value)
    if day is None:
        raise unprocessable(f"{key} takes a date")
    return Q(**{f"{column}__date__{'gt' if operator == 'is_greater_than' else 'lt'}": day})


def attribute(key: str, operator: str, values: list[Any]) -> Q:
    """An attribute in `attributes`; the key is a value here, never a path of the ORM. Raises 422."""
    if operator in ("is_present", "is_not_present"):
        known = Q(attributes__has_key=key)
        return known if operator == "is_present" else ~known
    if operator in TEXT_OPERATORS:
        lookup: type[Lookup[Any]] = IExact if operator.endswith("equal_to") else IContains
        some = any_of(Q(lookup(_text(key), _plain(value))) for value in values)
        return ~some if operator in ("not_equal_to", "does_not_contain") else some
    if operator in DATE_OPERATORS:
        return _beside(key, operator, values[0] if values else None)
    raise unknown(operator, ATTRIBUTE_OPERATORS)


def _text(key: str) -> Coalesce:
    """An attribute as text; empty where there is none, so that whoever has none is unequal too."""
    found = Func(
        F("attributes"), Value(key), function="jsonb_extract_path_text", output_field=TextField()
    )
    return Coalesce(found, Value(""), output_field=TextField())


def _plain(value: Any) -> str:
    """A value of a filter as the database writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)[:1000]


def _beside(key: str, operator: str, value: Any) -> Q:
    """More or less than a number or a day; what is neither is not found."""
    lookup: type[Lookup[Any]] = GreaterThan if operator == "is_greater_than" else LessThan
    text = _text(key)
    number = _number(value)
    if operator == "days_before":
        day: date | None = timezone.localdate() - _days(key, value)
    elif number is not None:
        as_number = Case(When(Q(Regex(text, NUMBER)), then=Cast(text, FloatField())))
        return Q(lookup(as_number, number))
    else:
        day = _day(value)
    if day is None:
        raise unprocessable(f"{key} takes a number or a date")
    return Q(Regex(text, DAY)) & Q(lookup(Left(text, DAY_LENGTH), day.isoformat()))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e30 else None


def _day(value: Any) -> date | None:
    """The day of a date, or of a time."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return (timezone.localtime(found) if found.tzinfo else found).date()
    except (ValueError, OverflowError):
        return None


def _days(key: str, value: Any) -> timedelta:
    days = params.as_number(value)
    if days is None or days > MAX_DAYS:
        raise unprocessable(f"{key} takes a number of days")
    return timedelta(days=days)
