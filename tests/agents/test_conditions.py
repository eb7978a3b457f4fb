"""Conditions: a table of facts, and sentences for what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from agents.conditions import ConditionError, Verdict, describe, evaluate, validate

FACTS: dict[str, Any] = {
    "text": "Vreau să vorbesc cu un OM, vă rog",
    "message.kind": "text",
    "first_message": True,
    "channel": "whatsapp",
    "inbox": ["Shop", "inb_1"],
    "holder": ["agent", "mem_7"],
    "labels": ["VIP", "Retur"],
    "status": "open",
    "priority": "none",
    "language": "ro",
    "contact.name": "Ioana",
    "contact.phone": "",
    "contact.attributes.orders": 12,
    "contact.attributes.tier": "Gold",
    "contact.attributes.club": True,
    "conversation.attributes.cart": None,
}


def leaf(field: str, op: str, value: Any = None) -> dict[str, Any]:
    return {"field": field, "op": op} | ({} if value is None else {"value": value})


TABLE = [
    (leaf("text", "contains", "cu un om"), True),
    (leaf("text", "contains", "Vorbesc   cu"), True),
    (leaf("text", "contains", "sa vorbesc"), True),
    (leaf("text", "contains", "robot"), False),
    (leaf("text", "contains_any", ["human", "un om"]), True),
    (leaf("text", "contains_any", ["human", "person"]), False),
    (leaf("text", "starts_with", "vreau"), True),
    (leaf("text", "starts_with", "om"), False),
    (leaf("text", "matches", r"\bom\b"), True),
    (leaf("text", "is", "om"), False),
    (leaf("text", "is_set"), True),
    (leaf("contact.phone", "is_set"), False),
    (leaf("contact.phone", "is_not_set"), True),
    (leaf("first_message", "is", True), True),
    (leaf("first_message", "is", False), False),
    (leaf("first_message", "is_not", False), True),
    (leaf("channel", "is", "whatsapp"), True),
    (leaf("channel", "in", ["sandbox", "widget"]), False),
    (leaf("channel", "not_in", ["sandbox", "widget"]), True),
    (leaf("inbox", "is", "inb_1"), True),
    (leaf("inbox", "is", "shop"), True),
    (leaf("holder", "is", "agent"), True),
    (leaf("holder", "is", "mem_7"), True),
    (leaf("holder", "is_not", "mem_8"), True),
    (leaf("holder", "in", ["person", "team"]), False),
    (leaf("holder", "is", "none"), False),
    (leaf("holder", "is_set"), True),
    (leaf("labels", "contains", "vip"), True),
    (leaf("labels", "contains", "vi"), False),
    (leaf("labels", "contains_any", ["new", "retur"]), True),
    (leaf("labels", "not_in", ["new", "old"]), True),
    (leaf("priority", "is", "none"), True),
    (leaf("contact.attributes.orders", "gt", 10), True),
    (leaf("contact.attributes.orders", "gt", "12"), False),
    (leaf("contact.attributes.orders", "lt", 12.5), True),
    (leaf("contact.attributes.orders", "is", "12"), True),
    (leaf("contact.attributes.tier", "gt", 1), False),
    (leaf("contact.attributes.tier", "is", "gold"), True),
    (leaf("contact.attributes.club", "is", True), True),
    (leaf("contact.attributes.unknown", "is", "x"), False),
    (leaf("contact.attributes.unknown", "is_not", "x"), True),
    (leaf("conversation.attributes.cart", "is_not_set"), True),
    ({}, True),
    ({"not": leaf("status", "is", "open")}, False),
    ({"all": [leaf("status", "is", "open"), leaf("language", "is", "RO")]}, True),
    ({"any": [leaf("status", "is", "resolved"), leaf("language", "is", "en")]}, False),
    (
        {
            "all": [
                {"not": leaf("holder", "in", ["person", "team"])},
                {"any": [leaf("text", "contains", "human"), leaf("text", "contains", "om")]},
            ]
        },
        True,
    ),
]


@pytest.mark.parametrize(("tree", "expected"), TABLE, ids=lambda value: str(value)[:70])
def test_every_condition_decides_as_the_table_says(tree: dict[str, Any], expected: bool) -> None:
    validate(tree)
    assert evaluate(tree, FACTS).matched is expected


def test_the_verdict_names_the_leaf_and_the_value_that_decided() -> None:
    tree = {"all": [leaf("status", "is", "open"), leaf("channel", "is", "sandbox")]}
    assert evaluate(tree, FACTS) == Verdict(
        False, {"field": "channel", "op": "is", "value": "sandbox", "actual": "whatsapp"}
    )


def test_the_verdict_names_the_phrase_that_was_found() -> None:
    verdict = evaluate(leaf("text", "contains_any", ["human", "un om"]), FACTS)
    assert verdict.leaf is not None
    assert verdict.leaf["found"] == "un om"


def test_no_more_facts_are_asked_for_than_needed() -> None:
    class Asked(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.append(name)
            return FACTS[name]

    asked: list[str] = []
    tree = {"any": [leaf("status", "is", "open"), leaf("labels", "contains", "x")]}
    assert evaluate(tree, Asked()).matched
    assert asked == ["status"]


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ([], "condition"),
        ({"some": []}, "condition"),
        ({"all": []}, "condition.all"),
        ({"all": [1]}, "condition.all[0]"),
        ({"all": [{}], "any": [{}]}, "condition"),
        ({"all": [{}]}, "condition.all[0]"),
        (leaf("colour", "is", "red"), "condition.field"),
        (leaf("contact.attributes", "is", "red"), "condition.field"),
        (leaf("contact.attributes.", "is", "red"), "condition.field"),
        (leaf('attributes__x"]', "is", 1), "condition.field"),
        (leaf("text", "gt", 1), "condition.op"),
        (leaf("first_message", "contains", "x"), "condition.op"),
        (leaf("first_message", "is", "yes"), "condition.value"),
        (leaf("text", "in", "x"), "condition.value"),
        (leaf("text", "contains_any", []), "condition.value"),
        (leaf("text", "contains_any", ["x", 1]), "condition.value[1]"),
        (leaf("text", "contains", " "), "condition.value"),
        (leaf("text", "contains", "x" * 501), "condition.value"),
        (leaf("text", "is_set", "x"), "condition.value"),
        (leaf("status", "is", "sleeping"), "condition.value"),
        (leaf("message.kind", "in", ["text", "smell"]), "condition.value[1]"),
        (leaf("contact.attributes.a", "gt", "many"), "condition.value"),
        (leaf("text", "matches", "(a+)+$"), "condition.value"),
        ({**leaf("text", "is", "x"), "more": 1}, "condition.more"),
        ({"any": [{"not": leaf("text", "was", "x")}]}, "condition.any[0].not.op"),
        ({"all": [leaf("text", "is", "x")] * 61}, "condition"),
    ],
)
def test_a_wrong_condition_is_refused_at_its_place(tree: Any, path: str) -> None:
    with pytest.raises(ConditionError) as refused:
        validate(tree)
    assert refused.value.path == path
    assert refused.value.message


def test_a_deep_condition_is_refused() -> None:
    tree: dict[str, Any] = leaf("text", "is", "x")
    for _ in range(2000):
        tree = {"not": tree}
    with pytest.raises(ConditionError, match="deep"):
        validate(tree)


def test_a_condition_reads_as_a_sentence() -> None:
    tree = {
        "all": [
            {"not": leaf("holder", "in", ["person", "mem_7"])},
            {"any": [leaf("text", "contains", "om"), leaf("first_message", "is", True)]},
        ]
    }
    assert describe(tree, {"mem_7": "Ana"}) == (
        "Current holder is none of “a person”, “Ana”"
        " and (text contains “om” or it is the first message)"
    )
    assert describe({}) == "Always"
