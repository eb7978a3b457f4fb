"""The rule form: a condition tree and a list of actions as rows of a page, and back.

Pure: a posted form becomes nodes, nodes become the canonical tree (agents/conditions.py). Each row
names its place in the tree by a path (`0` is the root, `0.2` its third child), so that rows can be
added and taken away by plain posts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from agents.conditions import LIST_OPS, LONE_OPS, OPS, FieldKind, Op, field_of

MOST_ROWS = 60
_INDEX = re.compile(r"\[(\d+)\]")


@dataclass(slots=True)
class Node:
    """A group (`all` or `any`) with children, or a comparison (`leaf`)."""

    kind: str
    negated: bool = False
    children: list[Node] = field(default_factory=list)
    name: str = ""
    key: str = ""
    op: str = ""
    values: list[str] = field(default_factory=list)
    path: str = "0"
    error: str = ""

    @property
    def is_group(self) -> bool:
        return self.kind != "leaf"

    @property
    def lines(self) -> str:
        """The values of a list, one in a line."""
        return "\n".join(self.values)


@dataclass(slots=True)
class ActionRow:
    """One action, with everything its fields may hold."""

    type: str = "assign"
    target: str = ""
    team: str = ""
    text: str = ""
    error: str = ""


# --- From the tree to rows -----------------------------------------------------------------------


def node_of(tree: Mapping[str, Any]) -> Node:
    """The tree as a root group, whatever stands on its top."""
    node = _node(tree) if tree else Node("all")
    if not node.is_group or node.negated:
        node = Node("all", children=[node])
    return number(node)


def _node(tree: Mapping[str, Any]) -> Node:
    if "not" in tree:
        inner = _node(tree["not"])
        inner.negated = not inner.negated
        return inner
    for kind in ("all", "any"):
        if kind in tree:
            return Node(kind, children=[_node(child) for child in tree[kind]])
    return _leaf(tree)


def _leaf(tree: Mapping[str, Any]) -> Node:
    name, key = str(tree["field"]), ""
    known = field_of(name)
    if known is not None and known.keyed:
        name, key = known.name, name.removeprefix(f"{known.name}.")
    value = tree.get("value")
    values = value if isinstance(value, list) else [] if value is None else [value]
    return Node(
        "leaf", name=name, key=key, op=str(tree["op"]), values=[_word(item) for item in values]
    )


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(node: Node, path: str = "0") -> Node:
    """Give every node its path anew."""
    node.path = path
    for n, child in enumerate(node.children):
        number(child, f"{path}.{n}")
    return node


# --- From rows to the tree -----------------------------------------------------------------------


def tree_of(node: Node) -> dict[str, Any]:
    """The canonical condition; a group without rows holds always."""
    if node.is_group:
        tree: dict[str, Any] = {node.kind: [tree_of(child) for child in node.children]}
        if not node.children:
            return {}
    else:
        tree = _leaf_tree(node)
    return {"not": tree} if node.negated else tree


def _leaf_tree(node: Node) -> dict[str, Any]:
    name = f"{node.name}.{node.key.strip()}" if node.key else node.name
    tree: dict[str, Any] = {"field": name, "op": node.op}
    known = field_of(name)
    values = [value.strip() for value in node.values if value.strip()]
    if node.op in LONE_OPS:
        return tree
    if known is not None and known.kind == FieldKind.FLAG:
        return tree | {"value": values[:1] != ["false"]}
    return tree | {"value": values if node.op in LIST_OPS else (values[0] if values else "")}


def read_node(data: QueryDict, path: str = "0", depth: int = 0) -> Node:
    """The posted rows from `path` on."""
    kind = data.get(f"kind-{path}", "all" if path == "0" else "leaf")
    node = Node(
        kind if kind in ("all", "any") else "leaf",
        negated=data.get(f"not-{path}") == "1",
        path=path,
    )
    if not node.is_group:
        _read_leaf(data, node)
        return node
    n = 0
    while depth < 6 and n < MOST_ROWS and f"kind-{path}.{n}" in data:
        node.children.append(read_node(data, f"{path}.{n}", depth + 1))
        n += 1
    return node


def _read_leaf(data: QueryDict, node: Node) -> None:
    node.name = data.get(f"field-{node.path}", "text")
    node.key = data.get(f"key-{node.path}", "")
    node.op = data.get(f"op-{node.path}", "")
    values = data.getlist(f"value-{node.path}")
    node.values = [line for value in values for line in value.splitlines()]
    fit(node)


def fit(node: Node) -> None:
    """After another field was chosen: an operator that it has, and no value of the one before."""
    known = field_of(f"{node.name}.x") or field_of(node.name)
    if known is None:
        node.name, known = "text", field_of("text")
    assert known is not None  # noqa: S101 - "text" is a field
    if not known.keyed:
        node.key = ""
    if node.op not in [str(op) for op in OPS[known.kind]]:
        node.op, node.values = str(OPS[known.kind][0]), []


def read_actions(data: QueryDict) -> list[ActionRow]:
    rows = []
    n = 0
    while n < MOST_ROWS and f"action-{n}" in data:
        rows.append(
            ActionRow(
                type=data.get(f"action-{n}", ""),
                target=data.get(f"target-{n}", ""),
                team=data.get(f"team-{n}", ""),
                text=data.get(f"text-{n}", ""),
            )
        )
        n += 1
    return rows


def rows_of(actions: Sequence[Mapping[str, Any]]) -> list[ActionRow]:
    """Stored actions as rows of the form."""
    rows = []
    for action in actions:
        row = ActionRow(type=str(action["type"]))
        for kind in ("agent", "member", "team"):
            if action.get(kind) and row.type == "assign":
                row.target = f"{kind}:{action[kind]}"
        if row.type == "hand_off":
            row.team = str(action.get("team") or "")
        names = action.get("names")
        row.text = (
            ", ".join(names) if names else str(action.get("text") or action.get("detail") or "")
        )
        rows.append(row)
    return rows


def actions_of(rows: Sequence[ActionRow]) -> list[dict[str, Any]]:
    """Rows as canonical actions; what is missing is left to the check."""
    return [_action(row) for row in rows]


def _action(row: ActionRow) -> dict[str, Any]:
    text = row.text.strip()
    if row.type == "assign":
        kind, _, public_id = row.target.partition(":")
        known = kind in ("agent", "member", "team")
        return {"type": "assign", **({kind: public_id} if known else {})}
    if row.type == "label":
        return {"type": "label", "names": [n.strip() for n in text.split(",") if n.strip()]}
    if row.type == "reply":
        return {"type": "reply", "text": text}
    action: dict[str, Any] = {"type": row.type}
    if row.type == "hand_off" and row.team:
        action["team"] = row.team
    return action | ({"detail": text} if text else {})


# --- What a press of a button does ---------------------------------------------------------------


def apply(command: str, root: Node, actions: list[ActionRow]) -> None:
    """`add-leaf:0`, `add-group:0`, `remove:0.1`, `add-action`, `remove-action:2`; else nothing."""
    verb, _, place = command.partition(":")
    if verb == "add-action":
        actions.append(ActionRow())
    elif verb == "remove-action" and place.isdecimal() and int(place) < len(actions):
        del actions[int(place)]
    elif verb in ("add-leaf", "add-group"):
        group = _at(root, place)
        if group is not None and group.is_group:
            leaf = Node("leaf", name="text", op=str(Op.CONTAINS))
            group.children.append(leaf if verb == "add-leaf" else Node("any", children=[leaf]))
    elif verb == "remove" and "." in place:
        parent, child = _at(root, place.rpartition(".")[0]), _at(root, place)
        if parent is not None and child in parent.children:
            parent.children.remove(child)
    number(root)


def _at(root: Node, path: str) -> Node | None:
    node: Node | None = root
    for part in path.split(".")[1:]:
        inside = node is not None and part.isdecimal() and int(part) < len(node.children)
        node = node.children[int(part)] if node is not None and inside else None
    return node if path.split(".")[0] == "0" else None


def blame(path: str, message: str, root: Node, actions: list[ActionRow]) -> bool:
    """Put an error of the check beside the row it is about; False when it is about none."""
    places = [int(n) for n in _INDEX.findall(path)]
    if path.startswith("actions") and places and places[0] < len(actions):
        actions[places[0]].error = message
        return True
    if path.startswith("condition"):
        # The last index may be of a word in a list; the row is the deepest node on the way.
        node: Node = root
        for place in places:
            if place >= len(node.children):
                break
            node = node.children[place]
        node.error = message
        return True
    return False
