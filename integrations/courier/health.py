"""How endpoints are doing, gathered in memory and written every few seconds.

A row updated by each of a thousand deliveries would be a queue of a thousand (performance.md, 6). What
turns a breaker is written at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import cast

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.tenancy import account_context
from agents import services as agents
from agents.answers import page_of
from agents.models import Agent
from agents.pushing import SERVING
from conversations.models import Endpoint
from conversations.services import endpoints
from integrations.courier import breaker
from integrations.courier.breaker import Change, Note
from integrations.http import Exchange
from integrations.subscribers import services as subscribers

logger = logging.getLogger(__name__)


class Notes:
    def __init__(self) -> None:
        self._notes: dict[tuple[int, int], Note] = {}

    def note(
        self, account_id: int, endpoint_id: int, exchange: Exchange, *, in_flight: int, probe: bool
    ) -> bool:
        """Note one call; says whether what is noted should be written now."""
        note = self._notes.setdefault((account_id, endpoint_id), Note())
        note.add(exchange, timezone.now(), in_flight=in_flight)
        return probe or note.failures_in_a_row == breaker.IN_A_ROW or note.too_much > 0

    def take(self) -> Iterator[tuple[int, int, Note]]:
        notes, self._notes = self._notes, {}
        for (account_id, endpoint_id), note in notes.items():
            yield account_id, endpoint_id, note


def write(account_id: int, endpoint_id: int, note: Note) -> None:
    """Judge an endpoint by what was seen, and do what follows from it, in one transaction."""
    with account_context(account_id):
        endpoint = Endpoint.objects.select_for_update().filter(pk=endpoint_id).first()
        if endpoint is None:
            return
        changes = breaker.judge(endpoint, note, _now())
        endpoint.save(update_fields=breaker.COLUMNS)
        for change in changes:
            logger.warning("endpoint %s endpoint=%s", change, endpoint.public_id)
            if change is Change.SWITCH_OFF:
                _switch_off(endpoint, detail=_("it has not answered for too long"))
            elif change is Change.WARN:
                endpoints.tell_owners(endpoint, endpoints.FAILING, path=_page_of(endpoint))


def _switch_off(endpoint: Endpoint, *, detail: str) -> None:
    agent = _agent_of(endpoint)
    if agent is not None:
        agents.switch_off(agent, detail=detail)
    else:
        subscribers.switch_off(endpoint, by=None, reason=detail)


def _page_of(endpoint: Endpoint) -> str:
    agent = _agent_of(endpoint)
    return page_of(agent) if agent is not None else subscribers.page_of(endpoint)


def _agent_of(endpoint: Endpoint) -> Agent | None:
    return Agent.objects.select_related(*SERVING).filter(endpoint=endpoint).first()


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        row = cursor.fetchone()
    return cast(datetime, row[0])
