"""Serializers that are made once show and refuse what new ones would."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from accounts.rest import kept
from accounts.rest.fields import StrictSerializer


class GuestSerializer(StrictSerializer):
    name = serializers.CharField(max_length=5)
    greeting = serializers.SerializerMethodField()

    def get_greeting(self, guest: dict[str, Any]) -> str:
        return f"{self.context['word']} {guest['name']}"


def test_rows_are_shown_with_the_context_of_the_call() -> None:
    for word in ("Hello", "Salut"):
        [shown] = kept.show(GuestSerializer, [{"name": "Ana"}], {"word": word})
        assert shown == {"name": "Ana", "greeting": f"{word} Ana"}


def test_the_context_is_not_kept() -> None:
    kept.show(GuestSerializer, [{"name": "Ana"}], {"word": "Hello"})
    with pytest.raises(KeyError):
        kept.show(GuestSerializer, [{"name": "Ana"}], {})


@pytest.mark.parametrize(
    "sent", [None, [], "text", {}, {"name": "Alexandra"}, {"name": "Ana", "age": 3}]
)
def test_what_is_refused_is_refused_in_the_words_of_a_new_one(sent: Any) -> None:
    new = GuestSerializer(data=sent)
    assert not new.is_valid()
    with pytest.raises(ValidationError) as refusal:
        kept.read(GuestSerializer, sent, {})
    assert refusal.value.detail == new.errors


def test_after_a_refusal_the_next_one_is_read() -> None:
    with pytest.raises(ValidationError):
        kept.read(GuestSerializer, {}, {})
    assert kept.read(GuestSerializer, {"name": "Ana"}, {}) == {"name": "Ana"}


def test_a_refusal_is_in_the_language_of_whoever_asks() -> None:
    """Also by a serializer that was made when somebody else's was spoken."""
    for language in ("ro", "en", "ro"):
        with translation.override(language):
            new = GuestSerializer(data={"age": 3})
            assert not new.is_valid()
            with pytest.raises(ValidationError) as refusal:
                kept.read(GuestSerializer, {"age": 3}, {})
            assert refusal.value.detail == new.errors
