"""What became of a send: the word of the channel, or its silence (delivery.md 5.2).

The courier calls these in the transaction that writes the delivery's new state, in the account's
context. A message never goes back: what a status webhook said before stays said.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.audit import audit
from accounts.inserting import insert_missing
from accounts.models import Account
from accounts.prepared import KEYS, prepared
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
from conversations.services.events import Fact
from conversations.services.holding import hand_off
from conversations.services.locking import lock
from conversations.services.statuses import EXTERNAL_ID

State = Delivery.State
# How long a status webhook may take to prove that an ambiguous send arrived (DL-42).
RECONCILE_AFTER = timedelta(seconds=30)


# One round trip for all of them.
_SENT = f"""
UPDATE conversations_message message SET status = said.status, external_id = {EXTERNAL_ID}
FROM unnest(%(messages)s::bigint[], %(statuses)s::text[], %(externals)s::text[])
    AS said (id, status, external_id)
WHERE message.id = said.id RETURNING message.id, message.external_id
"""  # noqa: S608 - fixed text only


class Sent(NamedTuple):
    """A part that the channel took, in a conversation that is locked."""

    delivery: Delivery
    conversation: Conversation
    result: SendResult
    is_last: bool


def lock_for(delivery: Delivery) -> Conversation:
    """The conversation of a send, locked, before anything is written about it."""
    return Conversation.objects.select_for_update().get(pk=_conversation_id(delivery))


def sent(taken: Sequence[Sent]) -> None:
    """The channel took them: keep its ids and new names of the contacts, and say so after last parts.

    Each message is named once.
    """
    if not taken:
        return
    news = _note_sent(taken)
    with connection.cursor() as cursor:
        cursor.execute(
            _SENT,
            {
                "messages": [_message(one.delivery).pk for one in taken],
                "statuses": [_message(one.delivery).status for one in taken],
                "externals": [
                    one.result.external_id if one.delivery.part == 0 else "" for one in taken
                ],
            },
        )
        externals = dict(cursor.fetchall())
    for one in taken:
        message = _message(one.delivery)
        message.external_id = externals[message.pk]
    _learn_identifiers(taken)
    events.record_many(
        [
            Fact(
                "message.status",
                one.conversation,
                _message(one.delivery),
                data={"status": str(_message(one.delivery).status)},
            )
            for one in news
        ]
    )


def _note_sent(taken: Sequence[Sent]) -> list[Sent]:
    """Set the messages' statuses on from where they are by now; those that this is news about."""
    statuses = dict(_statuses([_message(one.delivery).pk for one in taken]))
    news = []
    for one in taken:
        message = _message(one.delivery)
        message.status = statuses[message.pk]
        status = DeliveryStatus.DELIVERED if one.result.delivered else DeliveryStatus.SENT
        if one.is_last and status_moves_forward(message.status, status):
            message.status = status
            news.append(one)
    return news


@prepared(KEYS)
def _statuses(messages: Collection[int]) -> QuerySet[Message, tuple[int, str]]:
    return Message.objects.filter(pk__among=messages).values_list("pk", "status")


def failed(delivery: Delivery, *, error_class: str, code: str, text: str) -> None:
    """The channel refused it for good: the message says why, its later parts are not sent."""
    conversation = lock(_conversation_id(delivery))
    message = _message(delivery)
    message.refresh_from_db(fields=["status"])
    message.error_code = (code or error_class)[:40]
    message.error_text = text[:500]
    message.save(update_fields=["error_code", "error_text"])
    later = Delivery.objects.filter(
        message=message, kind=Lane.Kind.SEND, state__in=(State.PENDING, State.RETRY_WAIT)
    )
    canceled = later.exclude(pk=delivery.pk).update(
        state=State.CANCELED,
        dead_reason=gettext_noop("an earlier part was not sent"),
        finished_at=timezone.now(),
    )
    outbox.count_ended(canceled, Lane.Kind.SEND, Delivery.Schedule.SEND)
    if error_class == ErrorClass.UNREACHABLE:
        Address.objects.filter(pk=conversation.address_id).update(unreachable_reason=text[:250])
    if error_class == ErrorClass.REAUTH:
        ask_for_credentials(conversation.inbox, text=text)
    _fail(conversation, message)


