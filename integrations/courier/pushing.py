"""Agent lanes: events are pushed to the agent's URL, and its answer is handed to the agents' room."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts.tenancy import account_context
from agents import dialects
from agents import services as agents
from agents.dialects import Dialect
from conversations.models import Delivery, Lane
from conversations.services import outbox
from conversations.services.locking import lock_bare, lock_many
from conversations.services.outbox import FAREWELLS, NOT_ASSIGNED
from integrations.courier import breaker, recording
from integrations.courier.recording import StaleError
from integrations.courier.schedule import HOPELESS_LIVE, Failure, next_due, read_retry_after
from integrations.courier.signing import push_headers
from integrations.courier.starting import Push, is_enabled
from integrations.courier.together import together_or_alone
from integrations.courier.work import Outcome, Rested, Result
from integrations.http import Exchange, GuardedClient

logger = logging.getLogger(__name__)

State = Delivery.State
ANSWER_BYTES = 256 * 1024
GONE = 410
# Ends without a call, which say nothing about the endpoint. Their words are kept as the API shows them.
NOT_CALLED = frozenset({"no_secret", "endpoint_off", "breaker_open", "no_body", "too_late"})
NO_SECRET = Exchange(
    "no_secret", error=gettext_noop("its signing secret does not open with FIELD_KEYS")
)
BREAKER_OPEN = Exchange(
    "breaker_open", error=gettext_noop("it has failed too often and is tried again later")
)
# What was under way while its contact was erased (F-32).
NO_BODY = Exchange("no_body", error=gettext_noop("what was in it has been erased"))
OVERTAKEN = gettext_noop("a customer waited behind it, and one before it had failed")
# Of news that had to be told at once.
TOO_LATE = Exchange("too_late", error=gettext_noop("it is no news any more"))
SWITCHED_OFF = Exchange("endpoint_off", error=gettext_noop("the endpoint is switched off"))


async def push(one: Push, http: GuardedClient, *, max_bytes: int = ANSWER_BYTES) -> Pushed:
    """Make the request; of the answer, at most `max_bytes` are read."""
    target = one.target
    if target is None or not is_enabled(target):
        return Pushed(one, SWITCHED_OFF, {})
    if not target.secrets:
        return Pushed(one, NO_SECRET, {})
    about_somebody = one.delivery.conversation_id is not None or is_news(one.delivery)
    if not one.delivery.body_sealed and about_somebody:
        return Pushed(one, NO_BODY, {})
    delivery, body = one.delivery, one.delivery.body
    headers = push_headers(
        dialect_of(target.dialect),
        body,
        wire_id=delivery.wire_id,
        timestamp=int(time.time()),
        secrets=target.secrets,
        event_type=delivery.event_type,
        content_type=delivery.content_type,
        attempt=one.job.n,
        sequence=delivery.sequence,
        replay=delivery.replay_of_id is not None,
        overtakes=one.overtakes,
    )
    exchange = await http.exchange(
        "POST",
        target.url,
        headers=headers,
        data=body,
        timeout=float(target.timeout_s),
        max_bytes=max_bytes,
    )
    return Pushed(one, exchange, headers)


class Pushed(NamedTuple):
    """A push that was made: what came of it, and the headers that were sent."""

    one: Push
    exchange: Exchange
    headers: Mapping[str, str]

    @property
    def account_id(self) -> int:
        return self.one.account_id


def record_answers(account_id: int, pushed: Sequence[Pushed]) -> list[Rested | Exception | None]:
    """Write what an account's agents answered, with everything that follows from it, and give the lanes
    back where that can be done with it."""
    return together_or_alone(account_id, pushed, many=_deliver_many, one=_deliver)


def _deliver_many(account_id: int, pushed: Sequence[Pushed]) -> dict[int, Rested | None]:
    """Those whose answer is plain, in one transaction. Raises when one of them is not ours any more."""
    with account_context(account_id):
        notes = agents.settle_many([_response(one) for one in pushed])
        recording.finish_all([_result(pushed[place], note) for place, note in notes.items()])
        claims = {place: pushed[place].one.job.claim for place in notes}
        rested = recording.rest_lanes(list(claims.values()))
    return {place: rested.get(claim.lane_id) for place, claim in claims.items()}


def _response(one: Pushed) -> agents.Response:
    exchange = one.exchange
    return agents.Response(one.one.delivery, exchange.status or 0, exchange.headers, exchange.body)


def _result(pushed: Pushed, note: str) -> Result:
    one, exchange, headers = pushed
    outcome = outcome_of(_word(note), exchange, headers, note)
    return Result(one.job, State.DELIVERED, outcome)


def _deliver(pushed: Pushed) -> None:
    """One answer, in one transaction; where it cannot be applied, the push has failed."""
    one, exchange, headers = pushed
    try:
        _delivered(one, exchange, headers)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("answer not applied delivery=%d", one.job.delivery_id)
        failed = Exchange(
            "not_applied", exchange.status, exchange.headers, exchange.body,
            exchange.latency_ms, exchange.remote_ip, "the answer could not be applied", True,
        )  # fmt: skip
        _fail(Pushed(one, failed, headers))


def record_failures(account_id: int, pushed: Sequence[Pushed]) -> list[Exception | None]:
    """Write which of an account's pushes have failed, with everything that follows from it."""
    return together_or_alone(account_id, pushed, many=_fail_many, one=_fail)


