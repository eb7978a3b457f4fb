"""Questions that are asked for every message: the ORM writes them once, and later they are only asked.

To build a queryset, write its SQL and look up what its columns are costs the ORM ten times as much as
asking does. What it wrote is the same every time but for a few values, so it is kept:

    @prepared(KEYS)
    def _agents(members: Collection[int]) -> QuerySet[Agent]:
        return Agent.objects.select_related("member").filter(member__among=members)

    agents = _agents([1, 2, 3])

The function is called once, with stand-ins for its values; so it may not look at them, and filters that
are for several values say `among`. The answer is a list: of models with everything that was selected
with them, or of tuples for `values_list`. The account is the one in context, as everywhere; what belongs to
none is asked without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Generic, LiteralString, NamedTuple, Protocol, TypeVar, cast

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.query import ModelIterable, get_related_populators
from django.db.models.sql.compiler import SQLCompiler

from accounts.tenancy import current_account_id, standing_in

T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=Model)
Row = tuple[Any, ...]
Reader = Callable[[Row], Any]
# The place of a column, and what is done to its value.
Converter = tuple[int, Callable[[Any], Any]]

# Larger than any key, and text that nobody writes.
_ACCOUNT = 2**62
_LARGEST = 2**31 - 1


class Kind(Protocol):
    """Makes the stand-in for the n-th value."""

    def __call__(self, n: int, /) -> Any: ...


def KEY(n: int) -> int:  # noqa: N802 - reads as the constant that it is to its users
    """One number."""
    return _ACCOUNT + n


def KEYS(n: int) -> list[int]:  # noqa: N802
    """Numbers, for `among`."""
    return [_ACCOUNT + n]


def NUMBER(n: int) -> int:  # noqa: N802
    """One number that a column of 32 bits holds."""
    return _LARGEST - n


def WORD(n: int) -> str:  # noqa: N802
    """One text."""
    return f"stand-in {n} \x01"


def WORDS(n: int) -> list[str]:  # noqa: N802
    """Texts, for `among`."""
    return [WORD(n)]


class _Written(Generic[T_co]):
    """A question as the ORM wrote it: its SQL, where its values go, and how a row of its answer is read."""

    def __init__(self, rows: QuerySet[Any, Any], values: Sequence[Any]) -> None:
        if rows._prefetch_related_lookups:  # type: ignore[attr-defined]
            raise ValueError("prefetching is not done here")
        compiler = rows.query.get_compiler(connection.alias)
        self.sql, params = compiler.as_sql()
        places = {repr(value): place for place, value in enumerate(values)}
        # For each parameter the place of its value, -1 for the account, or itself.
        self._params = [
            (-1, None) if param == _ACCOUNT else (places.get(_plain(param), -2), param)
            for param in params
        ]
        self._in_account = any(place == -1 for place, _param in self._params)
        missing = set(range(len(values))) - {place for place, _param in self._params}
        if missing:
            raise ValueError(f"the question has no use for its values {sorted(missing)}")
        self._converters = _converters_of(compiler)
        gives_models = issubclass(rows._iterable_class, ModelIterable)
        self._read: Reader = _reader_of(compiler) if gives_models else tuple

    def ask(self, values: Sequence[Any]) -> list[T_co]:
        account_id = current_account_id() if self._in_account else 0
        params = [
            account_id if place == -1 else fixed if place == -2 else values[place]
            for place, fixed in self._params
        ]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            rows = cursor.fetchall()
        return [self._read(_converted(row, self._converters)) for row in rows]


def prepared(
    *kinds: Kind,
) -> Callable[[Callable[..., QuerySet[Any, T_co]]], Callable[..., list[T_co]]]:
    """Decorator of a function from values of `kinds` to a queryset; the result takes the values themselves,
    by their places, inside an account's context, and returns the rows."""
    stand_ins = [kind(n) for n, kind in enumerate(kinds, start=1)]

    def decorate(make: Callable[..., QuerySet[Any, T_co]]) -> Callable[..., list[T_co]]:
        written: list[_Written[T_co]] = []

        def ask(*values: Any) -> list[T_co]:
            if not written:  # threads that come together write the same
                with standing_in(_ACCOUNT):
                    written.append(_Written(make(*stand_ins), stand_ins))
            return written[0].ask(
                [value if isinstance(value, int | str) else list(value) for value in values]
            )

        ask.__name__, ask.__doc__ = make.__name__, make.__doc__
        return ask

    return decorate


def fetched(model: type[M], statement: LiteralString, params: Sequence[Any]) -> list[M]:
    """Rows of one's own statement as models, which have the columns that it selects; like `raw`, which takes
    longer over what the columns are than over the rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        shape = _shape_of(model, tuple(column.name for column in cursor.description or ()))
        rows = cursor.fetchall()
    return [shape.read(row) for row in rows]


class _Shape(NamedTuple):
    """How columns of a statement become a model."""

    model: type[Model]
    # Attributes in the model's order, which `from_db` expects, and where they stand in a row.
    names: list[str]
    places: list[int]
    converters: list[Converter]

    def read(self, row: Row) -> Any:
        values = [row[place] for place in self.places]
        for place, convert in self.converters:
            values[place] = convert(values[place])
        return self.model.from_db(connection.alias, self.names, values)


def _plain(param: Any) -> str:
    """A value as it was given: fields of some sizes wrap their numbers for psycopg."""
    return repr(int(param)) if isinstance(param, int) else repr(param)


@cache
def _shape_of(model: type[Model], columns: tuple[str, ...]) -> _Shape:
    fields = [field for field in model._meta.concrete_fields if field.column in columns]
    converters = [
        (place, _chained(made, field.cached_col))
        for place, field in enumerate(fields)
        if (made := field.get_db_converters(connection))
    ]
    places = [columns.index(str(field.column)) for field in fields]
    return _Shape(model, [field.attname for field in fields], places, converters)


def _converted(row: Row, converters: Sequence[Converter]) -> Row:
    if not converters:
        return row
    values = list(row)
    for place, convert in converters:
        values[place] = convert(values[place])
    return tuple(values)


def _converters_of(compiler: SQLCompiler) -> list[Converter]:
    """What the ORM does to columns after they are read (JSON is parsed), by their places."""
    columns = [column[0] for column in compiler.select[: compiler.col_count]]
    return [
        (place, _chained(converters, column))
        for place, (converters, column) in compiler.get_converters(columns).items()
    ]


def _chained(converters: Sequence[Any], column: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        for converter in converters:
            value = converter(value, column, connection)
        return value

    return convert


def _reader_of(compiler: SQLCompiler) -> Reader:
    """From a row to the model that the queryset would give, with its relations."""
    shape, select = compiler.klass_info, compiler.select
    assert shape is not None  # noqa: S101 - it was written for models
    begin, end = shape["select_fields"][0], shape["select_fields"][-1] + 1
    names = [column[0].target.attname for column in select[begin:end]]
    model = shape["model"]
    annotated = list((compiler.annotation_col_map or {}).items())
    # The stubs are those of a later Django, where it takes one thing more.
    populators = get_related_populators(shape, select, connection.alias)  # type: ignore[call-arg]

    def read(row: Row) -> Any:
        instance = model.from_db(connection.alias, names, row[begin:end])
        for populator in populators:
            populator.populate(row, instance)
        for name, place in annotated:
            setattr(instance, name, row[place])
        return instance

    return cast("Reader", read)
