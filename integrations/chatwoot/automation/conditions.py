"""Their list of conditions as the tree of a rule (agents/conditions.py), and back.

Their list is SQL in pieces: each condition is joined with the next by its `query_operator`, and AND
binds tighter than OR. So a list is groups of which one has to hold, and of a group everything has to.
The tree is the one that the rule form makes of the same rows: a rule that is opened and saved there,
unchanged, is still the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from accounts import ids
from agents.conditions import Op
from integrations.chatwoot.compat import params
from integrations.chatwoot.errors import ChatwootError, invalid
from integrations.chatwoot.shapes.conversations import OPEN, PENDING, RESOLVED
from integrations.chatwoot.shapes.parts import Json

Tree = dict[str, Any]

SAME = ("equal_to", "not_equal_to")
PRESENT = ("is_present", "is_not_present")
WORDS = ("contains", "does_not_contain")
MORE = ("is_greater_than", "is_less_than")
CUSTOM = {
    "conversation_attribute": "conversation.attributes.",
    "contact_attribute": "contact.attributes.",
}

# With one value, and with several.
_OPS: dict[str, tuple[Op, Op | None]] = {
    "equal_to": (Op.IS, Op.IN),
    "not_equal_to": (Op.IS_NOT, Op.NOT_IN),
    "contains": (Op.CONTAINS, Op.CONTAINS_ANY),
    "starts_with": (Op.STARTS_WITH, None),
    "is_greater_than": (Op.GT, None),
    "is_less_than": (Op.LT, None),
}
_LONE = {"is_present": Op.IS_SET, "is_not_present": Op.IS_NOT_SET}
_THEIRS = {
    **{str(op): name for name, pair in _OPS.items() for op in pair if op is not None},
    **{str(op): name for name, op in _LONE.items()},
}


def is_attribute(name: str) -> bool:
    """Whether a key is one of the account's own."""
    return name not in KEYS and name not in (STATUS, MESSAGE_TYPE)


def plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Key:
    """One of their keys: the field it asks, how it may, and what its values are called on each side."""

    field: str
    operators: Sequence[str]
    ours: Callable[[Any], str] = plain
    theirs: Callable[[str], Any] = str
    # A word of the field that stands for "somebody at all".
    anybody: str = ""
    # Of what was said, which only `message_created` knows.
    of_message: bool = False


def _id(prefix: str, name: str) -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """Their number of a row ↔ our opaque id."""

    def ours(value: Any) -> str:
        number = params.as_number(value)
        if number is None:
            raise _refusal(f"{name} takes numbers")
        return ids.encode(prefix, number)

    return ours, lambda word: ids.decode(prefix, word)


def _priority(value: Any) -> str:
    return "none" if value in (None, "", "nil") else str(value)


def _incoming(value: Any) -> str:
    if value not in ("incoming", 0, "0"):
        raise _refusal("Rules look at what customers write: message_type can only be incoming")
    return "incoming"


KEYS: dict[str, Key] = {
    "content": Key("text", (*SAME, *WORDS), of_message=True),
    "inbox_id": Key("inbox", (*SAME, *PRESENT), *_id("inb", "inbox_id")),
    "assignee_id": Key("holder", (*SAME, *PRESENT), *_id("mem", "assignee_id"), anybody="person"),
    "team_id": Key("holder", (*SAME, *PRESENT), *_id("tem", "team_id"), anybody="team"),
    "labels": Key("labels", (*SAME, *PRESENT)),
    "priority": Key("priority", SAME, _priority, lambda word: "nil" if word == "none" else word),
    "conversation_language": Key("language", SAME),
    "name": Key("contact.name", (*SAME, *WORDS)),
    "phone_number": Key("contact.phone", (*SAME, *WORDS, "starts_with")),
}
# What is no comparison of one field.
STATUS, MESSAGE_TYPE = "status", "message_type"
_ATTRIBUTE = (*SAME, *PRESENT, *WORDS, *MORE)
# Holds for everything that rules look at when something is said.
_SAID_BY_CUSTOMER: Tree = {"field": "message.kind", "op": str(Op.IS_SET)}


