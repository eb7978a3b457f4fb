"""Reading the first rows of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

Rows = TypeVar("Rows", bound=QuerySet[Any, Any])
M = TypeVar("M", bound=Model)


def first_of(rows: Rows, n: int, *, skip: int = 0) -> Rows:
    """The first `n` ordered rows after `skip`: their keys are found first, and only then is read what hangs
    on them.

    Of a table that is joined, the planner believes that next to nothing is this account's, for the wall
    around it is a condition whose value it does not know. So it expects a handful of rows, joins them all
    and sorts, where an index has them in order (a second for 100,000 conversations). A subquery for the
    keys does not help: it is looked at last, for the same reason.
    """
    return rows.filter(pk__in=_keys(rows, n, skip))


def read_first(
    rows: QuerySet[M, Any],
    n: int,
    read: Callable[[Sequence[int]], list[M]],
    *,
    skip: int = 0,
    by: Sequence[str] = (),
) -> list[M]:
    """What `first_of` gives, as `read` reads it by keys (accounts/prepared.py). Only where all of the account
    may be seen: a row that changes between the two questions is not checked again.

    In the order in which they were found; `by` columns, in that of the rows as they were read, where a
    cursor is made of these.
    """
    keys = _keys(rows, n, skip)
    place = {key: place for place, key in enumerate(keys)}
    found = sorted(read(keys), key=lambda row: place[row.pk])
    for name in reversed(by):
        found.sort(key=attrgetter(name.removeprefix("-")), reverse=name.startswith("-"))
    return found


def _keys(rows: QuerySet[Any, Any], n: int, skip: int) -> list[int]:
    return list(rows.values_list("pk", flat=True)[skip : skip + n])
