"""What a search means: whatever somebody copied from a log, a page or a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from accounts import ids
from accounts.models import Member
from agents.models import Decision
from conversations.models import (
    AddressIdentifier,
    Contact,
    Conversation,
    Delivery,
    Event,
    Inbox,
    Message,
    in_sight,
)
from integrations.models import Receipt

M = TypeVar("M", bound=Model)

# A phone number with more conversations than this wants another word.
MOST_CHOICES = 30
# What stands on a receipt of something that became, or changed, a message (services.receive).
_NAMED_MESSAGE = re.compile(r"\bmsg_[0-9a-z]{13}\b")
_EVENT_ID = re.compile(r"evt_[0-9a-z]{26}")
_PHONE = re.compile(r"(?:tel:|whatsapp:)?([0-9\s().+/-]{6,40})", re.IGNORECASE)
FEWEST_DIGITS = 7


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that was named, and the conversation it belongs to, if it belongs to one.

    `about` is its id as it stands on its line. Instead of a thing: several conversations to choose from.
    """

    kind: str
    about: str = ""
    conversation: Conversation | None = None
    event: Event | None = None
    message: Message | None = None
    delivery: Delivery | None = None
    receipt: Receipt | None = None
    choices: Sequence[Conversation] = ()


def find(text: str, viewer: Member | None) -> Found | None:
    """The first thing that `text` names and `viewer` may see; None when there is none.

    What is out of the viewer's sight is not there, like what is in another account.
    """
    wanted = " ".join(text.replace("\x00", "").split())[:250]
    if not wanted:
        return None
    return next((found for look in _LOOKS if (found := look(wanted, viewer))), None)


# --- By our own ids ------------------------------------------------------------------------------


def _by_wire_id(text: str, viewer: Member | None) -> Found | None:
    """A `webhook-id`; replays have the same, the first one counts."""
    if "-" not in text or "_" not in text:
        return None
    deliveries = _deliveries(viewer).filter(wire_id=text).order_by("pk")
    delivery = deliveries.first()
    if delivery is not None:
        return _of_delivery(delivery)
    # Deliveries are forgotten after a while; the event that they told of stays.
    return _by_own_id(text.partition("-")[0], viewer)


def _by_own_id(text: str, viewer: Member | None) -> Found | None:
    look = _OWN.get(text.partition("_")[0])
    return look(text, viewer) if look else None


def _event(text: str, viewer: Member | None) -> Found | None:
    if not _EVENT_ID.fullmatch(text):
        return None
    event = _seen(_with_thread(Event.objects.all()), viewer).filter(pk=text).first()
    return Found("event", event.pk, event.conversation, event=event) if event else None


def _message(text: str, viewer: Member | None) -> Found | None:
    return _of_message(_by_key(_messages(viewer), "msg", text))


def _delivery(text: str, viewer: Member | None) -> Found | None:
    delivery = _by_key(_deliveries(viewer), "dlv", text)
    return _of_delivery(delivery) if delivery else None


def _receipt(text: str, viewer: Member | None) -> Found | None:
    receipt = _by_key(Receipt.objects.select_related("inbox"), "rcp", text)
    return _of_receipt(receipt, viewer) if receipt else None


def _decision(text: str, viewer: Member | None) -> Found | None:
    decision = _by_key(_seen(_with_thread(Decision.objects.all()), viewer), "dec", text)
    if decision is None:
        return None
    event = Event.objects.filter(pk=decision.event_id).first()
    return Found("decision", decision.public_id, decision.conversation, event=event)


def _conversation(text: str, viewer: Member | None) -> Found | None:
    return _of_conversations(_by_key(_conversations(viewer), "cnv", text))


_OWN: dict[str, Callable[[str, Member | None], Found | None]] = {
    "evt": _event,
    "msg": _message,
    "dlv": _delivery,
    "rcp": _receipt,
    "dec": _decision,
    "cnv": _conversation,
}


def _by_number(text: str, viewer: Member | None) -> Found | None:
    """`#12`, or `12`."""
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        return None
    return _of_conversations(_conversations(viewer).filter(number=int(digits)).first())


# --- By what others call it ----------------------------------------------------------------------


def _by_platform_id(text: str, viewer: Member | None) -> Found | None:
    """The platform's own id of a message."""
    # Every inbox is named, because the index that finds an id begins with the inbox.
    rows = _messages(viewer).filter(inbox__in=Inbox.objects.all(), external_id=text)
    return _of_message(rows.first())