def _status_tree(word: str) -> Tree:
    """What one of their statuses means here."""
    held: Tree = {"field": "holder", "op": str(Op.IS), "value": "agent"}
    ours = OPEN if word == PENDING else word
    status: Tree = {"field": "status", "op": str(Op.IS), "value": ours}
    if ours != OPEN:
        return status
    return {"all": [status, held if word == PENDING else {"not": held}]}


STATUSES = {word: _status_tree(word) for word in (OPEN, RESOLVED, PENDING, "snoozed")}


def _refusal(sentence: str) -> ChatwootError:
    return invalid("conditions", sentence)


# --- From theirs ---------------------------------------------------------------------------------


def tree_of(conditions: Sequence[Json], *, of_message: bool) -> Tree:
    """The tree that says the same. `of_message`: whether the rule's event is that something was said.

    Raises `ChatwootError` (422) for what rules here cannot say.
    """
    groups: list[list[Tree]] = [[]]
    for place, one in enumerate(conditions):
        groups[-1].append(_condition(one, of_message=of_message))
        operator = _query_operator(one, last=place == len(conditions) - 1)
        if operator == "OR":
            groups.append([])
    if not groups[0]:
        return {}
    if len(groups) == 1:
        return {"all": groups[0]}
    return {"any": [group[0] if len(group) == 1 else {"all": group} for group in groups]}


def _query_operator(one: Json, *, last: bool) -> str:
    """How it is joined with the next one; empty at the end, where theirs is not looked at either."""
    given = one.get("query_operator")
    if last:
        return ""
    if given in (None, ""):
        raise _refusal("Automation conditions should have query operator.")
    operator = str(given).upper()
    if operator not in ("AND", "OR"):
        raise _refusal(f"query_operator should be AND or OR, not {str(given)[:40]}")
    return operator


def _condition(one: Json, *, of_message: bool) -> Tree:
    name, operator = _word(one, "attribute_key"), _word(one, "filter_operator")
    values = _values(one)
    known = key_of(name, _word(one, "custom_attribute_type"))
    operators = known.operators if known is not None else SAME
    if operator not in operators:
        raise _refusal(f"{name} cannot be compared with {operator[:40] or 'nothing'}")
    if (known.of_message if known is not None else name == MESSAGE_TYPE) and not of_message:
        raise _refusal(f"{name} is known to message_created only")
    if operator not in PRESENT and not values:
        raise _refusal(f"{name} needs a value")
    if known is None:
        return _status(operator, values) if name == STATUS else _message_type(operator, values)
    return _leaf(known, operator, values)


def _word(one: Json, name: str) -> str:
    word = one.get(name)
    if word is not None and not isinstance(word, str):
        raise _refusal(f"{name} should be a text")
    return word or ""


def _values(one: Json) -> list[Any]:
    values = one.get("values")
    values = values if isinstance(values, list) else [] if values in (None, "") else [values]
    if any(isinstance(value, dict | list) for value in values):
        raise _refusal(f"{str(one.get('attribute_key', ''))[:60]} takes plain values")
    return values


def key_of(name: str, kind: str) -> Key | None:
    """What a key asks; None for the two that are no comparison of one field. Raises 422."""
    if name in KEYS:
        return KEYS[name]
    if name in (STATUS, MESSAGE_TYPE):
        return None
    if kind in CUSTOM and 0 < len(name) <= 60:
        return Key(CUSTOM[kind] + name, _ATTRIBUTE)
    raise _refusal(f"Automation conditions {name[:60]} not supported.")


def _leaf(key: Key, operator: str, values: list[Any]) -> Tree:
    if operator == "does_not_contain":
        return {"not": _leaf(key, "contains", values)}
    if operator in _LONE:
        if not key.anybody:
            return {"field": key.field, "op": str(_LONE[operator])}
        op = Op.IS if operator == "is_present" else Op.IS_NOT
        return {"field": key.field, "op": str(op), "value": key.anybody}
    words = [key.ours(value) for value in values]
    one, several = _OPS[operator]
    if len(words) == 1:
        return {"field": key.field, "op": str(one), "value": words[0]}
    if several is None:
        raise _refusal(f"{operator} takes one value")
    return {"field": key.field, "op": str(several), "value": words}


