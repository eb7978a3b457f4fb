"""Fields and serializers: opaque ids outside, rows of the account in context inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from accounts.ids import decode, encode
from accounts.models import Member
from accounts.tenancy import current_account_id

MAX_ATTRIBUTES = 100


class StrictSerializer(serializers.Serializer[Any]):
    """A field that is unknown, or not for writing, is an error and not silently dropped."""

    def to_internal_value(self, data: Any) -> Any:
        check_names(data, {name for name, field in self.fields.items() if not field.read_only})
        return super().to_internal_value(data)


def check_names(data: Any, writable: set[str]) -> None:
    """Raises `ValidationError` naming what is not to be written; what is no object passes."""
    unknown = [name for name in data if name not in writable] if isinstance(data, Mapping) else []
    if unknown:
        raise ValidationError({str(name): [_unknown(str(name))] for name in unknown[:20]})


def _unknown(name: str) -> ErrorDetail:
    return ErrorDetail(
        _("There is no field “%(name)s” to write here.") % {"name": name[:60]}, "unknown_field"
    )


@extend_schema_field(OpenApiTypes.STR)
class PublicIdField(serializers.ReadOnlyField):
    """The row's own opaque id."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"source": "public_id", **kwargs})


@extend_schema_field(OpenApiTypes.STR)
class RefField(serializers.RelatedField[Any, Any, Any]):
    """Another row by its opaque id. Reading costs no query; writing finds it in this account only."""

    default_error_messages = {
        "does_not_exist": gettext_lazy("There is no “{value}” in this account."),
        "invalid": gettext_lazy("This is not an id."),
    }

    def __init__(self, model: type[Model], **kwargs: Any) -> None:
        self.model = model
        self.prefix: str = model.public_id  # type: ignore[attr-defined]  # the descriptor's prefix
        super().__init__(**kwargs)

    def get_queryset(self) -> QuerySet[Any] | None:
        return None if self.read_only else rows_of(self.model)

    def use_pk_only_optimization(self) -> bool:
        return True

    def to_representation(self, value: Any) -> str:
        return encode(self.prefix, value.pk)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return rows_of(self.model).get(pk=decode(self.prefix, data))
        except (ValueError, ObjectDoesNotExist):
            self.fail("does_not_exist", value=data[:60])


def rows_of(model: type[Model]) -> QuerySet[Any]:
    """The rows of the account in context; members have no wall of their own."""
    if model is Member:
        return Member.objects.filter(account_id=current_account_id())
    rows: QuerySet[Any] = model.objects.all()  # type: ignore[attr-defined]  # wall 1
    return rows


@extend_schema_field(OpenApiTypes.OBJECT)
class AttributesField(serializers.DictField):
    """Free attributes: names of up to 60 characters, plain values of up to 1,000."""

    child = serializers.JSONField(allow_null=True)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values: dict[str, Any] = super().to_internal_value(data)
        if len(values) > MAX_ATTRIBUTES or any(not 0 < len(name) <= 60 for name in values):
            raise ValidationError(_("Up to 100 attributes, named with up to 60 characters."))
        for value in values.values():
            if isinstance(value, dict | list) or (isinstance(value, str) and len(value) > 1000):
                raise ValidationError(
                    _("A value is a text of up to 1,000 characters, a number, true, false or null.")
                )
        return values
