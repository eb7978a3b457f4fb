"""Jobs of the connected world that no customer waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Any

from celery import shared_task
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.tenancy import account_context
from conversations.channels import CheckStep, Learnt, SendError
from conversations.models import Inbox
from integrations import retention, routes, services
from integrations.http import GuardedClient

logger = logging.getLogger(__name__)


@shared_task
def check_inbox(account_id: int, inbox_id: int, run: str, language: str) -> str:
    """Run the channel's connection test and write each step into the inbox's health.

    Ends quietly when a newer test has begun. No transaction is open while the platform is asked.
    """
    with account_context(account_id):
        inbox = Inbox.objects.get(pk=inbox_id)
        hook_url = routes.hook_url(inbox)
    steps: list[dict[str, Any]] = []
    with translation.override(language):
        try:
            for step in _steps(inbox, hook_url):
                if isinstance(step, Learnt):
                    _keep(account_id, inbox_id, step)
                    continue
                steps.append(asdict(step))
                _write(account_id, inbox_id, run, steps, "running")
        except Exception:
            steps.append(asdict(CheckStep("test", ok=False, title=_("The test itself broke"))))
            _write(account_id, inbox_id, run, steps, "failed")
            raise
    state = "ok" if all(step["ok"] for step in steps) else "failed"
    _write(account_id, inbox_id, run, steps, state)
    return state


@shared_task
def leave_platform(account_id: int, inbox_id: int) -> str:
    """Take back what connecting put into the platform, as long as the inbox is off.

    A platform that cannot be reached then is written to the log: the inbox is off either way.
    """
    with account_context(account_id):
        inbox = Inbox.objects.get(pk=inbox_id)
    if inbox.state != Inbox.State.DISABLED:
        return "on again"
    try:
        learnt = asyncio.run(_leave(inbox))
    except SendError as error:
        logger.warning("platform not left inbox=%d class=%s", inbox_id, error.error_class)
        return str(error.error_class)
    _keep(account_id, inbox_id, learnt)
    return "left"


@shared_task
def prune() -> dict[str, int]:
    """Forget what is old; beat starts it once a day."""
    return retention.prune()


async def _leave(inbox: Inbox) -> Learnt:
    async with GuardedClient() as http:
        return await inbox.channel.leave(inbox.as_config(), http)


def _steps(inbox: Inbox, hook_url: str) -> Iterator[CheckStep | Learnt]:
    """The channel's asynchronous steps, one by one, on a loop of their own."""
    with asyncio.Runner() as runner:
        http = GuardedClient()
        try:
            steps = inbox.channel.check(inbox.as_config(), http, hook_url=hook_url)
            while (step := runner.run(_next(steps))) is not None:
                yield step
        finally:
            runner.run(http.close())


async def _next(steps: AsyncIterator[CheckStep | Learnt]) -> CheckStep | Learnt | None:
    return await anext(steps, None)


def _keep(account_id: int, inbox_id: int, learnt: Learnt) -> None:
    with account_context(account_id):
        inbox = Inbox.objects.select_for_update().get(pk=inbox_id)
        services.keep_learnt(inbox, learnt)


def _write(
    account_id: int, inbox_id: int, run: str, steps: list[dict[str, Any]], state: str
) -> None:
    with account_context(account_id):
        inbox = Inbox.objects.select_for_update().get(pk=inbox_id)
        if inbox.health.get("check", {}).get("run") != run:
            return
        check = {"run": run, "state": state, "steps": steps, "at": timezone.now().isoformat()}
        services.note_health(inbox, "check", check)
