"""Acts on a whole customer give way to whoever is writing to one at that moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection, transaction
from psycopg.errors import DeadlockDetected, LockNotAvailable

from conversations.errors import BusyError

Done = TypeVar("Done")
# For how many milliseconds locks are waited for in this transaction: less than PostgreSQL's second.
_HURRY, _AT_EASE = "SET LOCAL lock_timeout TO 500", "SET LOCAL lock_timeout TO DEFAULT"
TRIES = 3


def give_way(act: Callable[[], Done], *, tries: int = TRIES) -> Done:
    """What `act` returns, in a transaction that gives up before PostgreSQL has to choose between two.

    Somebody who writes may hold what it locks the other way round: a customer's name or number is filled
    in before their conversation is locked. Each try lets go of everything. Raises `BusyError` when the
    last was in vain.
    """
    for left in reversed(range(tries)):
        try:
            with transaction.atomic():
                _execute(_HURRY)
                done = act()
                _execute(_AT_EASE)
                return done
        except BusyError:
            if not left:
                raise
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
                raise
            if not left:
                raise BusyError from error
    raise BusyError


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
