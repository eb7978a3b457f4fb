"""Staff: agents, their rules, and why a rule decided as it did, during a visit to an account."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.redaction import mask
from accounts.staff import ContentAdmin, pretty, table
from agents.models import Agent, AssignmentRule, Decision
from agents.rules import describe_rule, names_of_targets


@admin.register(Agent)
class AgentAdmin(ContentAdmin):
    list_display = ("member", "dialect", "state", "place", "patience_s", "last_success")
    list_filter = ("state", "dialect")
    list_select_related = ("member", "endpoint", "fallback_team")
    fields = (
        "member", "description", "dialect", "state", "place", "patience_s", "fallback_team",
        "served", "last_success", "last_failure", "created_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("URL"))
    def place(self, agent: Agent) -> str:
        return agent.endpoint.place

    @admin.display(description=gettext_lazy("Inboxes"))
    def served(self, agent: Agent) -> str:
        return ", ".join(inbox.name for inbox in agent.inboxes.all()) or "all"

    @admin.display(description=gettext_lazy("Last success"))
    def last_success(self, agent: Agent) -> str:
        return f"{agent.endpoint.last_success_at or '–'}"

    @admin.display(description=gettext_lazy("Last failure"))
    def last_failure(self, agent: Agent) -> str:
        return f"{agent.endpoint.last_failure_at or '–'} {mask(agent.endpoint.last_error)}"


@admin.register(AssignmentRule)
class AssignmentRuleAdmin(ContentAdmin):
    list_display = ("position", "name", "event", "enabled", "stop", "version")
    list_display_links = ("name",)
    ordering = ("position", "pk")
    fields = (
        "name", "in_words", "event", "when", "then", "stop", "enabled", "version", "updated_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("In words"))
    def in_words(self, rule: AssignmentRule) -> str:
        return describe_rule(rule, names_of_targets())

    @admin.display(description=gettext_lazy("Condition"))
    def when(self, rule: AssignmentRule) -> SafeString:
        return pretty(rule.condition)

    @admin.display(description=gettext_lazy("Actions"))
    def then(self, rule: AssignmentRule) -> SafeString:
        return pretty(rule.actions)


@admin.register(Decision)
class DecisionAdmin(ContentAdmin):
    list_display = ("created_at", "conversation_number", "event_type", "outcome")
    list_select_related = ("conversation",)
    ordering = ("-pk",)
    fields = ("created_at", "conversation_number", "event_type", "outcome", "trail", "known")

    @admin.display(description=gettext_lazy("Conversation"))
    def conversation_number(self, decision: Decision) -> str:
        return f"#{decision.conversation.number}"

    @admin.display(description=gettext_lazy("Rules that were looked at"))
    def trail(self, decision: Decision) -> SafeString:
        return table(
            ["Rule", "Version", "Matched", "Decided by"],
            [
                [
                    step.get("name", ""),
                    step.get("version", ""),
                    "yes" if step.get("matched") else "no",
                    _leaf(step.get("leaf") or {}),
                ]
                for step in decision.trace
            ],
        )

    @admin.display(description=gettext_lazy("What was known"))
    def known(self, decision: Decision) -> SafeString:
        return pretty(decision.facts)


def _leaf(leaf: dict[str, Any]) -> str:
    """The condition that decided, and the value it met."""
    if not leaf:
        return "–"
    met = leaf.get("found") or leaf.get("actual")
    return mask(f"{leaf.get('field')} {leaf.get('op')}: {met}")
