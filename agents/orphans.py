"""Rules that only give conversations to an agent which is deleted: they are off until it is back.

Left on, they would be looked at and fail whenever something happens, and stand first among the reasons. What
people changed meanwhile stays as they left it: the version that was switched off says with whom, and is no
longer the rule's latest then.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from accounts.models import Member
from agents import rules
from agents.models import Agent, AssignmentRule, RuleVersion
from agents.rules import RuleError

# In a version that was switched off with its agent: that agent.
OFF_WITH = "off_with"


def switch_off(agent: Agent, *, by: Member | None) -> None:
    """The agent is about to be deleted. Called before it is locked: whoever attaches it locks the rules
    first, too."""
    for rule in _locked(agent):
        if rule.enabled and rules.only_gives_to(rule, agent):
            rules.update_rule(rule, by=by, noted={OFF_WITH: agent.public_id}, enabled=False)


def of(agent: Agent) -> list[AssignmentRule]:
    """The rules that were switched off with it and not touched since, locked; called before it is locked."""
    off = [rule for rule in _locked(agent) if not rule.enabled]
    versions = RuleVersion.objects.filter(
        rule__in=off, snapshot__contains={OFF_WITH: agent.public_id}
    )
    latest = set(versions.values_list("rule_id", "version"))
    return [rule for rule in off if (rule.pk, rule.version) in latest]


def switch_on(orphans: Iterable[AssignmentRule], *, by: Member | None) -> None:
    """Their agent is back. One that cannot be kept any more stays off."""
    for rule in orphans:
        with suppress(RuleError):
            rules.update_rule(rule, by=by, enabled=True)


def _locked(agent: Agent) -> list[AssignmentRule]:
    return list(rules.leading_to(agent).select_for_update().order_by("position", "id"))
