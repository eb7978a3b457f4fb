"""Jobs of the connected world that no customer waits for."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from celery import shared_task
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.tenancy import account_context
from conversations.channels import CheckStep
from conversations.models import Inbox
from integrations import routes, services
from integrations.http import GuardedClient


@shared_task
def check_inbox(account_id: int, inbox_id: int, run: str) -> str:
    """Run the channel's connection test and write each step into the inbox's health.

    Ends quietly when a newer test has begun. No transaction is open while the platform is asked.
    """
    with account_context(account_id):
        inbox = Inbox.objects.get(pk=inbox_id)
        hook_url = routes.hook_url(inbox)
    steps: list[dict[str, Any]] = []

    def note(step: CheckStep) -> None:
        steps.append(asdict(step))
        _write(account_id, inbox_id, run, steps, "running")

    async def ask() -> None:
        async with GuardedClient() as http:
            async for step in inbox.channel.check(inbox.as_config(), http, hook_url=hook_url):
                await asyncio.to_thread(note, step)

    try:
        asyncio.run(ask())
    except Exception:
        problem = CheckStep("test", ok=False, title=_("Test"), detail=_("The test itself broke."))
        _write(account_id, inbox_id, run, [*steps, asdict(problem)], "failed")
        raise
    state = "ok" if all(step["ok"] for step in steps) else "failed"
    _write(account_id, inbox_id, run, steps, state)
    return state


def _write(
    account_id: int, inbox_id: int, run: str, steps: list[dict[str, Any]], state: str
) -> None:
    with account_context(account_id):
        inbox = Inbox.objects.select_for_update().get(pk=inbox_id)
        if inbox.health.get("check", {}).get("run") != run:
            return
        check = {"run": run, "state": state, "steps": steps, "at": timezone.now().isoformat()}
        services.note_health(inbox, "check", check)
