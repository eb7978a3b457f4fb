"""Conditions of rules: a typed tree over facts. Pure: no database, no clock but the pattern's.

A tree is `{"all": [tree, …]}`, `{"any": [tree, …]}`, `{"not": tree}` or a leaf `{"field": …, "op": …,
"value": …}`; `{}` is always true. Text compares without regard to case and accents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from agents.patterns import OutOfTimeError, PatternError, compile_pattern, fold

Tree = Mapping[str, Any]
MAX_DEPTH = 8
MAX_LEAVES = 60
MAX_VALUES = 100
MAX_VALUE_LENGTH = 500
# How many of a long list of words a sentence names.
SHOWN = 4


class ConditionError(Exception):
    """The tree is not a condition; `path` names the place (`condition.all[0].op`)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class FieldKind(StrEnum):
    """What a field's value is, which decides the operators it takes."""

    TEXT = "text"
    CHOICE = "choice"  # one of few words; several names may stand for the same thing
    MANY = "many"  # a set of words
    FLAG = "flag"
    ANY = "any"  # an attribute: whatever the account stored there


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    label: str | Promise
    kind: FieldKind
    # The words a choice may take, where they are the same for everybody.
    choices: tuple[str, ...] = ()
    # `contact.attributes` is followed by a key of the account's own.
    keyed: bool = False


class Op(StrEnum):
    IS = "is"
    IS_NOT = "is_not"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    CONTAINS_ANY = "contains_any"
    STARTS_WITH = "starts_with"
    MATCHES = "matches"
    GT = "gt"
    LT = "lt"
    IS_SET = "is_set"
    IS_NOT_SET = "is_not_set"


# How a negated leaf is said: "is not one of", rather than "not: is one of".
OPPOSITES = {
    Op.IS: Op.IS_NOT, Op.IS_NOT: Op.IS, Op.IN: Op.NOT_IN, Op.NOT_IN: Op.IN,
    Op.IS_SET: Op.IS_NOT_SET, Op.IS_NOT_SET: Op.IS_SET,
}  # fmt: skip

OP_LABELS: dict[Op, str | Promise] = {
    Op.IS: gettext_lazy("is"),
    Op.IS_NOT: gettext_lazy("is not"),
    Op.IN: gettext_lazy("is one of"),
    Op.NOT_IN: gettext_lazy("is none of"),
    Op.CONTAINS: gettext_lazy("contains"),
    Op.CONTAINS_ANY: gettext_lazy("contains any of"),
    Op.STARTS_WITH: gettext_lazy("starts with"),
    Op.MATCHES: gettext_lazy("matches the pattern"),
    Op.GT: gettext_lazy("is more than"),
    Op.LT: gettext_lazy("is less than"),
    Op.IS_SET: gettext_lazy("is set"),
    Op.IS_NOT_SET: gettext_lazy("is not set"),
}
LIST_OPS = frozenset({Op.IN, Op.NOT_IN, Op.CONTAINS_ANY})
LONE_OPS = frozenset({Op.IS_SET, Op.IS_NOT_SET})

_SAME = (Op.IS, Op.IS_NOT, Op.IN, Op.NOT_IN)
_SET = (Op.IS_SET, Op.IS_NOT_SET)
_WORDS = (Op.CONTAINS, Op.CONTAINS_ANY, Op.STARTS_WITH, Op.MATCHES)
OPS: dict[FieldKind, tuple[Op, ...]] = {
    FieldKind.TEXT: (*_WORDS, *_SAME, *_SET),
    FieldKind.CHOICE: (*_SAME, *_SET),
    FieldKind.MANY: (Op.CONTAINS, Op.CONTAINS_ANY, *_SAME, *_SET),
    FieldKind.FLAG: (Op.IS, Op.IS_NOT),
    FieldKind.ANY: (*_SAME, *_WORDS, Op.GT, Op.LT, *_SET),
}

