"""“Why is it here?”: the stored decision, rule by rule, in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.test import Client
from django.utils import translation

from agents.conditions import describe
from agents.models import AssignmentRule
from agents.templatetags.why import look_of, shown
from conversations import services
from tests.factories import make_conversation, said


def test_every_rule_shows_with_the_value_that_decided(house: SimpleNamespace) -> None:
    """design.md 1.5: the rule that matched, the one that did not, and the one not looked at."""

    def rule(name: str, word: str, position: int) -> None:
        AssignmentRule.objects.create(
            name=name,
            position=position,
            condition={"field": "text", "op": "contains", "value": word},
            actions=[{"type": "assign", "team": house.team.public_id}],
        )

    rule("Returns", "return", 1)
    rule("Asked for a person", "person", 2)
    rule("Everything else", "e", 3)
    conversation = make_conversation(house.inbox, "A person please")
    client = Client()
    client.force_login(house.person.user, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/inbox/{conversation.public_id}/").content.decode()
    why = page.split("Why is it here?")[1].split("Contact</h2>")[0]
    assert "Text contains “return”" in why
    assert "it was <b>“A person please”</b>" in why
    assert "Not looked at: “Asked for a person” matched before" in why
    assert house.team.name in why


def test_a_later_look_that_changed_nothing_does_not_hide_the_reason(house: SimpleNamespace) -> None:
    AssignmentRule.objects.create(
        name="First",
        condition={"field": "first_message", "op": "is", "value": True},
        actions=[{"type": "assign", "team": house.team.public_id}],
    )
    conversation = make_conversation(house.inbox, "one", visitor="same")
    services.receive(house.inbox, said("two", visitor="same"))
    client = Client()
    client.force_login(house.person.user, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/inbox/{conversation.public_id}/").content.decode()
    assert "is-ok" in page.split("Why is it here?")[1].split("Contact</h2>")[0]


def test_a_broken_rule_says_so() -> None:
    row: dict[str, Any] = {"name": "x", "matched": False, "leaf": {"error": "KeyError: 'op'"}}
    assert look_of(row, {}).error == "KeyError: 'op'"


def test_values_are_words() -> None:
    names = {"mem_0000000000001": "Ana"}
    assert shown("holder", None, names) == "empty"
    assert shown("holder", True, names) == "yes"
    assert shown("holder", ["mem_0000000000001", "Ana", "tem_0000000000002"], names) == "“Ana”"
    assert shown("text", "x" * 100, names) == f"“{'x' * 80}…”"


def test_our_own_words_are_said_in_the_readers_language() -> None:
    kinds = {"field": "message.kind", "op": "in", "value": ["voice", "button_reply"]}
    assert describe(kinds) == "Kind of message is one of “voice”, “button reply”"
    assert shown("holder", ["none"], {}) == "“nobody”"
    assert shown("text", "none", {}) == "“none”"
    with translation.override("ro"):
        assert (
            describe(kinds) == "Felul mesajului se află printre „mesaj vocal”, „răspuns la buton”"
        )
        assert shown("priority", "none", {}) == "„niciuna”"
