"""What most rules do, for many messages at once: the first that matches gives the conversation to somebody.

Everything else is left to `deciding`, which does it one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import Member, Team
from agents.deciding import Chain, Trace, assigned_to, check_serves, rules_of
from agents.facts import Facts
from agents.models import AssignmentRule, Decision
from agents.pushing import agent_of
from agents.rules import target_of
from agents.telling import catch_up, hindrance
from conversations import services
from conversations.errors import DeskError
from conversations.models import Conversation
from conversations.services import Reason
from conversations.signals import Recorded


@dataclass(eq=False)
class Seen:
    """What was seen when rules were looked at for one message, without doing anything."""

    recorded: Recorded
    trace: Trace
    epoch_before: int
    # The first rule that matches; those behind it have not been looked at.
    matches: AssignmentRule | None = None

    @property
    def only_gives(self) -> bool:
        """All that comes of it is that somebody gets the conversation."""
        rule = self.matches
        return (
            rule is not None
            and rule.stop
            and [action.get("type") for action in rule.actions] == ["assign"]
        )

    @property
    def conversation(self) -> Conversation:
        return self.recorded.conversation

    def decision(self) -> Decision:
        """What is stored about it; not written yet."""
        event, conversation, _message = self.recorded
        return self.trace.decision(event, conversation, self.epoch_before)


def foresee(rules: Sequence[AssignmentRule], one: Recorded) -> Seen:
    """Look at the rules up to the first that matches."""
    seen = Seen(one, Trace(), one.conversation.assignment_epoch)
    facts = Facts(one.conversation, one.message)
    for rule in rules:
        if seen.trace.look(rule, facts, seen.trace.begin(rule)).matched:
            seen.matches = rule
            break
    return seen


# What an assignment may bring: that it was made, or that its agent could not take it after all.
_FOLLOWS = ("conversation.assigned", "conversation.unassigned")


def give(seen: Sequence[Seen], rules: Sequence[AssignmentRule], chain: Chain) -> list[Seen]:
    """Do what the matching rules say. Returns those where it is done; about the others nothing is.

    Where rules wait for what comes of an assignment, what they do belongs to one conversation, and its
    loops are cut by what that one has done.
    """
    if not seen or any(rules_of(event_type) for event_type in _FOLLOWS):
        return []
    done = []
    messages = {one.conversation.pk: one.recorded.message for one in seen if one.recorded.message}
    with chain.decides(messages):
        for place, rule in enumerate(rules):
            given = _give_by(rule, [one for one in seen if one.matches == rule])
            for one in given:
                one.trace.skip(rules[place + 1 :], after=rule)
            done += given
    return done


def _give_by(rule: AssignmentRule, seen: Sequence[Seen]) -> list[Seen]:
    if not seen:
        return []
    [action] = rule.actions
    target = target_of(**{key: action.get(key, "") for key in ("agent", "member", "team")})
    if target is None:
        return []
    try:
        willing = _willing(target, seen)
        conversations = [one.conversation for one in willing]
        services.assign_many(conversations, to=target, reason=Reason.RULE, detail=rule.name)
    except DeskError:  # nothing has happened; each is told by itself why not
        for one in seen:
            catch_up(one.conversation)
        return []
    for one in willing:
        one.trace.did(rule, [{**action, "did": assigned_to(target)}])
    return willing


def _willing(target: Member | Team, seen: Sequence[Seen]) -> list[Seen]:
    """Those that the target can take now. Raises `CannotHoldError`."""
    agent = agent_of(target) if isinstance(target, Member) else None
    if agent is None:
        return list(seen)
    check_serves(agent, [one.conversation for one in seen])
    return [one for one in seen if hindrance(agent, one.conversation, one.recorded.message) is None]
