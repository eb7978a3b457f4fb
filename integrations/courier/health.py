"""How endpoints are doing, gathered in memory and written every few seconds.

A row updated by each of a thousand deliveries would be a queue of a thousand (performance.md, 6).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F
from django.utils import timezone

from accounts.tenancy import account_context
from conversations.models import Endpoint
from integrations.http import Exchange


@dataclass(slots=True)
class Note:
    """What was seen of one endpoint since the last writing."""

    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    failures_in_a_row: int = 0
    last_error: str = ""


class Notes:
    def __init__(self) -> None:
        self._notes: dict[tuple[int, int], Note] = {}

    def note(self, account_id: int, endpoint_id: int | None, exchange: Exchange) -> None:
        if endpoint_id is None:
            return
        note = self._notes.setdefault((account_id, endpoint_id), Note())
        if exchange.ok:
            note.last_success_at, note.failures_in_a_row = timezone.now(), 0
            return
        note.last_failure_at = timezone.now()
        note.failures_in_a_row += 1
        said = f"{exchange.outcome} {exchange.status or ''}".strip()
        note.last_error = f"{said}: {exchange.error}" if exchange.error else said

    def take(self) -> Iterator[tuple[int, int, Note]]:
        notes, self._notes = self._notes, {}
        for (account_id, endpoint_id), note in notes.items():
            yield account_id, endpoint_id, note


def write(account_id: int, endpoint_id: int, note: Note) -> None:
    with account_context(account_id):
        endpoint = Endpoint.objects.filter(pk=endpoint_id)
        if note.last_success_at is not None:
            endpoint.update(
                last_success_at=note.last_success_at, consecutive_failures=note.failures_in_a_row
            )
        elif note.failures_in_a_row:
            endpoint.update(consecutive_failures=F("consecutive_failures") + note.failures_in_a_row)
        if note.last_failure_at is not None:
            endpoint.update(last_failure_at=note.last_failure_at, last_error=note.last_error[:250])
