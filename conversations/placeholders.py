"""`{{contact.name}}` and its like in texts that people have saved: what there is, and filling them in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accounts.models import Account, Member
from conversations.models import Conversation

# Blanks are taken off afterwards: an expression that skips them tries every way of sharing them out.
_MARK = re.compile(r"\{\{([^{}]*)\}\}")


@dataclass(frozen=True, slots=True)
class Filling:
    """Whom and what a text is filled in for."""

    conversation: Conversation
    member: Member
    account: Account


Value = Callable[[Filling], Any]
NAMES: dict[str, Value] = {
    "contact.name": lambda f: f.conversation.contact.name,
    "contact.first_name": lambda f: _first(f.conversation.contact.name),
    "contact.phone": lambda f: f.conversation.contact.phone,
    "contact.email": lambda f: f.conversation.contact.email,
    "conversation.number": lambda f: f.conversation.number,
    "member.name": lambda f: f.member.name,
    "member.first_name": lambda f: _first(f.member.name),
    "account.name": lambda f: f.account.name,
}
# Followed by a key of the account's own: `contact.attributes.order`.
KEYED: dict[str, Value] = {
    "contact.attributes.": lambda f: f.conversation.contact.attributes,
    "conversation.attributes.": lambda f: f.conversation.attributes,
}


def unknown_in(text: str) -> list[str]:
    """Placeholders of `text` that nothing can be put in for, in their order."""
    return [name for found in _MARK.findall(text) if not _is_known(name := found.strip())]


def fill(text: str, filling: Filling) -> str:
    """`text` with what is known; what is not known leaves nothing behind."""
    return _MARK.sub(lambda found: _value(found[1].strip(), filling), text)


def _is_known(name: str) -> bool:
    return name in NAMES or any(name.startswith(head) and name != head for head in KEYED)


def _value(name: str, filling: Filling) -> str:
    if name in NAMES:
        return str(NAMES[name](filling))
    for head, read in KEYED.items():
        if name.startswith(head):
            return str(read(filling).get(name.removeprefix(head), ""))
    return ""


def _first(name: str) -> str:
    return name.split()[0] if name.split() else ""
