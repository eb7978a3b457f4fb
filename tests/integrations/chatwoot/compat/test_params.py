"""How parameters are read: forms in their server's manner, and one value at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import QueryDict

from integrations.chatwoot.compat import params
from integrations.chatwoot.errors import ChatwootError


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("content=Hi", {"content": "Hi"}),
        ("content=a&content=b", {"content": "b"}),
        ("labels[]=a&labels[]=b", {"labels": ["a", "b"]}),
        ("message[content]=Hi&message[template_params][name]=x",
         {"message": {"content": "Hi", "template_params": {"name": "x"}}}),
        ("a[b][]=1&a[b][]=2", {"a": {"b": ["1", "2"]}}),
        ("a=1&a[b]=2", {"a": "1"}),
        ("[]=1", {"[]": "1"}),
        ("=1", {}),
        ("[][][][]=1", {"[]": ["1"]}),
        ("a" + "[b]" * 50 + "=1", {"a": {"b": {"b": {"b": {"b": {"b": {"b": {"b": "1"}}}}}}}}),
    ],
)  # fmt: skip
def test_forms(form: str, read: dict[str, Any]) -> None:
    assert params.from_form(QueryDict(form)) == read


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), ("7", 7), ("", None), (None, None), (0, 0)],
)
def test_numbers(value: Any, number: int | None) -> None:
    assert params.number({"n": value}, "n") == number


@pytest.mark.parametrize("value", [True, -1, 1.5, "x", "-1", [], {}, 2**63, "9" * 19, "٣"])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(ChatwootError):
        params.number({"n": value}, "n")


@pytest.mark.parametrize("value", [True, 1, "1", "true", "on"])
def test_what_is_true(value: Any) -> None:
    assert params.flag({"f": value}, "f") is True


@pytest.mark.parametrize("value", [False, 0, "0", "false", "", None, [], [1], {}])
def test_what_is_not(value: Any) -> None:
    assert params.flag({"f": value}, "f") is False


def test_moments() -> None:
    moment = datetime(2026, 6, 17, 10, tzinfo=UTC)
    seconds = int(moment.timestamp())
    for value in (seconds, str(seconds), "2026-06-17T10:00:00Z", "2026-06-17T10:00:00"):
        assert params.moment({"t": value}, "t") == moment
    assert params.moment({}, "t") is None


@pytest.mark.parametrize("value", ["soon", 10**20, -(10**20), [], {}, True, "9" * 5000])
def test_what_is_no_moment(value: Any) -> None:
    with pytest.raises(ChatwootError):
        params.moment({"t": value}, "t")


def test_the_json_of_a_form_that_cannot_be_read_is_empty() -> None:
    for value in ("{", "[1]", "null", "x", "[" * 100_000):
        assert params.mapping({"m": value}, "m") == {}
    assert params.mapping({"m": '{"a": 1}'}, "m") == {"a": 1}
