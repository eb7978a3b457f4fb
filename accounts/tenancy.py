"""The walls between accounts.

Wall 1 is code: `AccountModel.objects` raises without an account in context and shows only that
account's rows. Wall 3 is the database: row level security on every table with customer or secret
data, for a role that cannot bypass it. Both are opened by the same door, `account_context`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, LiteralString, Self, TypeVar, cast

from django.db import connection, models, transaction
from django.db.models.sql.where import AND
from django.utils import translation

if TYPE_CHECKING:
    from accounts.models import Account

# For statements that go past the ORM; the same as `account_context` says to the database.
ENTER: LiteralString = "SELECT set_config('app.account', %s, true)"
_current: ContextVar[int | None] = ContextVar("account", default=None)
# Whether work here is for nobody who has a language: what it writes for people is in the account's then.
_speaks_for_accounts: ContextVar[bool] = ContextVar("speaks_for_accounts", default=False)
_ENTER_SPEAKING = ENTER + ", (SELECT locale FROM accounts_account WHERE id = %s)"  # noqa: S608 - fixed text only
M = TypeVar("M", bound=models.Model)


class NoAccountError(RuntimeError):
    """Account data was touched outside `account_context`: a forgotten filter, never a leak."""


def current_account_id() -> int:
    """The id of the account in context; raises `NoAccountError` when there is none."""
    account_id = _current.get()
    if account_id is None:
        raise NoAccountError("no account in context; enter accounts.tenancy.account_context first")
    return account_id


@contextmanager
def account_context(account: Account | int) -> Iterator[None]:
    """Enter one account: opens a transaction (or savepoint) and tells both walls.

    The database variable is set transaction-locally, so it cannot outlive the block, poolers
    included. Entering the account one is already in costs nothing.
    """
    account_id = account if isinstance(account, int) else account.pk
    previous = _current.get()
    if previous == account_id and connection.in_atomic_block:
        yield
        return
    nested = connection.in_atomic_block
    with transaction.atomic():
        token = _current.set(account_id)
        try:
            with _speaking(_tell_database(account_id)):
                yield
            if nested:  # the variable lives until the outer transaction ends: put it back
                _tell_database(previous)
        finally:
            _current.reset(token)


@contextmanager
def standing_in(account_id: int) -> Iterator[None]:
    """For writing questions down that are asked later (accounts/prepared.py): managers say `account_id`,
    and the database, which is not asked meanwhile, hears nothing of it."""
    token = _current.set(account_id)
    try:
        yield
    finally:
        _current.reset(token)


def _tell_database(account_id: int | None) -> str | None:
    """Whose rows may be seen from now on; returns the account's language where it is to be spoken."""
    named = str(account_id or "")
    with connection.cursor() as cursor:
        if not _speaks_for_accounts.get():
            cursor.execute(ENTER, [named])
            return None
        cursor.execute(_ENTER_SPEAKING, [named, account_id])
        row = cursor.fetchone()
    return cast("str | None", row[1])


def speak_for_accounts() -> None:
    """From now on, this thread speaks the language of the account it is in. For threads that work for
    all accounts in turn; where somebody asks for a page or a letter, theirs is spoken."""
    _speaks_for_accounts.set(True)


def _speaking(language: str | None) -> AbstractContextManager[None]:
    return translation.override(language) if language else nullcontext()


class AccountQuerySet(models.QuerySet[M]):
    """Base of every account-owned queryset; subclass it for chainable questions."""


class AccountManager(models.Manager[M]):
    """Shows the rows of the account in context, and raises without one."""

    def get_queryset(self) -> Any:
        """What `filter(account_id=…)` gives, which takes four times as long over it; prefetching asks for a
        queryset for each row that it has."""
        rows = super().get_queryset()
        field, is_exactly = _wall_of(self.model)
        column = field.get_col(rows.query.get_initial_alias())
        rows.query.where.add(is_exactly(column, current_account_id()), AND)
        return rows

    def none(self) -> Any:
        """No rows need no account: forms name their fields before there is one."""
        return super().get_queryset().none()


@cache
def _wall_of(model: type[models.Model]) -> tuple[Any, Any]:
    """The column that says whose a row is, and the lookup that compares it."""
    field = model._meta.get_field("account")
    return field, field.get_lookup("exact")


class AccountForeignKey(models.ForeignKey["Account", "Account"]):
    """A new row belongs to the account in context. Not a `default=`: the column has none."""

    def get_default(self) -> int:
        return current_account_id()

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.ForeignKey", args, kwargs


def account_key(*, db_index: bool = True, checked: bool = True) -> AccountForeignKey:
    """The column that says whose row it is; hot tables whose other indexes begin with it (or find rows
    without it) go without an index of its own: each one is written with every row. What the database itself
    writes while an account goes is not `checked`."""
    return AccountForeignKey(
        "accounts.Account",
        on_delete=models.CASCADE if checked else models.DO_NOTHING,
        db_constraint=checked,
        related_name="+",
        editable=False,
        db_index=db_index,
    )


class AccountModel(models.Model):
    """A row that belongs to one account.

    `objects` is wall 1. `all_accounts` is for the courier's claim and the staff's account picker
    only; a test keeps the list of its callers.
    """

    account = account_key()

    objects: ClassVar[models.Manager[Self]] = AccountManager()
    all_accounts: ClassVar[models.Manager[Self]] = models.Manager()

    class Meta:
        abstract = True
        base_manager_name = "all_accounts"
        default_manager_name = "objects"


def protect(*tables: str) -> list[str]:
    """SQL that puts wall 3 around `tables`; used by migrations after they create them."""
    statements = []
    for table in tables:
        condition = "account_id = (SELECT NULLIF(current_setting('app.account', true), '')::bigint)"
        statements.append(
            f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY;'
            f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY;'
            f'CREATE POLICY account_wall ON "{table}" USING ({condition}) WITH CHECK ({condition});'
        )
    return statements