MESSAGE_KINDS = (
    "text", "image", "audio", "voice", "video", "document", "sticker", "location", "contacts",
    "button_reply", "list_reply", "form_reply", "order", "unsupported",
)  # fmt: skip
FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("text", pgettext_lazy("rule condition", "Text"), FieldKind.TEXT),
        Field(
            "message.kind",
            pgettext_lazy("rule condition", "Kind of message"),
            FieldKind.CHOICE,
            MESSAGE_KINDS,
        ),
        Field("first_message", pgettext_lazy("rule condition", "First message"), FieldKind.FLAG),
        Field("channel", pgettext_lazy("rule condition", "Channel"), FieldKind.CHOICE),
        Field("inbox", pgettext_lazy("rule condition", "Inbox"), FieldKind.CHOICE),
        Field("holder", pgettext_lazy("rule condition", "Current holder"), FieldKind.MANY),
        Field("labels", pgettext_lazy("rule condition", "Labels"), FieldKind.MANY),
        Field(
            "status",
            pgettext_lazy("rule condition", "Status"),
            FieldKind.CHOICE,
            ("open", "snoozed", "resolved"),
        ),
        Field(
            "priority",
            pgettext_lazy("rule condition", "Priority"),
            FieldKind.CHOICE,
            ("none", "low", "medium", "high", "urgent"),
        ),
        Field(
            "language",
            pgettext_lazy("rule condition", "Language of the conversation"),
            FieldKind.TEXT,
        ),
        Field("contact.name", pgettext_lazy("rule condition", "Contact's name"), FieldKind.TEXT),
        Field("contact.phone", pgettext_lazy("rule condition", "Contact's phone"), FieldKind.TEXT),
        Field(
            "contact.language",
            pgettext_lazy("rule condition", "Contact's language"),
            FieldKind.TEXT,
        ),
        Field(
            "contact.attributes",
            pgettext_lazy("rule condition", "Contact's attribute"),
            FieldKind.ANY,
            keyed=True,
        ),
        Field(
            "conversation.attributes",
            pgettext_lazy("rule condition", "Conversation's attribute"),
            FieldKind.ANY,
            keyed=True,
        ),
    )
}


# What the words of a choice are called in a sentence and in the editor.
WORDS: dict[str, dict[str, str | Promise]] = {
    "message.kind": {
        "text": pgettext_lazy("kind of message", "text"),
        "image": pgettext_lazy("kind of message", "image"),
        "audio": pgettext_lazy("kind of message", "audio"),
        "voice": pgettext_lazy("kind of message", "voice"),
        "video": pgettext_lazy("kind of message", "video"),
        "document": pgettext_lazy("kind of message", "document"),
        "sticker": pgettext_lazy("kind of message", "sticker"),
        "location": pgettext_lazy("kind of message", "location"),
        "contacts": pgettext_lazy("kind of message", "contacts"),
        "button_reply": pgettext_lazy("kind of message", "button reply"),
        "list_reply": pgettext_lazy("kind of message", "list reply"),
        "form_reply": pgettext_lazy("kind of message", "form reply"),
        "order": pgettext_lazy("kind of message", "order"),
        "unsupported": pgettext_lazy("kind of message", "unsupported"),
    },
    "holder": {
        "none": gettext_lazy("nobody"),
        "agent": gettext_lazy("an AI agent"),
        "person": gettext_lazy("a person"),
        "team": gettext_lazy("a team"),
    },
    "status": {
        "open": gettext_lazy("open"),
        "snoozed": gettext_lazy("snoozed"),
        "resolved": gettext_lazy("resolved"),
    },
    "priority": {
        "none": gettext_lazy("none"),
        "low": gettext_lazy("low"),
        "medium": gettext_lazy("medium"),
        "high": gettext_lazy("high"),
        "urgent": gettext_lazy("urgent"),
    },
}


class Verdict(NamedTuple):
    """Whether it holds, and the leaf that decided: `{field, op, value, actual}` and, where a list of
    words was searched for, the one that was `found`. None when there was no leaf to look at."""

    matched: bool
    leaf: dict[str, Any] | None


def field_of(name: str) -> Field | None:
    """The field behind a name; `contact.attributes.vip` is the keyed field `contact.attributes`."""
    if name in FIELDS:
        field = FIELDS[name]
        return None if field.keyed else field
    for field in FIELDS.values():
        if field.keyed and name.startswith(f"{field.name}.") and len(name) > len(field.name) + 1:
            return field
    return None


# --- Checking ------------------------------------------------------------------------------------


def validate(tree: object, path: str = "condition") -> None:
    """Raise `ConditionError` at the first place that is wrong."""
    if tree == {}:
        return
    leaves = _check(tree, path, depth=1)
    if leaves > MAX_LEAVES:
        raise ConditionError(
            path, _("a rule has at most %(most)d comparisons") % {"most": MAX_LEAVES}
        )


def _check(tree: object, path: str, *, depth: int) -> int:
    if not isinstance(tree, dict):
        raise ConditionError(path, _("should be an object"))
    if depth > MAX_DEPTH:
        raise ConditionError(path, _("is nested too deeply"))
    if "field" in tree or "op" in tree:
        _check_leaf(tree, path)
        return 1
    if len(tree) != 1 or next(iter(tree)) not in ("all", "any", "not"):
        raise ConditionError(path, _("should have one of the keys all, any, not, or field and op"))
    name, inner = next(iter(tree.items()))
    if name == "not":
        return _check(inner, f"{path}.not", depth=depth + 1)
    if not isinstance(inner, list) or not inner:
        raise ConditionError(f"{path}.{name}", _("should be a list of conditions"))
    return sum(_check(item, f"{path}.{name}[{n}]", depth=depth + 1) for n, item in enumerate(inner))