def _fail_many(account_id: int, pushed: Sequence[Pushed]) -> dict[int, None]:
    """Those that are tried again, in one transaction: a dead host fails by the hundred. Raises when one
    of them is not ours any more."""
    now = timezone.now()
    dues = {place: _next(one.one, one.exchange, now) for place, one in enumerate(pushed)}
    waiting = {place: due for place, due in dues.items() if due is not None}
    with account_context(account_id):
        if _barring([pushed[place].one.delivery for place in waiting]):
            raise StaleError
        lost = _lost([pushed[place].one.delivery for place in waiting])
        recording.finish_all(
            [
                _again(pushed[place], due, lost=pushed[place].one.job.delivery_id in lost)
                for place, due in waiting.items()
            ]
        )
        _tell_anew([pushed[place].one.delivery for place in waiting], lost)
    return dict.fromkeys(waiting)


def changed_hands(account_id: int, pushes: Sequence[Push]) -> list[Result | None]:
    """The ends of those retries whose conversation has left the agent (F-25), None for the others.

    What is under way while the holder changes escapes the cancelling, and comes back as a retry.
    """
    with account_context(account_id):
        lost = _lost([one.delivery for one in pushes])
        _tell_anew([one.delivery for one in pushes], lost)
    canceled = Outcome(NOT_ASSIGNED)
    return [
        Result(one.job, State.CANCELED, canceled, reason=NOT_ASSIGNED)
        if one.job.delivery_id in lost
        else None
        for one in pushes
    ]


def dialect_of(slug: str) -> Dialect:
    """The endpoint's dialect; a plain one when its platform is not installed any more."""
    try:
        return dialects.get(slug)
    except KeyError:
        return Dialect()


def is_news(delivery: Delivery) -> bool:
    """Whether it goes to a webhook, which is told nothing without a body."""
    return delivery.kind == Lane.Kind.SUBSCRIBER


def plain_result(pushed: Pushed) -> Result | None:
    """The result of a push from which nothing follows, so that no thread is needed, else None: its answer
    is empty, or nobody waits for it and it is tried when its endpoint is."""
    one, exchange, headers = pushed
    if exchange.ok and not exchange.body:
        return Result(one.job, State.DELIVERED, outcome_of("ok", exchange, headers))
    if exchange is BREAKER_OPEN and one.delivery.schedule == Delivery.Schedule.DURABLE:
        return wait_for_probe(pushed)
    return None


def wait_for_probe(pushed: Pushed) -> Result:
    """It was not called, so it was no attempt; until the next probe may go, or the one under way ends."""
    one, exchange, headers = pushed
    shut_for = one.target.bearing.shut_for if one.target is not None else None
    wait = timedelta(seconds=breaker.spread(shut_for or float(breaker.FIRST_WAIT)))
    outcome = outcome_of(exchange.outcome, exchange, headers)
    return Result(one.job, State.RETRY_WAIT, outcome, due_at=timezone.now() + wait, counts=False)


def _delivered(one: Push, exchange: Exchange, headers: Mapping[str, str]) -> None:
    """The answer is applied first and the fence is passed last: without it nothing has happened."""
    with account_context(one.job.claim.account_id):
        with transaction.atomic():
            note = agents.settle(
                one.delivery,
                status=exchange.status or 0,
                headers=exchange.headers,
                body=exchange.body,
                late=False,
            )
            result = _result(Pushed(one, exchange, headers), note)
            if recording.finish(result):
                return
            transaction.set_rollback(True)
        recording.finish(result)


def _word(note: str) -> str:
    """What the agents' room made of the answer, as the attempt's outcome."""
    word = note.partition(":")[0].replace(" ", "_")
    return {"no_answer": "ok", "refused": "answer_refused"}.get(word, word)