def _by_receipt_key(text: str, viewer: Member | None) -> Found | None:
    """The platform's id of something that became no message, or of a part of one."""
    receipts = Receipt.objects.filter(
        inbox__in=Inbox.objects.all(), dedupe_key__in=Receipt.keys_of([text])
    )
    receipt = receipts.select_related("inbox").order_by("pk").first()
    return _of_receipt(receipt, viewer) if receipt else None


def _by_phone(text: str, viewer: Member | None) -> Found | None:
    """A phone number, however it is written: the conversations of whoever has it."""
    shape = _PHONE.fullmatch(text)
    digits = re.sub(r"[^0-9]", "", shape[1]) if shape else ""
    if len(digits) < FEWEST_DIGITS:
        return None
    international = digits.removeprefix("00")
    has_it = Q(phone__in=[f"+{international}", international])
    if digits.startswith("0") and international == digits:
        has_it |= Q(phone__endswith=digits[1:])  # as people write it in their own country
    named = AddressIdentifier.objects.filter(
        inbox__in=Inbox.objects.all(),
        kind="phone",
        value__in=[f"+{international}", international],
    )
    contacts = {
        *named.values_list("address__contact", flat=True)[:MOST_CHOICES],
        *Contact.objects.filter(has_it).values_list("pk", flat=True)[:MOST_CHOICES],
    }
    return _of_contacts(contacts, viewer)


def _by_identifier(text: str, viewer: Member | None) -> Found | None:
    """Any other name that an inbox knows a customer by."""
    named = AddressIdentifier.objects.filter(inbox__in=Inbox.objects.all(), value=text)
    return _of_contacts(named.values_list("address__contact", flat=True)[:MOST_CHOICES], viewer)


_LOOKS = (_by_wire_id, _by_own_id, _by_number, _by_platform_id, _by_receipt_key, _by_phone,
          _by_identifier)  # fmt: skip


# --- From rows to what was found -----------------------------------------------------------------


def _of_message(message: Message | None) -> Found | None:
    if message is None:
        return None
    return Found("message", message.public_id, message.conversation, message=message)


def _of_delivery(delivery: Delivery) -> Found:
    event = Event.objects.filter(pk=delivery.event_id).first() if delivery.event_id else None
    return Found(
        "delivery",
        delivery.public_id,
        delivery.conversation,
        event=event,
        message=delivery.message,
        delivery=delivery,
    )


def _of_receipt(receipt: Receipt, viewer: Member | None) -> Found | None:
    """With the message that stands on it. One that names a message out of sight is not there."""
    named = _NAMED_MESSAGE.search(receipt.result)
    if named is None:
        return Found("receipt", receipt.public_id, receipt=receipt)
    message = _by_key(_messages(viewer), "msg", named[0])
    if message is None:
        return None
    thread = message.conversation
    return Found("receipt", receipt.public_id, thread, message=message, receipt=receipt)


def _of_contacts(contacts: Iterable[int], viewer: Member | None) -> Found | None:
    found = _conversations(viewer).filter(contact__in=list(contacts))
    return _of_conversations(*found.order_by("-last_activity_at", "-pk")[:MOST_CHOICES])


def _of_conversations(*found: Conversation | None) -> Found | None:
    """The one, or the choice."""
    known = [one for one in found if one is not None]
    if len(known) == 1:
        return Found("conversation", known[0].public_id, known[0])
    return Found("choices", choices=known) if known else None


# --- What the viewer may see ---------------------------------------------------------------------


def _conversations(viewer: Member | None) -> QuerySet[Conversation]:
    every = Conversation.objects.select_related("contact", "inbox")
    return every if viewer is None else every.visible_to(viewer)


def _messages(viewer: Member | None) -> QuerySet[Message]:
    return _seen(_with_thread(Message.objects.all()), viewer)


def _deliveries(viewer: Member | None) -> QuerySet[Delivery]:
    rows = _with_thread(Delivery.objects.defer("body_sealed")).select_related("message")
    return _seen(rows, viewer, or_none=True)


def _with_thread(rows: QuerySet[M]) -> QuerySet[M]:
    return rows.select_related("conversation__contact", "conversation__inbox")


def _seen(rows: QuerySet[M], viewer: Member | None, *, or_none: bool = False) -> QuerySet[M]:
    return rows if viewer is None else in_sight(rows, viewer, or_none=or_none)


def _by_key(rows: QuerySet[M], prefix: str, public_id: str) -> M | None:
    try:
        return rows.filter(pk=ids.decode(prefix, public_id)).first()
    except ValueError:
        return None
