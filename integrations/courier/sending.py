"""Send lanes: the parts of a message go to the channel, strictly one after another, and acts between them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import LiteralString, NamedTuple

from django.db import transaction
from django.db.models import QuerySet, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from accounts.prepared import KEYS, fetched, prepared
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
from conversations.messages import MEDIA_KINDS, OUTSIDE_WINDOW, Act, Identifier, OutboundMessage
from conversations.models import (
    Address,
    AddressIdentifier,
    Attachment,
    Conversation,
    Delivery,
    Inbox,
    Message,
)
from conversations.services import acting, sending
from conversations.services.locking import lock_bare
from conversations.services.outbound import outbound_parts
from integrations.courier import pacing, recording
from integrations.courier.schedule import Failure, next_due, throttle_wait
from integrations.courier.together import together_or_alone
from integrations.courier.work import Claim, Job, Outcome, Release, Rested, Result

logger = logging.getLogger(__name__)

State = Delivery.State
# The first open delivery of each lane.
_HEADS: LiteralString = """
SELECT head.* FROM unnest(%s::bigint[]) AS claim (lane_id)
CROSS JOIN LATERAL (
    SELECT * FROM conversations_delivery WHERE lane_id = claim.lane_id
      AND state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
    ORDER BY sequence LIMIT 1) head
"""
# How soon a lane that waits for something else is looked at again.
CREDENTIALS_SECONDS = 30.0
FILE_SECONDS = 0.5
# Why a lane waits whose channel takes no more just now.
RATE = "rate"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message, or an act, marked IN_FLIGHT, and everything needed to send it."""

    job: Job
    delivery: Delivery
    message: OutboundMessage | Act
    is_last: bool
    to: Recipient
    inbox: InboxConfig
    # No attempt may start after this: the reply window or the budget ends here.
    deadline: datetime | None
    # In which the channel says what went wrong; it is asked where no account is entered.
    language: str | None = field(default_factory=get_language)


def begin(claim: Claim, *, courier_id: int) -> Part | Release:
    """Start the lane's head, or say why the lane is given back."""
    with account_context(claim.account_id):
        delivery = _head(claim)
        if delivery is None:
            return Release(claim)
        if _is_over(delivery):
            acting.drop(delivery)
            return Release(claim)
        message, inbox = delivery.message, _inbox(delivery)
        if inbox.state == Inbox.State.NEEDS_REAUTH:
            return Release(claim, CREDENTIALS_SECONDS, "needs_reauthorization")
        deadline = _deadline(delivery, inbox)
        to = _recipient(delivery)
        refusal = _refusal(message, deadline) if to.identifiers else _nobody()
        if refusal is None and inbox.state == Inbox.State.DISABLED:
            return Release(claim, CREDENTIALS_SECONDS, "inbox_disabled")
        if refusal is None and _has_file(message, Attachment.State.PENDING):
            return Release(claim, FILE_SECONDS, "file")
        wait = 0.0 if refusal else _wait_for(delivery, inbox)
        if wait and deadline is not None and deadline <= timezone.now() + timedelta(seconds=wait):
            refusal = _too_late()
        elif wait:
            return Release(claim, wait, RATE)
        job = recording.start(claim, courier_id=courier_id)
        if job is None:
            return Release(claim)
        if job.delivery_id != delivery.pk:  # the head was canceled just now: look again
            transaction.set_rollback(True)
            return Release(claim)
        parts = _said(delivery, job) if refusal is None else refusal
        if isinstance(parts, SendError):
            _give_up(job, delivery, parts)
            return Release(claim)
        return Part(
            job=job,
            delivery=delivery,
            message=_told(parts[delivery.part], message),
            is_last=delivery.part == len(parts) - 1,
            to=to,
            inbox=inbox.as_config(),
            deadline=deadline,
        )


