"""Signal lanes: read receipts and typing. Tried once; a failure stands in the attempt and nowhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.utils import timezone

from accounts.tenancy import account_context
from conversations import channels
from conversations.channels import InboxConfig
from conversations.models import Delivery, Inbox
from integrations.courier import recording
from integrations.courier.work import Claim, Job, Outcome, Release, Result
from integrations.http import GuardedClient

State = Delivery.State


@dataclass(frozen=True, slots=True)
class Signal:
    job: Job
    external_id: str
    typing: bool
    inbox: InboxConfig


def begin(claim: Claim, *, courier_id: int) -> Signal | Release:
    """Start the newest signal of the lane; those before it say nothing any more."""
    with account_context(claim.account_id):
        inbox = Inbox.objects.filter(pk=claim.destination_id).first()
        waiting = Delivery.objects.filter(lane_id=claim.lane_id, state=State.PENDING)
        newest = waiting.order_by("-sequence").values_list("pk", flat=True).first()
        outdated = waiting.exclude(pk=newest or 0) if inbox else waiting
        outdated.update(state=State.CANCELED, dead_reason="superseded", finished_at=timezone.now())
        job = recording.start(claim, courier_id=courier_id)
        if job is None or inbox is None:
            return Release(claim)
        said = json.loads(Delivery.objects.get(pk=job.delivery_id).body)
        return Signal(job, said["external_id"], said["typing"], inbox.as_config())


async def give(signal: Signal, http: GuardedClient) -> str:
    """Empty, or why it failed: a courtesy that fails disturbs nobody."""
    channel = channels.get(signal.inbox.platform)
    try:
        await channel.mark_read(signal.external_id, signal.inbox, http, typing=signal.typing)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def record(signal: Signal, error: str, latency_ms: int) -> None:
    with account_context(signal.job.claim.account_id):
        state = State.DEAD if error else State.DELIVERED
        outcome = Outcome("failed" if error else "ok", latency_ms=latency_ms, error=error)
        recording.finish(Result(signal.job, state, outcome, reason=error))
