"""Send lanes begin: the part at the head of each is started, or is why its lane waits for something else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import LiteralString

from django.db import transaction
from django.db.models import QuerySet, prefetch_related_objects
from django.utils import timezone

from accounts.prepared import KEYS, fetched, prepared
from accounts.tenancy import account_context
from conversations.channels import InboxConfig, Recipient, SendError
from conversations.messages import MEDIA_KINDS, Identifier
from conversations.models import Attachment, Conversation, Delivery, Inbox, Message
from conversations.services import acting
from integrations.courier import pacing, recording
from integrations.courier.parts import (
    Part,
    deadline_of,
    earliest,
    has_file,
    inbox_of,
    nobody,
    parts_of,
    recipient_of,
    refusal_of,
    removed,
    said,
    told,
    too_late,
    wanted,
    with_context,
)
from integrations.courier.together import together_or_alone
from integrations.courier.tried import CREDENTIALS_SECONDS, give_up
from integrations.courier.work import Claim, Job, Release

# The first open delivery of each lane.
_HEADS: LiteralString = """
SELECT head.* FROM unnest(%s::bigint[]) AS claim (lane_id)
CROSS JOIN LATERAL (
    SELECT * FROM conversations_delivery WHERE lane_id = claim.lane_id
      AND state IN ('pending', 'in_flight', 'retry_wait', 'uncertain', 'held')
    ORDER BY sequence LIMIT 1) head
"""
# How soon a lane that waits for a file is looked at again.
FILE_SECONDS = 0.5
# Why a lane waits whose channel takes no more just now.
RATE = "rate"


def begin(claim: Claim, *, courier_id: int) -> Part | Release:
    """Start the lane's head, or say why the lane is given back."""
    with account_context(claim.account_id):
        delivery = _head(claim)
        if delivery is None:
            return Release(claim)
        if _is_over(delivery):
            acting.drop(delivery)
            return Release(claim)
        message, inbox = delivery.message, inbox_of(delivery)
        if inbox.state == Inbox.State.NEEDS_REAUTH:
            return Release(claim, CREDENTIALS_SECONDS, "needs_reauthorization")
        deadline = deadline_of(delivery, inbox)
        to = recipient_of(delivery)
        refusal = refusal_of(message, deadline) if to.identifiers else nobody()
        if refusal is None and inbox.removed_at is not None:
            refusal = removed()
        if refusal is None and inbox.state == Inbox.State.DISABLED:
            return Release(claim, CREDENTIALS_SECONDS, "inbox_disabled")
        if refusal is None and has_file(message, Attachment.State.PENDING):
            return Release(claim, FILE_SECONDS, "file")
        wait = 0.0 if refusal else _wait_for(delivery, inbox)
        if wait and deadline is not None and deadline <= timezone.now() + timedelta(seconds=wait):
            refusal = too_late()
        elif wait:
            return Release(claim, wait, RATE)
        job = recording.start(claim, courier_id=courier_id)
        if job is None:
            return Release(claim)
        if job.delivery_id != delivery.pk:  # the head was canceled just now: look again
            transaction.set_rollback(True)
            return Release(claim)
        parts = said(delivery, job) if refusal is None else refusal
        if isinstance(parts, SendError):
            give_up(job, delivery, parts)
            return Release(claim)
        return Part(
            job=job,
            delivery=delivery,
            message=told(parts[delivery.part], message),
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
    waits = pacing.waits([wanted(part.delivery, part.inbox) for part in parts.values()])
    now, going, waiting = timezone.now(), {}, {}
    for (place, part), wait in zip(parts.items(), waits, strict=True):
        if not wait:
            going[place] = part
        elif part.deadline is None or now + timedelta(seconds=wait) < part.deadline:
            waiting[place] = Release(part.job.claim, wait, RATE)
    return going, waiting


def _wait_for(delivery: Delivery, inbox: Inbox) -> float:
    return pacing.waits([wanted(delivery, inbox.as_config())])[0]


def _started(part: Part, job: Job) -> Part:
    if job.delivery_id != part.job.delivery_id:
        raise recording.StaleError  # the head was canceled just now
    return replace(part, job=job)


# --- What stands at the head of a lane -----------------------------------------------------------


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
        deadline = earliest(head, message, message.inbox, last_inbound_at)
        if not to.identifiers or not _is_plain(message, deadline):
            continue
        head.message = message
        parts = parts_of(message)
        if isinstance(parts, SendError):
            continue
        inbox = message.inbox
        config = configs.get(inbox.pk) or configs.setdefault(inbox.pk, inbox.as_config())
        found[place] = Part(
            job=Job(claim, head.pk, attempt_id=0, n=0),
            delivery=head,
            message=with_context(parts[head.part], message),
            is_last=head.part == len(parts) - 1,
            to=to,
            inbox=config,
            deadline=deadline,
        )
    return found


def _is_plain(message: Message, deadline: datetime | None) -> bool:
    return (
        message.inbox.state == Inbox.State.ACTIVE
        and refusal_of(message, deadline) is None
        and not has_file(message, Attachment.State.PENDING)
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
