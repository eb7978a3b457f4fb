"""Jobs of the agents' room that nobody waits for."""

from __future__ import annotations

from celery import shared_task

from accounts.models import Account
from agents import moving, system


@shared_task
def move_rest(account_id: int, by_id: int | None = None) -> int:
    """What an act on agents has left to move; started after its commit."""
    return moving.move_rest(account_id, by_id=by_id)


@shared_task
def move_leftovers() -> int:
    """The same in every account, for a job that was lost; beat starts it now and then."""
    accounts = Account.objects.order_by("pk").values_list("pk", flat=True)
    return sum(moving.move_rest(account_id) for account_id in accounts.iterator())


@shared_task
def follow_system_agent(system_id: int) -> int:
    """What became of an agent of the installation becomes of those that accounts have of it."""
    return system.follow(system_id)


@shared_task
def follow_leftovers() -> int:
    """The same for a job that was lost; beat starts it now and then."""
    return system.follow_leftovers()


@shared_task
def tell_token_replaced(system_id: int, by: str, reason: str) -> int:
    """Accounts that use an agent of the installation read that its token was replaced."""
    return system.tell_token_replaced(system_id, by, reason)
