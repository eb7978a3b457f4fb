"""Addresses: who is behind the names a platform uses (channels.md 2.3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from conversations.messages import Identifier
from conversations.models import Address, AddressIdentifier, Contact, Inbox

Names = tuple[Identifier, ...]
Known = Mapping[Identifier, Address]
# A name that can go to somebody else tomorrow: kept, but it does not tell who is writing.
CHANGING_KINDS = frozenset({"username"})


def find_address(inbox: Inbox, identifiers: Names) -> Address | None:
    """The address behind the first identifier that is known; channels give the strongest first."""
    return _first_known(identifiers, _known(inbox, identifiers))


def addresses_of(inbox: Inbox, people: Sequence[tuple[Names, str]]) -> list[Address]:
    """The address of each (identifiers, name), in this order; unknown ones are made, unknown
    identifiers are added, and an empty name or phone number is filled in."""
    known = _known(inbox, {one for identifiers, _name in people for one in identifiers})
    found = []
    for identifiers, name in people:
        address = _first_known(identifiers, known)
        if address is None:
            address = find_or_create_address(inbox, identifiers, name=name)
        else:
            _complete(inbox, address, identifiers, known, name)
        address.inbox = inbox
        found.append(address)
    return found


def find_or_create_address(inbox: Inbox, identifiers: Names, *, name: str = "") -> Address:
    """The address behind any of `identifiers`, completed by them and by `name`."""
    known = _known(inbox, identifiers)
    address = _first_known(identifiers, known)
    if address is not None:
        _complete(inbox, address, identifiers, known, name)
        return address
    address = _create_address(inbox, identifiers, name)
    add_identifiers(inbox, address, identifiers)
    if faster := _faster(inbox, address, identifiers):
        address.contact.delete()  # and the address with it: nobody could ever be reached there
        return faster
    return address


def add_identifiers(inbox: Inbox, address: Address, identifiers: Iterable[Identifier]) -> None:
    """More names of an address; those that belong to somebody stay with them."""
    AddressIdentifier.objects.bulk_create(
        [
            AddressIdentifier(inbox=inbox, address=address, kind=one.kind, value=one.value)
            for one in identifiers
        ],
        ignore_conflicts=True,
    )


def _known(inbox: Inbox, identifiers: Collection[Identifier]) -> dict[Identifier, Address]:
    rows = AddressIdentifier.objects.filter(
        inbox=inbox,
        kind__among={identifier.kind for identifier in identifiers},
        value__among={identifier.value for identifier in identifiers},
    )
    # One object for an address, by however many names it is known.
    addresses: dict[int, Address] = {}
    return {
        row.as_identifier(): addresses.setdefault(row.address_id, row.address)
        for row in rows.select_related("address__contact")
    }


def _first_known(identifiers: Names, known: Known) -> Address | None:
    lasting = [one for one in identifiers if one.kind not in CHANGING_KINDS] or identifiers
    return next((known[one] for one in lasting if one in known), None)


def _complete(inbox: Inbox, address: Address, identifiers: Names, known: Known, name: str) -> None:
    missing = [one for one in identifiers if one not in known]
    if missing:
        add_identifiers(inbox, address, missing)
    contact = address.contact
    changed = _fill_in(contact, identifiers, name)
    if changed:
        contact.save(update_fields=[*changed, "updated_at"])


def _fill_in(contact: Contact, identifiers: Names, name: str) -> list[str]:
    """Set what is empty; the names of the columns that changed."""
    changed = []
    if name and not contact.name:
        contact.name, changed = name[:250], ["name"]
    phone = next((one.value for one in identifiers if one.kind == "phone"), "")
    if phone and not contact.phone:
        contact.phone = phone[:32]
        changed.append("phone")
    return changed


def _faster(inbox: Inbox, made: Address, identifiers: Names) -> Address | None:
    """The address of another courier that learnt to know the same person a moment before us (one
    person may have two lanes: by phone and by user id); None when ours is the one."""
    if made.identifiers.count() == len(set(identifiers)):
        return None
    found = find_address(inbox, identifiers)
    return found if found != made else None


def _create_address(inbox: Inbox, identifiers: tuple[Identifier, ...], name: str) -> Address:
    phone = next((i.value for i in identifiers if i.kind == "phone"), "")
    contact = Contact.objects.create(name=name[:250], phone=phone[:32])
    return Address.objects.create(inbox=inbox, contact=contact)
