"""Removing an inbox: it is gone from where things are set up, and what was said in it stays.

The act switches it off for good and takes its address away; the rest is a job's, because an inbox may
have thousands of open conversations. What is left to do is read from what is: a removed inbox has no
open conversation and no secret. So a job that dies half-way leaves nothing that the next one does not find.
"""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Account, Member
from accounts.tenancy import account_context
from conversations import services as desk
from conversations.errors import BusyError
from conversations.models import Conversation, Inbox, InboxRoute
from conversations.models.conversation import ConversationQuerySet
from conversations.models.inbox import InboxQuerySet
from conversations.services.giving_way import give_way


@transaction.atomic
def remove_inbox(inbox: Inbox, *, by: Member) -> None:
    """Nothing comes in and nothing goes out from now on, and it cannot be taken back.

    Its open conversations are resolved and its secrets forgotten by a job. What still waited to be sent
    fails with the reason (integrations/courier/beginning.py). Raises `Inbox.DoesNotExist` for one that
    was removed already.
    """
    inbox.refresh_from_db(from_queryset=Inbox.objects.present().select_for_update(of=("self",)))
    audit("inbox.removed", by=by, target=inbox, changes={"platform": inbox.platform})
    inbox.state, inbox.removed_at = Inbox.State.DISABLED, timezone.now()
    inbox.save(update_fields=["state", "removed_at"])
    InboxRoute.objects.filter(account=inbox.account_id, inbox_id=inbox.pk).delete()
    # Not a failure of the act when no broker answers: beat finds what is left.
    transaction.on_commit(partial(_finish_later, inbox), robust=True)


def unfinished() -> InboxQuerySet:
    """Removed ones that still have secrets or an open conversation, in the account's context."""
    still_open = _open_in(OuterRef("pk"))
    rows: InboxQuerySet = Inbox.objects.filter(removed_at__isnull=False)
    return rows.filter(~Q(credentials_sealed=b"") | Exists(still_open))


def finish(account_id: int, inbox_id: int) -> int:
    """Resolve what is open in a removed inbox, one by one, then forget its secrets. Returns how many.

    Who is being written to at that moment is left to the next run, and so are the secrets.
    """
    language = Account.objects.values_list("locale", flat=True).get(pk=account_id)
    with account_context(account_id):
        waiting = list(_open_in(inbox_id).order_by("pk").values_list("pk", flat=True))
    with translation.override(language):
        ended = sum(_end(account_id, pk) for pk in waiting)
    if ended == len(waiting):
        with account_context(account_id):
            Inbox.objects.filter(pk=inbox_id).update(credentials_sealed=b"")
    return ended


def _open_in(inbox: int | OuterRef) -> ConversationQuerySet:
    rows: ConversationQuerySet = Conversation.objects.filter(inbox=inbox)
    return rows.exclude(status=Conversation.Status.RESOLVED)


def _end(account_id: int, conversation_id: int) -> bool:
    with account_context(account_id):
        conversation = Conversation.objects.get(pk=conversation_id)
        try:
            give_way(
                partial(desk.resolve, conversation, by=None, detail=_("the inbox was removed"))
            )
        except BusyError:
            return False
    return True


def _finish_later(inbox: Inbox) -> None:
    from integrations.tasks import finish_removing  # which imports this module

    finish_removing.delay(inbox.account_id, inbox.pk)
