"""Two contacts who are one customer become one (security.md 2: contacts:erase).

The other one's row stays, empty and pointing at the one that is kept, so that its id still leads
somewhere: with whoever keeps a copy, and with what was under way at that moment.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.ids import encode
from accounts.models import Member
from conversations.errors import BusyError, WrongStateError
from conversations.models import Address, Contact, ContactLabel, ContactNote, Conversation
from conversations.services import events
from conversations.services.contacts import current_id, lock_whole
from conversations.services.events import Fact
from conversations.services.giving_way import give_way
from conversations.services.knowing import known_of, tell_changed
from conversations.services.lines import add_lines

logger = logging.getLogger(__name__)

# What is filled in from the other where the one that is kept has nothing.
_COLUMNS = ("name", "phone", "email", "language", "identifier")
# How long something that was under way at that moment may still name the other.
LATECOMERS = timedelta(hours=2)


def merge_contacts(base: Contact, mergee: Contact, *, by: Member | None) -> Contact:
    """Make `mergee` a part of `base`: addresses, conversations, labels and attributes are `base`'s from
    now on, whose own values win; it is blocked when either was. It cannot be taken back.

    It gives way to whoever is writing in one of their conversations. Raises `WrongStateError` for one and
    the same, an erased or an already merged contact; `BusyError`.
    """
    if base.pk == mergee.pk:
        raise WrongStateError(_("This is one and the same customer."))
    return give_way(partial(_merge, base, mergee, by))


def _merge(base: Contact, mergee: Contact, by: Member | None) -> Contact:
    found, conversations = lock_whole(base.pk, mergee.pk)
    base, mergee = found[base.pk], found[mergee.pk]
    _check_mergeable(base, mergee)
    moved = [one for one in conversations.values() if one.contact_id == mergee.pk]
    told = moved or [conversations[pk] for pk in _newest(base)]
    was_blocked = base.blocked
    _fold(mergee, into=base)
    Contact.objects.filter(merged_into=mergee).update(merged_into=base)
    for conversation in told:
        conversation.contact = base
    add_lines(moved, "merged", by=by)
    data = {"merged": mergee.public_id, "into": base.public_id}
    events.record_many([Fact("contact.merged", one, actor=by, data=data) for one in told])
    changes: dict[str, Any] = {"merged": mergee.public_id, "conversations": len(moved)}
    if base.blocked != was_blocked:
        changes["blocked"] = [was_blocked, base.blocked]
    audit("contact.merged", by=by, target=base, changes=changes)
    return base


def _check_mergeable(*contacts: Contact) -> None:
    for contact in contacts:
        if contact.erased_at is not None:
            raise WrongStateError(_("A customer who was erased cannot be merged."))
        if contact.merged_into_id is not None:
            raise WrongStateError(_("This customer was merged with another already."))


def _newest(base: Contact) -> Sequence[int]:
    """Where it is told when nothing moves."""
    latest = Conversation.objects.filter(contact=base).recent_first()
    return list(latest.values_list("pk", flat=True)[:1])


def _fold(mergee: Contact, *, into: Contact) -> int:
    """Give everything that hangs on locked `mergee` to locked `into`; how many conversations moved."""
    now = timezone.now()
    known = into.erased_at is None  # of somebody erased since, nothing comes back
    was = known_of(into)
    values = {name: getattr(mergee, name) if known else "" for name in _COLUMNS}
    attributes = {**mergee.attributes, **into.attributes} if known else {}
    blocked, mergee.blocked = mergee.blocked, False
    for name in _COLUMNS:
        setattr(mergee, name, "")
    mergee.attributes, mergee.merged_into = {}, into
    mergee.merged_at = mergee.merged_at or now
    mergee.save()  # before the other: an identifier is given once
    for name, value in values.items():
        setattr(into, name, getattr(into, name) or value)
    into.attributes = attributes
    # Being blocked is no value that the other fills in: it would lift what somebody decided.
    into.blocked = into.blocked or (known and blocked)
    into.save()
    if known:
        tell_changed(into, was)
    Address.objects.filter(contact=mergee).update(contact=into)
    links = ContactLabel.objects.filter(contact=mergee)
    had = links.order_by("label_id").values_list("label_id", flat=True) if known else ()
    ContactLabel.objects.bulk_create(
        [ContactLabel(contact=into, label_id=pk) for pk in had], ignore_conflicts=True
    )
    links.delete()
    notes = ContactNote.objects.filter(contact=mergee)
    if known:
        notes.update(contact=into)
    else:
        notes.delete()
    theirs = Conversation.objects.filter(contact=mergee)
    return int(theirs.update(contact=into, updated_at=now))


def move_latecomers() -> int:
    """Move once more what still named somebody who was merged lately: a first message under way began
    its conversation with them. Called in an account's context by a job every few minutes; returns how
    many conversations."""
    lately = Contact.objects.filter(merged_at__gt=timezone.now() - LATECOMERS)
    late = [one.pk for one in lately.exclude(merged_into=None).order_by("pk") if _is_late(one)]
    moved = 0
    for pk in late:
        try:
            moved += give_way(partial(_move_late, pk))
        except BusyError:  # the next run does it; the others do not wait for it
            logger.info("latecomer not moved contact=%s", encode(Contact.public_id, pk))
    return moved


def _move_late(pk: int) -> int:
    into = current_id(pk)
    found, _conversations = lock_whole(pk, into)
    if found[pk].merged_into_id != into:
        raise BusyError  # merged once more meanwhile
    return _fold(found[pk], into=found[into]) if _is_late(found[pk]) else 0


def _is_late(mergee: Contact) -> bool:
    """Whether something came to them after they were merged."""
    return (
        any(getattr(mergee, name) for name in _COLUMNS)
        or bool(mergee.attributes)
        or Conversation.objects.filter(contact=mergee).exists()
        or ContactNote.objects.filter(contact=mergee).exists()
    )
