"""Contacts, and how an inbox reaches them."""

from __future__ import annotations

from collections.abc import Sequence

from conversations.models import Address, AddressIdentifier, Contact
from conversations.services.addresses import CHANGING_KINDS
from integrations.chatwoot.shapes.inboxes import slim_inbox
from integrations.chatwoot.shapes.parts import Json, seconds
from integrations.chatwoot.signing import uuid_of

# Which of an address's names they would call it by: the number first, one that changes last.
_PREFERRED_KINDS = ("phone",)


def phone_of(contact: Contact) -> str | None:
    """With the plus that they insist on."""
    phone = contact.phone
    return f"+{phone}" if phone.isdecimal() and not phone.startswith("0") else phone or None


def source_of(address: Address) -> str:
    """The name they would know the address by."""
    names: Sequence[AddressIdentifier] = sorted(
        address.names,
        key=lambda one: (one.kind in CHANGING_KINDS, one.kind not in _PREFERRED_KINDS, one.pk),
    )
    if not names:
        return uuid_of(address.public_id)
    return names[0].value.removeprefix("+") if names[0].kind == "phone" else names[0].value


def contact_push(contact: Contact) -> Json:
    return {**_known(contact), "type": "contact"}


def contact_json(contact: Contact, *, with_inboxes: bool = False) -> Json:
    """With `with_inboxes` its `addresses` are read, with their inboxes and identifiers; of rows that know
    it (`last_activity`), when it was last heard of."""
    shown: Json = {
        **_known(contact),
        "availability_status": "offline",
        "created_at": seconds(contact.created_at),
    }
    if last := getattr(contact, "last_activity", None):
        shown["last_activity_at"] = seconds(last)
    if with_inboxes:
        shown["contact_inboxes"] = [contact_inbox(one) for one in contact.addresses.all()]
    return shown


def _known(contact: Contact) -> Json:
    """Who they are, as every shape of a contact says it."""
    return {
        "additional_attributes": {},
        "custom_attributes": contact.attributes,
        "email": contact.email or None,
        "id": contact.pk,
        "identifier": contact.identifier or None,
        "name": str(contact),
        "phone_number": phone_of(contact),
        "thumbnail": "",
        "blocked": contact.blocked,
    }


def contact_inbox(address: Address) -> Json:
    return {"source_id": source_of(address), "inbox": slim_inbox(address.inbox)}
