"""AI agents of the installation: defined once, and working in accounts as agents of their own.

A definition (`SystemAgent`) belongs to no account and does nothing. An account that wants it gets an agent
made after it (`agent_of`): a member, an endpoint, a log and a breaker of its own, behind its own walls.
What becomes of the definition follows there account by account (`follow`), each in its own context and
transaction: which accounts have one is written down nowhere outside their walls, so every account is
looked into. What is to be done is read from what is, so it may be done at any time and again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import tokens
from accounts.audit import audit
from accounts.models import Account, ApiToken, Member
from accounts.tenancy import account_context, current_account_id
from agents import services
from agents.models import Agent, AgentInbox, SystemAgent
from agents.services import AgentError
from conversations.models import Assignment, Conversation
from conversations.services import endpoints
from conversations.services.holding import LAST_WORDS

logger = logging.getLogger(__name__)

# What its tokens begin with: `sb_sys_…`. Nothing but `by_token` finds one.
KIND = "sys"
# An account's `agent` was brought in line with its definition, or is to go because that is deleted: whoever
# keeps something with it does the same, inside the same transaction.
followed = Signal()


class NewSystemAgent(NamedTuple):
    """A definition with what is shown once."""

    system: SystemAgent
    secret: str
    token: str


def living() -> QuerySet[SystemAgent]:
    return SystemAgent.objects.filter(deleted_at__isnull=True).order_by("pk")


# --- Defining ------------------------------------------------------------------------------------


@transaction.atomic
def define(*, name: str, url: str, dialect: str, description: str = "") -> NewSystemAgent:
    """A new one, which works nowhere yet. Raises `AgentError`."""
    services.check_definition(name=name, url=url)
    minted, secret = tokens.mint(KIND), endpoints.new_secret()
    system = SystemAgent(
        pk=_next_number(),
        name=name.strip(),
        url=url.strip(),
        dialect=dialect,
        description=description,
        key_id=minted.key_id,
        sha256=minted.sha256,
    )
    system.secret = secret
    system.save(force_insert=True)
    logger.info("system agent defined id=%d", system.pk)
    return NewSystemAgent(system, secret, minted.clear)


@transaction.atomic
def redefine(system: SystemAgent, **changes: Any) -> SystemAgent:
    """Change name, url or description; what accounts have of it follows. Raises `AgentError`."""
    services.check_definition(**changes)
    system = _locked(system)
    for field in ("name", "url", "description"):
        setattr(system, field, changes.get(field, getattr(system, field)).strip())
    return _changed(system)


@transaction.atomic
def withdraw(system: SystemAgent) -> SystemAgent:
    """There is no such agent any more, in no account: people get its conversations."""
    system = _locked(system)
    system.deleted_at = system.deleted_at or timezone.now()
    return _changed(system)


@transaction.atomic
def touch(system: SystemAgent) -> SystemAgent:
    """Something that is kept with it has changed, and follows as well."""
    return _changed(_locked(system))


def _changed(system: SystemAgent) -> SystemAgent:
    from agents.tasks import follow_system_agent  # which imports this module

    system.version += 1
    system.save()
    logger.info("system agent changed id=%d version=%d", system.pk, system.version)
    # Not a failure of the act when no broker answers: beat finds what is left.
    transaction.on_commit(lambda: follow_system_agent.delay(system.pk), robust=True)
    return system


def _next_number() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('agents_agent', 'id'))")
        row: Any = cursor.fetchone()
    return int(row[0])


def _locked(system: SystemAgent) -> SystemAgent:
    return SystemAgent.objects.select_for_update(no_key=True).get(pk=system.pk)


def _kept(system: SystemAgent) -> SystemAgent:
    """As it is now, and so it stays until the transaction ends; others may keep it so as well."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM agents_systemagent WHERE id = %s FOR SHARE", [system.pk])
    return SystemAgent.objects.get(pk=system.pk)


# --- In an account -------------------------------------------------------------------------------


def present(system_id: int) -> Agent | None:
    """The agent that the account in context has of it; None where it has none that is not deleted."""
    rows = Agent.objects.select_related("member", "endpoint", "account", "fallback_team", "system")
    return rows.filter(system=system_id).exclude(state=Agent.State.DELETED).first()


@transaction.atomic
def agent_of(system: SystemAgent, *, by: Member | None) -> Agent:
    """The account's own agent of it, made when it is first wanted and brought back when it was deleted.

    In the account's context, before a conversation is locked: to be brought back, an agent is locked, and
    agents come before conversations. Raises `AgentError` where it was withdrawn.
    """
    # A change of the definition that comes now waits, and then finds this agent and what it was wanted for.
    system = _locked(system) if present(system.pk) is None else _kept(system)
    if system.deleted_at is not None:
        raise AgentError("name", _("This agent of the installation was deleted by who runs it."))
    if (agent := present(system.pk)) is not None:
        return agent
    account = Account.objects.get(pk=current_account_id())
    deleted = Agent.objects.filter(system=system).first()
    if deleted is not None:
        services.undo_delete(deleted, by=by)
    else:
        services.create_agent(
            account,
            name=system.name,
            url=system.url,
            dialect=system.dialect,
            description=system.description,
            system=system,
            by=by,
        )
    agent = Agent.objects.get(system=system)
    _bring_in_line(agent, system)
    found = present(system.pk)
    assert found is not None  # noqa: S101 - made above, in this transaction
    return found


