"""How many conversations there are: counted as they change, so that no list counts them."""

from __future__ import annotations

from django.db import models

from accounts.models import Member, Team
from accounts.tenancy import AccountModel, account_key
from conversations.models.conversation import Conversation
from conversations.models.inbox import Inbox


class ConversationTally(AccountModel):
    """`n` conversations more (or fewer) of an inbox, a holder and a status.

    Triggers of the database write a row with every change, so that whoever changes a conversation waits
    for no other (one number that all of them raise would be a queue), and no code can forget it. The sum
    of the rows is the number; `conversations.services.tallies` adds them up to one now and then. What a
    row points at is not checked: a holder who is deleted has conversations no longer, and the sum is 0.
    """

    account = account_key(db_index=False, checked=False)
    inbox = models.ForeignKey(
        Inbox, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    assignee = models.ForeignKey(
        Member,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
    )
    team = models.ForeignKey(
        Team,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
    )
    status = models.CharField(max_length=10, choices=Conversation.Status)
    n = models.IntegerField()

    class Meta(AccountModel.Meta):
        indexes = [models.Index(fields=["account", "status"], name="tally_by_status")]

    def __str__(self) -> str:
        return f"{self.n:+} {self.status}"
