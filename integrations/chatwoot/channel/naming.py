"""How things of Chatwoot are named here: messages, people, lanes and receipts.

A conversation has a number of its account, a message one of the server; together they are the external
id, `<conversation>/<message>`, because every answer goes into a conversation.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from conversations.channels import Recipient, UnexpectedPayloadError
from conversations.messages import Identifier
from integrations.wire import Fields

CONTACT = "chatwoot_contact"
CONVERSATION = "chatwoot_conversation"
PHONE = "phone"
# Beside `echo_id`, which only the answer brings back: this comes back in the event too, and tells of a
# message whose answer was lost that it was said (DL-42).
REFERENCE = "switchboard_reference"
UNKNOWN_LANE = "unknown"
LONGEST_NUMBER = 19


def external_id(conversation: str, message: str) -> str:
    return f"{conversation}/{message}"


def message_number(external: str) -> int | None:
    """The message's number on their server; None when there is none in it."""
    _conversation, _slash, rest = external.partition("/")
    number = rest.partition("/")[0]
    return int(number) if is_number(number) else None


def conversation_for(to: Recipient) -> str:
    """Where an answer belongs: where the customer wrote last, else the newest one we know of."""
    heard = to.last_external_id.partition("/")[0]
    if is_number(heard):
        return heard
    known = [one.value for one in to.identifiers if one.kind == CONVERSATION]
    return max(known, key=int, default="")


def number_of(fields: Fields, key: str = "id") -> str:
    """A number of theirs, as text. Raises `UnexpectedPayloadError` for anything else."""
    value = fields.code(key)
    if not is_number(value):
        raise UnexpectedPayloadError(
            f"{fields.at(key)} should be a whole number", key=fields.at(key)
        )
    return value


def is_number(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NUMBER and text.isascii() and text.isdigit()


def contact_of(conversation: Fields) -> str:
    """The number of the contact that a conversation is with; empty where it names none."""
    sender = conversation.maybe("meta").maybe("sender").code("id")
    return sender or conversation.maybe("contact_inbox").code("contact_id")


def identifiers_of(conversation: Fields) -> tuple[Identifier, ...]:
    """Everything a person is known by, the strongest first. The conversation is among it: two contacts
    that were merged over there stay one person here."""
    sender = conversation.maybe("meta").maybe("sender")
    contact = contact_of(conversation)
    if not is_number(contact):
        raise UnexpectedPayloadError("the event names no contact", key=conversation.at("meta"))
    phone = sender.text("phone_number", "").strip()
    return (
        Identifier(CONTACT, contact),
        *((Identifier(PHONE, phone),) if phone.startswith("+") else ()),
        Identifier(CONVERSATION, number_of(conversation)),
    )


def digest(value: Any) -> str:
    """A short hash of foreign JSON, the same for the same content."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
