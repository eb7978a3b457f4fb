"""Keeping rules: checks that name the place, versions, order, and the catalogue for forms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.models import AuditEntry
from accounts.services import create_team, delete_team
from agents import rules
from agents.models import AssignmentRule, RuleVersion
from agents.rules import RuleError
from tests.factories import make_agent

LABEL: dict[str, Any] = {"type": "label", "names": ["x"]}


def test_a_rule_keeps_every_version_of_itself(house: SimpleNamespace) -> None:
    rule = rules.create_rule(name="First", actions=[LABEL], by=house.owner)
    rule = rules.update_rule(rule, by=house.admin, name="Second", stop=False)
    rule = rules.update_rule(rule, by=house.admin, name="Second")
    versions = RuleVersion.objects.filter(rule=rule).order_by("version")
    assert [(one.version, one.snapshot["name"]) for one in versions] == [
        (1, "First"),
        (2, "Second"),
    ]
    assert [one.changed_by for one in versions] == [house.owner, house.admin]
    changed = AuditEntry.objects.get(action="rule.updated").changes
    assert changed == {
        "name": {"from": "First", "to": "Second"},
        "stop": {"from": True, "to": False},
    }


def test_a_rule_is_switched_off_whoever_it_names_is_gone(house: SimpleNamespace) -> None:
    team = create_team(name="Sales", by=house.owner)
    gives = {"type": "assign", "team": team.public_id}
    rule = rules.create_rule(name="To sales", actions=[gives], by=house.owner)
    delete_team(team, by=house.owner)
    rule = rules.update_rule(rule, by=house.owner, enabled=False)
    assert (rule.enabled, rule.version) == (False, 2)
    for wrong in ({"enabled": True}, {"name": "Again"}):
        with pytest.raises(RuleError):
            rules.update_rule(rule, by=house.owner, **wrong)


def test_versions_outlive_their_rule(house: SimpleNamespace) -> None:
    rules.delete_rule(rules.create_rule(name="Gone", actions=[LABEL], by=None), by=house.owner)
    assert AssignmentRule.objects.count() == 0
    assert RuleVersion.objects.get().snapshot["name"] == "Gone"
    assert AuditEntry.objects.filter(action="rule.deleted").count() == 1


def test_rules_are_put_into_order(house: SimpleNamespace) -> None:
    a, b, c = (rules.create_rule(name=name, actions=[LABEL], by=None) for name in "abc")
    assert [rule.position for rule in (a, b, c)] == [1, 2, 3]
    rules.order_rules([c.public_id, a.public_id, c.public_id], by=house.owner)
    assert [rule.name for rule in AssignmentRule.objects.all()] == ["c", "a", "b"]
    with pytest.raises(RuleError):
        rules.order_rules(["rul_x"], by=house.owner)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": " "}, "name"),
        ({"event": "message.sent"}, "event"),
        ({"condition": {"field": "colour", "op": "is"}}, "condition.field"),
        ({"condition": {"field": "text", "op": "matches", "value": "(a+)+$"}}, "condition.value"),
        ({"actions": []}, "actions"),
        ({"actions": "resolve"}, "actions"),
        ({"actions": [LABEL] * 11}, "actions"),
        ({"actions": ["resolve"]}, "actions[0]"),
        ({"actions": [{"type": "explode"}]}, "actions[0].type"),
        ({"actions": [{"type": ["resolve"]}]}, "actions[0].type"),
        ({"actions": [{"type": "resolve", "now": True}]}, "actions[0].now"),
        ({"actions": [{"type": "label", "names": []}]}, "actions[0].names"),
        ({"actions": [{"type": "label", "names": ["x", 1]}]}, "actions[0].names[1]"),
        ({"actions": [{"type": "reply"}]}, "actions[0].text"),
        ({"actions": [{"type": "reply", "text": "x" * 4001}]}, "actions[0].text"),
        ({"actions": [{"type": "reply", "text": "a\x00b"}]}, "actions[0].text"),
        ({"actions": [{"type": "assign"}]}, "actions[0]"),
        ({"actions": [{"type": "assign", "agent": "a", "team": "b"}]}, "actions[0]"),
        ({"actions": [{"type": "assign", "agent": "agn_0"}]}, "actions[0].agent"),
        ({"actions": [{"type": "assign", "member": 7}]}, "actions[0].member"),
        ({"actions": [LABEL, {"type": "hand_off", "team": "tem_0"}]}, "actions[1].team"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_rule_is_refused_at_its_place(
    house: SimpleNamespace, fields: dict[str, Any], path: str
) -> None:
    """SX-59 among them."""
    with pytest.raises(RuleError) as refused:
        rules.create_rule(**{"name": "A rule", "actions": [LABEL], "by": None} | fields)
    assert refused.value.path == path
    assert AssignmentRule.objects.count() == 0


def test_a_rule_cannot_name_somebody_of_another_account(house: SimpleNamespace) -> None:
    stranger = make_agent(house.outsider_account)
    for action in (
        {"type": "assign", "agent": stranger.public_id},
        {"type": "assign", "member": house.outsider.public_id},
    ):
        with pytest.raises(RuleError):
            rules.create_rule(name="A rule", actions=[action], by=None)


def test_a_new_account_gets_two_rules_once(house: SimpleNamespace) -> None:
    made = rules.create_default_rules(house.account, house.agent, by=house.owner)
    assert [rule.name for rule in made] == [
        "Who asks for a person gets one",
        f"New chats to {house.agent.name}",
    ]
    assert rules.create_default_rules(house.account, house.agent) == []
    assert rules.describe_rule(made[1]) == (
        f"It is the first message and current holder is “nobody”: assign to {house.agent.name}"
    )


def test_the_catalogue_has_everything_a_form_needs(house: SimpleNamespace) -> None:
    catalogue = rules.catalogue()
    fields = {field["name"]: field for field in catalogue["fields"]}
    assert {"text", "contact.attributes", "holder", "labels"} <= set(fields)
    assert {"name": "contains_any", "label": "contains any of"} in fields["text"]["ops"]
    assert fields["inbox"]["choices"] == [
        {"value": house.inbox.public_id, "label": house.inbox.name}
    ]
    holders = [choice["value"] for choice in fields["holder"]["choices"]]
    assert holders[:4] == ["none", "agent", "person", "team"]
    assert house.agent.member.public_id in holders
    targets = catalogue["targets"]
    assert [one["value"] for one in targets["agent"]] == [house.agent.public_id]
    assert house.person.public_id in [one["value"] for one in targets["member"]]
    assert house.outsider.public_id not in [one["value"] for one in targets["member"]]
    assert [one["value"] for one in targets["team"]] == [house.team.public_id]
    assert [action["type"] for action in catalogue["actions"]] == list(rules.ACTIONS)
