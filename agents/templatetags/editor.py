"""`{% editor_field node catalogue as known %}`: what the form offers for one comparison."""

from __future__ import annotations

from typing import Any

from django import template

from agents.conditions import LIST_OPS, LONE_OPS
from agents.editor import Node

register = template.Library()


@register.simple_tag
def editor_field(node: Node, catalogue: dict[str, Any]) -> dict[str, Any]:
    """The field's entry of the catalogue, with `shape`: how its value is asked for.

    `none`, `flag`, `many` (several of few), `one` (one of few), `lines` (a list of words) or `text`.
    """
    known = next(field for field in catalogue["fields"] if field["name"] == node.name)
    several = node.op in LIST_OPS
    if node.op in LONE_OPS:
        shape = "none"
    elif known["kind"] == "flag":
        shape = "flag"
    elif known["choices"]:
        shape = "many" if several else "one"
    else:
        shape = "lines" if several else "text"
    # A value that is no longer offered stays chosen until somebody changes it.
    offered = {choice["value"] for choice in known["choices"]}
    extra = [{"value": v, "label": v} for v in node.values if v not in offered]
    return {**known, "shape": shape, "choices": [*known["choices"], *extra]}