def _status(operator: str, values: list[Any]) -> Tree:
    for value in values:
        if value not in STATUSES:
            raise _refusal(f"'{str(value)[:60]}' is not a valid status")
    trees = [STATUSES[value] for value in values]
    tree = trees[0] if len(trees) == 1 else {"any": trees}
    return tree if operator == "equal_to" else {"not": tree}


def _message_type(operator: str, values: list[Any]) -> Tree:
    for value in values:
        _incoming(value)
    if operator != "equal_to":
        raise _refusal("Rules look at what customers write: message_type can only be incoming")
    return dict(_SAID_BY_CUSTOMER)


def only_pending(tree: Tree) -> bool:
    """Whether it holds for nothing but what an AI agent has."""
    wanted = STATUSES[PENDING]
    groups = tree.get("any", [tree])
    return all(group == wanted or wanted in group.get("all", ()) for group in groups)


# --- Back ----------------------------------------------------------------------------------------


def conditions_of(tree: Tree) -> list[Json] | None:
    """Their list for a tree of ours; None where they have no words for it.

    Whoever asks compares what `tree_of` makes of the answer: this one guesses, that one knows.
    """
    if not tree:
        return []
    if "any" in tree and not _status_words(tree):
        groups = [group.get("all", [group]) if group not in STATUSES.values() else [group]
                  for group in tree["any"]]  # fmt: skip
    else:
        groups = [tree["all"] if "all" in tree and not _status_words(tree) else [tree]]
    said = [[_said(leaf) for leaf in group] for group in groups]
    if any(one is None for group in said for one in group):
        return None
    return list(_joined([[one for one in group if one is not None] for group in said]))


def _joined(groups: Sequence[Sequence[Json]]) -> Iterator[Json]:
    for n, group in enumerate(groups):
        for m, one in enumerate(group):
            last_of_all = n == len(groups) - 1 and m == len(group) - 1
            operator = None if last_of_all else "OR" if m == len(group) - 1 else "AND"
            yield {**one, "query_operator": operator}


def _row(name: str, operator: str, values: list[Any], *, kind: str = "") -> Json:
    return {
        "attribute_key": name,
        "filter_operator": operator,
        "values": values,
        "custom_attribute_type": kind,
    }


def _said(tree: Tree) -> Json | None:
    """One condition of theirs, but for how it is joined."""
    if tree == _SAID_BY_CUSTOMER:
        return _row(MESSAGE_TYPE, "equal_to", ["incoming"])
    negated = tree.get("not")
    if words := _status_words(negated if negated is not None else tree):
        return _row(STATUS, "equal_to" if negated is None else "not_equal_to", words)
    leaf = tree if negated is None else negated
    operator = _THEIRS.get(str(leaf.get("op")))
    if operator is None or (negated is not None and operator != "contains"):
        return None
    if negated is not None:
        operator = "does_not_contain"
    value = leaf.get("value")
    words = value if isinstance(value, list) else [] if value is None else [value]
    return _named(str(leaf["field"]), operator, words)


def _named(field: str, operator: str, words: list[Any]) -> Json | None:
    for kind, prefix in CUSTOM.items():
        if field.startswith(prefix):
            return _row(field.removeprefix(prefix), operator, words, kind=kind)
    for name, key in KEYS.items():
        if key.field != field:
            continue
        if key.anybody and words == [key.anybody] and operator in SAME:
            return _row(name, "is_present" if operator == "equal_to" else "is_not_present", [])
        try:
            return _row(name, operator, [key.theirs(word) for word in words])
        except ValueError:  # an id of something else: the next key of this field has it
            continue
    return None


def _status_words(tree: Tree) -> list[str]:
    """The statuses that a tree asks for; none where it asks for anything else."""
    wanted = tree.get("any", [tree]) if isinstance(tree, dict) else []
    words = [word for one in wanted for word, meant in STATUSES.items() if one == meant]
    return words if len(words) == len(wanted) else []
