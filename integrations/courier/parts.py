"""The parts of a message, and acts between them: what the channel gets of each, for whom, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from conversations.channels import (
    ErrorClass,
    InboxConfig,
    Recipient,
    SendError,
    UnsupportedMessageError,
)
from conversations.messages import OUTSIDE_WINDOW, Act, Identifier, OutboundMessage
from conversations.models import Address, AddressIdentifier, Attachment, Delivery, Inbox, Message
from conversations.services import acting
from conversations.services.outbound import outbound_parts
from integrations.courier import pacing
from integrations.courier.work import Job


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


# --- What is sent --------------------------------------------------------------------------------


def said(delivery: Delivery, job: Job) -> Sequence[OutboundMessage | Act] | SendError:
    """What the channel gets: the parts of the message, or the act alone."""
    if delivery.message is None:
        return (acting.act_of(delivery, again=job.n > 1 or delivery.replay_of_id is not None),)
    return parts_of(delivery.message)


def told(part: OutboundMessage | Act, message: Message | None) -> OutboundMessage | Act:
    """What the channel is told of a part; an act stands for itself."""
    if message is None or isinstance(part, Act):
        return part
    return with_context(part, message)


def with_context(part: OutboundMessage, message: Message) -> OutboundMessage:
    context = message.inbox.channel.context_of(message)
    return replace(part, context=context) if context else part


def parts_of(message: Message) -> tuple[OutboundMessage, ...] | SendError:
    try:
        return outbound_parts(message)
    except UnsupportedMessageError as error:
        return SendError(str(error), error_class=ErrorClass.INVALID, code="unsupported")


# --- Where, and to whom --------------------------------------------------------------------------


def inbox_of(delivery: Delivery) -> Inbox:
    about = delivery.message or delivery.conversation
    if about is None:
        raise ValueError(f"send {delivery.public_id} is about nothing")
    return about.inbox


def wanted(delivery: Delivery, inbox: InboxConfig) -> pacing.Wanted:
    return pacing.Wanted(inbox, delivery.conversation_id or 0)


def recipient_of(delivery: Delivery) -> Recipient:
    names = list(
        AddressIdentifier.objects.filter(address__conversations=delivery.conversation_id or 0)
        .order_by("id")
        .values_list("kind", "value", "address__last_inbound_external_id")
    )
    last = names[-1][2] if names else ""
    return Recipient(tuple(Identifier(kind, value) for kind, value, _last in names), last)


# --- Until when ----------------------------------------------------------------------------------


def deadline_of(delivery: Delivery, inbox: Inbox) -> datetime | None:
    if delivery.is_act:
        return delivery.deadline_at  # the customer, whom a reply window is about, gets nothing
    address = Address.objects.filter(conversations=delivery.conversation_id or 0)
    last_inbound_at = address.values_list("last_inbound_at", flat=True).get()
    return earliest(delivery, delivery.message, inbox, last_inbound_at)


def earliest(
    delivery: Delivery, message: Message | None, inbox: Inbox, last_inbound_at: datetime | None
) -> datetime | None:
    """The budget's end or the reply window's, whichever comes first (DL-97)."""
    if message is not None and message.kind in OUTSIDE_WINDOW:
        return delivery.deadline_at
    address = Address(inbox=inbox, last_inbound_at=last_inbound_at)
    ends = [delivery.deadline_at, address.window_closes_at()]
    return min((end for end in ends if end is not None), default=None)


def refusal_of(message: Message | None, deadline: datetime | None) -> SendError | None:
    """Why this cannot be sent any more, before anything is tried."""
    if deadline is not None and deadline <= timezone.now():
        return too_late()
    if has_file(message, Attachment.State.FAILED):
        text = _("The file of this message could not be fetched.")
        return SendError(text, error_class=ErrorClass.INVALID, code="file_missing")
    return None


def nobody() -> SendError:
    """The contact was erased while this was under way (F-32)."""
    text = _("There is no address left to send this to.")
    return SendError(text, error_class=ErrorClass.UNREACHABLE, code="no_address")


def removed() -> SendError:
    text = _("This inbox was removed.")
    return SendError(text, error_class=ErrorClass.PERMANENT, code="inbox_removed")


def too_late() -> SendError:
    text = _("It could not be sent in time: the reply window or the hour for trying is over.")
    return SendError(text, error_class=ErrorClass.WINDOW_CLOSED, code="window_would_close")


def has_file(message: Message | None, state: str) -> bool:
    return message is not None and any(one.state == state for one in message.files)
