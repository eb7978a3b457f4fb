"""Cursor pages by key: the same cost at any depth, and no row twice while others are written."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Model, Q
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

DEFAULT_LIMIT = 25
MAX_LIMIT = 100


class CursorPages(BasePagination):
    """`?cursor=&limit=`, newest first by the view's `ordering`: one or two columns, one direction."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        ordering: Sequence[str] = getattr(view, "ordering", ("-id",))
        self.fields = [name.lstrip("-") for name in ordering]
        descending = ordering[0].startswith("-")
        limit = read_limit(request.query_params.get("limit"))
        values, backwards = self._read(request.query_params.get("cursor"), queryset.model)
        down = descending != backwards
        if values:
            queryset = queryset.filter(self._beyond(values, "lt" if down else "gt"))
        queryset = queryset.order_by(*[f"{'-' if down else ''}{name}" for name in self.fields])
        rows: list[Any] = view.page_of(queryset, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        if backwards:
            rows.reverse()
        self.next = self._link(rows[-1:], False) if (more or backwards) else None
        self.previous = self._link(rows[:1], True) if (more if backwards else values) else None
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next, "previous": self.previous, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Where the page begins; taken from `next` or `previous`.",
                "schema": {"type": "string"},
            },
            {
                "name": "limit",
                "in": "query",
                "description": "How many at most.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_LIMIT,
                    "default": DEFAULT_LIMIT,
                },
            },
        ]

    def _beyond(self, values: list[Any], operator: str) -> Q:
        first = self.fields[0]
        if len(self.fields) == 1:
            return Q(**{f"{first}__{operator}": values[0]})
        tie = Q(**{f"{self.fields[1]}__{operator}": values[1]})
        strictly = Q(**{f"{first}__{operator}": values[0]})
        # The outer bound is implied, but lets the index begin at the right place.
        return Q(**{f"{first}__{operator}e": values[0]}) & (strictly | tie)

    def _link(self, rows: list[Any], backwards: bool) -> str | None:
        here = self.request.build_absolute_uri()
        if not rows:
            return remove_query_param(here, "cursor")
        values = [_plain(getattr(rows[0], name)) for name in self.fields]
        text = json.dumps([values, backwards], separators=(",", ":"))
        cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return replace_query_param(here, "cursor", cursor)

    def _read(self, cursor: str | None, model: type[Model]) -> tuple[list[Any], bool]:
        if not cursor:
            return [], False
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            values, backwards = json.loads(raw)
            fields = [model._meta.get_field(name) for name in self.fields]
            read = [
                field.to_python(value)  # type: ignore[union-attr]  # columns only
                for field, value in zip(fields, values, strict=True)
            ]
        except (ValueError, TypeError, RecursionError, DjangoValidationError) as error:
            raise _bad_cursor() from error
        if any(value is None for value in read) or "\x00" in str(read):
            raise _bad_cursor()
        return read, bool(backwards)


def read_limit(text: str | None) -> int:
    """The page size asked for; raises `ValidationError` outside 1 to 100."""
    if text is None:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= MAX_LIMIT:
        raise ValidationError(
            {"limit": _("A whole number from 1 to %(most)d.") % {"most": MAX_LIMIT}}
        )
    return int(text)


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _bad_cursor() -> ValidationError:
    return ValidationError({"cursor": _("Take the cursor from `next` or `previous`.")})
