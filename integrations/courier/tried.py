"""Parts that were handed to their channels: what these said is written, with everything that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils import timezone

from accounts.tenancy import account_context
from conversations.channels import ErrorClass, Recipient, SendError, SendResult
from conversations.models import Delivery
from conversations.services import acting, sending
from conversations.services.locking import lock_bare
from integrations.courier import pacing, recording
from integrations.courier.parts import Part, inbox_of, wanted
from integrations.courier.schedule import Failure, next_due, throttle_wait
from integrations.courier.together import together_or_alone
from integrations.courier.work import Job, Outcome, Rested, Result

State = Delivery.State
# How soon a lane is looked at again whose inbox waits for new credentials, or is switched off.
CREDENTIALS_SECONDS = 30.0


class Tried(NamedTuple):
    """A part that was handed to the channel, and what the channel said."""

    part: Part
    result: SendResult | SendError
    latency_ms: int

    @property
    def account_id(self) -> int:
        return self.part.job.claim.account_id


def record_many(account_id: int, sent: Sequence[Tried]) -> list[Rested | Exception | None]:
    """Write what the channels said about an account's sends, with everything that follows, and give the
    lanes back where that can be done with it."""
    return together_or_alone(account_id, sent, many=_record_many, one=_record)


def _record_many(account_id: int, sent: Sequence[Tried]) -> dict[int, Rested | None]:
    """Those that were taken, in one transaction. Raises when one of them is not ours any more."""
    taken = {
        place: (one.part, one.result, one.latency_ms)
        for place, one in enumerate(sent)
        if isinstance(one.result, SendResult) and not one.part.delivery.is_act
    }
    with account_context(account_id):
        pks = {part.delivery.conversation_id or 0 for part, _result, _ms in taken.values()}
        conversations = lock_bare(pks)
        recording.finish_all([_delivered(*one) for one in taken.values()])
        sending.sent(
            [
                sending.Sent(
                    part.delivery,
                    conversations[part.delivery.conversation_id or 0],
                    _new_to(part.to, result),
                    part.is_last,
                )
                for part, result, _ms in taken.values()
            ]
        )
        claims = {place: part.job.claim for place, (part, _result, _ms) in taken.items()}
        rested = recording.rest_lanes(list(claims.values()))
    return {place: rested.get(claim.lane_id) for place, claim in claims.items()}


def _new_to(known: Recipient, result: SendResult) -> SendResult:
    """The result without the names that the contact was known by; channels repeat them every time."""
    new = tuple(name for name in result.identifiers if name not in known.identifiers)
    return replace(result, identifiers=new)


def _delivered(part: Part, result: SendResult, latency_ms: int) -> Result:
    outcome = Outcome("ok", result.status, latency_ms, response_body=result.body.encode())
    return Result(part.job, State.DELIVERED, outcome, external_id=result.external_id)


def _record(one: Tried) -> None:
    """Write what the channel said, with everything that follows, in one transaction.

    The conversation is locked first: a status of this very send may be read at the same time.
    """
    part, result, latency_ms = one
    with account_context(part.job.claim.account_id):
        conversation = sending.lock_for(part.delivery)
        if isinstance(result, SendResult):
            if not recording.finish(_delivered(part, result, latency_ms)):
                return
            if part.delivery.is_act:
                acting.done(part.delivery, conversation)
            else:
                sending.sent([sending.Sent(part.delivery, conversation, result, part.is_last)])
        elif result.error_class == ErrorClass.AMBIGUOUS and not part.delivery.is_act:
            _uncertain(part, result, latency_ms)
        else:
            _refused(part, result, latency_ms)


def _uncertain(part: Part, error: SendError, latency_ms: int) -> None:
    outcome = _outcome(error, latency_ms)
    if sending.is_proven(part.delivery):
        recording.finish(Result(part.job, State.DELIVERED, outcome))
    elif recording.finish(Result(part.job, State.UNCERTAIN, outcome)):
        sending.uncertain(part.delivery)


def _refused(part: Part, error: SendError, latency_ms: int) -> None:
    now, wait = timezone.now(), _uncounted_wait(part, error)
    due: datetime | None = None
    if wait is not None:
        due = now + timedelta(seconds=wait)
        due = due if part.deadline is None or due < part.deadline else None
    elif error.error_class in (ErrorClass.TRANSIENT, ErrorClass.AMBIGUOUS):
        failure = Failure("transient", error.status, error.retry_after)
        due = next_due(part.delivery.schedule, part.job.n, failure, now=now, deadline=part.deadline)
    if due is None:
        give_up(part.job, part.delivery, error, latency_ms)
        return
    outcome = _outcome(error, latency_ms)
    recording.finish(Result(part.job, State.RETRY_WAIT, outcome, due_at=due, counts=wait is None))


def _uncounted_wait(part: Part, error: SendError) -> float | None:
    """How long this waits for something else than its luck: for a place, or, as nobody is told at once that
    an act was refused, for new credentials."""
    if error.error_class == ErrorClass.THROTTLED:
        wait = throttle_wait(_throttled_before(part.delivery), error.retry_after)
        pacing.slow_down(wanted(part.delivery, part.inbox), error.scope, seconds=wait)
        return wait
    if error.error_class == ErrorClass.REAUTH and part.delivery.is_act:
        sending.ask_for_credentials(inbox_of(part.delivery), text=str(error))
        return CREDENTIALS_SECONDS
    return None


def _throttled_before(delivery: Delivery) -> int:
    return delivery.attempt_log.filter(outcome=ErrorClass.THROTTLED).count()


def give_up(job: Job, delivery: Delivery, error: SendError, latency_ms: int | None = None) -> None:
    reason = f"{error.error_class}: {error}"
    if not recording.finish(Result(job, State.DEAD, _outcome(error, latency_ms), reason=reason)):
        return
    if delivery.is_act:
        acting.failed(delivery, text=str(error))
    else:
        sending.failed(delivery, error_class=error.error_class, code=error.code, text=str(error))


def _outcome(error: SendError, latency_ms: int | None) -> Outcome:
    text = f"{error.code}: {error}" if error.code else str(error)
    return Outcome(
        str(error.error_class), error.status, latency_ms, text, response_body=error.body.encode()
    )
