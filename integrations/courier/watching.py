"""Looking after all accounts, once a minute, by one courier of all (DL-65).

What is looked at stands behind the accounts' walls, so each is entered. In small groups: the threads are
the same that write down what agents answered.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Count

from accounts import metrics
from accounts.ids import encode
from accounts.metrics import Labels
from accounts.models import Account
from accounts.tenancy import account_context
from agents.patience import unanswered_over_patience
from conversations.models import Conversation, Endpoint
from integrations import measures
from integrations.courier import health
from integrations.courier.desk import Desk

logger = logging.getLogger(__name__)

# A little less than a minute, so that being asked every few seconds makes it no more than one.
EVERY = timedelta(seconds=55)
GROUP = 25
NAMED = 20


@dataclass(slots=True)
class Seen:
    """What was found so far."""

    breakers: Counter[str] = field(default_factory=Counter)
    unanswered: dict[int, int] = field(default_factory=dict)


async def patrol(desk: Desk) -> None:
    """If it is time: see that nobody waits over patience, what endpoints have failed for too long, and how
    the breakers are; say so."""
    if not await desk.run(measures.take_turn, "patrol", every=EVERY):
        return
    accounts = await desk.run(_accounts)
    found = Seen()
    for start in range(0, len(accounts), GROUP):
        await desk.run(look_after, accounts[start : start + GROUP], found)
    await desk.run(_show, found)
    metrics.mark("switchboard_patrol_last_success_timestamp")


def look_after(accounts: Sequence[int], found: Seen) -> None:
    for account_id in accounts:
        _look_after_endpoints(account_id)
        with account_context(account_id):
            waiting = unanswered_over_patience()
            breakers = Endpoint.objects.order_by().values_list("breaker").annotate(Count("pk"))
            found.breakers.update(dict(breakers))
        if waiting:
            found.unanswered[account_id] = len(waiting)
            logger.error(
                "unanswered over patience account=%s n=%d conversations=%s",
                encode(Account.public_id, account_id),
                len(waiting),
                ",".join(encode(Conversation.public_id, pk) for pk in waiting[:NAMED]),
            )


def _look_after_endpoints(account_id: int) -> None:
    """What breaks in one account keeps nobody from looking after the others."""
    try:
        health.look_after(account_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("endpoints not looked after account=%d", account_id)


def _accounts() -> list[int]:
    return list(Account.objects.order_by("pk").values_list("pk", flat=True))


def _show(found: Seen) -> None:
    measures.set_gauges(
        {
            "switchboard_breaker": {
                (("state", state),): float(found.breakers[state])
                for state in Endpoint.Breaker.values
            },
            "switchboard_unanswered_over_patience": _unanswered(found.unanswered),
        }
    )


def _unanswered(waiting: dict[int, int]) -> dict[Labels, float]:
    """One number, or one for each account that has any, so that their sum is the same."""
    if not settings.METRICS_PER_TENANT:
        return {(): float(sum(waiting.values()))}
    its: dict[Labels, float] = {
        ((metrics.ACCOUNT, encode(Account.public_id, account_id)),): float(n)
        for account_id, n in waiting.items()
    }
    return {(): 0.0, **its}
