"""`{% why conversation assignments holder %}`: the decision behind the present holder, rule by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.translation import gettext as _

from agents.models import Decision
from conversations.models import Assignment, Conversation

register = template.Library()


@dataclass(frozen=True, slots=True)
class Look:
    """One rule of a decision, as people read it."""

    name: str
    matched: bool
    field: str
    expected: str
    actual: str
    skipped: bool = False


@register.inclusion_tag("agents/_why.html")
def why(
    conversation: Conversation, assignments: Sequence[Assignment], holder: str
) -> dict[str, Any]:
    """The latest decision that moved the conversation, else the latest one, and the present reason."""
    decisions = list(Decision.objects.filter(conversation=conversation).order_by("-id")[:20])
    moved = next((d for d in decisions if d.epoch_after != d.epoch_before), None)
    decision = moved or (decisions[0] if decisions else None)
    current = assignments[0] if assignments and not assignments[0].ended_at else None
    return {
        "decision": decision,
        "looks": [look_of(step) for step in decision.trace] if decision else [],
        "assignment": current,
        "holder": holder,
    }


def look_of(step: dict[str, Any]) -> Look:
    leaf = step.get("leaf") or {}
    return Look(
        name=step.get("name", ""),
        matched=bool(step.get("matched")),
        field=str(leaf.get("field", "")).replace("_", " "),
        expected=expectation(leaf),
        actual=shown(leaf.get("actual")),
        skipped=bool(step.get("skipped")),
    )


def expectation(leaf: dict[str, Any]) -> str:
    """`is “whatsapp”`, `contains one of “om”, “human”`, …"""
    if not leaf:
        return ""
    operator = str(leaf.get("op", ""))
    words = {
        "is": _("is"),
        "eq": _("is"),
        "is_not": _("is not"),
        "ne": _("is not"),
        "in": _("is one of"),
        "not_in": _("is none of"),
        "contains": _("contains"),
        "contains_any": _("contains one of"),
        "exists": _("is known"),
        "gt": _("is more than"),
        "lt": _("is less than"),
    }
    return f"{words.get(operator, operator.replace('_', ' '))} {shown(leaf.get('value'))}".strip()


def shown(value: Any) -> str:
    """A value in a sentence."""
    if value is None or value == "":
        return _("empty")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list | tuple):
        return ", ".join(shown(one) for one in value) or _("empty")
    return f"“{value}”" if isinstance(value, str) else str(value)