def is_proven(delivery: Delivery) -> bool:
    """Whether a status that overtook the channel's answer says that this send arrived."""
    return Delivery.objects.filter(pk=delivery.pk).exclude(provider_message_id="").exists()


def uncertain(delivery: Delivery) -> None:
    """It may have arrived: wait for a status webhook, then decide (`reconcile`)."""
    conversation = lock(_conversation_id(delivery))
    timers.start_for_delivery(Timer.Kind.RECONCILE, delivery, conversation, wait=RECONCILE_AFTER)


def reconcile(timer: Timer) -> None:
    """Handler of the reconcile timer: no word came, so send once more, or leave it to a person.

    A plain text is sent again, once and marked (DL-43), unless the account wants otherwise; everything else waits for a person, because
    a second copy may cost money or do harm. The lane stands still meanwhile, so people get the
    conversation from an agent, and whatever is said next in it gives the held one up (`go_on`).
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
    account = conversation.account
    wanted = account.on_uncertain == Account.OnUncertain.RESEND_ONCE
    again = wanted and message.kind == Kind.TEXT and not delivery.possible_duplicate
    delivery.state = State.RETRY_WAIT if again else State.HELD
    delivery.possible_duplicate = True
    delivery.due_at = Now()
    delivery.save(update_fields=["state", "possible_duplicate", "due_at"])
    message.possible_duplicate = again or message.possible_duplicate
    if not again:
        message.error_code = "uncertain"
        message.error_text = _("The channel did not say whether this arrived. Ask the customer.")
    message.save(update_fields=["possible_duplicate", "error_code", "error_text"])
    Lane.objects.filter(pk=delivery.lane_id).update(
        due_at=Now(), blocked_reason="" if again else "held"
    )
    events.record(conversation, "message.updated", message=message, possible_duplicate=again)
    outbox.ring(Lane.Kind.SEND)
    if not again and conversation.held_by_agent:
        hand_off(conversation, by=None, detail=_("it is not known whether a message arrived"))


WENT_ON = gettext_noop("somebody went on without knowing whether it arrived")
# The state is written out, so that a prepared plan knows that the index of open ones serves.
_GO_ON = """
UPDATE conversations_delivery
SET state = 'canceled', finished_at = now(), dead_reason = %s
WHERE conversation_id = ANY(%s) AND state = 'held' AND kind = 'send'
"""


def go_on(conversations: Sequence[Conversation]) -> None:
    """Somebody speaks on behind a held send: it is given up, and what waits behind it goes."""
    with connection.cursor() as cursor:
        cursor.execute(_GO_ON, [WENT_ON, [one.pk for one in conversations]])
        outbox.count_ended(cursor.rowcount, Lane.Kind.SEND, Delivery.Schedule.SEND)


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
    if delivery.message is None:
        raise ValueError(f"send {delivery.public_id} carries no message")
    return delivery.message


def _learn_identifiers(taken: Sequence[Sent]) -> None:
    insert_missing(
        AddressIdentifier(
            inbox_id=one.conversation.inbox_id,
            address_id=one.conversation.address_id,
            kind=identifier.kind,
            value=identifier.value,
        )
        for one, identifier in sorted(
            ((one, identifier) for one in taken for identifier in one.result.identifiers),
            key=lambda pair: (
                pair[1].kind,
                pair[1].value,
            ),  # so that batches wait for each other in turn
        )
    )


def _fail(conversation: Conversation, message: Message) -> None:
    if not status_moves_forward(message.status, DeliveryStatus.FAILED):
        return
    message.status = DeliveryStatus.FAILED
    message.save(update_fields=["status"])
    events.record(
        conversation,
        "message.status",
        message=message,
        status=str(message.status),
        error_code=message.error_code,
    )
