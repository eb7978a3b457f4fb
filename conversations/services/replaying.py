"""Bringing something once more that has ended: the rules and the rows (delivery.md 9).

What ended never changes again: a replay is a new row at the tail of its lane, with the wire id and the
body of the first one. Whether an AI agent may still be told is judged in `agents.replaying`, by which
all doors go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.tenancy import current_account_id
from conversations.channels import ErrorClass
from conversations.errors import ConfirmationNeededError, NotReplayableError
from conversations.messages import DeliveryStatus, Kind
from conversations.models import Attempt, Conversation, Delivery, Endpoint, Lane, Message
from conversations.services import acting, callbacks, events, outbox
from conversations.services.erasing import ERASED
from conversations.services.locking import lock
from conversations.services.outbound import check_can_send
from conversations.services.outbox import FAREWELLS, NOT_ASSIGNED, SEND_BUDGET, LaneName
from conversations.services.sending import go_on

State = Delivery.State
# What goes to an endpoint; the body was made once and is kept (DL-36).
EVENTS = (Lane.Kind.AGENT, Lane.Kind.SUBSCRIBER)
# Outcomes of attempts after which a send may have arrived (DL-42).
_AMBIGUOUS = (str(ErrorClass.AMBIGUOUS), "worker_lost")


def why_not(delivery: Delivery) -> str:
    """What about the delivery itself keeps it from being brought once more, in a sentence; empty when
    nothing does. Reads its endpoint or message."""
    if delivery.kind not in (*EVENTS, Lane.Kind.SEND):
        return _("Only events and messages can be sent again.")
    if delivery.state not in Delivery.ENDED_STATES:
        return _("It is still on its way.")
    return _why_not_send(delivery) if delivery.kind == Lane.Kind.SEND else _why_not_event(delivery)


def _why_not_send(delivery: Delivery) -> str:
    if delivery.state != State.DEAD:
        return _("Only messages that were given up can be sent again.")
    if delivery.is_act:
        return _why_not_act(delivery)
    if delivery.message is None or delivery.message.deleted_at:
        return _("This message was deleted.")
    return ""


def _why_not_act(delivery: Delivery) -> str:
    if not delivery.body_sealed:
        return _("Its content was deleted.")
    if delivery.conversation is None or not acting.is_so(delivery, delivery.conversation):
        return _("The conversation went on since: it is not so any more.")
    return ""


def _why_not_event(delivery: Delivery) -> str:
    if delivery.endpoint is None or delivery.endpoint.deleted_at is not None:
        return _("The address it went to is not there any more.")
    if delivery.endpoint.state != Endpoint.State.ENABLED:
        return _("The address is switched off. Switch it on first.")
    if not delivery.body_sealed:
        return _("Its content was deleted: that of delivered events is kept for 7 days.")
    return ""


def replays_of(delivery: Delivery) -> QuerySet[Delivery]:
    """What was brought once more because of it, oldest first."""
    return Delivery.objects.filter(replay_of=delivery).order_by("pk")


# --- Events --------------------------------------------------------------------------------------


def missed(endpoint_id: int) -> QuerySet[Delivery]:
    """The events that an endpoint never got, neither at first nor by a replay, oldest first.

    What was taken back because somebody else got the conversation is not missed.
    """
    taken_back = (NOT_ASSIGNED, ERASED)
    return _not_made_up_for(
        _firsts(endpoint_id)
        .exclude(kind=Lane.Kind.AGENT, event_type__in=FAREWELLS)  # it holds them no more
        .filter(Q(state=State.DEAD) | Q(state=State.CANCELED) & ~Q(dead_reason__in=taken_back))
    )


def ended_as(endpoint_id: int, state: str) -> QuerySet[Delivery]:
    """The events of an endpoint that ended so, oldest first; without those that a replay has brought
    since, unless they were delivered at first, too."""
    rows = _firsts(endpoint_id).filter(state=state)
    return rows if state == State.DELIVERED else _not_made_up_for(rows)


def _firsts(endpoint_id: int) -> QuerySet[Delivery]:
    firsts = Delivery.objects.filter(endpoint=endpoint_id, kind__in=EVENTS, replay_of__isnull=True)
    # Without tests, and without what was news at its time only.
    passing = Q(kind=Lane.Kind.SUBSCRIBER, schedule=Delivery.Schedule.NOTICE)
    return firsts.exclude(Q(schedule=Delivery.Schedule.ONCE) | passing).order_by("pk")


def _not_made_up_for(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    later = Delivery.objects.filter(replay_of=OuterRef("pk"))
    return rows.exclude(Exists(later.filter(state__in=(State.DELIVERED, *Delivery.OPEN_STATES))))


def on_their_way(deliveries: Collection[Delivery]) -> set[str]:
    """The wire ids among these that are under way, or waiting to be."""
    wire_ids = [delivery.wire_id for delivery in deliveries]
    under_way = Delivery.objects.filter(
        wire_id__among=wire_ids, state__in=Delivery.OPEN_STATES, kind__in=EVENTS
    )
    return set(under_way.values_list("wire_id", flat=True))


def put_events(
    deliveries: Sequence[Delivery], *, epochs: Mapping[int, int], patience: timedelta | None
) -> list[Delivery]:
    """Put events, or acts, on their lanes once more, in this order.

    `epochs` has the present epoch of their conversations, which are locked: what an agent answers is
    judged by who holds the conversation now. `patience` is how long an agent, or the trying, may take.
    """
    places = outbox.take_places(current_account_id(), [_lane_of(one) for one in deliveries])
    again = []
    for place, one in zip(places, deliveries, strict=True):
        replay = outbox.delivery_at(
            place,
            kind=one.kind,
            schedule=one.schedule,
            wire_id=one.wire_id,
            event_id=one.event_id,
            event_type=one.event_type,
            endpoint_id=one.endpoint_id,
            conversation_id=one.conversation_id,
            message_id=one.message_id,
            contact_id=one.contact_id,
            epoch=epochs.get(one.conversation_id or 0, one.epoch),
            content_type=one.content_type,
            deadline_at=place.at + patience if patience is not None else None,
            replay_of_id=one.replay_of_id or one.pk,
        )
        replay.body_sealed = one.body_sealed  # sealed for the same account and wire id
        again.append(replay)
    to_agents = [one.replay_of_id for one in again if one.kind == Lane.Kind.AGENT]
    callbacks.bind_again([pk for pk in to_agents if pk is not None])
    return outbox.put_many(again)


def _lane_of(delivery: Delivery) -> LaneName:
    """The lane of its conversation or contact, also for what was tried alone (DL-23)."""
    lane, about = delivery.lane, delivery.conversation or delivery.contact
    key = about.public_id if about is not None else lane.key
    return LaneName(delivery.kind, lane.destination_id, key)


# --- Messages to customers -----------------------------------------------------------------------


def is_doubtful(delivery: Delivery) -> bool:
    """Whether a send may have arrived by one of its tries, earlier replays included. An act done twice is none
    too many."""
    if delivery.is_act:
        return False
    same = Delivery.objects.filter(wire_id=delivery.wire_id, kind=Lane.Kind.SEND)
    return (
        same.filter(possible_duplicate=True).exists()
        or Attempt.objects.filter(delivery__in=same, outcome__in=_AMBIGUOUS).exists()
    )


@transaction.atomic
def send_again(delivery: Delivery, *, confirm: bool = False) -> Delivery:
    """Send a message once more that the channel did not take, from this part on.

    `confirm`: although it may have arrived. Raises `NotReplayableError`, `ConfirmationNeededError`,
    `CannotSendError`, `WindowClosedError`.
    """
    conversation = delivery.conversation = lock(delivery.conversation_id or 0)
    if sentence := why_not(delivery):
        raise NotReplayableError(sentence)
    if delivery.is_act:
        return _act_again(delivery)
    parts = _latest_parts(delivery)
    if parts[0].state != State.DEAD:
        raise NotReplayableError(_("It was sent again already."))
    check_can_send(conversation, delivery.message.kind if delivery.message else Kind.TEXT)
    doubtful = is_doubtful(delivery)
    if doubtful and not confirm:
        raise ConfirmationNeededError(
            _(
                "The channel never said whether this arrived: the customer may get it twice. Confirm."
            )
        )
    go_on([conversation])
    again = _put_parts(
        conversation, [part for part in parts if part.state in Delivery.ENDED_STATES], doubtful
    )
    _queue_again(conversation, delivery.message_id or 0, doubtful)
    return again[0]


def _act_again(delivery: Delivery) -> Delivery:
    same = Delivery.objects.filter(wire_id=delivery.wire_id, kind=Lane.Kind.SEND)
    if same.filter(pk__gt=delivery.pk).exists():
        raise NotReplayableError(_("It was sent again already."))
    return put_events([delivery], epochs={}, patience=SEND_BUDGET)[0]


def _latest_parts(delivery: Delivery) -> list[Delivery]:
    """The last row of each part of its message, from its own part on."""
    rows = (
        Delivery.objects.filter(
            message=delivery.message_id, kind=Lane.Kind.SEND, part__gte=delivery.part
        )
        .select_related("lane", "conversation")
        .order_by("part", "pk")
    )
    return list({row.part: row for row in rows}.values())


def _put_parts(
    conversation: Conversation, parts: Sequence[Delivery], doubtful: bool
) -> list[Delivery]:
    """The first one failed, and so the others were never tried."""
    places = outbox.take_places(current_account_id(), [_lane_of(part) for part in parts])
    return outbox.put_many(
        [
            outbox.delivery_at(
                place,
                kind=part.kind,
                schedule=part.schedule,
                wire_id=part.wire_id,
                event_type=part.event_type,
                conversation=conversation,
                message_id=part.message_id,
                part=part.part,
                epoch=conversation.assignment_epoch,
                deadline_at=place.at + SEND_BUDGET,
                replay_of_id=part.replay_of_id or part.pk,
                possible_duplicate=doubtful and number == 0,
            )
            for number, (place, part) in enumerate(zip(places, parts, strict=True))
        ]
    )


def _queue_again(conversation: Conversation, message_id: int, doubtful: bool) -> None:
    """Everybody sees that the message is on its way once more."""
    message = Message.objects.get(pk=message_id)
    message.status = DeliveryStatus.QUEUED
    message.error_code = message.error_text = ""
    message.possible_duplicate = message.possible_duplicate or doubtful
    message.save(update_fields=["status", "error_code", "error_text", "possible_duplicate"])
    events.record(conversation, "message.status", message=message, status=str(message.status))