def _check_leaf(leaf: dict[str, Any], path: str) -> None:
    for key in leaf:
        if key not in ("field", "op", "value"):
            raise ConditionError(f"{path}.{key}", _("is not known here"))
    name = leaf.get("field")
    field = field_of(name) if isinstance(name, str) else None
    if field is None or len(str(name)) > 120:
        raise ConditionError(
            f"{path}.field",
            _("there is no field “%(name)s”; the fields are %(known)s")
            % {"name": str(name)[:60], "known": ", ".join(_names())},
        )
    try:
        op = Op(str(leaf.get("op")))
    except ValueError:
        op = None
    if op is None or op not in OPS[field.kind]:
        raise ConditionError(
            f"{path}.op",
            _("“%(op)s” is not possible with %(field)s; possible are %(known)s")
            % {
                "op": str(leaf.get("op"))[:60],
                "field": name,
                "known": ", ".join(OPS[field.kind]),
            },
        )
    _check_value(field, op, leaf, f"{path}.value")


def _names() -> list[str]:
    return [f"{name}.<key>" if field.keyed else name for name, field in FIELDS.items()]


def _check_value(field: Field, op: Op, leaf: dict[str, Any], path: str) -> None:
    value = leaf.get("value")
    if op in LONE_OPS:
        if value not in (None, ""):
            raise ConditionError(path, _("“%(op)s” takes no value") % {"op": op})
        return
    if field.kind == FieldKind.FLAG:
        if not isinstance(value, bool):
            raise ConditionError(path, _("should be true or false"))
        return
    if op in (Op.GT, Op.LT):
        if _number(value) is None:
            raise ConditionError(path, _("should be a number"))
        return
    if op in LIST_OPS:
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_VALUES:
            raise ConditionError(
                path, _("should be a list of 1 to %(most)d values") % {"most": MAX_VALUES}
            )
        for n, item in enumerate(value):
            _check_word(field, item, f"{path}[{n}]")
        return
    _check_word(field, value, path)
    if op == Op.MATCHES:
        try:
            compile_pattern(str(value))
        except PatternError as error:
            raise ConditionError(path, str(error)) from error


def _check_word(field: Field, value: object, path: str) -> None:
    simple = isinstance(value, str) or (
        field.kind == FieldKind.ANY and isinstance(value, str | int | float | bool)
    )
    if not simple or not 1 <= len(str(value).strip()) <= MAX_VALUE_LENGTH or "\x00" in str(value):
        raise ConditionError(
            path, _("should be a text of 1 to %(most)d characters") % {"most": MAX_VALUE_LENGTH}
        )
    if field.choices and value not in field.choices:
        raise ConditionError(
            path, _("should be one of %(known)s") % {"known": ", ".join(field.choices)}
        )


# --- Deciding ------------------------------------------------------------------------------------


def evaluate(tree: Tree, facts: Mapping[str, Any]) -> Verdict:
    """Whether the checked `tree` holds for `facts`, and the leaf that decided it.

    `all` stops at the first that fails, `any` at the first that holds, so a lazy `facts` is asked for
    no more than it takes.
    """
    if "all" in tree or "any" in tree:
        wanted = "any" in tree
        verdict = Verdict(not wanted, None)
        for item in tree["any" if wanted else "all"]:
            verdict = evaluate(item, facts)
            if verdict.matched == wanted:
                break
        return verdict
    if "not" in tree:
        inner = evaluate(tree["not"], facts)
        return Verdict(not inner.matched, inner.leaf)
    if not tree:
        return Verdict(True, None)
    return _compare(tree, facts.get(tree["field"]))


def _compare(leaf: Tree, actual: Any) -> Verdict:
    op, value = Op(leaf["op"]), leaf.get("value")
    seen: dict[str, Any] = {"field": leaf["field"], "op": str(op), "value": value}
    seen["actual"] = actual[:MAX_VALUE_LENGTH] if isinstance(actual, str) else actual
    try:
        matched = _TESTS[op](actual, value)
    except OutOfTimeError:
        seen["note"] = _("the pattern took too long and counts as not matching")
        return Verdict(False, seen)
    if matched and op in (Op.IN, Op.CONTAINS_ANY):
        single = Op.IS if op == Op.IN else Op.CONTAINS
        seen["found"] = next(item for item in leaf["value"] if _TESTS[single](actual, item))
    return Verdict(matched, seen)


