"""Domain facts, recorded once, append-only."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone

from accounts.tenancy import AccountModel, account_key
from conversations.models.conversation import Conversation


class Event(AccountModel):
    """Something that happened in a conversation.

    `id` is time-ordered and is the trace key everywhere; `sequence` rises by one per conversation.
    Written by `conversations.services.events.record` only, inside the transaction of the fact.
    """

    account = account_key(db_index=False)
    id = models.CharField(primary_key=True, max_length=30)
    type = models.CharField(max_length=40)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="events")
    sequence = models.BigIntegerField()
    epoch = models.PositiveIntegerField()
    occurred_at = models.DateTimeField(default=timezone.now)
    data: models.JSONField[Any, Any] = models.JSONField(default=dict)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "conversation", "sequence"], name="event_sequence_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"
