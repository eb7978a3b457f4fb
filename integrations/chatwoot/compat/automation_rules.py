"""Rules under their name of them: see `integrations.chatwoot.automation`."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from agents.models import AssignmentRule
from agents.rules import delete_rule
from integrations.chatwoot.automation import rules
from integrations.chatwoot.automation.rules import Known, Words
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.errors import invalid
from integrations.chatwoot.shapes.parts import Json, seconds

CONDITION = (
    "attribute_key", "filter_operator", "values", "query_operator", "custom_attribute_type",
)  # fmt: skip
ACTION = ("action_name", "action_params")
MAX_ROWS = 60
MAX_DESCRIPTION = 2000


class RuleView(CompatView):
    def rule(self, pk: str) -> tuple[AssignmentRule, Words]:
        """A rule that their words can say. Raises `NotFound`."""
        rows = AssignmentRule.objects.select_related("chatwoot_words")
        rule: AssignmentRule = self.find(rows, pk=int(pk))
        words = rules.words_of(rule, Known())
        if words is None:
            raise NotFound
        return rule, words

    @property
    def asked(self) -> params.Params:
        """The request, bare or inside `automation_rule`."""
        return params.inside(self.params, "automation_rule")

    def said(self, words: Words) -> Words:
        """`words` with what the request says otherwise. Raises 422."""
        asked = self.asked
        if "event_name" in asked:
            words = replace(words, event_name=params.text(asked, "event_name"))
        if "description" in asked:
            text = params.text(asked, "description", most=MAX_DESCRIPTION)
            words = replace(words, description=None if asked["description"] is None else text)
        if asked.get("conditions") is not None:
            words = replace(words, conditions=self.rows("conditions", CONDITION))
        if asked.get("actions") is not None:
            words = replace(words, actions=self.rows("actions", ACTION))
        return words

    def rows(self, name: str, keys: tuple[str, ...]) -> list[Json]:
        given = self.asked[name]
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise invalid(name, f"{name.capitalize()} should be a list of objects")
        if len(given) > MAX_ROWS:
            raise invalid(name, f"{name.capitalize()} are too many (maximum is {MAX_ROWS})")
        return [{key: one[key] for key in keys if key in one} for one in given]


class AutomationRules(RuleView):
    """`/automation_rules`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.RULES_READ,
        "post": P.RULES_WRITE,
    }

    def get(self, request: Request) -> Response:
        return Response({"payload": [rule_json(rule, words) for rule, words in rules.shown()]})

    def post(self, request: Request) -> Response:
        """The new rule, bare."""
        asked, words = self.asked, self.said(Words("", [], []))
        name, active = params.text(asked, "name"), params.flag(asked, "active", default=True)
        return Response(rule_json(rules.create(name, words, active=active, by=self.member), words))


class OneAutomationRule(RuleView):
    """`/automation_rules/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.RULES_READ,
        "patch": P.RULES_WRITE,
        "put": P.RULES_WRITE,
        "delete": P.RULES_WRITE,
    }

    def get(self, request: Request, rule_id: str) -> Response:
        return Response({"payload": rule_json(*self.rule(rule_id))})

    def patch(self, request: Request, rule_id: str) -> Response:
        rule, words = self.rule(rule_id)
        words, asked = self.said(words), self.asked
        name = params.text(asked, "name", rule.name)
        active = params.flag(asked, "active", default=rule.enabled)
        rule = rules.update(rule, words, name=name, active=active, by=self.member)
        return Response({"payload": rule_json(rule, words)})

    put = patch

    def delete(self, request: Request, rule_id: str) -> Response:
        rule, _words = self.rule(rule_id)
        delete_rule(rule, by=self.member)
        return nothing()


class CloneAutomationRule(RuleView):
    """`/automation_rules/{id}/clone`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.RULES_WRITE}

    def post(self, request: Request, rule_id: str) -> Response:
        """A second one that says the same, under the same name."""
        rule, words = self.rule(rule_id)
        made = rules.create(rule.name, words, active=rule.enabled, by=self.member)
        return Response({"payload": rule_json(made, words)})


def rule_json(rule: AssignmentRule, words: Words) -> Json:
    return {
        "id": rule.pk,
        "account_id": rule.account_id,
        "name": rule.name,
        "description": words.description,
        "event_name": words.event_name,
        "conditions": words.conditions,
        "actions": words.actions,
        "created_on": seconds(rule.created_at),
        "active": rule.enabled,
    }
