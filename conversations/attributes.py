"""Attributes: whether a value fits its definition, and how it is read on a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from conversations.models import AttributeDefinition

Kind = AttributeDefinition.Kind
Test = Callable[[Any, AttributeDefinition], bool]


def misfit(definition: AttributeDefinition, value: Any) -> str:
    """The sentence that says why `value` cannot stand there; empty when it can, and for None."""
    if value is None or _FITS[Kind(definition.kind)](value, definition):
        return ""
    wanted = {
        Kind.TEXT: _("a text"),
        Kind.NUMBER: _("a number"),
        Kind.LINK: _("a link that begins with http:// or https://"),
        Kind.DATE: _("a date such as 2026-11-27"),
        Kind.LIST: _("one of: %(values)s") % {"values": ", ".join(definition.values)},
        Kind.CHECKBOX: _("true or false"),
    }[Kind(definition.kind)]
    return _("%(name)s is %(wanted)s.") % {"name": definition.name, "wanted": wanted}


def read_date(value: Any) -> date | datetime | None:
    """The day or moment that a text names."""
    if not isinstance(value, str):
        return None
    try:
        return parse_date(value) or parse_datetime(value)
    except ValueError:  # well formed, and no day: 2026-02-30
        return None


def _is_link(value: Any, definition: AttributeDefinition) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _is_number(value: Any, definition: AttributeDefinition) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FITS: Mapping[Kind, Test] = {
    Kind.TEXT: lambda value, _definition: isinstance(value, str),
    Kind.NUMBER: _is_number,
    Kind.LINK: _is_link,
    Kind.DATE: lambda value, _definition: read_date(value) is not None,
    Kind.LIST: lambda value, definition: value in definition.values,
    Kind.CHECKBOX: lambda value, _definition: isinstance(value, bool),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One attribute as people read it; `link` is an address it leads to."""

    label: str
    value: Any
    link: str = ""


def shown(values: Mapping[str, Any], definitions: Iterable[AttributeDefinition]) -> list[Shown]:
    """The attributes of somebody or something: the defined ones first, by their names."""
    known = {definition.key: definition for definition in definitions}
    defined = sorted((known[key].name, key) for key in values if key in known)
    rows = [_shown(known[key], values[key]) for _name, key in defined]
    return rows + [Shown(key, value) for key, value in values.items() if key not in known]


def _shown(definition: AttributeDefinition, value: Any) -> Shown:
    if definition.kind == Kind.CHECKBOX and isinstance(value, bool):
        return Shown(definition.name, _("yes") if value else _("no"))
    is_link = definition.kind == Kind.LINK and _is_link(value, definition)
    return Shown(definition.name, value, link=value if is_link else "")
