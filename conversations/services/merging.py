"""Two contacts who are one customer become one (security.md 2: contacts:erase).

The other one's row stays, empty and pointing at the one that is kept, so that its id still leads
somewhere: with whoever keeps a copy, and with what was under way at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from psycopg.errors import LockNotAvailable

from accounts.audit import audit
from accounts.models import Member
from conversations.errors import BusyError, WrongStateError
from conversations.models import Address, Contact, ContactLabel, Conversation
from conversations.services import events
from conversations.services.events import Fact
from conversations.services.lines import add_lines
from conversations.services.locking import lock_many

# What is filled in from the other where the one that is kept has nothing.
_COLUMNS = ("name", "phone", "email", "language", "identifier")
# How long something that was under way at that moment may still name the other.
LATECOMERS = timedelta(hours=2)
# For how many milliseconds locks are waited for in this transaction: less than PostgreSQL's second.
_HURRY, _AT_EASE = "SET LOCAL lock_timeout TO 500", "SET LOCAL lock_timeout TO DEFAULT"


def merge_contacts(base: Contact, mergee: Contact, *, by: Member | None) -> Contact:
    """Make `mergee` a part of `base`: addresses, conversations, labels and attributes are `base`'s from
    now on, whose own values win. It cannot be taken back.

    Contacts are locked before conversations, as erasing does. Whoever writes in one of them at this
    moment may hold it the other way round, so this act gives up before PostgreSQL has to choose.
    Raises `WrongStateError` for one and the same, an erased or an already merged contact; `BusyError`.
    """
    if base.pk == mergee.pk:
        raise WrongStateError(_("This is one and the same customer."))
    try:
        with transaction.atomic():
            _execute(_HURRY)
            merged = _merge(base, mergee, by)
            _execute(_AT_EASE)
            return merged
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise BusyError from error


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _merge(base: Contact, mergee: Contact, by: Member | None) -> Contact:
    base, mergee = _locked(base.pk, mergee.pk)
    moving = Conversation.objects.filter(contact=mergee).values_list("pk", flat=True)
    moved = list(lock_many(list(moving)).values())
    told = moved or _newest(base)
    _fold(mergee, into=base)
    Contact.objects.filter(merged_into=mergee).update(merged_into=base)
    for conversation in told:
        conversation.contact = base
    add_lines(moved, "merged", by=by)
    data = {"merged": mergee.public_id, "into": base.public_id}
    events.record_many([Fact("contact.merged", one, actor=by, data=data) for one in told])
    changes = {"merged": mergee.public_id, "conversations": len(moved)}
    audit("contact.merged", by=by, target=base, changes=changes)
    return base


def _locked(*pks: int) -> list[Contact]:
    """Two contacts as they are now, locked in one order and returned in the caller's."""
    rows = Contact.objects.select_for_update().filter(pk__in=pks).order_by("pk")
    found = {row.pk: row for row in rows}
    for row in found.values():
        if row.erased_at is not None:
            raise WrongStateError(_("A customer who was erased cannot be merged."))
        if row.merged_into_id is not None:
            raise WrongStateError(_("This customer was merged with another already."))
    return [found[pk] for pk in pks]


def _newest(base: Contact) -> Sequence[Conversation]:
    """Where it is told when nothing moves."""
    latest = Conversation.objects.filter(contact=base).recent_first().values_list("pk", flat=True)
    return list(lock_many(list(latest[:1])).values())


def _fold(mergee: Contact, *, into: Contact) -> int:
    """Give everything that hangs on locked `mergee` to locked `into`; how many conversations moved."""
    now = timezone.now()
    known = into.erased_at is None  # of somebody erased since, nothing comes back
    values = {name: getattr(mergee, name) if known else "" for name in _COLUMNS}
    attributes = {**mergee.attributes, **into.attributes} if known else {}
    for name in _COLUMNS:
        setattr(mergee, name, "")
    mergee.attributes, mergee.merged_into = {}, into
    mergee.merged_at = mergee.merged_at or now
    mergee.save()  # before the other: an identifier is given once
    for name, value in values.items():
        setattr(into, name, getattr(into, name) or value)
    into.attributes = attributes
    into.save()
    Address.objects.filter(contact=mergee).update(contact=into)
    links = ContactLabel.objects.filter(contact=mergee)
    had = links.order_by("label_id").values_list("label_id", flat=True) if known else ()
    ContactLabel.objects.bulk_create(
        [ContactLabel(contact=into, label_id=pk) for pk in had], ignore_conflicts=True
    )
    links.delete()
    theirs = Conversation.objects.filter(contact=mergee)
    return int(theirs.update(contact=into, updated_at=now))


def move_latecomers() -> int:
    """Move once more what still named somebody who was merged lately: a first message under way began
    its conversation with them. Called in an account's context by a job every few minutes; returns how
    many conversations."""
    lately = Contact.objects.filter(merged_at__gt=timezone.now() - LATECOMERS)
    moved = 0
    for one in list(lately.order_by("pk")):
        pk, into = one.pk, one.merged_into_id or one.pk
        with transaction.atomic():
            rows = Contact.objects.select_for_update().filter(pk__in=(pk, into)).order_by("pk")
            found = {row.pk: row for row in rows}
            late = Conversation.objects.filter(contact_id=pk).values_list("pk", flat=True)
            lock_many(list(late))
            moved += _fold(found[pk], into=found[into]) if _is_late(found[pk]) else 0
    return moved


def _is_late(mergee: Contact) -> bool:
    """Whether something came to them after they were merged."""
    return (
        any(getattr(mergee, name) for name in _COLUMNS)
        or bool(mergee.attributes)
        or Conversation.objects.filter(contact=mergee).exists()
    )
