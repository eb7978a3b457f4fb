"""Filters of lists: an allow list of names, opaque ids, nothing of the ORM reachable from outside."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from accounts.ids import decode

MAX_SEARCH = 100


class FilterSetBackend(BaseFilterBackend):
    """Applies the view's `filterset_class`; a value that makes no sense is an error.

    Our own beside django-filter's: that one is described to OpenAPI through the model's default
    manager, which raises outside an account (wall 1).
    """

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> QuerySet[Any]:
        filterset_class = getattr(view, "filterset_class", None)
        asked = {*request.query_params}
        # A set copies all of its filters and makes a form of them; most lists are asked for without any.
        if filterset_class is None or not asked & filterset_class.base_filters.keys():
            found: QuerySet[Any] = queryset
            return found
        filterset = filterset_class(request.query_params, queryset=queryset, request=request)
        if not filterset.is_valid():
            raise ValidationError({name: list(texts) for name, texts in filterset.errors.items()})
        rows: QuerySet[Any] = filterset.qs
        return rows

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        filterset_class = getattr(view, "filterset_class", None)
        if filterset_class is None:
            return []
        return [
            {"name": name, "in": "query", "schema": _schema(each)}
            for name, each in filterset_class.base_filters.items()
        ]


class RefFilter(filters.CharFilter):  # type: ignore[misc]  # untyped
    """`?inbox=inb_…`: filters by an opaque id; one that cannot be an id is an error."""

    def __init__(self, model: type[Model], **kwargs: Any) -> None:
        self.prefix: str = model.public_id  # type: ignore[attr-defined]  # the descriptor's prefix
        super().__init__(**kwargs)

    def filter(self, qs: Any, value: str) -> Any:
        if not value:
            return qs
        try:
            number = decode(self.prefix, value)
        except ValueError as error:
            message = _("“%(value)s” is not an id of this kind.") % {"value": value[:60]}
            raise ValidationError({self.field_name.removesuffix("_id"): message}) from error
        return super().filter(qs, number)


class SinceFilter(filters.IsoDateTimeFilter):  # type: ignore[misc]  # untyped
    """`?updated_since=2026-11-20T10:00:00Z`: at that moment or later."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(lookup_expr="gte", **kwargs)


def search_words(text: str) -> str:
    """What is searched for: at most 100 characters."""
    return text.strip()[:MAX_SEARCH]


def _schema(each: Any) -> dict[str, Any]:
    if isinstance(each, filters.BooleanFilter):
        return {"type": "boolean"}
    if isinstance(each, filters.IsoDateTimeFilter):
        return {"type": "string", "format": "date-time"}
    if isinstance(each, filters.ChoiceFilter):
        return {"type": "string", "enum": [value for value, _name in each.extra["choices"]]}
    return {"type": "string"}
