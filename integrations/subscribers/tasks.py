"""Jobs of webhooks that nobody waits for."""

from __future__ import annotations

from celery import shared_task

from integrations.subscribers import forgetting


@shared_task
def forget_rest(account_id: int) -> int:
    """What the log still knows of deleted webhooks; started after the commit that deletes one."""
    return forgetting.forget_rest(account_id)
