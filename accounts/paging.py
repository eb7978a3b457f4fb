"""Reading the first rows of many."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import QuerySet

Rows = TypeVar("Rows", bound=QuerySet[Any, Any])


def first_of(rows: Rows, n: int, *, skip: int = 0) -> Rows:
    """The first `n` ordered rows after `skip`: their keys are found first, and only then is read what hangs
    on them.

    Of a table that is joined, the planner believes that next to nothing is this account's, for the wall
    around it is a condition whose value it does not know. So it expects a handful of rows, joins them all
    and sorts, where an index has them in order (a second for 100,000 conversations). A subquery for the
    keys does not help: it is looked at last, for the same reason.
    """
    keys = list(rows.values_list("pk", flat=True)[skip : skip + n])
    return rows.filter(pk__in=keys)
