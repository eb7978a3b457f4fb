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

from accounts.models import Account
from accounts.tenancy import account_context
from conversations.channels import CheckStep, Learnt, SendError
from conversations.models import Inbox
from integrations import removing, retention, routes, services
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
    learnt = _left(inbox)
    if isinstance(learnt, SendError):
        return str(learnt.error_class)
    _keep(account_id, inbox_id, learnt)
    return "left"


@shared_task
def finish_removing(account_id: int, inbox_id: int) -> int:
    """What removing an inbox has left to do, after its commit; returns how many conversations ended."""
    with account_context(account_id):
        inbox = removing.unfinished().filter(pk=inbox_id).first()
    if inbox is None:
        return 0
    if inbox.channel.leaves:
        _left(inbox)
    return removing.finish(account_id, inbox_id)


@shared_task
def finish_leftovers() -> int:
    """The same in every account, for a job that was lost; beat starts it now and then."""
    ended = 0
    for account_id in Account.objects.order_by("pk").values_list("pk", flat=True).iterator():
        with account_context(account_id):
            left = list(removing.unfinished().values_list("pk", flat=True))
        ended += sum(finish_removing(account_id, pk) for pk in left)
    return ended


@shared_task
def prune() -> dict[str, int]:
    """Forget what is old; beat starts it once a day."""
    return retention.prune()


def _left(inbox: Inbox) -> Learnt | SendError:
    """What is known after leaving the platform, or why it could not be left, which is logged."""
    try:
        return asyncio.run(_leave(inbox))
    except SendError as error:
        logger.warning("platform not left inbox=%d class=%s", inbox.pk, error.error_class)
        return error


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
        inbox = Inbox.objects.present().select_for_update().filter(pk=inbox_id).first()
        if inbox is not None:  # one that was removed meanwhile keeps no secrets
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