def offered() -> list[SystemAgent]:
    """What the account in context may take into its service, and has not."""
    taken = Agent.objects.filter(system__isnull=False).exclude(state=Agent.State.DELETED)
    return list(living().exclude(pk__in=taken.values("system")).order_by("name"))


@transaction.atomic
def take_in(system: SystemAgent, *, by: Member, **chosen: Any) -> Agent:
    """The account's agent of it, with what the account chooses itself (`services.change_agent`). Raises
    `AgentError`."""
    return services.change_agent(agent_of(system, by=by), by=by, **chosen)


def follow(system_id: int) -> int:
    """Every account's agent of it becomes as the definition is now; returns how many there are.

    May run twice, and beside itself. A change that comes meanwhile has a run of its own. What stands in the
    way of one account holds up none of the others; it is tried again with what is left.
    """
    system = SystemAgent.objects.get(pk=system_id)
    number, left = _everywhere(system_id, lambda: _follow_here(system_id))
    if left:
        return number
    SystemAgent.objects.filter(pk=system_id, followed__lt=system.version).update(
        followed=system.version
    )
    logger.info("system agent followed id=%d accounts=%d", system_id, number)
    return number


def follow_leftovers() -> int:
    """What jobs that were lost have left to do; returns how many definitions there were."""
    behind = SystemAgent.objects.filter(followed__lt=F("version")).values_list("pk", flat=True)
    pks = list(behind)
    for pk in pks:
        follow(pk)
    return len(pks)


def _everywhere(system_id: int, act: Callable[[], bool]) -> tuple[int, int]:
    """Do it in every account by itself: in how many there was something to do, and in how many it failed."""
    number = left = 0
    for account_id in Account.objects.order_by("pk").values_list("pk", flat=True).iterator():
        try:
            with account_context(account_id):
                number += act()
        except Exception:
            left += 1
            logger.exception("system agent not followed id=%d account=%d", system_id, account_id)
    return number, left


def _follow_here(system_id: int) -> bool:
    """In the account in context; whether it has one."""
    rows = Agent.objects.select_for_update(of=("self",), no_key=True).filter(system=system_id)
    agent = rows.first()
    if agent is None:
        return False
    # Read under the agent's lock: two runs end with what is newest.
    _bring_in_line(agent, SystemAgent.objects.get(pk=system_id))
    return True


def _bring_in_line(agent: Agent, system: SystemAgent) -> None:
    agent.system = system
    if system.deleted_at is not None:
        followed.send(sender=Agent, agent=agent)
        services.delete_agent(agent, by=None)
        return
    services.change_agent(
        agent,
        by=None,
        as_defined=True,
        name=system.name,
        url=system.url,
        description=system.description,
    )
    followed.send(sender=Agent, agent=agent)


# --- Its token -----------------------------------------------------------------------------------


def by_token(clear: str) -> SystemAgent | None:
    """The living definition whose token this is; other tokens are refused without a query."""
    key_id = tokens.key_of(clear, KIND)
    system = living().filter(key_id=key_id).first() if key_id is not None else None
    return system if system is not None and tokens.proves(clear, system.sha256) else None


@transaction.atomic
def replace_token(system: SystemAgent, *, by: str = "", reason: str = "") -> str:
    """A new token, shown once; the old one ends now. `by` is whom of the support staff the accounts that use
    it read in their audit logs, with the reason; without, nobody in particular."""
    from agents.tasks import tell_token_replaced  # which imports this module

    system, minted = _locked(system), tokens.mint(KIND)
    system.key_id, system.sha256 = minted.key_id, minted.sha256
    system.save(update_fields=["key_id", "sha256"])
    logger.info("system agent token replaced id=%d", system.pk)
    transaction.on_commit(lambda: tell_token_replaced.delay(system.pk, by, reason), robust=True)
    return minted.clear


def tell_token_replaced(system_id: int, by: str, reason: str) -> int:
    """Write it into the audit log of every account that uses it; returns how many there are."""

    def tell() -> bool:
        if (agent := present(system_id)) is None:
            return False
        audit(
            "agent.token_rotated",
            by=None,
            target=agent,
            changes={"token": "changed"},
            reason=reason,
            actor_kind="support" if by else "",
            actor_name=by,
        )
        return True

    number, _left = _everywhere(system_id, tell)
    return number


def token_in(system: SystemAgent, account_id: int) -> ApiToken | None:
    """What its token opens in an account: what the token of the account's own agent opens there, which
    nobody has ever seen.

    None where the account has given it nothing to do: it is attached to no inbox by name, holds no
    conversation and has handed none over just now.
    """
    with account_context(account_id):
        agent = present(system.pk)
        if agent is None or not _has_business(agent):
            return None
        keys = agent.member.tokens.filter(kind=ApiToken.Kind.AGENT, revoked_at__isnull=True)
        return keys.select_related("account", "member__user", "created_by").order_by("-pk").first()


def _has_business(agent: Agent) -> bool:
    if AgentInbox.objects.filter(agent=agent).exists():
        return True
    if Conversation.objects.filter(assignee=agent.member).exists():
        return True
    fresh = timezone.now() - LAST_WORDS
    return Assignment.objects.filter(by=agent.member, started_at__gt=fresh).exists()
