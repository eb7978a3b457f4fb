"""Serializers that are made once for each thread.

DRF makes one for every answer, and looking up what a model's columns are takes longer than showing a row.
What a serializer shows or reads depends on the row, on what was sent and on the context, never on
itself: one can do it for all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.serializers import BaseSerializer

Maker = type[BaseSerializer[Any]]
Context = Mapping[str, Any]


class _Thread(threading.local):
    def __init__(self) -> None:
        self.made: dict[Maker, BaseSerializer[Any]] = {}


_here = _Thread()


def show(serializer: Maker, rows: Iterable[Any], context: Context) -> list[dict[str, Any]]:
    """The rows as this serializer shows them."""
    with _kept(serializer, context) as kept:
        return [kept.to_representation(row) for row in rows]


def read(serializer: Maker, data: Any, context: Context) -> dict[str, Any]:
    """What was sent, validated. Raises `ValidationError` in the words of a new serializer, which knows all
    forms of saying no."""
    try:
        with _kept(serializer, context) as kept:
            values: dict[str, Any] = kept.run_validation(data)
            return values
    except ValidationError:
        again = serializer(data=data, context=context)
        again.is_valid(raise_exception=True)
        raise


@contextmanager
def _kept(serializer: Maker, context: Context) -> Iterator[BaseSerializer[Any]]:
    made = _here.made.get(serializer) or _here.made.setdefault(serializer, serializer())
    made._context = context  # the fields ask for it through their root
    try:
        yield made
    finally:
        made._context = {}
