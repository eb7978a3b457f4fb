"""The names WhatsApp knows a person by. Every key name of the wire that carries one stands here.

A person who hides the phone number is known by a business-scoped user id (BSUID) alone; `from`,
`wa_id` and `recipient_id` are then absent or empty (channels.md 2.3).
"""

from __future__ import annotations

from conversations.channels import Recipient
from conversations.messages import Identifier
from integrations.wire import Fields

BSUID = "bsuid"
PARENT_BSUID = "parent_bsuid"
PHONE = "phone"
USERNAME = "username"

# Wire key → kind, strongest first. A username can change hands, so it comes last.
SENDER_KEYS = (("from_user_id", BSUID), ("from_parent_user_id", PARENT_BSUID), ("from", PHONE))
CONTACT_KEYS = (("user_id", BSUID), ("parent_user_id", PARENT_BSUID), ("wa_id", PHONE))
STATUS_KEYS = (
    ("recipient_user_id", BSUID),
    ("recipient_parent_user_id", PARENT_BSUID),
    ("recipient_id", PHONE),
)
ECHO_KEYS = (("to_user_id", BSUID), ("to_parent_user_id", PARENT_BSUID), ("to", PHONE))
_STRENGTH = (BSUID, PARENT_BSUID, PHONE, USERNAME)


def phone_identifier(wa_id: str) -> Identifier:
    """A wa_id (digits) as the phone number everybody else knows: `+` and digits."""
    return Identifier(PHONE, "+" + wa_id.removeprefix("+"))


def named(fields: Fields, keys: tuple[tuple[str, str], ...]) -> tuple[Identifier, ...]:
    """The identifiers under these keys; absent and empty ones are the same."""
    found = []
    for key, kind in keys:
        value = fields.text(key, "").strip()
        if value:
            found.append(phone_identifier(value) if kind == PHONE else Identifier(kind, value))
    return tuple(found)


def of_contact(contact: Fields) -> tuple[Identifier, ...]:
    """Everything a `contacts[]` element names a person by."""
    username = contact.maybe("profile").text("username", "") or contact.text("username", "")
    extra = (Identifier(USERNAME, username.strip()),) if username.strip() else ()
    return named(contact, CONTACT_KEYS) + extra


def merged(*groups: tuple[Identifier, ...]) -> tuple[Identifier, ...]:
    """All identifiers once, the strongest kind first."""
    unique = dict.fromkeys(identifier for group in groups for identifier in group)
    return tuple(sorted(unique, key=lambda identifier: _STRENGTH.index(identifier.kind)))


def lane_of(identifiers: tuple[Identifier, ...]) -> str:
    """The name of the person's queue: the strongest identifier."""
    return merged(identifiers)[0].value if identifiers else ""


def address_fields(to: Recipient) -> dict[str, str]:
    """How a send names the recipient: `to` with a phone, `recipient` with only a BSUID.

    Empty when neither is known.
    """
    phone = to.get(PHONE)
    if phone:
        return {"to": phone.removeprefix("+")}
    bsuid = to.get(BSUID)
    return {"recipient": bsuid} if bsuid else {}
