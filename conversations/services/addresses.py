"""Addresses: who is behind the names a platform uses (channels.md 2.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from django.db.models import QuerySet

from accounts.inserting import insert_many, insert_missing
from accounts.prepared import KEY, WORDS, prepared
from conversations.messages import Identifier
from conversations.models import Address, AddressIdentifier, Contact, Inbox
from conversations.services.knowing import known_of, tell_changed, tell_new

Names = tuple[Identifier, ...]
# What they are known by, and what they call themselves.
Person = tuple[Names, str]
Known = Mapping[Identifier, Address]
# A name that can go to somebody else tomorrow: kept, but it does not tell who is writing.
CHANGING_KINDS = frozenset({"username"})


def find_address(inbox: Inbox, identifiers: Names) -> Address | None:
    """The address behind the first identifier that is known; channels give the strongest first."""
    return _first_known(identifiers, _known(inbox, identifiers))


def addresses_of(inbox: Inbox, people: Sequence[Person]) -> list[Address]:
    """The address of each (identifiers, name), in this order; unknown ones are made, unknown
    identifiers are added, and an empty name or phone number is filled in."""
    known = _known(inbox, {one for identifiers, _name in people for one in identifiers})
    found = [_first_known(identifiers, known) for identifiers, _name in people]
    strangers = [one for one, address in zip(people, found, strict=True) if address is None]
    if strangers:
        known |= _make(inbox, strangers, known)
        found = [_first_known(identifiers, known) for identifiers, _name in people]
    addresses = [address for address in found if address is not None]
    for address, (identifiers, name) in zip(addresses, people, strict=True):
        _complete(inbox, address, identifiers, known, name)
        address.inbox = inbox
    return addresses


def find_or_create_address(inbox: Inbox, identifiers: Names, *, name: str = "") -> Address:
    """The address behind any of `identifiers`, completed by them and by `name`."""
    return addresses_of(inbox, [(identifiers, name)])[0]


def add_identifiers(inbox: Inbox, address: Address, identifiers: Iterable[Identifier]) -> None:
    """More names of an address; those that belong to somebody stay with them."""
    _add_names(inbox, [(address, one) for one in identifiers])


def _add_names(inbox: Inbox, named: Iterable[tuple[Address, Identifier]]) -> None:
    """Inserted in one order everywhere, so that two batches never wait for each other."""
    insert_missing(
        AddressIdentifier(inbox=inbox, address=address, kind=one.kind, value=one.value)
        for address, one in sorted(named, key=lambda pair: (pair[1].kind, pair[1].value))
    )


def _make(inbox: Inbox, strangers: Sequence[Person], known: Known) -> dict[Identifier, Address]:
    """Addresses for people whom none of `known` names, by what each is known by from now on."""
    made: dict[Identifier, Address] = {}
    new: list[tuple[Address, Names]] = []
    for identifiers, name in strangers:
        if _first_known(identifiers, made) is None:
            contact = Contact()
            _fill_in(contact, identifiers, name)
            new.append((Address(inbox=inbox, contact=contact), identifiers))
            made |= {one: new[-1][0] for one in identifiers if one not in {*known, *made}}
    insert_many([address.contact for address, _identifiers in new])
    insert_many([address for address, _identifiers in new])
    _add_names(inbox, [(address, one) for address, identifiers in new for one in identifiers])
    met = {address.pk: address.contact for address, _identifiers in new}
    for address, faster in _overtaken(inbox, new):
        del met[address.pk]
        address.contact.delete()  # and the address with it: nobody could ever be reached there
        made = {one: faster if other is address else other for one, other in made.items()}
    tell_new(list(met.values()))
    return made


def _overtaken(
    inbox: Inbox, new: Sequence[tuple[Address, Names]]
) -> Iterator[tuple[Address, Address]]:
    """New addresses of people whom another courier learnt to know a moment before us, and theirs (one
    person may have two lanes: by phone and by user id)."""
    names = AddressIdentifier.objects.filter(address__among=[address.pk for address, _ in new])
    got = Counter(names.values_list("address", flat=True))
    for address, identifiers in new:
        if got[address.pk] < len(set(identifiers)):
            found = find_address(inbox, identifiers)
            if found is not None and found != address:
                yield address, found


def _known(inbox: Inbox, identifiers: Collection[Identifier]) -> dict[Identifier, Address]:
    rows = _named(
        inbox.pk,
        {identifier.kind for identifier in identifiers},
        {identifier.value for identifier in identifiers},
    )
    # One object for an address, by however many names it is known.
    addresses: dict[int, Address] = {}
    return {row.as_identifier(): addresses.setdefault(row.address_id, row.address) for row in rows}


@prepared(KEY, WORDS, WORDS)
def _named(
    inbox_id: int, kinds: Collection[str], values: Collection[str]
) -> QuerySet[AddressIdentifier]:
    names = AddressIdentifier.objects.filter(
        inbox_id=inbox_id, kind__among=kinds, value__among=values
    )
    return names.select_related("address__contact")


def _first_known(identifiers: Names, known: Known) -> Address | None:
    lasting = [one for one in identifiers if one.kind not in CHANGING_KINDS] or identifiers
    return next((known[one] for one in lasting if one in known), None)


def _complete(inbox: Inbox, address: Address, identifiers: Names, known: Known, name: str) -> None:
    missing = [one for one in identifiers if one not in known]
    if missing:
        add_identifiers(inbox, address, missing)
    contact = address.contact
    was = known_of(contact)
    changed = _fill_in(contact, identifiers, name)
    if changed:
        contact.save(update_fields=[*changed, "updated_at"])
        tell_changed(contact, was)


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
