"""`{% why conversation assignments holder %}`: the decision behind the present holder, rule by rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.translation import gettext as _

from accounts.permissions import Permission
from agents.conditions import called, describe, quoted
from agents.models import Decision
from conversations.models import Assignment, Conversation

register = template.Library()
RECENT = 20
_ID = re.compile(r"[a-z]{3}_[0-9a-z]{13}\Z")


@dataclass(frozen=True, slots=True)
class Look:
    """One rule of a decision, as people read it."""

    name: str
    matched: bool
    # What the rule asked, in words, and the value that decided.
    asked: str = ""
    found: str = ""
    # What it did; or why it was not looked at.
    did: tuple[str, ...] = ()
    skipped: str = ""
    error: str = ""


@register.inclusion_tag("agents/_why.html", takes_context=True)
def why(
    context: template.Context,
    conversation: Conversation,
    assignments: Sequence[Assignment],
    holder: str,
) -> dict[str, Any]:
    """The latest decision that moved the conversation, else the latest one, and the present reason."""
    decisions = list(Decision.objects.filter(conversation=conversation).order_by("-id")[:RECENT])
    moved = next((d for d in decisions if d.epoch_after != d.epoch_before), None)
    decision = moved or (decisions[0] if decisions else None)
    holders = [context.get(name) or () for name in ("people", "agents", "teams")]
    known = [conversation.inbox, *(one for group in holders for one in group)]
    names = {one.public_id: str(one) for one in known}
    return {
        "decision": decision,
        "looks": [look_of(row, names) for row in decision.trace] if decision else [],
        "assignment": assignments[0] if assignments and not assignments[0].ended_at else None,
        "holder": holder,
        "traceable": Permission.DELIVERIES_READ in (context.get("may") or ()),
    }


def look_of(row: Mapping[str, Any], names: Mapping[str, str]) -> Look:
    """A row of `Decision.trace`."""
    leaf = row.get("leaf") or {}
    acts = row.get("actions") or ()
    readable = "field" in leaf and "op" in leaf
    return Look(
        name=str(row.get("name", "")),
        matched=bool(row.get("matched")),
        asked=describe({k: leaf[k] for k in ("field", "op", "value") if k in leaf}, names)
        if readable
        else "",
        found=shown(leaf["field"], leaf.get("found", leaf.get("actual")), names)
        if readable
        else "",
        did=tuple(str(act.get("error") or act.get("did", "")) for act in acts),
        skipped=str(row.get("skipped", "")),
        error=str(leaf.get("error", "")),
    )


def shown(field: str, value: Any, names: Mapping[str, str]) -> str:
    """A value in a sentence; ids are names, and ids of nobody we know are left out."""
    if value is None or value == "":
        return _("empty")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list | tuple):
        words = [called(field, one, names) for one in value]
        kept = dict.fromkeys(word for word in words if not _ID.match(word))
        return ", ".join(quoted(word) for word in kept) or _("empty")
    text = called(field, value, names)
    return quoted(f"{text[:80]}…" if len(text) > 80 else text)
