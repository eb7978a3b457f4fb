"""Questions to the database that the ORM has no word for."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Field, ForeignObject, Lookup, TextField
from django.db.models.sql.compiler import SQLCompiler


class Among(Lookup[Any]):
    """`filter(pk__among=keys)`: like `pk__in`, with all keys in one array of numbers or texts.

    The statement is the same for any number of keys, so that psycopg and PostgreSQL know it already
    when it comes again; `IN (…)` is another statement for every length. Numbers stand behind a SELECT,
    where the planner does not see how many there are: a plan for any length looks as good to it as one for
    these, so that it is made once and kept. Texts do not, for it has to see that none of them is empty:
    indexes are only for those that are not (a channel's ids of messages).
    """

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        is_text = isinstance(self.lhs.output_field, CharField | TextField)
        array = "%s::text[]" if is_text else "(SELECT %s::bigint[])::bigint[]"
        return f"{column} = ANY({array})", (*params, list(self.rhs))


def register() -> None:
    """Make the lookup known; called from `AppConfig.ready`."""
    Field.register_lookup(Among)
    ForeignObject.register_lookup(Among)  # which keeps to its own
