"""Rules as their API writes them.

A rule written here is a rule like every other, which works, is explained and is changed where all are.
Beside it stands what the client said (`RuleWords`), word for word, so that it is answered back the
same; it counts only while it still means what the rule says. A rule that somebody else wrote is shown
where their words can say it whole, and where it lets the rules behind it be looked at, as all of theirs
do. Every other rule is its writer's own: not shown, and not to be reached from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import transaction

from accounts.models import Member, Team
from accounts.tenancy import current_account_id
from agents import rules
from agents.models import AssignmentRule
from agents.rules import RuleError
from conversations.models import AttributeDefinition, Inbox
from integrations.chatwoot.automation import actions, conditions
from integrations.chatwoot.compat import params
from integrations.chatwoot.errors import ChatwootError, invalid
from integrations.chatwoot.models import RuleWords
from integrations.chatwoot.shapes.parts import Json

# Those of ours that mean the same. Theirs of opening has none: a rule hears that something has changed.
EVENTS = {
    "message_created": "message.created",
    "conversation_created": "conversation.created",
    "conversation_updated": "conversation.updated",
    "conversation_resolved": "conversation.resolved",
}
_THEIRS = {ours: theirs for theirs, ours in EVENTS.items()}
# Where an error of a rule stands, in their words.
_PLACES = {"event": "event_name", "condition": "conditions", "actions": "actions", "name": "name"}


@dataclass(frozen=True, slots=True)
class Words:
    """What a rule says, in their words."""

    event_name: str
    conditions: list[Json]
    actions: list[Json]
    description: str | None = None

    def meaning(self) -> dict[str, Any]:
        """The same as fields of a rule of ours. Raises `ChatwootError` (422)."""
        event = EVENTS.get(self.event_name)
        if event is None:
            known = ", ".join(EVENTS)
            raise invalid(
                "event_name",
                f"Event name {self.event_name[:60]} is not supported here, only {known}",
            )
        of_message = event == "message.created"
        tree = conditions.tree_of(self.conditions, of_message=of_message)
        pending = conditions.only_pending(tree)
        acts = actions.actions_of(self.actions, pending=pending)
        return {"event": event, "condition": tree, "actions": acts}


class Known:
    """Whom and what conditions and actions may name, in the account in context."""

    @cached_property
    def people(self) -> set[int]:
        people = Member.objects.people().active().filter(account_id=current_account_id())
        return set(people.values_list("pk", flat=True))

    @cached_property
    def teams(self) -> set[int]:
        return set(Team.objects.values_list("pk", flat=True))

    @cached_property
    def inboxes(self) -> set[int]:
        return set(Inbox.objects.present().values_list("pk", flat=True))

    @cached_property
    def attributes(self) -> set[tuple[str, str]]:
        defined = AttributeDefinition.objects.values_list("of", "key")
        return {(f"{of}_attribute", key) for of, key in defined}

    def check(self, words: Words) -> None:
        """Everything that is named is there. Raises `ChatwootError` (422)."""
        for one in words.conditions:
            self._check_condition(one)
        for one in words.actions:
            if one["action_name"] in ("assign_agent", "assign_team"):
                there = self.people if one["action_name"] == "assign_agent" else self.teams
                self._check_ids("actions", one["action_name"], one["action_params"], there)

    def _check_condition(self, one: Json) -> None:
        name = one["attribute_key"]
        by_id = {"assignee_id": "people", "team_id": "teams", "inbox_id": "inboxes"}
        if name in by_id:
            there: set[int] = getattr(self, by_id[name])
            self._check_ids("conditions", name, one.get("values"), there)
        defined = (one.get("custom_attribute_type"), name) in self.attributes
        if conditions.is_attribute(name) and not defined:
            raise invalid("conditions", f"Automation conditions {name[:60]} not supported.")

    def _check_ids(self, field: str, name: str, values: Any, there: set[int]) -> None:
        for value in values if isinstance(values, list) else [] if not values else [values]:
            if params.as_number(value) not in there:
                raise invalid(field, f"{name}: there is no {str(value)[:60]}")


# --- Reading -------------------------------------------------------------------------------------


def shown() -> Iterator[tuple[AssignmentRule, Words]]:
    """The account's rules that can be said in their words, oldest first."""
    known = Known()
    rows = AssignmentRule.objects.filter(event__in=_THEIRS, stop=False)
    for rule in rows.select_related("chatwoot_words").order_by("pk"):
        words = words_of(rule, known)
        if words is not None:
            yield rule, words


