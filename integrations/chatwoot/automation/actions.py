"""Their actions as those of a rule (agents/rules.py), and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accounts import ids
from integrations.chatwoot.compat import params
from integrations.chatwoot.errors import ChatwootError, invalid
from integrations.chatwoot.shapes.parts import Json

Ours = dict[str, Any]
# Their templates' marks; rules say their text as it stands.
_MARKS = ("{{", "{%")
_OPEN: Ours = {"type": "hand_off"}
_PREFIXES = {"member": "mem", "team": "tem"}


def _refusal(sentence: str) -> ChatwootError:
    return invalid("actions", sentence)


def actions_of(given: Sequence[Json], *, pending: bool) -> list[Ours]:
    """Actions that do the same. `pending`: whether the rule looks at nothing else.

    To open what a bot has is to hand it over; whoever is assigned has it open already, and of what is open
    the rule would take it from whoever has it. Raises `ChatwootError` (422) for what rules here cannot do.
    """
    acts = [_action(one) for one in given]
    if _OPEN not in acts:
        return acts
    kinds = {act["type"] for act in acts}
    if "resolve" in kinds:
        raise _refusal("A conversation cannot be opened and resolved at once")
    if "assign" in kinds:
        return [act for act in acts if act != _OPEN]
    if not pending:
        raise _refusal("open_conversation needs the condition status equal_to pending")
    return acts


def _action(one: Json) -> Ours:
    name = str(one.get("action_name", ""))
    reader = _READERS.get(name)
    if reader is None:
        raise _refusal(f"Automation actions {name[:60]} not supported.")
    values = one.get("action_params")
    return reader(name, values if isinstance(values, list) else [] if not values else [values])


def _assign(kind: str) -> Callable[[str, list[Any]], Ours]:
    def read(name: str, values: list[Any]) -> Ours:
        number = params.as_number(values[0]) if len(values) == 1 else None
        if not number:
            raise _refusal(f"{name} takes the id of one {'team' if kind == 'team' else 'agent'}")
        return {"type": "assign", kind: ids.encode(_PREFIXES[kind], number)}

    return read


def _label(name: str, values: list[Any]) -> Ours:
    if not values or not all(isinstance(value, str) for value in values):
        raise _refusal(f"{name} takes titles of labels")
    return {"type": "label", "names": values}


def _reply(name: str, values: list[Any]) -> Ours:
    if len(values) != 1 or not isinstance(values[0], str):
        raise _refusal(f"{name} takes one text")
    if any(mark in values[0] for mark in _MARKS):
        raise _refusal(f"{name}: placeholders are not filled in by rules")
    return {"type": "reply", "text": values[0]}


def _resolve(name: str, values: list[Any]) -> Ours:
    return {"type": "resolve"}


def _open(name: str, values: list[Any]) -> Ours:
    return dict(_OPEN)


def _status(name: str, values: list[Any]) -> Ours:
    if values not in (["resolved"], ["open"]):
        raise _refusal(f"{name} can only be open or resolved")
    return dict(_OPEN) if values == ["open"] else {"type": "resolve"}


_READERS: dict[str, Callable[[str, list[Any]], Ours]] = {
    "assign_agent": _assign("member"),
    "assign_team": _assign("team"),
    "add_label": _label,
    "send_message": _reply,
    "resolve_conversation": _resolve,
    "open_conversation": _open,
    "change_status": _status,
}


# --- Back ----------------------------------------------------------------------------------------


def said_of(actions: Sequence[Ours]) -> list[Json] | None:
    """Their list for ours; None where they have no words for one of them."""
    said = [_said(action) for action in actions]
    return None if None in said else [one for one in said if one is not None]


def _said(action: Ours) -> Json | None:
    match action:
        case {"type": "assign", "member": str(member), **rest} if not rest:
            return _row("assign_agent", [ids.decode("mem", member)])
        case {"type": "assign", "team": str(team), **rest} if not rest:
            return _row("assign_team", [ids.decode("tem", team)])
        case {"type": "label", "names": list(names), **rest} if not rest:
            return _row("add_label", names)
        case {"type": "reply", "text": str(text), **rest} if not rest:
            return _row("send_message", [text])
        case {"type": "resolve", **rest} if not rest:
            return _row("resolve_conversation", [])
        case {"type": "hand_off", **rest} if not rest:
            return _row("open_conversation", [])
    return None


def _row(name: str, values: list[Any]) -> Json:
    return {"action_name": name, "action_params": values}
