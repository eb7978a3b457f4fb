"""Writing new rows, few or many, by one statement that is always the same.

`bulk_create` writes another statement for every number of rows, and takes longer over it than the
database over the rows. This one gives all rows as one JSON text, so that the ORM's part is done once for a
model, psycopg has one value to carry, and PostgreSQL knows the statement when it comes again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection, models
from django.db.models import AutoField, Field, Model
from django.utils.functional import Promise

M = TypeVar("M", bound=Model)
_PLAIN = {
    models.BigIntegerField, models.BinaryField, models.CharField, models.DateTimeField,
    models.FloatField, models.ForeignKey, models.IntegerField, models.JSONField,
    models.PositiveIntegerField, models.PositiveSmallIntegerField, models.SmallIntegerField,
    models.TextField, models.UUIDField,
}  # fmt: skip
_LENGTH = re.compile(r"^varchar\(\d+\)")


def as_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as text for `json_to_recordset`: keys, texts, times, bytes and what JSON knows itself."""
    return json.dumps(rows, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + value.hex()
    if isinstance(value, UUID | Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def insert_many(given: Iterable[M]) -> list[M]:
    """Write rows, which are new and of one model, and give them the keys that the database makes; like
    `bulk_create`, no signal is sent. Raises `IntegrityError`, and has then written none."""
    rows = list(given)
    if not rows:
        return []
    keys = _write(rows)
    for row, (key,) in zip(rows, keys, strict=True):
        row.pk = key
        row._state.adding, row._state.db = False, connection.alias
    return rows


def insert_missing(given: Iterable[Model]) -> None:
    """The same, but rows that a constraint says are there already are passed over; nobody gets a key."""
    if rows := list(given):
        _write(rows, " ON CONFLICT DO NOTHING")


def _write(rows: Sequence[Model], unless: str = "") -> list[tuple[Any, ...]]:
    written = _statement(type(rows[0]), unless)
    with connection.cursor() as cursor:
        cursor.execute(written.sql, [as_rows([written.values(row) for row in rows])])
        return list(cursor.fetchall())


class _Statement(NamedTuple):
    sql: str
    # Columns whose values are what the rows' attributes say, and fields that have to be asked.
    plain: list[tuple[str, str]]
    # Those of them that are times: PostgreSQL would read others by its own clock and zone.
    moments: list[str]
    odd: list[Field[Any, Any]]

    def values(self, row: Model) -> dict[str, Any]:
        # What it points to may have been written after it was made.
        row._prepare_related_fields_for_save(operation_name="insert_many")  # type: ignore[attr-defined]  # not in the stubs
        values = {column: getattr(row, name) for column, name in self.plain}
        for column in self.moments:
            _check_moment(values[column])
        for field in self.odd:
            values[str(field.column)] = _value(field, row)
        return values


def _value(field: Field[Any, Any], row: Model) -> Any:
    return field.get_db_prep_save(field.pre_save(row, add=True), connection)


def _check_moment(value: Any) -> None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise TypeError(f"{value!r} is no time with a zone")


def _is_plain(field: Field[Any, Any]) -> bool:
    """Whether JSON says the value as the column reads it; Django would only check and wrap it."""
    moment = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return type(field) in _PLAIN and not moment


@cache
def _statement(model: type[Model], unless: str) -> _Statement:
    meta, quote = model._meta, connection.ops.quote_name
    if not isinstance(meta.pk, AutoField):
        raise TypeError(f"{meta.label} brings its own keys")
    fields = [field for field in meta.local_concrete_fields if not field.primary_key]
    names = ", ".join(quote(str(field.column)) for field in fields)
    typed = ", ".join(f"{quote(str(field.column))} {_type_of(field)}" for field in fields)
    sql = (
        f"INSERT INTO {quote(meta.db_table)} ({names})"  # noqa: S608 - the model's own names
        f" SELECT {names} FROM ROWS FROM (json_to_recordset(%s::json) AS ({typed}))"
        f" WITH ORDINALITY AS given ({names}, at_place) ORDER BY given.at_place{unless}"
        f" RETURNING {quote(str(meta.pk.column))}"
    )
    plain = [field for field in fields if _is_plain(field)]
    return _Statement(
        sql,
        [(str(field.column), field.attname) for field in plain],
        [str(field.column) for field in plain if isinstance(field, models.DateTimeField)],
        [field for field in fields if field not in plain],
    )


def _type_of(field: Field[Any, Any]) -> str:
    """Text without its length, so that what is too long is refused by the column, and not cut."""
    return _LENGTH.sub("text", str(field.db_type(connection)))