def begin_many(
    account_id: int, claims: Sequence[Claim], *, courier_id: int
) -> list[Part | Release | Exception]:
    """Start the heads of an account's lanes, or say why a lane is given back."""
    return together_or_alone(
        account_id,
        claims,
        many=partial(_begin_many, courier_id=courier_id),
        one=partial(begin, courier_id=courier_id),
    )


def _begin_many(
    account_id: int, claims: Sequence[Claim], *, courier_id: int
) -> dict[int, Part | Release]:
    """Start those whose head can simply be sent and has a place; all of it in one transaction."""
    with account_context(account_id):
        parts, waiting = _paced(_plain_parts(claims))
        jobs = recording.start_many([claims[place] for place in parts], courier_id=courier_id)
        started = {
            place: _started(part, jobs[part.job.claim.lane_id])
            for place, part in parts.items()
            if part.job.claim.lane_id in jobs
        }
        return {**started, **waiting}


def _paced(parts: Mapping[int, Part]) -> tuple[dict[int, Part], dict[int, Release]]:
    """Those with a place in the channel's rate, and those that wait for one. Who cannot wait so long is
    in neither."""
    waits = pacing.waits([_wanted(part.delivery, part.inbox) for part in parts.values()])
    now, going, waiting = timezone.now(), {}, {}
    for (place, part), wait in zip(parts.items(), waits, strict=True):
        if not wait:
            going[place] = part
        elif part.deadline is None or now + timedelta(seconds=wait) < part.deadline:
            waiting[place] = Release(part.job.claim, wait, RATE)
    return going, waiting


def _wanted(delivery: Delivery, inbox: InboxConfig) -> pacing.Wanted:
    return pacing.Wanted(inbox, delivery.conversation_id or 0)


def _wait_for(delivery: Delivery, inbox: Inbox) -> float:
    return pacing.waits([_wanted(delivery, inbox.as_config())])[0]


def _started(part: Part, job: Job) -> Part:
    if job.delivery_id != part.job.delivery_id:
        raise recording.StaleError  # the head was canceled just now
    return replace(part, job=job)


def _plain_parts(claims: Sequence[Claim]) -> dict[int, Part]:
    """The part at each lane's head, by the claim's place; lanes that have to wait or whose head cannot
    be sent are left out. No attempt is opened yet."""
    heads = _heads(claims)
    its_messages = _messages([head.message_id or 0 for head in heads.values()])
    messages = {message.pk: message for message in its_messages}
    with_files = [message for message in messages.values() if message.kind in MEDIA_KINDS]
    prefetch_related_objects(with_files, "attachments")
    people = _people([head.conversation_id or 0 for head in heads.values()])
    configs: dict[int, InboxConfig] = {}
    found = {}
    for place, claim in enumerate(claims):
        head = heads.get(claim.lane_id)
        message = messages.get(head.message_id or 0) if head else None
        if head is None or message is None or head.conversation_id not in people:
            continue
        to, last_inbound_at = people[head.conversation_id]
        deadline = _earliest(head, message, message.inbox, last_inbound_at)
        if not to.identifiers or not _is_plain(message, deadline):
            continue
        head.message = message
        parts = _parts(message)
        if isinstance(parts, SendError):
            continue
        inbox = message.inbox
        config = configs.get(inbox.pk) or configs.setdefault(inbox.pk, inbox.as_config())
        found[place] = Part(
            job=Job(claim, head.pk, attempt_id=0, n=0),
            delivery=head,
            message=_with_context(parts[head.part], message),
            is_last=head.part == len(parts) - 1,
            to=to,
            inbox=config,
            deadline=deadline,
        )
    return found


def _is_plain(message: Message, deadline: datetime | None) -> bool:
    return (
        message.inbox.state == Inbox.State.ACTIVE
        and _refusal(message, deadline) is None
        and not _has_file(message, Attachment.State.PENDING)
    )


