"""How agents do: what their endpoints answered in the last day, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Count
from django.utils.translation import gettext as _

from accounts.models import Account
from accounts.tenancy import current_account_id
from agents.models import Agent
from agents.pushing import failing, obstacle
from conversations.models import Conversation

# Attempts in their order of time are attempts in their order of id; the day is cut off by time.
_NUMBERS = """
SELECT d.endpoint_id,
       count(*),
       count(*) FILTER (WHERE a.outcome <> 'ok'),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY a.latency_ms)
FROM conversations_attempt a
JOIN conversations_delivery d ON d.id = a.delivery_id
WHERE d.account_id = %s AND d.kind = 'agent' AND a.ended_at > now() - interval '24 hours'
  AND d.endpoint_id = ANY(%s)
GROUP BY d.endpoint_id
"""


@dataclass(frozen=True, slots=True)
class Health:
    """One agent at a glance. `tone` is `ok`, `warn`, `danger` or empty."""

    tone: str
    word: str
    why: str
    attempts: int
    errors: int
    p95_ms: int | None
    held: int
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None


def of_all(agents: Iterable[Agent], account: Account) -> dict[int, Health]:
    """The health of each agent by its id, in two queries."""
    agents = list(agents)
    with connection.cursor() as cursor:
        cursor.execute(_NUMBERS, [current_account_id(), [a.endpoint_id for a in agents]])
        numbers = {row[0]: row[1:] for row in cursor.fetchall()}
    held: dict[int | None, int] = dict(
        Conversation.objects.open()
        .filter(assignee__in=[agent.member_id for agent in agents])
        .values("assignee")
        .annotate(n=Count("pk"))
        .values_list("assignee", "n")
    )
    found = {}
    for agent in agents:
        attempts, errors, p95 = numbers.get(agent.endpoint_id, (0, 0, None))
        tone, word, why = _state(agent, account, attempts, errors)
        found[agent.pk] = Health(
            tone,
            word,
            why,
            attempts=attempts,
            errors=errors,
            p95_ms=None if p95 is None else round(p95),
            held=held.get(agent.member_id, 0),
            last_success_at=agent.endpoint.last_success_at,
            last_failure_at=agent.endpoint.last_failure_at,
        )
    return found


def _state(agent: Agent, account: Account, attempts: int, errors: int) -> tuple[str, str, str]:
    hindered = obstacle(agent, account)
    if agent.state == Agent.State.PAUSED:
        return "", _("paused"), ""
    if hindered is not None:
        tone = "" if account.agents_paused else "danger"
        return tone, _("gets nothing"), hindered.detail
    if (shut := failing(agent)) is not None:
        return "danger", _("failing"), f"{shut.detail}: {agent.endpoint.last_error}"
    if agent.endpoint.consecutive_failures:
        return "danger", _("failing"), _last_error(agent)
    if not attempts:
        return "", _("quiet"), ""
    if errors * 20 > attempts:
        return "warn", _("unsteady"), _last_error(agent)
    return "ok", _("healthy"), ""


def _last_error(agent: Agent) -> str:
    return _("Last error: %(error)s") % {"error": agent.endpoint.last_error}
