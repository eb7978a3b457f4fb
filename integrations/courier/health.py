"""How endpoints are doing, gathered in memory and written every few seconds.

A row updated by each of a thousand deliveries would be a queue of a thousand (performance.md, 6). What
turns a breaker is written at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import cast

from django.db import connection
from django.utils import timezone

from accounts.tenancy import account_context
from agents import services as agents
from agents.answers import page_of_agent
from agents.models import Agent
from agents.pushing import SERVING
from conversations.models import Endpoint, Lane
from conversations.services import endpoints, outbox
from integrations.courier import breaker
from integrations.courier.breaker import Change, Note
from integrations.courier.starting import Bearing
from integrations.http import Exchange
from integrations.subscribers import services as subscribers

logger = logging.getLogger(__name__)


class Notes:
    def __init__(self) -> None:
        self._notes: dict[tuple[int, int], Note] = {}

    def note(
        self,
        account_id: int,
        endpoint_id: int,
        exchange: Exchange,
        *,
        in_flight: int,
        probe: bool,
        limited: bool,
    ) -> bool:
        """Note one call; says whether what is noted should be written now. `limited`: fewer calls are
        under way than its settings allow, which a success changes."""
        note = self._notes.setdefault((account_id, endpoint_id), Note())
        note.add(exchange, timezone.now(), in_flight=in_flight, probe=probe)
        return probe or (limited and exchange.ok) or note.too_much > 0 or breaker.must_open(note)

    def take_one(self, account_id: int, endpoint_id: int) -> Note | None:
        return self._notes.pop((account_id, endpoint_id), None)

    def take(self) -> Iterator[tuple[int, int, Note]]:
        notes, self._notes = self._notes, {}
        for (account_id, endpoint_id), note in notes.items():
            yield account_id, endpoint_id, note


def write(account_id: int, endpoint_id: int, note: Note) -> Bearing | None:
    """Judge an endpoint by what was seen, and do what follows from it; what it bears from now on."""
    with account_context(account_id):
        # Not against new deliveries that name it (`no_key`): every event of the account would wait.
        locked = Endpoint.objects.select_for_update(no_key=True)
        endpoint = locked.filter(pk=endpoint_id).first()
        if endpoint is None:
            return None
        now = database_now()
        changes = breaker.judge(endpoint, note, now)
        endpoint.save(update_fields=breaker.COLUMNS)
        _tell(endpoint, changes)
        if note.probes_passed:
            _wake_waiting(endpoint)
    _end(account_id, endpoint_id, changes)
    return breaker.bearing_of(endpoint, now)


def look_after(account_id: int) -> None:
    """Warn of and switch off what has failed for too long, also where nothing is tried any more, so that
    no call of it comes to be judged (DL-67)."""
    with account_context(account_id):
        enabled = Endpoint.objects.filter(state=Endpoint.State.ENABLED)
        suspects = enabled.filter(failing_since__lt=database_now() - breaker.SOONEST_WARNING)
        ended = []
        for endpoint in suspects.select_for_update(no_key=True).order_by("pk"):
            changes = breaker.patience_with(endpoint, database_now())
            endpoint.save(update_fields=["warned_at"])
            _tell(endpoint, changes)
            ended.append((endpoint.pk, changes))
    for endpoint_id, changes in ended:
        _end(account_id, endpoint_id, changes)


def _tell(endpoint: Endpoint, changes: Sequence[Change]) -> None:
    for change in changes:
        logger.warning("endpoint %s endpoint=%s", change, endpoint.public_id)
    if Change.WARN in changes:
        endpoints.tell_owners(endpoint, endpoints.FAILING, path=_page_of(endpoint))


def _end(account_id: int, endpoint_id: int, changes: Sequence[Change]) -> None:
    """In a transaction of its own: agents are locked before their endpoints, by everybody. If it is not
    reached, the next look finds the endpoint again."""
    if Change.SWITCH_OFF not in changes:
        return
    with account_context(account_id):
        endpoint = Endpoint.objects.filter(pk=endpoint_id).first()
        if endpoint is not None:
            _switch_off(endpoint)


def _wake_waiting(endpoint: Endpoint) -> None:
    """It answers: what waits for it comes to be looked at now, and not only at the next probe's time."""
    waiting = Lane.objects.filter(
        kind=Lane.Kind.SUBSCRIBER,
        destination_id=endpoint.pk,
        blocked_reason=breaker.SHUT,
        lease_token__isnull=True,
    )
    if waiting.update(due_at=database_now()):
        outbox.ring(Lane.Kind.SUBSCRIBER)


def _switch_off(endpoint: Endpoint) -> None:
    agent = _agent_of(endpoint)
    if agent is not None:
        agents.switch_off(agent, detail=breaker.AGENT_OFF_REASON)
    else:
        subscribers.switch_off(endpoint, by=None, reason=breaker.SUBSCRIBER_OFF_REASON)


def _page_of(endpoint: Endpoint) -> str:
    agent = _agent_of(endpoint)
    return page_of_agent(agent) if agent is not None else subscribers.page_of_webhook(endpoint)


def _agent_of(endpoint: Endpoint) -> Agent | None:
    return Agent.objects.select_related(*SERVING).filter(endpoint=endpoint).first()


def database_now() -> datetime:
    """Every courier's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    return cast(datetime, row[0])