def _heads(claims: Sequence[Claim]) -> dict[int, Delivery]:
    """The first open delivery of each lane, where it may be started now."""
    now = timezone.now()
    heads = fetched(Delivery, _HEADS, [[claim.lane_id for claim in claims]])
    return {head.lane_id: head for head in heads if recording.may_start(head, now)}


def _people(conversations: Sequence[int]) -> dict[int, tuple[Recipient, datetime | None]]:
    """Whom each conversation is with, and when they last wrote."""
    names: dict[int, list[Identifier]] = {}
    heard: dict[int, tuple[datetime | None, str]] = {}
    for pk, at, external_id, kind, value in _names(conversations):
        heard[pk] = (at, external_id)
        if kind is not None:
            names.setdefault(pk, []).append(Identifier(kind, value))
    return {
        pk: (Recipient(tuple(names.get(pk, ())), external_id), at)
        for pk, (at, external_id) in heard.items()
    }


@prepared(KEYS)
def _messages(pks: Collection[int]) -> QuerySet[Message]:
    return Message.objects.select_related("inbox").filter(pk__among=pks)


@prepared(KEYS)
def _names(
    conversations: Collection[int],
) -> QuerySet[Conversation, tuple[int, datetime | None, str, str | None, str]]:
    rows = Conversation.objects.filter(pk__among=conversations)
    return rows.order_by("address__identifiers__id").values_list(
        "pk",
        "address__last_inbound_at",
        "address__last_inbound_external_id",
        "address__identifiers__kind",
        "address__identifiers__value",
    )


async def send(part: Part, http: HttpClient) -> SendResult | SendError:
    """Hand the part to the channel. Whatever breaks after that may have sent it: AMBIGUOUS."""
    try:
        channel = channels.get(part.inbox.platform)
        with override(part.language):
            if isinstance(part.message, Act):
                return await channel.act(part.message, part.to, part.inbox, http)
            return await channel.send(part.message, part.to, part.inbox, http)
    except SendError as error:
        return error
    except UnsupportedMessageError as error:
        return SendError(str(error), error_class=ErrorClass.INVALID, code="unsupported")
    except Exception as error:
        logger.exception("channel broke platform=%s", part.inbox.platform)
        text = f"the channel's code broke ({type(error).__name__})"
        return SendError(text, error_class=ErrorClass.AMBIGUOUS)


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
        _give_up(part.job, part.delivery, error, latency_ms)
        return
    outcome = _outcome(error, latency_ms)
    recording.finish(Result(part.job, State.RETRY_WAIT, outcome, due_at=due, counts=wait is None))


def _uncounted_wait(part: Part, error: SendError) -> float | None:
    """How long this waits for something else than its luck: for a place, or, as nobody is told at once that
    an act was refused, for new credentials."""
    if error.error_class == ErrorClass.THROTTLED:
        wait = throttle_wait(_throttled_before(part.delivery), error.retry_after)
        pacing.slow_down(_wanted(part.delivery, part.inbox), error.scope, seconds=wait)
        return wait
    if error.error_class == ErrorClass.REAUTH and part.delivery.is_act:
        sending.ask_for_credentials(_inbox(part.delivery), text=str(error))
        return CREDENTIALS_SECONDS
    return None


def _give_up(job: Job, delivery: Delivery, error: SendError, latency_ms: int | None = None) -> None:
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


def _head(claim: Claim) -> Delivery | None:
    """The lane's first open delivery with its message, or with the conversation that it is an act upon, if it
    may be started now.

    Two small queries: one with every table joined takes Django three times as long to write.
    """
    first = (
        Delivery.objects.filter(lane_id=claim.lane_id, state__in=Delivery.OPEN_STATES)
        .order_by("sequence")
        .first()
    )
    if first is None or not recording.may_start(first, timezone.now()):
        return None
    if first.is_act:
        rows = Conversation.objects.select_related("inbox", "assignee")
        first.conversation = rows.get(pk=first.conversation_id or 0)
        return first
    first.message = (
        Message.objects.select_related("inbox")
        .prefetch_related("attachments")
        .get(pk=first.message_id or 0)
    )
    return first


