"""The doors upwards: this room tells and asks the rooms above by these signals only.

`event_recorded` is sent inside the writing transaction, so that event, decision and delivery rows
commit together or not at all (DL-02). Its argument `recorded` holds everything that was recorded
together, in order; `followers` the ids of the account's endpoints that hear of everything in the inboxes
of their agents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.dispatch import Signal

if TYPE_CHECKING:
    from conversations.models import Conversation, Event, Message

event_recorded = Signal()
# `contact` and its locked `conversations` are being erased: whoever keeps words of theirs forgets them,
# inside the same transaction. Sent again for what was under way at that moment.
contact_erased = Signal()
# An AI `member` wants to say something in a locked `conversation` that it does not hold: whoever decides about
# agents answers whether it may.
late_word = Signal()


class Recorded(NamedTuple):
    """One event, its locked conversation, and the message it is about, if it is about one."""

    event: Event
    conversation: Conversation
    message: Message | None
