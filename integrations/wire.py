"""Typed reading of foreign JSON: what is read is checked, and a surprise names its key."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conversations.channels import UnexpectedPayloadError

MAX_DEPTH = 64
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of foreign JSON and the place where it stands. `null` counts as absent."""

    values: Mapping[str, Any]
    path: str = ""

    @classmethod
    def of(cls, value: object, path: str = "") -> Fields:
        if not isinstance(value, dict):
            raise unexpected(path or "body", value, "an object")
        return cls(value, path)

    def at(self, key: str) -> str:
        """The full name of a key, for errors."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def text(self, key: str, default: str | None = None) -> str:
        """A string; required unless a default is given."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise unexpected(self.at(key), value, "a string")
        return value

    def code(self, key: str) -> str:
        """A string or whole number as text, "" when absent: ids and codes come in both forms."""
        value = self.values.get(key)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise unexpected(self.at(key), value, "a string or a whole number")
        return str(value)

    def number(self, key: str) -> float:
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise unexpected(self.at(key), value, "a number")
        return float(value)

    def flag(self, key: str) -> bool:
        """True only for JSON `true`."""
        return self.values.get(key) is True

    def fields(self, key: str) -> Fields:
        """A required object."""
        return Fields.of(self.values.get(key), self.at(key))

    def maybe(self, key: str) -> Fields:
        """An object, empty when absent."""
        value = self.values.get(key)
        return Fields.of({} if value is None else value, self.at(key))

    def items(self, key: str) -> list[Any]:
        """An array as it came, empty when absent."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise unexpected(self.at(key), value, "an array")
        return value

    def each(self, key: str) -> Iterator[Fields]:
        """The objects of an array, empty when absent."""
        for index, value in enumerate(self.items(key)):
            yield Fields.of(value, f"{self.at(key)}[{index}]")


def unexpected(place: str, value: object, wanted: str) -> UnexpectedPayloadError:
    """The error for a value of the wrong kind; the value itself stays out of the sentence."""
    found = "nothing" if value is None else type(value).__name__
    return UnexpectedPayloadError(f"{place} should be {wanted}, found {found}", key=place)


def parse_json(body: bytes) -> Any:
    """Strict JSON, or `UnexpectedPayloadError`: no NaN, no endless numbers, no key given twice."""
    try:
        value = json.loads(
            body,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise UnexpectedPayloadError("the body is nested too deeply", key="body") from None
    except UnexpectedPayloadError:
        raise
    except ValueError:
        raise UnexpectedPayloadError("the body is not JSON", key="body") from None
    if depth_of(value) > MAX_DEPTH:
        raise UnexpectedPayloadError("the body is nested too deeply", key="body")
    return value


def unstorable_text(value: Any) -> str:
    """Why PostgreSQL could not keep this value's text: a sentence, or "" when it can."""
    for text in _texts(value):
        found = _UNSTORABLE.search(text)
        if found is None:
            continue
        if found.group() == "\x00":
            return "a text contains the NUL character"
        return "a text contains half a character (a lone surrogate)"
    return ""


def depth_of(value: Any) -> int:
    """How deep objects and arrays are nested; counted without recursion."""
    depth, level = 0, [value]
    while level:
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return depth
        depth += 1
        level = [
            child
            for container in containers
            for child in (container.values() if isinstance(container, dict) else container)
        ]
    return depth


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _refuse_constant(name: str) -> float:
    raise UnexpectedPayloadError(f"{name} is not JSON", key="body")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnexpectedPayloadError("a number is too large", key="body")
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise UnexpectedPayloadError("a key is given twice", key="body")
    return values
