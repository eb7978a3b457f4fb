"""Subscriber lanes: events are pushed to integrators' URLs, and only the status of the answer counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts.tenancy import account_context, current_account_id
from conversations.models import Delivery, Endpoint, Lane
from conversations.services import endpoints, outbox
from conversations.services.outbox import LaneName
from integrations.courier import pushing, recording
from integrations.courier.pushing import (
    BREAKER_OPEN,
    GONE,
    NO_BODY,
    NOT_CALLED,
    SWITCHED_OFF,
    TOO_LATE,
    Pushed,
    outcome_of,
    wait_for_probe,
)
from integrations.courier.schedule import Failure, next_due, read_retry_after
from integrations.courier.starting import Push
from integrations.courier.together import together_or_alone
from integrations.courier.work import Result
from integrations.http import Exchange, GuardedClient
from integrations.subscribers import services as subscribers
from integrations.subscribers.catalogue import TEST

logger = logging.getLogger(__name__)

State = Delivery.State
ANSWER_BYTES = 64 * 1024
# After so many failed attempts (about 35 minutes) the head no longer holds up what comes after it (DL-23).
PATIENT_ATTEMPTS = 4
# Outcomes of pushes that were never made.
OUR_OWN = frozenset({*NOT_CALLED, "blocked_address"})
# Kept as the API shows them; pages translate them.
OFF_REASON = gettext_noop("the webhook is switched off")
NO_ANSWER = gettext_noop("No HTTP answer came from this address.")


async def push(one: Push, http: GuardedClient) -> Pushed:
    """Make the request, unless it is too late for it."""
    deadline = one.delivery.deadline_at
    if deadline is not None and deadline <= timezone.now():
        return Pushed(one, TOO_LATE, {})
    pushed = await pushing.push(one, http, max_bytes=ANSWER_BYTES)
    if one.delivery.event_type == TEST:
        return pushed._replace(exchange=_discreet(pushed.exchange))
    return pushed


def _discreet(exchange: Exchange) -> Exchange:
    """What a test may tell of an address that gave no HTTP answer: the same words whatever the reason,
    so that nobody learns from it which doors of a host are open (bad input 48)."""
    if exchange.status is not None or exchange.outcome in OUR_OWN:
        return exchange
    return Exchange("unreachable", error=NO_ANSWER)


def plain_result(pushed: Pushed) -> Result | None:
    """The result of a push from which nothing else follows, so that no thread is needed; else None."""
    one, exchange, headers = pushed
    if exchange.ok:
        return Result(one.job, State.DELIVERED, outcome_of("ok", exchange, headers))
    if exchange is BREAKER_OPEN and not one.is_notice:
        return wait_for_probe(pushed)
    if exchange.status == GONE:
        return None
    due = _next(pushed, timezone.now())
    if due is None or one.job.n < PATIENT_ATTEMPTS:
        return _failed(pushed, due)
    return None


def record_many(account_id: int, pushed: Sequence[Pushed]) -> list[Exception | None]:
    """Write what came of an account's pushes that have consequences: an address is gone, or they are
    parked."""
    return together_or_alone(account_id, pushed, many=_park_many, one=_record)


def _park_many(account_id: int, pushed: Sequence[Pushed]) -> dict[int, None]:
    """Those that are tried again, in one transaction. Raises when one of them is not ours any more."""
    now = timezone.now()
    dues = {place: _again_at(one, now) for place, one in enumerate(pushed)}
    waiting = {place: due for place, due in dues.items() if due is not None}
    with account_context(account_id):
        recording.finish_all([_failed(pushed[place], due) for place, due in waiting.items()])
        _park({pushed[place].one.job.delivery_id: due for place, due in waiting.items()})
    return dict.fromkeys(waiting)


def _record(pushed: Pushed) -> None:
    """One of them, in one transaction."""
    one, exchange, _headers = pushed
    due = _again_at(pushed, timezone.now())
    with account_context(one.account_id):
        if not recording.finish(_failed(pushed, due)):
            return
        if exchange.status == GONE:
            _switch_off(one)
        elif due is not None:
            _park({one.job.delivery_id: due})


def _again_at(pushed: Pushed, now: datetime) -> datetime | None:
    """When to try again; None also for whoever answers that the address is gone."""
    return None if pushed.exchange.status == GONE else _next(pushed, now)


def _failed(pushed: Pushed, due: datetime | None) -> Result:
    one, exchange, headers = pushed
    outcome = outcome_of(exchange.outcome, exchange, headers)
    if due is not None:
        return Result(one.job, State.RETRY_WAIT, outcome, due_at=due)
    if exchange is SWITCHED_OFF:
        return Result(one.job, State.CANCELED, outcome, reason=OFF_REASON)
    reason = endpoints.GONE if exchange.status == GONE else _told(exchange)
    logger.info(
        "subscriber given up delivery=%d reason=%s after=%d", one.job.delivery_id, reason, one.job.n
    )
    return Result(one.job, State.DEAD, outcome, reason=reason)


def _next(pushed: Pushed, now: datetime) -> datetime | None:
    """When to try again; None when the attempts are used up, it is switched off or deleted, or nobody is
    told later."""
    one, exchange, _headers = pushed
    if exchange in (SWITCHED_OFF, NO_BODY, TOO_LATE, BREAKER_OPEN):
        return None
    asked = read_retry_after(exchange.headers.get("retry-after", ""))
    failure = Failure(exchange.outcome, exchange.status, asked)
    deadline = one.delivery.deadline_at
    return next_due(one.delivery.schedule, one.job.n, failure, now=now, deadline=deadline)


def _told(exchange: Exchange) -> str:
    return f"{exchange.outcome} {exchange.status or ''}".strip()


def _switch_off(one: Push) -> None:
    """410: whoever runs the address has taken it down (DL-33)."""
    endpoint = subscribers.subscribers().filter(pk=one.delivery.endpoint_id or 0).first()
    if endpoint is not None:
        subscribers.switch_off(endpoint, by=None, reason=endpoints.GONE)


def _park(dues: Mapping[int, datetime]) -> None:
    """Move deliveries, by id, to lanes of their own, where each is tried alone at its times; not those
    whose subscriber rather waits. They keep their sequences, by which their receivers see where they
    belong."""
    moving = list(
        Delivery.objects.filter(pk__among=list(dues), parked=False)
        .exclude(endpoint__in=Endpoint.objects.filter(strict_order=True))
        .select_related("lane")
        .only("attempts", "lane__destination_id")
    )
    if not moving:
        return
    places = outbox.take_places(
        current_account_id(),
        [
            LaneName(
                Lane.Kind.SUBSCRIBER, one.lane.destination_id, f"{outbox.PARKED}{one.public_id}"
            )
            for one in moving
        ],
        # A lane that is looked at too early is given back with the time of what stands on it.
        due_at=min(dues[one.pk] for one in moving),
    )
    for one, place in zip(moving, places, strict=True):
        one.lane_id, one.parked = place.lane_id, True
    Delivery.objects.bulk_update(moving, ["lane", "parked"])
    for one in moving:
        logger.info("subscriber parked delivery=%d after=%d", one.pk, one.attempts)
