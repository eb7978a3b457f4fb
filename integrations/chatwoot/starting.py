"""Beginning a conversation from our side: whom it is with, and the thread they have in that inbox."""

from __future__ import annotations

import re
from uuid import uuid4

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Member
from conversations import services
from conversations.errors import NotHolderError, WrongStateError
from conversations.messages import Identifier
from conversations.models import Address, AddressIdentifier, Contact, Conversation, Inbox
from conversations.services.addresses import add_identifiers
from conversations.services.inbound import conversation_at
from integrations.chatwoot import bots
from integrations.chatwoot.errors import unprocessable

SOURCE_TAKEN = "source_id should be unique"
_NUMBER = re.compile(r"[0-9]{6,15}")
# Whose apps call their customers what they like; who is not called anything gets a name of ours.
API = "api"
# Platforms that reach their customers by another name than a phone number.
VISITORS = frozenset({"sandbox", "widget", API})


@transaction.atomic
def address_for(inbox: Inbox, contact: Contact, source_id: str = "") -> Address:
    """How this inbox reaches the contact; made where it is not known yet. Raises `ChatwootError` (422)."""
    known = known_address(inbox, contact, source_id)
    if known is not None:
        return known
    address = Address.objects.create(inbox=inbox, contact=contact)
    add_identifiers(inbox, address, [_identifier(inbox, contact, source_id)])
    if not AddressIdentifier.objects.filter(address=address).exists():
        raise unprocessable(SOURCE_TAKEN)
    return _with(address, inbox, contact)


def known_address(inbox: Inbox, contact: Contact, source_id: str = "") -> Address | None:
    """How this inbox reaches the contact already; None where it does not, or not by this name.

    Raises `ChatwootError` (422) for a name that is another contact's.
    """
    if source_id:
        known = address_by_source(inbox, source_id)
        if known is not None and known.contact_id != contact.pk:
            raise unprocessable(SOURCE_TAKEN)
        return known
    own = Address.objects.filter(inbox=inbox, contact=contact).order_by("pk").first()
    return _with(own, inbox, contact) if own is not None else None


def address_by_source(inbox: Inbox | None, source_id: str) -> Address | None:
    """The address that is known by this name; in any inbox, where none is given."""
    rows = AddressIdentifier.objects.filter(value__in=[source_id, f"+{source_id}"])
    if inbox is not None:
        rows = rows.filter(inbox=inbox)
    found = rows.select_related("address__inbox", "address__contact").order_by("pk").first()
    return found.address if found is not None else None


def begin(address: Address, *, by: Member | None) -> Conversation:
    """The address's one thread, open; a new or reopened one goes to the inbox's bot, as theirs does.
    `by` None: the customer.

    Raises `NotHolderError` for a bot that does not get it.
    """
    if address.contact.erased_at is not None:
        raise WrongStateError(_("This contact has been erased."))
    if address.inbox.removed_at is not None:
        raise WrongStateError(_("This inbox was removed."))
    conversation = conversation_at(address)
    is_new = conversation.last_sequence <= 1
    if conversation.status != Conversation.Status.OPEN:
        is_new = True
        person = by if by is not None and by.is_person else None
        conversation = services.reopen(conversation, by=person)
    bot = bots.bot_of(address.inbox) if is_new and is_nobodys(conversation) else None
    if bot is not None:
        reason = services.Reason.RULE
        conversation = services.assign(conversation, to=bot.member, by=None, reason=reason)
    if by is not None and by.is_agent and conversation.assignee_id != by.pk:
        raise NotHolderError  # another has it, or nobody gave it to this one (SX-23)
    return conversation


def is_nobodys(conversation: Conversation) -> bool:
    return conversation.assignee_id is None and conversation.team_id is None


def _with(address: Address, inbox: Inbox, contact: Contact) -> Address:
    address.inbox, address.contact = inbox, contact
    return address


def _identifier(inbox: Inbox, contact: Contact, source_id: str) -> Identifier:
    if inbox.platform in VISITORS:
        if not source_id and inbox.platform != API:
            raise unprocessable("source_id is missing")
        return Identifier("visitor", source_id or str(uuid4()))
    digits = (source_id or contact.phone).removeprefix("+")
    if not _NUMBER.fullmatch(digits):
        raise unprocessable(_("This contact has no phone number to write to."))
    return Identifier("phone", f"+{digits}")
