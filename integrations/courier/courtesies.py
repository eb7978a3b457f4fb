"""Signal lanes: read receipts and typing. Tried once; a failure stands in the attempt and nowhere else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import LiteralString

from django.db import connection
from django.db.models import QuerySet

from accounts.prepared import KEYS, prepared
from accounts.tenancy import account_context
from conversations import channels
from conversations.models import Delivery, Lane
from conversations.services import shares
from conversations.services.carrying import Courtesy
from conversations.services.outbox import count_ended
from integrations.courier import recording
from integrations.courier.reading import inboxes
from integrations.courier.together import together_or_alone
from integrations.courier.work import Claim, Job, Outcome, Release, Result
from integrations.http import GuardedClient

State = Delivery.State


@dataclass(frozen=True, slots=True)
class Signal:
    job: Job
    courtesy: Courtesy


# Only the newest signal of a lane says something; where the inbox is gone, none does.
_SUPERSEDE: LiteralString = """
UPDATE conversations_delivery delivery
SET state = 'canceled', dead_reason = 'superseded', finished_at = now()
FROM conversations_lane lane
WHERE lane.id = ANY(%s) AND lane.id = delivery.lane_id AND state = 'pending' AND (
    EXISTS (
        SELECT 1 FROM conversations_delivery newer
        WHERE newer.lane_id = lane.id AND newer.state = 'pending'
          AND newer.sequence > delivery.sequence)
    OR NOT EXISTS (SELECT 1 FROM conversations_inbox WHERE id = lane.destination_id))
"""


def begin_many(
    account_id: int, claims: Sequence[Claim], *, courier_id: int
) -> list[Signal | Release | Exception]:
    """Start the newest signal of each lane; those before it say nothing any more."""
    begin = partial(_begin_many, courier_id=courier_id)
    return together_or_alone(
        account_id, claims, many=begin, one=lambda claim: begin(account_id, [claim])[0]
    )


def _begin_many(
    account_id: int, claims: Sequence[Claim], *, courier_id: int
) -> dict[int, Signal | Release]:
    with account_context(account_id):
        with connection.cursor() as cursor:
            cursor.execute(_SUPERSEDE, [[claim.lane_id for claim in claims]])
            count_ended(cursor.rowcount, Lane.Kind.SIGNAL, Delivery.Schedule.ONCE)
        its_inboxes = inboxes({claim.destination_id for claim in claims})
        configs = {inbox.pk: inbox.as_config() for inbox in its_inboxes}
        jobs = recording.start_many(claims, courier_id=courier_id)
        found = _deliveries([job.delivery_id for job in jobs.values()])
        deliveries = {delivery.pk: delivery for delivery in found}
    begun: dict[int, Signal | Release] = {}
    for place, claim in enumerate(claims):
        job = jobs.get(claim.lane_id)
        if job is None:
            begun[place] = Release(claim)
            continue
        said = json.loads(deliveries[job.delivery_id].body)
        config = configs[claim.destination_id]
        courtesy = Courtesy(account_id, config, said["external_id"], said["typing"])
        begun[place] = Signal(job, courtesy)
    return begun


@prepared(KEYS)
def _deliveries(pks: Collection[int]) -> QuerySet[Delivery]:
    return Delivery.objects.filter(pk__among=pks)


async def give(courtesy: Courtesy, http: GuardedClient) -> str:
    """Empty, or why it failed: a courtesy that fails disturbs nobody."""
    _account_id, inbox, external_id, typing = courtesy
    try:
        await channels.get(inbox.platform).mark_read(external_id, inbox, http, typing=typing)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def may_give(under_way: Counter[int], courtesy: Courtesy, *, slots: int) -> bool:
    """Whether one more may be given of those that are on no lane; what may not now is never given.
    `under_way`: how many are, by account. No account gets more than its share (DL-91)."""
    return under_way.total() < slots and under_way[courtesy.account_id] < shares.half(slots)


def result_of(signal: Signal, error: str, latency_ms: int) -> Result:
    """What is written when the lane is given back: nothing else follows from it."""
    state = State.DEAD if error else State.DELIVERED
    outcome = Outcome("failed" if error else "ok", latency_ms=latency_ms, error=error)
    return Result(signal.job, state, outcome, reason=error)
