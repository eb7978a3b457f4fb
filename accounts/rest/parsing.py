"""Request bodies: strict JSON, within size and depth, with nothing PostgreSQL could not keep."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 32
MAX_KEYS = 10_000


class BodyTooLargeError(APIException):
    """413."""

    status_code = 413
    default_code = "too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(_("The body is larger than %(limit)d bytes.") % {"limit": limit})


class StrictJSONParser(BaseParser):
    """`application/json` without its traps: duplicate keys, NaN, deep nesting, NUL, half characters."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(settings.MAX_JSON_BYTES + 1)
        if len(body) > settings.MAX_JSON_BYTES:
            raise BodyTooLargeError(settings.MAX_JSON_BYTES)
        return parse(body)


def parse(body: bytes) -> Any:
    """Raises `ParseError`."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except RecursionError as error:
        raise _too_deep() from error
    except ParseError:
        raise
    except ValueError as error:
        raise ParseError(_("The body is not JSON."), code="not_json") from error
    check(value)
    return value


def check(value: Any) -> None:
    """Depth, number of keys, and text that can be stored; without recursion. Raises `ParseError`."""
    keys, level, depth = 0, [value], 0
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                keys += len(item)
                below.extend(item.values())
                check_text(*item)
            elif isinstance(item, list):
                keys += len(item)
                below.extend(item)
            elif isinstance(item, str):
                check_text(item)
        depth += any(isinstance(item, dict | list) for item in level)
        if depth > MAX_DEPTH:
            raise _too_deep()
        if keys > MAX_KEYS:
            raise ParseError(_("The body has too many values."), code="too_many_keys")
        level = below


def check_text(*texts: str) -> None:
    """Raises `ParseError` for a text with NUL or half a character in it."""
    for text in texts:
        if "\x00" in text:
            raise ParseError(_("A text contains the NUL character."), code="unstorable_text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ParseError(_("A text contains half a character."), code="unstorable_text")


def _too_deep() -> ParseError:
    return ParseError(_("The body is nested too deeply."), code="too_deep")


def _refuse_constant(name: str) -> float:
    raise ParseError(_("%(name)s is not JSON.") % {"name": name}, code="not_json")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ParseError(_("A number is too large."), code="not_json")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ParseError(_("A key is given twice."), code="duplicate_key")
    return values
