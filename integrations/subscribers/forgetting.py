"""Deleted webhooks go little by little: their log may have a million rows, each of which names them.

The act forgets a few rows itself; the others, and the webhook, follow by a job: what names it is looked
for in big tables, while the act has it locked and every event of the account would wait. Until then
nobody finds the webhook any more (`Endpoint.objects`), and nothing is sent there.
"""

from __future__ import annotations

from django.db import transaction

from accounts.tenancy import account_context
from conversations.models import Delivery, Endpoint

# Of the log, in one transaction.
BATCH = 500


def forget_some() -> int:
    """Let a few rows forget a deleted webhook of the account in context, or the last ones, and it is
    gone itself. Returns how many rows there were, and the webhook as one: 0 when nothing is left to do.
    """
    webhook = Endpoint.deleted.order_by("deleted_at", "pk").first()
    if webhook is None:
        return 0
    forgotten = _forget_rows(webhook)
    if Delivery.objects.filter(endpoint=webhook).exists():
        return forgotten
    webhook.delete()
    return forgotten + 1


def _forget_rows(webhook: Endpoint) -> int:
    """Whoever writes a result holds several rows: we wait for none of them while we hold others."""
    naming = Delivery.objects.filter(endpoint=webhook).select_for_update(skip_locked=True)
    free = naming.values_list("pk", flat=True)[:BATCH]
    return Delivery.objects.filter(pk__among=list(free)).update(endpoint=None)


def forget_rest(account_id: int) -> int:
    """All that is left in an account, in small transactions; how many rows. What somebody holds just
    then is left for the next time."""
    total = 0
    while True:
        with account_context(account_id):
            done = forget_some()
        if not done:
            return total
        total += done


def begin(webhook: Endpoint) -> None:
    """The first few rows in the transaction of the act, the others and the webhook after it."""
    from integrations.subscribers.tasks import forget_rest  # which imports this module

    _forget_rows(webhook)
    # The job that forgets what is old does it, too, if no broker answers.
    transaction.on_commit(lambda: forget_rest.delay(webhook.account_id), robust=True)
