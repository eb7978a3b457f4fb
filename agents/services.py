"""The acts of the agents' room: making, changing, pausing and deleting agents.

What the courier and REST call with an agent's answer is in `agents.answers` and offered here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.audit import audit
from accounts.models import Account, ApiToken, Member, Team
from accounts.permissions import Role
from accounts.tokens import create_token
from agents import dialects, moving, orphans
from agents.answers import (
    MistakenActionError,
    Response,
    apply_answer,
    delivery_failed,
    settle,
    settle_many,
    switch_off,
)
from agents.models import Agent, AgentInbox, SystemAgent
from agents.pushing import tell_anew
from conversations.errors import FieldError
from conversations.models import Endpoint, Inbox
from conversations.services import endpoints
from conversations.services.endpoints import GRACE, told

__all__ = [
    "AgentError",
    "MistakenActionError",
    "NewAgent",
    "Response",
    "apply_answer",
    "change_agent",
    "create_agent",
    "delete_agent",
    "delivery_failed",
    "enable_endpoint",
    "pause_agent",
    "pause_everywhere",
    "resume_agent",
    "resume_everywhere",
    "rotate_secret",
    "rotate_token",
    "settle",
    "settle_many",
    "switch_off",
    "tell_anew",
    "undo_delete",
]

# What a system agent has of its definition, and the account's people may not change.
OF_DEFINITION = frozenset({"name", "url", "dialect", "description", "secret", "token"})
NOT_YOURS = gettext_lazy(
    "This agent belongs to the installation: name, description, address and keys are kept by who runs it."
)
PATIENCE = range(10, 1801)
TIMEOUT = range(5, 61)


class AgentError(FieldError):
    """The agent cannot be kept so; `field` names what is wrong."""


class NewAgent(NamedTuple):
    """An agent with what is shown once."""

    agent: Agent
    secret: str
    token: str


# --- Making and changing -------------------------------------------------------------------------


@transaction.atomic
def create_agent(
    account: Account,
    *,
    name: str,
    url: str,
    dialect: str = "native",
    by: Member | None = None,
    description: str = "",
    patience_s: int = 90,
    timeout_s: int | None = None,
    fallback_team: Team | None = None,
    fallback_text: str = "",
    inboxes: Iterable[Inbox] = (),
    stale_gate: bool | None = None,
    system: SystemAgent | None = None,
) -> NewAgent:
    """Make an agent with its member, endpoint, signing secret and API token.

    Called in the account's context. No inbox: it may serve every inbox. `stale_gate` is as its dialect
    says, unless given. `system` is what it is made after: it signs with that one's secret, and its address
    is hidden. Raises `AgentError`.
    """
    spoken = _dialect(dialect)
    timeout_s = timeout_s if timeout_s is not None else spoken.default_timeout_s
    _check(name=name, url=url, patience_s=patience_s, timeout_s=timeout_s)
    member = Member.objects.create(
        account=account, kind=Member.Kind.AGENT, role=Role.AI, name=name.strip()
    )
    endpoint = Endpoint.objects.create(
        kind=Endpoint.Kind.AGENT,
        dialect=dialect,
        url=url.strip(),
        timeout_s=timeout_s,
        follows=spoken.follows,
        hidden=system is not None,
    )
    agent = Agent.objects.create(
        member=member,
        system=system,
        endpoint=endpoint,
        dialect=dialect,
        description=description,
        patience_s=patience_s,
        fallback_team=fallback_team,
        fallback_text=fallback_text,
        stale_gate=spoken.stale_gate if stale_gate is None else stale_gate,
    )
    attach(agent, inboxes)
    secret = endpoints.add_secret(endpoint, system.secret if system is not None else "")
    _token, clear = create_token(member, kind=ApiToken.Kind.AGENT, name=name, created_by=by)
    changes = {"url": told(endpoint.shown_url), "dialect": dialect}
    audit("agent.created", by=by, target=agent, changes=changes)
    return NewAgent(agent, secret, clear)


@transaction.atomic
def change_agent(
    agent: Agent,
    *,
    by: Member | None,
    inboxes: Iterable[Inbox] | None = None,
    as_defined: bool = False,
    **changes: Any,
) -> Agent:
    """Change name, url, dialect, description, patience_s, timeout_s, fallback_team, fallback_text,
    stale_gate or the inboxes it serves. A `stale_gate` of None is as the dialect says; with a new dialect
    come its own gate and time limit where they were as the old one says. What its definition says of a
    system agent changes only with that (`as_defined`). Raises `AgentError`."""
    agent = _locked(agent)
    if not as_defined:
        check_own(agent, *changes)
    places = {"name": agent.member, "url": agent.endpoint, "timeout_s": agent.endpoint}
    plain = (
        "dialect", "description", "patience_s", "fallback_team", "fallback_text", "stale_gate",
    )  # fmt: skip
    _check(**{key: value for key, value in changes.items() if key in _CHECKS})
    if "dialect" in changes:
        spoken = _dialect(changes["dialect"])
        agent.endpoint.dialect, agent.endpoint.follows = spoken.slug, spoken.follows
    changes = _with_usual(agent, changes)
    noted: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in places and key not in plain:
            raise TypeError(f"an agent has no {key} to change")
        owner = places.get(key, agent)
        if getattr(owner, key) != value:
            hidden = key == "url" and agent.endpoint.hidden
            old = getattr(owner, key)
            noted[key] = "changed" if hidden else {"from": told(old), "to": told(value)}
            setattr(owner, key, value)
    # The rest is the courier's.
    agent.endpoint.save(update_fields=["url", "timeout_s", "dialect", "follows"])
    for changed in (agent.member, agent):
        changed.save()
    if inboxes is not None:
        attach(agent, inboxes)
        noted["inboxes"] = [inbox.public_id for inbox in agent.inboxes.all()]
    if noted:
        audit("agent.updated", by=by, target=agent, changes=noted)
    return agent


def _with_usual(agent: Agent, changes: Mapping[str, Any]) -> dict[str, Any]:
    """These changes, and what follows from a new dialect: what was as the old one says becomes as the new
    one says, unless it is changed as well."""
    installed = {one.slug: one for one in dialects.all_dialects()}
    old, new = installed.get(agent.dialect), installed.get(changes.get("dialect", agent.dialect))
    whole = {key: value for key, value in changes.items() if (key, value) != ("stale_gate", None)}
    if new is None:
        return whole
    if "stale_gate" in changes or (old is not None and agent.stale_gate == old.stale_gate):
        whole.setdefault("stale_gate", new.stale_gate)
    if old is not None and agent.endpoint.timeout_s == old.default_timeout_s:
        whole.setdefault("timeout_s", new.default_timeout_s)
    return whole


def attach(agent: Agent, inboxes: Iterable[Inbox]) -> None:
    """Let the agent serve exactly these inboxes; none means all."""
    AgentInbox.objects.filter(agent=agent).delete()
    AgentInbox.objects.bulk_create([AgentInbox(agent=agent, inbox=inbox) for inbox in inboxes])


@transaction.atomic
def rotate_secret(agent: Agent, *, by: Member | None, grace: timedelta = GRACE) -> str:
    """A new signing secret, shown once; the old ones sign beside it for `grace` (DL-73).

    A grace of zero ends them at once. At most three secrets live. Raises `FieldError`.
    """
    agent = _locked(agent)
    check_own(agent, "secret")
    secret = endpoints.rotate_secret(agent.endpoint, grace=grace)
    hours = int(grace.total_seconds() // 3600)
    audit(
        "agent.secret_rotated",
        by=by,
        target=agent,
        changes={"secret": "changed", "grace_hours": hours},
    )
    return secret


@transaction.atomic
def rotate_token(agent: Agent, *, by: Member | None) -> str:
    """A new API token, shown once; the old ones end now."""
    agent = _locked(agent)
    check_own(agent, "token")
    _living_tokens(agent).update(revoked_at=timezone.now())
    _token, clear = create_token(
        agent.member, kind=ApiToken.Kind.AGENT, name=agent.name, created_by=by
    )
    audit("agent.token_rotated", by=by, target=agent, changes={"token": "changed"})
    return clear


@transaction.atomic
def enable_endpoint(agent: Agent, *, by: Member | None) -> Agent:
    """Switch a disabled endpoint on again. Nothing old is sent by itself (DL-68)."""
    agent = _locked(agent)
    endpoints.switch_on(agent.endpoint)
    audit("agent.endpoint_enabled", by=by, target=agent)
    return agent


# --- Pausing and deleting ------------------------------------------------------------------------
# Each act moves the first conversations itself; the others follow by a job (agents/moving.py). The
# same act again does nothing but move what is left.


@transaction.atomic
def pause_agent(agent: Agent, *, by: Member | None) -> int:
    """People get the agent's open conversations, and it gets no new ones; returns how many.

    `resume_agent` takes it back, so it is the undo as well.
    """
    agent = _locked(agent)
    if agent.state == Agent.State.DELETED:
        return 0
    if agent.state == Agent.State.PAUSED:
        return moving.follow([agent], by=by)
    agent.state, agent.paused_at = Agent.State.PAUSED, timezone.now()
    agent.save(update_fields=["state", "paused_at"])
    moved = moving.follow([agent], by=by)
    audit("agent.paused", by=by, target=agent, changes={"moved": moved})
    return moved


@transaction.atomic
def resume_agent(agent: Agent, *, by: Member | None) -> int:
    """The agent works again, and gets back what nobody has touched since; returns how many."""
    agent = _locked(agent)
    if agent.state != Agent.State.PAUSED:
        return moving.follow([agent], by=by)
    agent.state, agent.paused_at = Agent.State.ACTIVE, None
    agent.save(update_fields=["state", "paused_at"])
    returned = moving.follow([agent], by=by)
    audit("agent.resumed", by=by, target=agent, changes={"returned": returned})
    return returned


@transaction.atomic
def pause_everywhere(account: Account, *, by: Member | None) -> int:
    """Silence all agents of the account at once; people get their conversations."""
    account = _locked_account(account)
    if account.agents_paused:
        return moving.follow(moving.locked(), by=by)
    account.agents_paused = True
    account.save(update_fields=["agents_paused"])
    moved = moving.follow(moving.locked(), by=by)
    audit("agents.paused_everywhere", by=by, target=account, changes={"moved": moved})
    return moved


@transaction.atomic
def resume_everywhere(account: Account, *, by: Member | None) -> int:
    """Agents that are not paused themselves work again and get back what nobody has touched."""
    account = _locked_account(account)
    if not account.agents_paused:
        return moving.follow(moving.locked(), by=by)
    account.agents_paused = False
    account.save(update_fields=["agents_paused"])
    returned = moving.follow(moving.locked(), by=by)
    audit("agents.resumed_everywhere", by=by, target=account, changes={"returned": returned})
    return returned


@transaction.atomic
def delete_agent(agent: Agent, *, by: Member | None) -> int:
    """Delete: conversations go to people, its endpoint and tokens end, rules that only lead to it are off;
    returns how many conversations.

    Its messages and its name in old assignments stay. `undo_delete` takes it back.
    """
    orphans.switch_off(agent, by=by)
    agent = _locked(agent)
    if agent.state == Agent.State.DELETED:
        return moving.follow([agent], by=by)
    now = timezone.now()
    agent.state = Agent.State.DELETED
    agent.save(update_fields=["state"])
    agent.endpoint.state = Endpoint.State.DISABLED
    agent.endpoint.disabled_reason, agent.endpoint.disabled_at = str(_("deleted")), now
    agent.endpoint.save(update_fields=["state", "disabled_reason", "disabled_at"])
    agent.member.active = False
    agent.member.save(update_fields=["active"])
    _living_tokens(agent).update(revoked_at=now)
    moved = moving.follow([agent], by=by)
    audit("agent.deleted", by=by, target=agent, changes={"moved": moved})
    return moved


@transaction.atomic
def undo_delete(agent: Agent, *, by: Member | None) -> int:
    """Take a deletion back: endpoint, the tokens and the rules that ended with it, untouched conversations.
    Raises `AgentError` for a system agent that there is no more."""
    rules = orphans.of(agent)
    agent = _locked(agent)
    if agent.system is not None and agent.system.deleted_at is not None:
        raise AgentError("name", _("This agent of the installation was deleted by who runs it."))
    if agent.state != Agent.State.DELETED:
        return moving.follow([agent], by=by)
    ended_at = agent.endpoint.disabled_at
    agent.state = Agent.State.PAUSED if agent.paused_at else Agent.State.ACTIVE
    agent.save(update_fields=["state"])
    agent.endpoint.state = Endpoint.State.ENABLED
    agent.endpoint.disabled_reason, agent.endpoint.disabled_at = "", None
    agent.endpoint.save(update_fields=["state", "disabled_reason", "disabled_at"])
    agent.member.active = True
    agent.member.save(update_fields=["active"])
    agent.member.tokens.filter(revoked_at=ended_at).update(revoked_at=None)
    orphans.switch_on(rules, by=by)
    returned = moving.follow([agent], by=by)
    audit("agent.restored", by=by, target=agent, changes={"returned": returned})
    return returned


def check_own(agent: Agent, *fields: str) -> None:
    """What a system agent is, the account does not change. Raises `AgentError`."""
    field = next((one for one in fields if one in OF_DEFINITION), None)
    if agent.system_id is not None and field is not None:
        raise AgentError(field, str(NOT_YOURS))


# --- Small parts ---------------------------------------------------------------------------------


def _locked(agent: Agent) -> Agent:
    return (
        Agent.objects.select_for_update(of=("self",))
        .select_related("member", "endpoint", "fallback_team", "account", "system")
        .get(pk=agent.pk)
    )


def _locked_account(account: Account) -> Account:
    """Not against new rows of the account (`no_key`): whoever writes one holds a conversation that
    we are going to ask for."""
    return Account.objects.select_for_update(no_key=True).get(pk=account.pk)


def _living_tokens(agent: Agent) -> Any:
    return agent.member.tokens.filter(kind=ApiToken.Kind.AGENT, revoked_at__isnull=True)


def _dialect(slug: str) -> dialects.Dialect:
    try:
        return dialects.get(slug)
    except KeyError:
        known = ", ".join(dialect.slug for dialect in dialects.all_dialects())
        raise AgentError(
            "dialect", _("There is no such dialect; installed are %(known)s.") % {"known": known}
        ) from None


_CHECKS: dict[str, Any] = {
    "name": endpoints.check_name,
    "url": endpoints.check_url,
    "patience_s": endpoints.check_seconds(PATIENCE),
    "timeout_s": endpoints.check_seconds(TIMEOUT),
}


def check_definition(**values: Any) -> None:
    """What a system agent may be, as for every agent. Raises `AgentError`."""
    _check(**{key: value for key, value in values.items() if key in _CHECKS})


def _check(**values: Any) -> None:
    for field, value in values.items():
        if sentence := _CHECKS[field](value):
            raise AgentError(field, sentence)
