"""Who talks to an API inbox: they are known by `source_id`, which is their key to what they said and to
nothing else.

Whose thread it is may turn out to be known by more than that, when people of the business merge contacts:
what was learnt elsewhere is for none but who has proven to be them.

What an app says of somebody is a claim: it finds nobody who is known already, because whoever made it
would read what is known of them. An identity that the app's server has proven (`identifier_hash`)
leads to the customer who has it.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import partial
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound

from conversations import services
from conversations.errors import BusyError, TakenError, WrongStateError
from conversations.messages import Identifier
from conversations.models import Address, AddressIdentifier, Contact, Inbox
from conversations.services.addresses import find_or_create_address
from conversations.services.contacts import current_id, lock_contact, lock_whole
from conversations.services.erasing import ERASED
from conversations.services.giving_way import give_way
from integrations.chatwoot import contacts, starting
from integrations.chatwoot.api_inbox.channel import HMAC_TOKEN
from integrations.chatwoot.api_inbox.saying import KIND
from integrations.chatwoot.api_inbox.settings import identity_is_mandatory
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import ChatwootError, unprocessable

UNPROVEN = {"error": "HMAC failed: Invalid Identifier Hash Provided"}
# What an app may say of its customer.
CLAIMS = ("name", "email", "phone_number", "custom_attributes")


def find(inbox: Inbox, source_id: str) -> Address | None:
    names = AddressIdentifier.objects.filter(inbox=inbox, kind=KIND, value=source_id)
    found = names.select_related("address__contact").first()
    if found is None:
        return None
    address: Address = found.address
    address.inbox = inbox
    return address


def proven_identifier(inbox: Inbox, given: Params, *, needed: bool) -> str:
    """The customer's identity, where it is proven; without a proof it counts for nothing.

    `needed`: nobody is let in without one where the inbox says so. Raises `ChatwootError` (401).
    """
    identifier = params.text(given, "identifier").strip()
    proof = params.text(given, "identifier_hash").strip().lower()
    if not proof and not (needed and identity_is_mandatory(inbox)):
        return ""
    token = inbox.credentials.get(HMAC_TOKEN, "")
    expected = hmac.new(token.encode(), identifier.encode(), hashlib.sha256).hexdigest()
    if not (token and identifier and hmac.compare_digest(expected.encode(), proof.encode())):
        raise ChatwootError(401, UNPROVEN)
    return identifier


@transaction.atomic
def enter(inbox: Inbox, given: Params) -> Address:
    """The customer of a `source_id`; a new one, where it is new. Raises `ChatwootError`."""
    identifier = proven_identifier(inbox, given, needed=True)
    source_id = params.text(given, "source_id").strip() or str(uuid4())
    if "/" in source_id:  # a part of addresses from now on
        raise unprocessable(_("A source_id has no slash in it."))
    known = find(inbox, source_id)
    if known is not None:
        return identify(known, identifier) if identifier else known
    somebody = _lock_holder_of(identifier) if identifier else None
    if somebody is not None:
        address = _prove(starting.address_for(inbox, somebody, source_id), identifier)
    else:
        name = params.text(given, "name").strip() or _("Visitor %(id)s") % {"id": source_id[:4]}
        address = find_or_create_address(inbox, (Identifier(KIND, source_id),), name=name)
        address = identify(address, identifier) if identifier else address
    return describe(address, given)


@transaction.atomic
def describe(address: Address, given: Params) -> Address:
    """Keep what the app says of its customer. Raises 422 for what cannot be, `NotFound` for somebody who
    was erased meanwhile."""
    claims = {name: given[name] for name in CLAIMS if given.get(name) is not None}
    if claims:  # judged by who they are now, and they are not merged meanwhile
        address = _of(address, lock_contact(address.contact_id))
    if claims and not knows_contact(address):
        raise ChatwootError(401, UNPROVEN)
    return _change(address, contacts.changes_of(claims)) if claims else address


@transaction.atomic
def identify(address: Address, identifier: str) -> Address:
    """Whose address it is, is proven: they are one with the customer who has this identity already.

    Raises `WrongStateError` for somebody with another identity, and for one who was merged with others:
    that whoever writes has an identity does not prove that it is theirs. `BusyError`, `NotFound`.
    """
    if address.contact.identifier == identifier:
        return _prove(address, identifier)
    return give_way(partial(_identify, address, identifier))


def _identify(address: Address, identifier: str) -> Address:
    """Judged by who they are once nobody can merge them any more, with all that a merge would lock."""
    holder = _holder_of(identifier)
    pk = current_id(address.contact_id)
    found, _conversations = lock_whole(*{pk, holder.pk if holder else pk})
    somebody = found[holder.pk] if holder else None
    moved_on = somebody is not None and somebody.identifier != identifier
    if moved_on or found[pk].merged_into_id is not None:
        raise BusyError  # merged while we waited
    address = _of(address, found[pk])
    _check_nobody_else(address, identifier)
    if somebody is None:
        address = _take(address, identifier)
    elif somebody != address.contact:
        address.contact = services.merge_contacts(somebody, address.contact, by=None)
    return _prove(address, identifier)


def _check_nobody_else(address: Address, identifier: str) -> None:
    """Raises `WrongStateError`."""
    if address.contact.identifier == identifier:
        return
    if address.contact.identifier:
        raise WrongStateError(_("This contact has another identity. Begin with a new source_id."))
    if address.is_shared:
        raise WrongStateError(_("This contact was merged. Begin with a new source_id."))


def _take(address: Address, identifier: str) -> Address:
    try:
        return _change(address, {"identifier": identifier})
    except TakenError as error:  # by another device of theirs, while we waited
        raise BusyError from error


def admit(address: Address, given: Params) -> Address:
    """The address, where its customer may come in: with a proof of who they are, which is remembered, or
    without one where the inbox asks for none. Raises `ChatwootError` (401), `NotFound` for somebody who was
    erased meanwhile."""
    identifier = proven_identifier(address.inbox, given, needed=False)
    if identifier and identifier != address.contact.identifier:
        raise ChatwootError(401, UNPROVEN)
    if identifier:
        return _prove(address, identifier)
    if identity_is_mandatory(address.inbox) and not address.proves(address.contact):
        raise ChatwootError(401, UNPROVEN)
    return address


def knows_contact(address: Address) -> bool:
    """Whether its app may read and change what is known of the contact: the one that it told us of, or one
    that it has proven to be. Of others who were merged with them it knows nothing."""
    return address.proves(address.contact) or not address.is_shared


def _prove(address: Address, identifier: str) -> Address:
    """Remember the identity that was proven. Raises `NotFound` for somebody who was erased meanwhile: who
    they were is not written down again."""
    if address.proven_identifier == identifier:
        return address
    present = Address.objects.filter(pk=address.pk).exclude(unreachable_reason=ERASED)
    if not present.update(proven_identifier=identifier):
        raise NotFound
    address.proven_identifier = identifier
    return address


def _of(address: Address, contact: Contact) -> Address:
    """The address with whose it is by now, and nothing remembered of whose it was. Raises `NotFound` for
    somebody who was erased meanwhile."""
    if contact.erased_at is not None:
        raise NotFound
    address.contact = contact
    address.__dict__.pop("is_shared", None)
    return address


def _holder_of(identifier: str) -> Contact | None:
    found: Contact | None = contacts.present().filter(identifier=identifier).first()
    return found


def _lock_holder_of(identifier: str) -> Contact | None:
    """Whoever has it once nobody can merge them any more."""
    while (found := _holder_of(identifier)) is not None:
        locked = lock_contact(found.pk)
        if locked.identifier == identifier:
            return locked
    return None


def _change(address: Address, changes: dict[str, Any]) -> Address:
    address.contact = services.update_contact(address.contact, by=None, **changes)
    return address
