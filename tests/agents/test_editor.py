"""The rule form: every tree becomes rows and the same tree again."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict

from agents import editor
from agents.editor import ActionRow, Node

LEAF = {"field": "text", "op": "contains", "value": "om"}
FLAG = {"field": "first_message", "op": "is", "value": True}
MANY = {"field": "holder", "op": "in", "value": ["person", "team"]}
LONE = {"field": "labels", "op": "is_set"}
KEYED = {"field": "contact.attributes.vip", "op": "is", "value": "true"}


def posted(root: Node) -> QueryDict:
    """What the browser sends for the rows of `root`."""
    data = QueryDict(mutable=True)

    def put(node: Node) -> None:
        data[f"kind-{node.path}"] = node.kind
        data[f"not-{node.path}"] = "1" if node.negated else ""
        if node.is_group:
            for child in node.children:
                put(child)
            return
        data[f"field-{node.path}"], data[f"op-{node.path}"] = node.name, node.op
        data[f"key-{node.path}"] = node.key
        data.setlist(f"value-{node.path}", node.values)

    put(root)
    return data


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"all": [LEAF]},
        {"any": [LEAF, FLAG, MANY]},
        {"all": [{"not": LEAF}, {"any": [LONE, KEYED]}]},
        {"all": [{"not": {"any": [{"all": [LEAF, LONE]}, FLAG]}}]},
    ],
)
def test_a_tree_survives_the_form(tree: dict[str, Any]) -> None:
    root = editor.node_of(tree)
    assert editor.tree_of(root) == tree
    assert editor.tree_of(editor.read_node(posted(root))) == tree


@pytest.mark.parametrize("tree", [LEAF, {"not": LEAF}, {"not": {"all": [LEAF]}}])
def test_a_tree_without_a_group_on_top_gets_one(tree: dict[str, Any]) -> None:
    assert editor.tree_of(editor.node_of(tree)) == {"all": [tree]}


def test_two_nots_are_none() -> None:
    assert editor.tree_of(editor.node_of({"all": [{"not": {"not": LEAF}}]})) == {"all": [LEAF]}


def test_buttons_add_and_take_away_rows() -> None:
    root, actions = editor.node_of({"all": [LEAF, FLAG]}), [ActionRow()]
    editor.apply("add-group:0", root, actions)
    editor.apply("add-leaf:0.2", root, actions)
    editor.apply("remove:0.0", root, actions)
    editor.apply("add-action", root, actions)
    editor.apply("remove-action:0", root, actions)
    assert [child.path for child in root.children] == ["0.0", "0.1"]
    assert len(root.children[1].children) == 2
    assert len(actions) == 1


@pytest.mark.parametrize(
    "command", ["remove:0", "remove:7.7", "remove:0.9", "add-leaf:0.0", "add-leaf:", "boo", ""]
)
def test_odd_commands_change_nothing(command: str) -> None:
    root = editor.node_of({"all": [LEAF]})
    editor.apply(command, root, [])
    assert editor.tree_of(root) == {"all": [LEAF]}


def test_another_field_gets_an_operator_it_has_and_loses_the_old_value() -> None:
    data = posted(editor.node_of({"all": [LEAF]}))
    data["field-0.0"] = "first_message"
    leaf = editor.read_node(data).children[0]
    assert (leaf.op, leaf.values) == ("is", [])


def test_lines_of_a_list_become_its_values() -> None:
    data = posted(editor.node_of({"all": [LEAF]}))
    data["op-0.0"] = "contains_any"
    data.setlist("value-0.0", ["om\r\n human \r\n\r\n"])
    assert editor.tree_of(editor.read_node(data)) == {
        "all": [{"field": "text", "op": "contains_any", "value": ["om", "human"]}]
    }


@pytest.mark.parametrize(
    "action",
    [
        {"type": "assign", "agent": "agn_1"},
        {"type": "assign", "team": "tem_1"},
        {"type": "hand_off", "team": "tem_1", "detail": "why"},
        {"type": "hand_off"},
        {"type": "label", "names": ["vip", "late"]},
        {"type": "reply", "text": "Hello\nthere"},
        {"type": "resolve", "detail": "done"},
        {"type": "resolve"},
    ],
)
def test_an_action_survives_the_form(action: dict[str, Any]) -> None:
    rows = editor.rows_of([action])
    data = QueryDict(mutable=True)
    data.update(
        {
            "action-0": rows[0].type,
            "target-0": rows[0].target,
            "team-0": rows[0].team,
            "text-0": rows[0].text,
        }
    )
    assert editor.actions_of(editor.read_actions(data)) == [action]


def test_an_error_stands_at_the_row_it_is_about() -> None:
    root = editor.node_of({"all": [LEAF, {"not": {"any": [FLAG, MANY]}}]})
    actions = [ActionRow(), ActionRow()]
    assert editor.blame("condition.all[1].not.any[1].value[0]", "so", root, actions)
    assert root.children[1].children[1].error == "so"
    assert editor.blame("actions[1].text", "no", root, actions)
    assert actions[1].error == "no"
    assert not editor.blame("name", "no", root, actions)
