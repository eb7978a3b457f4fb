"""Who the customers are, and changing what is known of one."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member
from conversations.errors import FieldError, TakenError, WrongStateError
from conversations.models import Contact, Conversation
from conversations.services.attributes import check_fit, merge
from conversations.services.knowing import known_of, tell_changed, tell_new
from conversations.services.locking import lock_many

_FIELDS = frozenset({"name", "phone", "email", "language", "identifier", "blocked"})
# At least one of these tells who somebody is.
_NAMING = ("name", "phone", "email", "identifier")


@transaction.atomic
def create_contact(*, by: Member, **fields: Any) -> Contact:
    """A customer who has not written yet. Raises `FieldError` for nobody and for attributes that do not
    fit, `TakenError` for an identifier that somebody has."""
    attributes = fields.pop("attributes", None) or {}
    check_fit("contact", attributes)
    contact = Contact(attributes=merge({}, attributes))
    _set(contact, fields)
    if not any(getattr(contact, name) for name in _NAMING):
        raise FieldError("name", _("Give a name, a phone number, an e-mail or an identifier."))
    _save(contact)
    audit("contact.created", by=by, target=contact)
    tell_new([contact])
    return contact


@transaction.atomic
def update_contact(contact: Contact, *, by: Member | None, **changes: Any) -> Contact:
    """Change columns; `attributes` are merged, and a value of None removes its key. `by` None: they
    themselves.

    Raises `TakenError` for an identifier that somebody else has, `FieldError` for attributes that do not
    fit, `WrongStateError` for somebody who was erased.
    """
    contact = lock_present(contact)
    attributes = changes.pop("attributes", None)
    was = known_of(contact)
    _set(contact, changes)
    if attributes is not None:
        check_fit("contact", attributes)
        contact.attributes = merge(contact.attributes, attributes)
    _save(contact)
    if contact.blocked != was["blocked"]:
        audit("contact.blocked" if contact.blocked else "contact.unblocked", by=by, target=contact)
    tell_changed(contact, was)
    return contact


def lock_contact(pk: int) -> Contact:
    """The contact as it is now, locked; of somebody who was merged, the one they are now.

    Only that one: two of them are locked by `lock_whole`, in one order.
    """
    while True:
        with transaction.atomic():
            contact = Contact.objects.select_for_update().get(pk=current_id(pk))
            if contact.merged_into_id is None:
                return contact
            transaction.set_rollback(True)  # merged while we waited: lets it go again


def lock_present(contact: Contact) -> Contact:
    """The contact as it is now, locked; somebody who was erased gets no words any more. Raises
    `WrongStateError`."""
    contact = lock_contact(contact.pk)
    if contact.erased_at is not None:
        raise WrongStateError(_("This customer was erased."))
    return contact


def current_id(pk: int) -> int:
    """The id of who this contact is now, not locked: they may be merged the moment after."""
    into: int | None = pk
    while into is not None:
        pk, into = into, Contact.objects.values_list("merged_into", flat=True).get(pk=into)
    return pk


def lock_whole(*pks: int) -> tuple[dict[int, Contact], dict[int, Conversation]]:
    """Contacts and all their conversations as they are now, by id, locked until the transaction ends.

    In the order of whoever writes in a conversation: conversations before contacts, each by id. One
    that came or went meanwhile makes it begin again. Raises `KeyError` for an unknown contact.
    """
    theirs = Conversation.objects.filter(contact__in=pks).order_by("pk")
    while True:
        with transaction.atomic():
            conversations = lock_many(list(theirs.values_list("pk", flat=True)))
            rows = Contact.objects.select_for_update().filter(pk__in=pks).order_by("pk")
            found = {row.pk: row for row in rows}
            if set(theirs.values_list("pk", flat=True)) == conversations.keys():
                break
            transaction.set_rollback(True)
    for conversation in conversations.values():
        conversation.contact = found[conversation.contact_id]
    return {pk: found[pk] for pk in pks}, conversations


def _set(contact: Contact, values: dict[str, Any]) -> None:
    if unknown := values.keys() - _FIELDS:
        raise TypeError(f"not a column to change: {', '.join(sorted(unknown))}")
    for name, value in values.items():
        setattr(contact, name, value)


def _save(contact: Contact) -> None:
    try:
        with transaction.atomic():
            contact.save()
    except IntegrityError as error:
        if "contact_identifier_once" not in str(error):
            raise
        message = _("There is a customer with this identifier already.")
        raise TakenError("identifier", message) from error
