"""Send lanes: the parts of a message go to the channel, strictly one after another."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.tenancy import account_context
from conversations import channels
from conversations.channels import (
    ErrorClass,
    HttpClient,
    InboxConfig,
    Recipient,
    SendError,
    SendResult,
    UnsupportedMessageError,
)
from conversations.messages import OutboundMessage
from conversations.models import Attachment, Delivery, Inbox, Message
from conversations.services import sending
from conversations.services.outbound import outbound_parts
from integrations.courier import recording
from integrations.courier.lanes import Claim, Job, Release
from integrations.courier.recording import Outcome
from integrations.courier.schedule import Failure, next_due, throttle_wait

logger = logging.getLogger(__name__)

State = Delivery.State
# How soon a lane that waits for something else is looked at again.
CREDENTIALS_SECONDS = 30.0
FILE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message, marked IN_FLIGHT, and everything needed to send it."""

    job: Job
    message: OutboundMessage
    to: Recipient
    inbox: InboxConfig
    schedule: str
    # No attempt may start after this: the reply window or the budget ends here.
    deadline: datetime | None


def begin(claim: Claim, *, courier_id: int) -> Part | Release:
    """Start the lane's head, or say why the lane is given back."""
    with account_context(claim.account_id):
        inbox = Inbox.objects.filter(pk=claim.destination_id).first()
        waiting = recording.head(claim)
        if inbox is None or waiting is None:
            return Release(claim)
        if inbox.state == Inbox.State.NEEDS_REAUTH:
            return Release(claim, CREDENTIALS_SECONDS, "needs_reauthorization")
        delivery = _with_everything(waiting)
        message, deadline = delivery.message, _deadline(delivery, inbox)
        if message is None:
            raise ValueError(f"send {delivery.public_id} carries no message")
        refusal = _refusal(message, deadline)
        if refusal is None and inbox.state == Inbox.State.DISABLED:
            return Release(claim, CREDENTIALS_SECONDS, "inbox_disabled")
        if refusal is None and _awaits_file(message):
            return Release(claim, FILE_SECONDS, "file")
        job = recording.start(claim, courier_id=courier_id)
        if job is None:
            return Release(claim)
        try:
            part = None if refusal else outbound_parts(message)[delivery.part]
        except (UnsupportedMessageError, IndexError) as error:
            refusal = SendError(str(error), error_class=ErrorClass.INVALID, code="unsupported")
            part = None
        if refusal is not None or part is None:
            _give_up(job, delivery, refusal or _nothing())
            return Release(claim)
        return Part(job, part, _recipient(delivery), inbox.as_config(), delivery.schedule, deadline)


async def send(part: Part, http: HttpClient) -> SendResult | SendError:
    """Hand the part to the channel. Whatever breaks after that may have sent it: AMBIGUOUS."""
    try:
        channel = channels.get(part.inbox.platform)
        return await channel.send(part.message, part.to, part.inbox, http)
    except SendError as error:
        return error
    except UnsupportedMessageError as error:
        return SendError(str(error), error_class=ErrorClass.INVALID, code="unsupported")
    except Exception as error:
        logger.exception("channel broke platform=%s", part.inbox.platform)
        text = f"the channel's code broke ({type(error).__name__})"
        return SendError(text, error_class=ErrorClass.AMBIGUOUS)


def record(part: Part, result: SendResult | SendError, latency_ms: int) -> None:
    """Write what the channel said, with everything that follows, in one transaction."""
    with account_context(part.job.claim.account_id):
        delivery = _with_everything(Delivery.objects.get(pk=part.job.delivery_id))
        if isinstance(result, SendResult):
            _sent(part.job, delivery, result, latency_ms)
        elif result.error_class == ErrorClass.AMBIGUOUS:
            _uncertain(part.job, delivery, result, latency_ms)
        else:
            _refused(part, delivery, result, latency_ms)


