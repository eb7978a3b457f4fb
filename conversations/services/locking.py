"""The one lock of the desk: a conversation's row, taken first and held shortly."""

from __future__ import annotations

from conversations.models import Conversation


def lock(conversation: Conversation | int) -> Conversation:
    """The conversation as it is now, locked until the transaction ends."""
    pk = conversation if isinstance(conversation, int) else conversation.pk
    return (
        Conversation.objects.select_for_update(of=("self",))
        .select_related("inbox", "address", "contact", "assignee", "team")
        .get(pk=pk)
    )
