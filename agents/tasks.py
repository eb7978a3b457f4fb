"""Jobs of the agents' room that nobody waits for."""

from __future__ import annotations

from celery import shared_task

from accounts.models import Account
from agents import moving


@shared_task
def move_rest(account_id: int, by_id: int | None = None) -> int:
    """What an act on agents has left to move; started after its commit."""
    return moving.move_rest(account_id, by_id=by_id)


@shared_task
def move_leftovers() -> int:
    """The same in every account, for a job that was lost; beat starts it now and then."""
    accounts = Account.objects.order_by("pk").values_list("pk", flat=True)
    return sum(moving.move_rest(account_id) for account_id in accounts.iterator())
