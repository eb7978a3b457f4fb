"""Bringing something once more: the acts, one by one and in bulk (delivery.md 9).

What may be brought again at all is judged in `conversations.services.replaying`; here, whether the AI
agent it went to still holds the conversation (DL-82). A bulk replay is a row that the courier works off
in small steps; each is one transaction, so whoever dies in the middle has done it or not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member
from accounts.tenancy import current_account_id
from agents.models import Agent
from conversations.errors import DeskError, NotHolderError, NotReplayableError
from conversations.models import Conversation, Delivery, Endpoint, Lane, Replay
from conversations.services import outbox, replaying, shares
from conversations.services.locking import lock_many

# What can be asked for in bulk beside how a delivery ended: what the endpoint never got.
MISSED = "missed"
MOST = 10_000
# One of so many requests that an endpoint takes at once may be a bulk replay's (DL-81).
SHARE = 5
# As many conversations are locked for a step at most.
STEP = 100


# --- One -----------------------------------------------------------------------------------------


@transaction.atomic
def replay(
    delivery: Delivery, *, by: Member | None, confirm: bool = False, **noted: str
) -> Delivery:
    """Bring what ended once more, at the tail of its lane; returns the new delivery.

    `confirm`: a message, although it may have arrived. `noted` is what the audit log says besides:
    the reason, and who it was when it was support. Raises `NotReplayableError`, `NotHolderError`,
    `ConfirmationNeededError`, `CannotSendError`, `WindowClosedError`.
    """
    if delivery.kind == Lane.Kind.SEND:
        again = replaying.send_again(delivery, confirm=confirm)
    else:
        again = _event_again(delivery)
    audit(
        "delivery.replayed",
        by=by,
        target=delivery,
        changes={"replay": again.public_id},
        **noted,
    )
    return again


def _event_again(delivery: Delivery) -> Delivery:
    if sentence := replaying.why_not(delivery):
        raise NotReplayableError(sentence)
    put, refusals = _put([delivery])
    if refusals:
        raise refusals[0]
    return put[0]


def _put(deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[DeskError]]:
    """Put events of one endpoint on their lanes once more; those, and why the others were not."""
    conversations = lock_many({one.conversation_id for one in deliveries if one.conversation_id})
    agent = (
        Agent.objects.select_related("member").filter(endpoint=deliveries[0].endpoint_id).first()
    )
    under_way = replaying.on_their_way(deliveries)
    chosen, refusals = [], []
    for one in deliveries:
        refusal = _refusal(one, conversations.get(one.conversation_id or 0), agent, under_way)
        if refusal is None:
            chosen.append(one)
            under_way.add(one.wire_id)
        else:
            refusals.append(refusal)
    put = replaying.put_events(
        chosen,
        epochs={pk: one.assignment_epoch for pk, one in conversations.items()},
        patience=timedelta(seconds=agent.patience_s) if agent else None,
    )
    return put, refusals


def _refusal(
    delivery: Delivery,
    conversation: Conversation | None,
    agent: Agent | None,
    under_way: Collection[str],
) -> DeskError | None:
    """Why this one is not brought again, if it is not."""
    if sentence := replaying.why_not(delivery):
        return NotReplayableError(sentence)
    if delivery.wire_id in under_way:
        return NotReplayableError(_("It is on its way again already."))
    if delivery.kind == Lane.Kind.AGENT and delivery.schedule != Delivery.Schedule.NOTICE:
        holder_id = conversation.assignee_id if conversation is not None else None
        if agent is None or holder_id != agent.member_id:
            return NotHolderError(
                _("The conversation is no longer assigned to the AI agent that this went to.")
            )
    return None


# --- Many ----------------------------------------------------------------------------------------


def start(
    endpoint: Endpoint,
    *,
    by: Member | None,
    state: str = MISSED,
    since: datetime | None = None,
    until: datetime | None = None,
    event_types: Collection[str] = (),
    most: int = MOST,
) -> Replay:
    """Begin to bring an endpoint's events once more: those that ended as `state` (`missed`: that it
    never got), oldest first, at most `most`. Raises `NotReplayableError`."""
    with transaction.atomic():
        endpoint = Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)
        if endpoint.state != Endpoint.State.ENABLED:
            raise NotReplayableError(_("The address is switched off. Switch it on first."))
        if running(endpoint) is not None:
            raise NotReplayableError(_("Events are being sent to this address again already."))
        job = Replay(endpoint=endpoint, most=most, created_by=by)
        job.filters = {
            "state": state,
            "since": since.isoformat() if since else None,
            "until": (until or timezone.now()).isoformat(),
            "event_types": sorted(event_types),
        }
        job.total = _left(job)[:most].count()
        job.save()
        _begin(job)
        changes = {"endpoint": endpoint.public_id, **job.filters, "total": job.total}
        audit("replay.started", by=by, target=job, changes=changes)
        return job


def running(endpoint: Endpoint) -> Replay | None:
    """The bulk replay that is under way to an endpoint."""
    return Replay.objects.filter(endpoint=endpoint, state=Replay.State.RUNNING).first()


@transaction.atomic
def cancel(job: Replay, *, by: Member | None) -> Replay:
    """Put nothing more; what has been put stays. A job that has ended stays as it is."""
    job = Replay.objects.select_for_update().get(pk=job.pk)
    if job.state == Replay.State.RUNNING:
        _end(job, Replay.State.CANCELED)
        audit("replay.canceled", by=by, target=job, changes={"put": job.put})
    return job


@transaction.atomic
def step(job_id: int) -> bool:
    """Put as many as there is room for; whether there is more to do later. For the courier."""
    job = (
        Replay.objects.select_for_update(of=("self",))
        .select_related("endpoint")
        .filter(pk=job_id, state=Replay.State.RUNNING)
        .first()
    )
    if job is None:
        return False
    if job.endpoint.state == Endpoint.State.DISABLED:
        _end(job, Replay.State.CANCELED)
        return False
    looked_at = job.put + job.skipped
    wanted = min(_room(job.endpoint), STEP, job.most - looked_at)
    if wanted <= 0:
        return True
    batch = list(_left(job).select_related("endpoint", "lane", "conversation")[:wanted])
    if batch:
        put, refusals = _put(batch)
        job.put, job.skipped = job.put + len(put), job.skipped + len(refusals)
        job.cursor = batch[-1].pk
        job.save(update_fields=["put", "skipped", "cursor"])
    if len(batch) < wanted or looked_at + len(batch) >= job.most:
        _end(job, Replay.State.DONE)
        return False
    return True


def _begin(job: Replay) -> None:
    """The job is a lane of its own: due now, claimed by one courier at a time, and taken over from one
    that dies."""
    if not job.total:
        _end(job, Replay.State.DONE)
        return
    outbox.take_place(
        account_id=current_account_id(), kind=Lane.Kind.REPLAY, destination_id=job.pk, key=""
    )


def _end(job: Replay, state: Replay.State) -> None:
    job.state, job.finished_at = state, timezone.now()
    job.save(update_fields=["state", "finished_at"])


def _room(endpoint: Endpoint) -> int:
    """How many replays may be put now, so that a fifth of what the endpoint takes at once is theirs, and
    of all endpoints together a fifth of what the account may have under way."""
    if endpoint.state != Endpoint.State.ENABLED or endpoint.breaker != Endpoint.Breaker.CLOSED:
        return 0
    at_once = min(endpoint.max_in_flight, endpoint.in_flight_limit or endpoint.max_in_flight)
    waiting = Delivery.objects.filter(
        replay_of__isnull=False, kind=endpoint.kind, state__in=Delivery.OPEN_STATES
    )
    # What waits for an endpoint that does not answer takes nothing from the others.
    going_out = waiting.filter(
        endpoint__state=Endpoint.State.ENABLED,
        endpoint__breaker=Endpoint.Breaker.CLOSED,
        parked=False,
    ).exclude(state=Delivery.State.RETRY_WAIT, due_at__gt=Now())
    return min(
        max(1, at_once // SHARE) - waiting.filter(endpoint=endpoint).count(),
        max(1, _share(endpoint) // SHARE) - going_out.count(),
    )


def _share(endpoint: Endpoint) -> int:
    """How many requests to endpoints of its kind an account may have under way (DL-90)."""
    slots = settings.COURIER_HTTP_SLOTS
    if endpoint.kind == Endpoint.Kind.SUBSCRIBER:
        slots = shares.of_subscribers(slots)
    return shares.half(slots)


def _left(job: Replay) -> QuerySet[Delivery]:
    """What the job has not looked at, oldest first."""
    asked = job.filters
    state, endpoint_id = asked["state"], job.endpoint_id
    rows = (
        replaying.missed(endpoint_id) if state == MISSED else replaying.ended_as(endpoint_id, state)
    )
    rows = rows.filter(pk__gt=job.cursor, created_at__lt=parse_datetime(asked["until"]))
    if asked["since"]:
        rows = rows.filter(created_at__gte=parse_datetime(asked["since"]))
    if asked["event_types"]:
        rows = rows.filter(event_type__in=asked["event_types"])
    return rows