def words_of(rule: AssignmentRule, known: Known) -> Words | None:
    """What a rule says in their words; None where these cannot say it whole."""
    if rule.stop or rule.event not in _THEIRS:
        return None
    kept: RuleWords | None = getattr(rule, "chatwoot_words", None)
    if kept is not None:
        words = Words(kept.event_name, kept.conditions, kept.actions, kept.description)
        if _means(words, rule):
            return words
    try:
        tree, acts = conditions.conditions_of(rule.condition), actions.said_of(rule.actions)
        if tree is None or acts is None:
            return None
        description = kept.description if kept is not None else None
        words = Words(_THEIRS[rule.event], tree, acts, description)
        if not _means(words, rule):
            return None
        known.check(words)
    except (ChatwootError, ValueError):
        return None
    return words


def _means(words: Words, rule: AssignmentRule) -> bool:
    """Whether these words say exactly what the rule says."""
    try:
        meaning = words.meaning()
    except ChatwootError:  # kept by an older version that could say more
        return False
    return (
        meaning["event"] == rule.event
        and meaning["actions"] == rule.actions
        and _alone(meaning["condition"]) == _alone(rule.condition)
    )


def _alone(tree: dict[str, Any]) -> dict[str, Any]:
    """A group of one is the one."""
    for kind in ("all", "any"):
        if len(tree.get(kind, ())) == 1:
            return _alone(tree[kind][0])
    return tree


# --- Writing -------------------------------------------------------------------------------------


@transaction.atomic
def create(name: str, words: Words, *, active: bool, by: Member) -> AssignmentRule:
    """A new rule, looked at behind those of this kind. Raises `ChatwootError` (422)."""
    meaning = _checked(words)
    with _their_errors():
        made = rules.create_rule(name=name, stop=False, enabled=active, by=by, **meaning)
    _keep(made, words)
    _put_before_stopping(made, by=by)
    return made


@transaction.atomic
def update(
    rule: AssignmentRule, words: Words, *, name: str, active: bool, by: Member
) -> AssignmentRule:
    """Say something else. Raises `ChatwootError` (422)."""
    meaning = _checked(words)
    with _their_errors():
        rule = rules.update_rule(rule, name=name, enabled=active, by=by, **meaning)
    _keep(rule, words)
    return rule


def _checked(words: Words) -> dict[str, Any]:
    meaning = words.meaning()
    Known().check(words)
    return meaning


def _keep(rule: AssignmentRule, words: Words) -> None:
    kept, _created = RuleWords.objects.update_or_create(
        rule=rule,
        defaults={
            "event_name": words.event_name,
            "conditions": words.conditions,
            "actions": words.actions,
            "description": words.description,
        },
    )
    rule._state.fields_cache["chatwoot_words"] = kept


def _put_before_stopping(made: AssignmentRule, *, by: Member) -> None:
    """All of theirs are looked at, in the order they were made; ours may end the looking."""
    rules.put_before(made, lambda other: other.stop and other.event == made.event, by=by)


@contextmanager
def _their_errors() -> Iterator[None]:
    try:
        yield
    except RuleError as error:
        place = error.path.partition(".")[0].partition("[")[0]
        field = _PLACES.get(place, place)
        raise invalid(field, f"{field.capitalize()}: {error.message}") from error