def _plain(value: Any) -> str:
    """How values compare: numbers and flags as JSON writes them, text folded, blanks as one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(fold(str(value)).split())


def _values(actual: Any) -> list[str]:
    """A field's value as the words it can be called by."""
    if actual is None or actual == "":
        return []
    if isinstance(actual, list | tuple | set | frozenset):
        return [_plain(item) for item in actual]
    return [_plain(actual)]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _is(actual: Any, value: Any) -> bool:
    return _plain(value) in _values(actual)


def _contains(actual: Any, value: Any) -> bool:
    if isinstance(actual, list | tuple | set | frozenset):
        return _is(actual, value)
    wanted = _plain(value)
    return any(wanted in word for word in _values(actual))


def _compares(actual: Any, value: Any, holds: Callable[[float, float], bool]) -> bool:
    left, right = _number(actual), _number(value)
    return left is not None and right is not None and holds(left, right)


def _is_set(actual: Any) -> bool:
    words = _values(actual)
    return bool(words) and not (isinstance(actual, list) and words == ["none"])


def _matches(actual: Any, value: Any) -> bool:
    texts = actual if isinstance(actual, list | tuple) else [actual]
    pattern = compile_pattern(value)
    return any(pattern.found_in(str(text)) for text in texts if text is not None)


_TESTS: dict[Op, Callable[[Any, Any], bool]] = {
    Op.IS: _is,
    Op.IS_NOT: lambda actual, value: not _is(actual, value),
    Op.IN: lambda actual, values: any(_is(actual, value) for value in values),
    Op.NOT_IN: lambda actual, values: not any(_is(actual, value) for value in values),
    Op.CONTAINS: _contains,
    Op.CONTAINS_ANY: lambda actual, values: any(_contains(actual, value) for value in values),
    Op.STARTS_WITH: lambda actual, value: any(
        word.startswith(_plain(value)) for word in _values(actual)
    ),
    Op.MATCHES: _matches,
    Op.GT: lambda actual, value: _compares(actual, value, float.__gt__),
    Op.LT: lambda actual, value: _compares(actual, value, float.__lt__),
    Op.IS_SET: lambda actual, _value: _is_set(actual),
    Op.IS_NOT_SET: lambda actual, _value: not _is_set(actual),
}


# --- Saying --------------------------------------------------------------------------------------


def describe(tree: Tree, names: Mapping[str, str] | None = None) -> str:
    """The condition as a sentence; `names` says how ids are called (`mem_…` → `Ana`)."""
    if not tree:
        return _("Always")
    sentence = _say(tree, names or {}, top=True)
    return sentence[:1].upper() + sentence[1:]


def _say(tree: Tree, names: Mapping[str, str], *, top: bool = False) -> str:
    if "all" in tree or "any" in tree:
        items = tree.get("all") or tree["any"]
        parts = [_say(item, names) for item in items]
        joined = (_(" and ") if "all" in tree else _(" or ")).join(parts)
        return joined if top or len(parts) == 1 else f"({joined})"
    if "not" in tree:
        inner = tree["not"]
        if inner.get("op") in OPPOSITES:
            return _say_leaf({**inner, "op": OPPOSITES[Op(inner["op"])]}, names)
        return _("not %(condition)s") % {"condition": _say(tree["not"], names)}
    return _say_leaf(tree, names)


def _say_leaf(leaf: Tree, names: Mapping[str, str]) -> str:
    field = field_of(leaf["field"])
    label = str(field.label) if field else leaf["field"]
    if field and field.keyed:
        label = f"{label} {quoted(leaf['field'].removeprefix(field.name + '.'))}"
    op, value = Op(leaf["op"]), leaf.get("value")
    if field and field.kind == FieldKind.FLAG:
        it_is = value if op == Op.IS else not value
        text = _("it is the first message") if it_is else _("it is not the first message")
        return text if leaf["field"] == "first_message" else f"{label}: {it_is}"
    words = [f"{label[:1].lower()}{label[1:]}", str(OP_LABELS[op])]
    if op not in LONE_OPS:
        values = value if isinstance(value, list) else [value]
        words.append(_listed([quoted(called(leaf["field"], item, names)) for item in values]))
    return " ".join(words)


def called(field: str, value: Any, names: Mapping[str, str]) -> str:
    """What a value of a field is called: a word of ours, the name behind an id, or itself."""
    word = WORDS.get(field, {}).get(str(value))
    return names.get(str(value), str(value)) if word is None else str(word)


def quoted(text: str) -> str:
    """In the quotation marks of the active language."""
    return _("“%(text)s”") % {"text": text}


def _listed(items: Sequence[str]) -> str:
    """All of a few; the first of many, and how many more."""
    if len(items) <= SHOWN + 1:
        return ", ".join(items)
    more = _("and %(count)d more") % {"count": len(items) - SHOWN}
    return f"{', '.join(items[:SHOWN])} {more}"