def _fail(pushed: Pushed) -> None:
    """One failure, in one transaction: it is tried again, or given up and its customer given to people."""
    one, exchange, headers = pushed
    due = _next(one, exchange, timezone.now())
    with account_context(one.job.claim.account_id):
        if due is not None and (customer := _barring([one.delivery]).get(one.delivery.lane_id)):
            _clear_way(one.delivery, customer)
            due = None
        if due is not None:
            lost = _lost([one.delivery])
            if recording.finish(_again(pushed, due, lost=bool(lost))):
                _tell_anew([one.delivery], lost)
            return
        reason = _reason(exchange)
        outcome = outcome_of(exchange.outcome, exchange, headers)
        if not recording.finish(Result(one.job, State.DEAD, outcome, reason=reason)):
            return
        logger.info(
            "push given up delivery=%d reason=%s after=%d", one.job.delivery_id, reason, one.job.n
        )
        agents.delivery_failed(one.delivery, reason=reason)


def _again(pushed: Pushed, due: datetime, *, lost: bool) -> Result:
    """The result of a failure that does not end it by itself; `lost`: its agent has it no more."""
    one, exchange, headers = pushed
    outcome = outcome_of(exchange.outcome, exchange, headers)
    if lost:
        return Result(one.job, State.CANCELED, outcome, reason=NOT_ASSIGNED)
    return Result(one.job, State.RETRY_WAIT, outcome, due_at=due)


def _barring(deliveries: Sequence[Delivery]) -> dict[int, int]:
    """The lanes of those notices that a customer's message waits behind, and its number there."""
    lanes = {one.lane_id for one in deliveries if one.schedule == Delivery.Schedule.NOTICE}
    if not lanes:
        return {}
    waiting = Delivery.objects.filter(
        lane__among=lanes, schedule=Delivery.Schedule.LIVE, state__in=Delivery.OPEN_STATES
    )
    return dict(waiting.order_by("-sequence").values_list("lane_id", "sequence"))


def _clear_way(failed: Delivery, customer: int) -> None:
    """Whoever fails at notices must not lose the customer for it: what else stands before their message
    is left out, so that it waits for one failure at most, however many there are."""
    outbox.cancel(
        Delivery.objects.filter(
            lane=failed.lane_id,
            schedule=Delivery.Schedule.NOTICE,
            state__in=(State.PENDING, State.RETRY_WAIT),
            sequence__lt=customer,
        ),
        reason=OVERTAKEN,
    )


def _lost(deliveries: Sequence[Delivery]) -> set[int]:
    """Those whose epoch has moved on. Their conversations stay locked for this transaction: whoever
    changes a holder afterwards finds the retry and cancels it."""
    held = {
        one.pk: one.conversation_id
        for one in deliveries
        if one.conversation_id is not None
        and one.event_type not in FAREWELLS
        and one.schedule != Delivery.Schedule.NOTICE  # told whoever holds it
    }
    epochs = {pk: one.assignment_epoch for pk, one in lock_bare(set(held.values())).items()}
    return {
        one.pk for one in deliveries if one.pk in held and epochs.get(held[one.pk]) != one.epoch
    }


def _tell_anew(deliveries: Sequence[Delivery], lost: Collection[int]) -> None:
    """What an agent was asked and lost unheard is told to it, where it follows the inbox (F-25); once,
    also where this ends before its question does."""
    questions = [one for one in deliveries if one.pk in lost]
    if questions:
        agents.tell_anew(questions, lock_many({one.conversation_id or 0 for one in questions}))


def _next(one: Push, exchange: Exchange, now: datetime) -> datetime | None:
    """When to try again; None when it is hopeless, switched off, or the patience is used up."""
    if exchange in (SWITCHED_OFF, BREAKER_OPEN, NO_BODY) or exchange.status == GONE:
        return None
    asked = read_retry_after(exchange.headers.get("retry-after", ""))
    dialect = dialect_of(one.target.dialect if one.target else "")
    live = one.delivery.schedule == Delivery.Schedule.LIVE
    return next_due(
        one.delivery.schedule,
        one.job.n,
        Failure(exchange.outcome, exchange.status, asked),
        now=now,
        deadline=one.delivery.deadline_at,
        max_attempts=dialect.max_attempts if live else None,
    )


def _reason(exchange: Exchange) -> str:
    if exchange is SWITCHED_OFF or exchange.status == GONE:
        return "agent_disabled"
    if exchange.status in HOPELESS_LIVE:
        return "agent_rejected"
    return "agent_unreachable"


def outcome_of(
    word: str, exchange: Exchange, headers: Mapping[str, str], note: str = ""
) -> Outcome:
    return Outcome(
        word,
        exchange.status,
        exchange.latency_ms,
        note or exchange.error,
        headers,
        exchange.headers,
        exchange.body,
    )