def _is_over(delivery: Delivery) -> bool:
    """Whether it is an act that is not so any more."""
    about = delivery.conversation if delivery.is_act else None
    return about is not None and not acting.is_so(delivery, about)


def _inbox(delivery: Delivery) -> Inbox:
    about = delivery.message or delivery.conversation
    if about is None:
        raise ValueError(f"send {delivery.public_id} is about nothing")
    return about.inbox


def _said(delivery: Delivery, job: Job) -> Sequence[OutboundMessage | Act] | SendError:
    """What the channel gets: the parts of the message, or the act alone."""
    if delivery.message is None:
        return (acting.act_of(delivery, again=job.n > 1 or delivery.replay_of_id is not None),)
    return _parts(delivery.message)


def _told(part: OutboundMessage | Act, message: Message | None) -> OutboundMessage | Act:
    """What the channel is told of a part; an act stands for itself."""
    if message is None or isinstance(part, Act):
        return part
    return _with_context(part, message)


def _with_context(part: OutboundMessage, message: Message) -> OutboundMessage:
    context = message.inbox.channel.context_of(message)
    return replace(part, context=context) if context else part


def _parts(message: Message) -> tuple[OutboundMessage, ...] | SendError:
    try:
        return outbound_parts(message)
    except UnsupportedMessageError as error:
        return SendError(str(error), error_class=ErrorClass.INVALID, code="unsupported")


def _recipient(delivery: Delivery) -> Recipient:
    names = list(
        AddressIdentifier.objects.filter(address__conversations=delivery.conversation_id or 0)
        .order_by("id")
        .values_list("kind", "value", "address__last_inbound_external_id")
    )
    last = names[-1][2] if names else ""
    return Recipient(tuple(Identifier(kind, value) for kind, value, _last in names), last)


def _deadline(delivery: Delivery, inbox: Inbox) -> datetime | None:
    if delivery.is_act:
        return delivery.deadline_at  # the customer, whom a reply window is about, gets nothing
    address = Address.objects.filter(conversations=delivery.conversation_id or 0)
    last_inbound_at = address.values_list("last_inbound_at", flat=True).get()
    return _earliest(delivery, delivery.message, inbox, last_inbound_at)


def _earliest(
    delivery: Delivery, message: Message | None, inbox: Inbox, last_inbound_at: datetime | None
) -> datetime | None:
    """The budget's end or the reply window's, whichever comes first (DL-97)."""
    if message is not None and message.kind in OUTSIDE_WINDOW:
        return delivery.deadline_at
    address = Address(inbox=inbox, last_inbound_at=last_inbound_at)
    ends = [delivery.deadline_at, address.window_closes_at()]
    return min((end for end in ends if end is not None), default=None)


def _refusal(message: Message | None, deadline: datetime | None) -> SendError | None:
    """Why this cannot be sent any more, before anything is tried."""
    if deadline is not None and deadline <= timezone.now():
        return _too_late()
    if _has_file(message, Attachment.State.FAILED):
        text = _("The file of this message could not be fetched.")
        return SendError(text, error_class=ErrorClass.INVALID, code="file_missing")
    return None


def _nobody() -> SendError:
    """The contact was erased while this was under way (F-32)."""
    text = _("There is no address left to send this to.")
    return SendError(text, error_class=ErrorClass.UNREACHABLE, code="no_address")


def _too_late() -> SendError:
    text = _("It could not be sent in time: the reply window or the hour for trying is over.")
    return SendError(text, error_class=ErrorClass.WINDOW_CLOSED, code="window_would_close")


def _has_file(message: Message | None, state: str) -> bool:
    return message is not None and any(one.state == state for one in message.files)


def _throttled_before(delivery: Delivery) -> int:
    return delivery.attempt_log.filter(outcome=ErrorClass.THROTTLED).count()