def _sent(job: Job, delivery: Delivery, result: SendResult, latency_ms: int) -> None:
    if not recording.finish(job, State.DELIVERED, external_id=result.external_id):
        return
    recording.close_attempt(
        job, Outcome("ok", result.status, latency_ms, response_body=result.body.encode())
    )
    sending.sent(delivery, result)


def _uncertain(job: Job, delivery: Delivery, error: SendError, latency_ms: int) -> None:
    if recording.finish(job, State.UNCERTAIN):
        recording.close_attempt(job, _outcome(error, latency_ms))
        sending.uncertain(delivery)


def _refused(part: Part, delivery: Delivery, error: SendError, latency_ms: int) -> None:
    now, throttled = timezone.now(), error.error_class == ErrorClass.THROTTLED
    due: datetime | None = None
    if throttled:
        due = now + timedelta(seconds=throttle_wait(_throttled_before(delivery), error.retry_after))
        due = due if part.deadline is None or due < part.deadline else None
    elif error.error_class == ErrorClass.TRANSIENT:
        failure = Failure("transient", error.status, error.retry_after)
        due = next_due(part.schedule, part.job.n, failure, now=now, deadline=part.deadline)
    if due is None:
        _give_up(part.job, delivery, error, latency_ms)
    elif recording.finish(part.job, State.RETRY_WAIT, due_at=due, counts=not throttled):
        recording.close_attempt(part.job, _outcome(error, latency_ms), next_due_at=due)


def _give_up(job: Job, delivery: Delivery, error: SendError, latency_ms: int | None = None) -> None:
    reason = f"{error.error_class}: {error}"
    if recording.finish(job, State.DEAD, reason=reason):
        recording.close_attempt(job, _outcome(error, latency_ms))
        sending.failed(delivery, error_class=error.error_class, code=error.code, text=str(error))


def _outcome(error: SendError, latency_ms: int | None) -> Outcome:
    text = f"{error.code}: {error}" if error.code else str(error)
    return Outcome(
        str(error.error_class), error.status, latency_ms, text, response_body=error.body.encode()
    )


def _with_everything(delivery: Delivery) -> Delivery:
    return Delivery.objects.select_related(
        "message__inbox", "message__reply_to", "conversation__address"
    ).get(pk=delivery.pk)


def _recipient(delivery: Delivery) -> Recipient:
    if delivery.conversation is None:
        return Recipient(())
    identifiers: Any = delivery.conversation.address.identifiers.order_by("id")
    return Recipient(tuple(one.as_identifier() for one in identifiers))


def _deadline(delivery: Delivery, inbox: Inbox) -> datetime | None:
    """The budget's end or the reply window's, whichever comes first (DL-97)."""
    ends = [delivery.deadline_at]
    if delivery.conversation is not None:
        address = delivery.conversation.address
        address.inbox = inbox
        ends.append(address.window_closes_at())
    return min((end for end in ends if end is not None), default=None)


def _refusal(message: Message, deadline: datetime | None) -> SendError | None:
    """Why this cannot be sent any more, before anything is tried."""
    if deadline is not None and deadline <= timezone.now():
        text = _("It could not be sent in time: the reply window or the hour for trying is over.")
        return SendError(text, error_class=ErrorClass.WINDOW_CLOSED, code="window_would_close")
    if message.attachments.filter(state=Attachment.State.FAILED).exists():
        text = _("The file of this message could not be fetched.")
        return SendError(text, error_class=ErrorClass.INVALID, code="file_missing")
    return None


def _awaits_file(message: Message) -> bool:
    return bool(message.attachments.filter(state=Attachment.State.PENDING).exists())


def _throttled_before(delivery: Delivery) -> int:
    return delivery.attempt_log.filter(outcome=ErrorClass.THROTTLED).count()


def _nothing() -> SendError:
    return SendError(_("There is nothing to send."), error_class=ErrorClass.INVALID)
