"""Erasing a contact (SX-101, F-32): what was said and who said it goes, ids and counts stay.

Everything that still waits is canceled in the same transaction, so nothing is sent to them any more;
whoever writes again afterwards is somebody new.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.audit import audit
from accounts.ids import encode
from accounts.models import Account, Member
from conversations.errors import BusyError
from conversations.models import (
    Address,
    AddressIdentifier,
    Assignment,
    Attachment,
    Attempt,
    Contact,
    ContactLabel,
    ContactNote,
    Conversation,
    Delivery,
    Message,
    Timer,
    UnsentText,
)
from conversations.services import events, media, outbox
from conversations.services.contacts import current_id, lock_whole
from conversations.services.giving_way import give_way
from conversations.services.holding import resolve
from conversations.signals import contact_erased

logger = logging.getLogger(__name__)

# What a log keeps when the database is set back to a time before: ids, and nothing else.
LOGGED = "contact erased account=%s contact=%s"
ERASED = "erased"
EVENT = "contact.erased"
# What of an event, and of a system line, says who, whom and which, and nothing of what was said.
KEPT_FACTS = ["actor", "message", "status", "previous", "to", "team", "reason", "error_code"]
KEPT_OF_LINES = ["code", "by", "to", "reason", "label", "priority", "until", "platform"]
_WIPE_EVENTS = """
UPDATE conversations_event SET data = COALESCE((
    SELECT jsonb_object_agg(key, value) FROM jsonb_each(data) WHERE key = ANY(%s)), '{}')
WHERE conversation_id = ANY(%s)
"""
_WIPE_LINES = """
UPDATE conversations_message SET text = '', content = COALESCE((
    SELECT jsonb_object_agg(key, value) FROM jsonb_each(content) WHERE key = ANY(%s)), '{}')
WHERE conversation_id = ANY(%s) AND direction = 'system'
"""
# How long something that was under way at that moment may still bring words back.
LATECOMERS = timedelta(hours=2)
State = Delivery.State


def erase_contact(contact: Contact, *, by: Member | None) -> None:
    """Erase a contact with all of their conversations. It cannot be taken back.

    Agents that had one of them hear `contact.erased`, so that they forget as well. It gives way to
    whoever is writing in one of them; raises `BusyError` when they do not come to an end.
    """
    give_way(partial(_erase, contact.pk, by))


def _erase(pk: int, by: Member | None) -> None:
    pk = current_id(pk)
    found, locked = lock_whole(pk)
    contact, conversations = found[pk], list(locked.values())
    if contact.merged_into_id is not None:
        raise BusyError  # merged meanwhile: who they are now is erased
    if contact.erased_at is not None:
        return
    _cancel(contact, conversations)
    for conversation in conversations:
        resolve(conversation, by=None)
    _cancel(contact, conversations)  # what the resolving had to say
    contact_erased.send(sender=Contact, contact=contact, conversations=conversations)
    _forget_addresses(contact)
    _wipe(contact, conversations)
    _wipe_contact(contact)
    for conversation in conversations:
        events.record(conversation, "contact.erased", actor=by)
    audit("contact.erased", by=by, target=contact, changes={"conversations": len(conversations)})
    transaction.on_commit(partial(_log, contact), robust=True)


def _log(contact: Contact) -> None:
    logger.info(LOGGED, encode(Account.public_id, contact.account_id), contact.public_id)


def erase_latecomers() -> int:
    """Wipe once more what was erased lately: an answer, a file or a name may have been under way.

    Called in an account's context by a job every few minutes; returns how many contacts.
    """
    lately = Contact.objects.filter(erased_at__gt=timezone.now() - LATECOMERS)
    wiped = 0
    for pk in list(lately.order_by("pk").values_list("pk", flat=True)):
        try:
            give_way(partial(_erase_late, pk))
            wiped += 1
        except BusyError:  # the next run does it; the others do not wait for it
            logger.info("latecomers not wiped contact=%s", encode(Contact.public_id, pk))
    return wiped


def _erase_late(pk: int) -> None:
    found, locked = lock_whole(pk)
    contact, conversations = found[pk], list(locked.values())
    contact_erased.send(sender=Contact, contact=contact, conversations=conversations)
    _forget_addresses(contact)
    _cancel(contact, conversations)
    _wipe(contact, conversations)
    # A process of an older version knows of no notes.
    ContactNote.objects.filter(contact=contact).delete()


def _forget_addresses(contact: Contact) -> None:
    """The names the platforms know them by: nothing can be sent there, and nothing leads back."""
    addresses = Address.objects.filter(contact=contact)
    AddressIdentifier.objects.filter(address__in=addresses).delete()
    addresses.update(last_inbound_external_id="", unreachable_reason=ERASED, proven_identifier="")


def _cancel(contact: Contact, conversations: Sequence[Conversation]) -> None:
    """What is under way comes back to a lane that has nothing left for it (`sending`, `pushing`)."""
    waiting = (State.PENDING, State.RETRY_WAIT, State.UNCERTAIN, State.HELD)
    outbox.cancel(_spoken(contact, conversations).filter(state__in=waiting), reason=ERASED)
    Timer.objects.filter(conversation__in=conversations).delete()


def _wipe(contact: Contact, conversations: Sequence[Conversation]) -> None:
    """Texts, files, bodies and excerpts of these conversations, and what was told of the contact."""
    attachments = Attachment.objects.filter(message__conversation__in=conversations)
    paths = [path for path in attachments.values_list("path", flat=True) if path]
    media.drop(paths)
    # The path stays: a file that a crash spared is deleted with the latecomers.
    attachments.update(filename="", remote_ref="", state=Attachment.State.FAILED, error=ERASED)
    messages = Message.objects.filter(conversation__in=conversations)
    spoken = messages.exclude(direction=Message.Direction.SYSTEM)
    spoken.update(text="", content={}, error_text="", deleted_at=timezone.now())
    UnsentText.objects.filter(conversation__in=conversations).delete()
    _spoken(contact, conversations).update(body_sealed=b"")
    Attempt.objects.filter(delivery__in=_of(contact, conversations)).update(
        response_body="", error="", request_headers={}, response_headers={}
    )
    Assignment.objects.filter(conversation__in=conversations).update(detail="", summary="")
    Conversation.objects.filter(pk__in=[one.pk for one in conversations]).update(
        preview="", attributes={}, options={}, unread_count=0
    )
    with connection.cursor() as cursor:
        for statement, kept in ((_WIPE_EVENTS, KEPT_FACTS), (_WIPE_LINES, KEPT_OF_LINES)):
            cursor.execute(statement, [kept, [one.pk for one in conversations]])


def _spoken(contact: Contact, conversations: Sequence[Conversation]) -> QuerySet[Delivery]:
    """Their deliveries, without those that tell others to forget as well."""
    return _of(contact, conversations).exclude(event_type=EVENT)


def _of(contact: Contact, conversations: Sequence[Conversation]) -> QuerySet[Delivery]:
    """Everything about their conversations, and about them and whoever became a part of them."""
    merged = Contact.objects.filter(merged_into=contact).values_list("pk", flat=True)
    told = Q(contact__in=[contact.pk, *merged])
    return Delivery.objects.filter(told | Q(conversation__in=conversations))


def _wipe_contact(contact: Contact) -> None:
    ContactLabel.objects.filter(contact=contact).delete()
    ContactNote.objects.filter(contact=contact).delete()
    contact.name = contact.phone = contact.email = contact.language = contact.identifier = ""
    contact.attributes = {}
    contact.erased_at = timezone.now()
    contact.save()
