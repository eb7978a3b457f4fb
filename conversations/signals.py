"""The doors upwards: this room tells and asks the rooms above by these signals only.

`event_recorded` is sent inside the writing transaction, so that event, decision and delivery rows
commit together or not at all (DL-02). Its argument `recorded` holds everything that was recorded
together, in order; `followers` the ids of the account's endpoints that hear of everything in the inboxes
of their agents; `subscribed` says whether any of its subscribers is switched on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.dispatch import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from accounts.models import Member
    from conversations.models import Contact, Conversation, Event, Message

event_recorded = Signal()
# `contact` and its locked `conversations` are being erased: whoever keeps words of theirs forgets them,
# inside the same transaction. Sent again for what was under way at that moment.
contact_erased = Signal()
# An AI `member` wants to say something in a locked `conversation` that it does not hold: whoever decides about
# agents answers whether it may.
late_word = Signal()
# `changes` are contacts of the account that are new, or of whom something else is known now. Beside what
# `event_recorded` says of their conversations: somebody may have none.
contacts_changed = Signal()
# `typing`: somebody has begun to write in a conversation, or has stopped.
typing_noted = Signal()


class ContactChange(NamedTuple):
    """A contact as they are now, and what has changed of them as it was; None: they are new."""

    contact: Contact
    before: Mapping[str, Any] | None


class Typing(NamedTuple):
    """Who writes, None being the customer; `private`: for colleagues."""

    conversation: Conversation
    by: Member | None
    on: bool
    private: bool = False


class Recorded(NamedTuple):
    """One event, its locked conversation, and the message it is about, if it is about one."""

    event: Event
    conversation: Conversation
    message: Message | None
