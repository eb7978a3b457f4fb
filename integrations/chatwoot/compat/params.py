"""Parameters as their server reads them: query, JSON and forms alike, `labels[]` and `a[b]` included.

Whatever cannot be what it should be raises a `ChatwootError` (422) that names it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.http import QueryDict
from rest_framework.request import Request

from accounts.rest.parsing import check
from integrations.chatwoot.errors import ChatwootError, missing, unprocessable

Params = dict[str, Any]
MAX_NESTING = 8
# What a number in a request may be: the databases' ids end there.
MAX_ID = 2**63 - 1
_PART = re.compile(r"[^\[\]]+|\[\]")
_TRUE = (True, 1, "1", "true", "True", "t", "on", "yes")


def read(request: Request) -> Params:
    """Query and body as one; the body wins. A body that is no object has no parameters."""
    body = request.data
    if isinstance(body, QueryDict):
        given = from_form(body)
    else:
        given = dict(body) if isinstance(body, dict) else {}
    params = {**from_form(request.query_params), **given}
    check(params)
    return params


def from_form(values: QueryDict) -> Params:
    """`labels[]=a&message[content]=b` → `{"labels": ["a"], "message": {"content": "b"}}`."""
    params: Params = {}
    for name, given in values.lists():
        _put(params, _PART.findall(name)[:MAX_NESTING], given)
    return params


def _put(params: Params, path: list[str], given: list[Any]) -> None:
    place = params
    while len(path) > 1 and path[1] != "[]":
        inner = place.setdefault(path[0], {})
        if not isinstance(inner, dict):
            return
        place, path = inner, path[1:]
    if path:
        place[path[0]] = list(given) if path[1:] else given[-1]


def inside(params: Params, name: str) -> Params:
    """What is given bare or as an object `name`; bare wins."""
    return {**mapping(params, name), **params}


# --- One value -----------------------------------------------------------------------------------


def text(params: Params, name: str, default: str = "", *, most: int = 250) -> str:
    """A text; numbers count as one. Null is the default."""
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise unprocessable(f"{name} should be a text")
    value = str(value)
    if len(value) > most:
        raise unprocessable(f"{name} is too long (maximum is {most} characters)")
    return value


def flag(params: Params, name: str, *, default: bool = False) -> bool:
    value = params.get(name)
    return default if value is None or isinstance(value, list | dict) else value in _TRUE


def number(params: Params, name: str) -> int | None:
    """A whole number from 0; None where it is not given or empty."""
    value = params.get(name)
    if value in (None, ""):
        return None
    found = as_number(value)
    if found is None:
        raise unprocessable(f"{name} should be a number")
    return found


def as_number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= MAX_ID else None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    return None


def required_number(params: Params, name: str) -> int:
    found = number(params, name)
    if found is None:
        raise missing(name)
    return found


def choice(params: Params, name: str, known: Iterable[str], default: str = "") -> str:
    """One of `known`; what else is sent is refused (their server breaks on it)."""
    value = params.get(name)
    if value in (None, ""):
        return default
    if not isinstance(value, str) or value not in known:
        raise unprocessable(f"'{str(value)[:60]}' is not a valid {name}")
    return value


def mapping(params: Params, name: str) -> dict[str, Any]:
    """An object, or (in forms) the JSON of one; what cannot be read is an empty one, as theirs."""
    return _object(params.get(name)) or {}


def required_mapping(params: Params, name: str) -> dict[str, Any]:
    found = _object(params.get(name))
    if found is None:
        raise missing(name)
    return found


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
        check(value)
    return value if isinstance(value, dict) else None


def texts(params: Params, name: str, *, most: int = 60, count: int = 100) -> list[str]:
    """A list of texts; one alone counts as a list of one."""
    value = params.get(name)
    values = [] if value is None else value if isinstance(value, list) else [value]
    if len(values) > count:
        raise unprocessable(f"{name} has too many values")
    return [text({name: one}, name, most=most) for one in values]


def numbers(params: Params, name: str, *, count: int = 100) -> list[int]:
    value = params.get(name)
    values = [] if value is None else value if isinstance(value, list) else [value]
    found = [as_number(one) for one in values]
    if len(values) > count or None in found:
        raise unprocessable(f"{name} should be a list of numbers")
    return [one for one in found if one is not None]


def moment(params: Params, name: str) -> datetime | None:
    """Seconds since 1970, or an ISO date; None where it is not given."""
    value = params.get(name)
    if value in (None, ""):
        return None
    try:
        if isinstance(value, str) and not value.isdecimal():
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(str(value)), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise bad_moment(name) from error


def bad_moment(name: str) -> ChatwootError:
    return unprocessable(f"{name} should be a time in seconds")


def page(params: Params) -> int:
    """From 1; what is no page is the first one."""
    found = as_number(params.get("page", 1)) or 1
    return min(found, 100_000)
