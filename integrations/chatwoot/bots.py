"""An inbox's bot: the AI agent that new conversations of the inbox are given to.

It is no state of its own but a rule, which stands in the dashboard like every other and is obeyed,
switched off and changed there: new, unheld conversations of the inbox go to the agent. What the API
shows is what the rule says. A rule that says anything else or anything more is its writer's own: it
is not shown as the inbox's bot, and never taken away from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts import ids
from accounts.models import Member
from agents import rules, system
from agents.models import Agent, AgentInbox, AssignmentRule
from conversations.models import Conversation, Inbox
from integrations.chatwoot.models import BotSettings

EVENT = "message.created"


def living() -> Any:
    """The account's agents, with what is shown of one."""
    related = ("member", "endpoint", "account", "fallback_team", "bot_settings", "system")
    rows = Agent.objects.select_related(*related)
    return rows.exclude(state=Agent.State.DELETED)


def of_account() -> Any:
    """Those that are the account's own, and its to change."""
    return living().filter(system__isnull=True)


def numbered(number: int) -> Agent | None:
    """The account's bot of this number: its own, or its agent of a system bot."""
    own = Q(pk=number, system__isnull=True)
    agent: Agent | None = living().filter(own | Q(system=number)).first()
    return agent


def taken_in(number: int, *, by: Member) -> Agent | None:
    """The same, for new work; a system bot that has not worked in this account yet gets its agent here and
    now. Called before a conversation is locked (`system.agent_of`)."""
    definition = system.living().filter(pk=number).first()
    if definition is not None:
        number = system.agent_of(definition, by=by).pk
        return cast("Agent", living().get(pk=number))
    own: Agent | None = of_account().filter(pk=number).first()
    return own


def keep_config(agent: Agent, config: Mapping[str, Any]) -> None:
    """What a client keeps with its bot; nothing here reads it."""
    kept, _created = BotSettings.objects.update_or_create(
        agent=agent, defaults={"config": dict(config)}
    )
    agent._state.fields_cache["bot_settings"] = kept


def bot_of(inbox: Inbox) -> Agent | None:
    """Who gets the inbox's new conversations by its bot's rule; None when there is nobody."""
    rule = next((one for one in _rules_of(inbox) if one.enabled), None)
    if rule is None:
        return None
    agent: Agent | None = living().filter(pk=ids.decode("agn", _agent_id(rule))).first()
    return agent


@transaction.atomic
def attach(agent: Agent, inbox: Inbox, *, by: Member) -> AssignmentRule:
    """Give the inbox's new conversations to this agent, and to no other bot any more; returns the rule."""
    present = next((one for one in _rules_of(inbox) if one.enabled), None)
    if present is None or _agent_id(present) != agent.public_id:
        detach(inbox, by=by)
        present = _make_rule(agent, inbox, by=by)
    if not _serves_every_inbox(agent):
        AgentInbox.objects.get_or_create(agent=agent, inbox=inbox)
    return present


@transaction.atomic
def detach(inbox: Inbox, *, by: Member) -> None:
    """New conversations of the inbox go to no bot; what a bot has already, it keeps."""
    for rule in _rules_of(inbox):
        agent_id = ids.decode("agn", _agent_id(rule))
        AgentInbox.objects.filter(agent=agent_id, inbox=inbox).delete()
        rules.delete_rule(rule, by=by)


@transaction.atomic
def detach_everywhere(agent: Agent, *, by: Member | None) -> None:
    """The agent goes: it is no inbox's bot any more."""
    AgentInbox.objects.filter(agent=agent).delete()
    for rule in rules_naming(agent):
        rules.delete_rule(rule, by=by)


def rules_naming(agent: Agent) -> list[AssignmentRule]:
    """The rules that make it the bot of an inbox."""
    return [
        rule
        for rule in AssignmentRule.objects.filter(event=EVENT).order_by("pk")
        if _agent_id(rule) == agent.public_id and _is_a_bots(rule)
    ]


def _serves_every_inbox(agent: Agent) -> bool:
    """Whether it works in all of them already: being attached to one would take the others from it."""
    if AgentInbox.objects.filter(agent=agent).exists():
        return False
    for_all = (
        _agent_id(rule) == agent.public_id and not _inbox_ids(rule)
        for rule in AssignmentRule.objects.all()
    )
    return any(for_all) or Conversation.objects.open().held_by(agent.member).exists()


def _make_rule(agent: Agent, inbox: Inbox, *, by: Member) -> AssignmentRule:
    name = _("New chats of %(inbox)s to %(bot)s") % {"inbox": inbox.name, "bot": agent.name}
    made = rules.create_rule(
        name=name[:120],
        event=EVENT,
        condition=_condition(inbox.public_id),
        actions=_actions(agent.public_id),
        by=by,
    )
    _put_before_assignments(made, by=by)
    return made


def _condition(inbox_id: str) -> dict[str, Any]:
    return {
        "all": [
            {"field": "inbox", "op": "is", "value": inbox_id},
            {"field": "first_message", "op": "is", "value": True},
            {"field": "holder", "op": "is", "value": "none"},
        ]
    }


def _actions(agent_id: str) -> list[dict[str, Any]]:
    return [{"type": "assign", "agent": agent_id}]


def _put_before_assignments(made: AssignmentRule, *, by: Member) -> None:
    """A rule about one inbox counts before those that give every new chat to somebody, and after those
    that look for something else first (who asks for a person gets one). Those that let others be looked
    at behind them are looked at before it, which ends the looking."""

    def gives_every(other: AssignmentRule) -> bool:
        return other.stop and _assigns(other) and not _inbox_ids(other)

    rules.put_before(made, gives_every, by=by)


def _rules_of(inbox: Inbox) -> list[AssignmentRule]:
    """The rules that give the inbox its bot, switched off or not."""
    rows = AssignmentRule.objects.filter(event=EVENT).order_by("position", "id")
    wanted = [inbox.public_id]
    return [rule for rule in rows if _inbox_ids(rule) == wanted and _is_a_bots(rule)]


def _is_a_bots(rule: AssignmentRule) -> bool:
    """Whether it says exactly what `_make_rule` writes."""
    agent_id, inbox_ids = _agent_id(rule), _inbox_ids(rule)
    return (
        bool(agent_id)
        and len(inbox_ids) == 1
        and rule.condition == _condition(inbox_ids[0])
        and rule.actions == _actions(agent_id)
    )


def _assigns(rule: AssignmentRule) -> bool:
    return any(action.get("type") == "assign" for action in rule.actions)


def _agent_id(rule: AssignmentRule) -> str:
    given = (one.get("agent", "") for one in rule.actions if one.get("type") == "assign")
    return str(next(given, ""))


def _inbox_ids(rule: AssignmentRule) -> list[str]:
    """The inboxes that the rule's condition asks for, at its top."""
    tree: dict[str, Any] = rule.condition
    leaves = tree.get("all", [tree])
    named = [leaf for leaf in leaves if leaf.get("field") == "inbox" and leaf.get("op") == "is"]
    return [str(leaf.get("value")) for leaf in named]
