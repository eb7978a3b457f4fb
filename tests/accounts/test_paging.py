"""The first rows of many, found by one question and read by another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace

from django.utils import timezone

from accounts.paging import read_first
from conversations.models import Conversation
from tests.factories import make_conversation


def test_a_row_that_changes_meanwhile_stands_where_its_values_say(house: SimpleNamespace) -> None:
    """A cursor is made of the values of the last row: what was written to a moment ago may not be it, or the
    next page would begin from the top."""
    old, middle, new = (make_conversation(house.inbox).pk for _ in range(3))
    rows = Conversation.objects.recent_first()

    def read(keys: Sequence[int]) -> list[Conversation]:
        later = timezone.now() + timedelta(seconds=1)
        Conversation.objects.filter(pk=old).update(last_activity_at=later)
        return list(Conversation.objects.filter(pk__in=keys))

    found = read_first(rows, 3, read, by=("-last_activity_at", "-id"))
    assert [one.pk for one in found] == [old, new, middle]


def test_else_they_stand_as_they_were_found(house: SimpleNamespace) -> None:
    made = [make_conversation(house.inbox).pk for _ in range(4)]
    rows = Conversation.objects.order_by("-id")

    def read(keys: Sequence[int]) -> list[Conversation]:
        return list(Conversation.objects.filter(pk__in=keys).order_by("id"))

    assert [one.pk for one in read_first(rows, 2, read, skip=1)] == [made[2], made[1]]
