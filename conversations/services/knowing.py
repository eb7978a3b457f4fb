"""Telling the rooms above that a contact is new, or that something else is known of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conversations.models import Contact
from conversations.signals import ContactChange, contacts_changed

COLUMNS = ("name", "phone", "email", "language", "identifier", "blocked", "attributes")


def known_of(contact: Contact) -> dict[str, Any]:
    """What is known of them now, to be compared with later."""
    return {name: getattr(contact, name) for name in COLUMNS}


def tell_new(contacts: Sequence[Contact]) -> None:
    """These have been made, in this transaction."""
    _tell([ContactChange(contact, None) for contact in contacts])


def tell_changed(contact: Contact, was: Mapping[str, Any]) -> None:
    """The contact has been written, in this transaction; `was` is what was known of them before."""
    before = {name: value for name, value in was.items() if getattr(contact, name) != value}
    _tell([ContactChange(contact, before)] if before else [])


def _tell(changes: Sequence[ContactChange]) -> None:
    if changes:
        contacts_changed.send(sender=Contact, changes=changes)
