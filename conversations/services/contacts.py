"""Changing what is known of a contact."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts.audit import audit
from accounts.models import Member
from conversations.models import Contact
from conversations.services.updates import merge

_FIELDS = frozenset({"name", "phone", "email", "language", "blocked"})


@transaction.atomic
def update_contact(contact: Contact, *, by: Member, **changes: Any) -> Contact:
    """Change columns; `attributes` are merged, and a value of None removes its key."""
    contact = Contact.objects.select_for_update().get(pk=contact.pk)
    attributes = changes.pop("attributes", None)
    if unknown := changes.keys() - _FIELDS:
        raise TypeError(f"not a column to change: {', '.join(sorted(unknown))}")
    was_blocked = contact.blocked
    for name, value in changes.items():
        setattr(contact, name, value)
    if attributes is not None:
        contact.attributes = merge(contact.attributes, attributes)
    contact.save()
    if contact.blocked != was_blocked:
        audit("contact.blocked" if contact.blocked else "contact.unblocked", by=by, target=contact)
    return contact
