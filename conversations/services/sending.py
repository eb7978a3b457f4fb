"""What became of a send: the word of the channel, or its silence (delivery.md 5.2).

The courier calls these in the transaction that writes the delivery's new state, in the account's
context. A message never goes back: what a status webhook said before stays said.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import audit
from conversations import timers
from conversations.channels import ErrorClass, SendResult
from conversations.messages import DeliveryStatus, Kind, status_moves_forward
from conversations.models import (
    Address,
    AddressIdentifier,
    Conversation,
    Delivery,
    Inbox,
    Lane,
    Message,
    Timer,
)
from conversations.services import events, outbox
from conversations.services.locking import lock

State = Delivery.State
# How long a status webhook may take to prove that an ambiguous send arrived (DL-42).
RECONCILE_AFTER = timedelta(seconds=30)


@transaction.atomic
def sent(delivery: Delivery, result: SendResult, *, is_last: bool) -> None:
    """The channel took it: keep its id and new names of the contact, and say so after the last part."""
    conversation = lock(_conversation_id(delivery))
    message = _message(delivery)
    _learn_identifiers(conversation, result)
    if delivery.part == 0 and not message.external_id:
        _keep_external_id(message, result.external_id)
    if is_last:
        status = DeliveryStatus.DELIVERED if result.delivered else DeliveryStatus.SENT
        _move(conversation, message, status)


@transaction.atomic
def failed(delivery: Delivery, *, error_class: str, code: str, text: str) -> None:
    """The channel refused it for good: the message says why, its later parts are not sent."""
    conversation = lock(_conversation_id(delivery))
    message = _message(delivery)
    message.error_code = (code or error_class)[:40]
    message.error_text = text[:500]
    message.save(update_fields=["error_code", "error_text"])
    Delivery.objects.filter(
        message=message, kind=Lane.Kind.SEND, state__in=(State.PENDING, State.RETRY_WAIT)
    ).exclude(pk=delivery.pk).update(
        state=State.CANCELED,
        dead_reason="an earlier part was not sent",
        finished_at=timezone.now(),
    )
    if error_class == ErrorClass.UNREACHABLE:
        Address.objects.filter(pk=conversation.address_id).update(unreachable_reason=text[:250])
    if error_class == ErrorClass.REAUTH:
        ask_for_credentials(conversation.inbox, text=text)
    _move(conversation, message, DeliveryStatus.FAILED)


@transaction.atomic
def uncertain(delivery: Delivery) -> None:
    """It may have arrived: wait for a status webhook, then decide (`reconcile`)."""
    conversation = lock(_conversation_id(delivery))
    timers.start_for_delivery(
        Timer.Kind.RECONCILE, delivery, conversation, due_at=timezone.now() + RECONCILE_AFTER
    )


def reconcile(timer: Timer) -> None:
    """Handler of the reconcile timer: no word came, so send once more, or leave it to a person.

    A plain text is sent again, once and marked (DL-43); everything else waits for a person, because
    a second copy may cost money or do harm.
    """
    conversation = lock(timer.conversation_id)
    delivery = (
        Delivery.objects.select_for_update()
        .filter(pk=timer.delivery_id or 0, state=State.UNCERTAIN)
        .first()
    )
    if delivery is None:
        return
    message = _message(delivery)
    again = message.kind == Kind.TEXT and not delivery.possible_duplicate
    delivery.state = State.RETRY_WAIT if again else State.HELD
    delivery.possible_duplicate = True
    delivery.due_at = timezone.now()
    delivery.save(update_fields=["state", "possible_duplicate", "due_at"])
    message.possible_duplicate = again or message.possible_duplicate
    if not again:
        message.error_code = "uncertain"
        message.error_text = _("The channel did not say whether this arrived. Ask the customer.")
    message.save(update_fields=["possible_duplicate", "error_code", "error_text"])
    Lane.objects.filter(pk=delivery.lane_id).update(
        due_at=timezone.now(), blocked_reason="" if again else "held"
    )
    events.record(conversation, "message.updated", message=message, possible_duplicate=again)
    outbox.ring(Lane.Kind.SEND)


def ask_for_credentials(inbox: Inbox, *, text: str) -> None:
    """The channel refuses our credentials: stop the inbox's queue and tell, once per transition."""
    changed = Inbox.objects.filter(pk=inbox.pk, state=Inbox.State.ACTIVE).update(
        state=Inbox.State.NEEDS_REAUTH
    )
    if changed:
        audit("inbox.needs_reauthorization", by=None, target=inbox, reason=text[:250])


def _conversation_id(delivery: Delivery) -> int:
    if delivery.conversation_id is None:
        raise ValueError(f"send {delivery.public_id} belongs to no conversation")
    return delivery.conversation_id


def _message(delivery: Delivery) -> Message:
    if delivery.message_id is None:
        raise ValueError(f"send {delivery.public_id} carries no message")
    return Message.objects.get(pk=delivery.message_id)


def _learn_identifiers(conversation: Conversation, result: SendResult) -> None:
    if not result.identifiers:
        return
    AddressIdentifier.objects.bulk_create(
        [
            AddressIdentifier(
                inbox=conversation.inbox,
                address=conversation.address,
                kind=identifier.kind,
                value=identifier.value,
            )
            for identifier in result.identifiers
        ],
        ignore_conflicts=True,
    )


def _keep_external_id(message: Message, external_id: str) -> None:
    """Unless an echo of it has come in as a message of its own already."""
    taken = Message.objects.filter(inbox_id=message.inbox_id, external_id=external_id)
    if external_id and Message.objects.filter(pk=message.pk).exclude(Exists(taken)).update(
        external_id=external_id
    ):
        message.external_id = external_id


def _move(conversation: Conversation, message: Message, status: DeliveryStatus) -> None:
    if not status_moves_forward(message.status, status):
        return
    message.status = status
    message.save(update_fields=["status"])
    facts: dict[str, Any] = (
        {"error_code": message.error_code} if status == DeliveryStatus.FAILED else {}
    )
    events.record(conversation, "message.status", message=message, status=str(status), **facts)
