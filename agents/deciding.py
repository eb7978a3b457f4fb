"""Rules are looked at in order, the matching ones act, and what was seen is stored as the Decision."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member, Team
from accounts.prepared import WORD, prepared
from agents.conditions import Verdict, evaluate, quoted
from agents.facts import Facts
from agents.models import Agent, AgentInbox, AssignmentRule, Decision
from agents.patterns import PatternError
from agents.pushing import agent_of, wants_answer
from agents.rules import EVENTS, target_of
from agents.telling import catch_up, hand_off, hindrance, to_people
from conversations import services
from conversations.errors import CannotHoldError, DeskError
from conversations.messages import Content
from conversations.models import Conversation, Event, Message
from conversations.services import Reason

logger = logging.getLogger(__name__)

MAX_DEPTH = 5
MAX_ACTIONS = 20


@dataclass
class Chain:
    """One outside event and everything that rules made of it."""

    # By conversation, the message whose rules run now; its holder is told of it when they are through.
    deciding: dict[int, Message] = field(default_factory=dict)
    depth: int = 0
    actions: int = 0
    cut: bool = False

    @contextmanager
    def decides(self, messages: Mapping[int, Message]) -> Iterator[None]:
        """Rules about these messages, by conversation, run meanwhile; what they cause runs on their
        behalf."""
        before = self.deciding
        self.deciding = {**before, **messages}
        try:
            yield
        finally:
            self.deciding = before


def has_rules(event: Event, message: Message | None) -> bool:
    """Whether rules are asked about this event at all."""
    if event.type == "message.created":
        return wants_answer(message)
    if event.type == "conversation.unassigned":  # only when nobody follows
        return not event.data.get("assignee") and not event.data.get("team")
    return event.type in EVENTS


@dataclass
class Trace:
    """What is written down while rules are looked at."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""

    def begin(self, rule: AssignmentRule) -> dict[str, Any]:
        """The row about one more rule."""
        row: dict[str, Any] = {
            "rule": rule.public_id,
            "name": rule.name,
            "version": rule.version,
            "matched": False,
        }
        self.rows.append(row)
        return row

    def look(self, rule: AssignmentRule, facts: Facts, row: dict[str, Any]) -> Verdict:
        """Whether the rule matches, written down with what decided."""
        verdict = _verdict(rule, facts)
        self.facts.update(facts.seen)
        row["matched"], row["leaf"] = verdict.matched, verdict.leaf
        return verdict

    def skip(self, rules: Iterable[AssignmentRule], *, after: AssignmentRule) -> None:
        """Rules that come too late."""
        for rule in rules:
            self.begin(rule)["skipped"] = _matched_before(after)

    def did(self, rule: AssignmentRule, actions: list[dict[str, Any]]) -> None:
        """What came of a rule that matched; the first one gives the outcome."""
        self.rows[-1]["actions"] = actions
        said = "; ".join(act.get("error") or act["did"] for act in actions)
        self.outcome = self.outcome or f"{rule.name}: {said}"

    def decision(self, event: Event, conversation: Conversation, epoch_before: int) -> Decision:
        """What is stored about it; not written yet."""
        return Decision(
            conversation=conversation,
            event_id=event.id,
            event_type=event.type,
            facts=self.facts,
            trace=self.rows,
            outcome=self.outcome[:250],
            epoch_before=epoch_before,
            epoch_after=conversation.assignment_epoch,
        )


def rules_of(event_type: str) -> list[AssignmentRule]:
    """The enabled rules for such events, in their order."""
    return _rules(event_type)


@prepared(WORD)
def _rules(event_type: str) -> QuerySet[AssignmentRule]:
    rules = AssignmentRule.objects.filter(event=event_type, enabled=True)
    return rules.order_by("position", "id")


def decide(event: Event, conversation: Conversation, message: Message | None, chain: Chain) -> None:
    """Look at every rule in order, do what the matching ones say, and store why."""
    rules = rules_of(event.type)
    if not rules or chain.cut:
        return
    epoch_before = conversation.assignment_epoch
    trace = Trace()
    if chain.depth > MAX_DEPTH:
        _cut(conversation, chain, trace, _("rules called each other too deeply"))
    else:
        _walk(rules, conversation, message, chain, trace)
    trace.decision(event, conversation, epoch_before).save(force_insert=True)


def _walk(
    rules: list[AssignmentRule],
    conversation: Conversation,
    message: Message | None,
    chain: Chain,
    trace: Trace,
) -> None:
    facts = Facts(conversation, message)
    stopped_by = ""
    for rule in rules:
        row = trace.begin(rule)
        if stopped_by or chain.cut:
            row["skipped"] = stopped_by or _("rules were stopped")
            continue
        verdict = trace.look(rule, facts, row)
        if not verdict.matched:
            continue
        actions = _perform(rule, verdict, conversation, chain, trace)
        failed = any("error" in act for act in actions)
        trace.did(rule, actions)
        facts = Facts(conversation, message)
        # A rule that could not do its work does not keep the next one from trying.
        if rule.stop and not failed:
            stopped_by = _matched_before(rule)


def _matched_before(rule: AssignmentRule) -> str:
    return _("“%(name)s” matched before") % {"name": rule.name}


def _verdict(rule: AssignmentRule, facts: Facts) -> Verdict:
    """A rule that was damaged past the checks must not hold up the customer's message."""
    try:
        return evaluate(rule.condition, facts)
    except (KeyError, TypeError, ValueError, AttributeError, PatternError) as error:
        logger.exception("rule_broken rule=%s", rule.public_id)
        return Verdict(False, {"error": f"{type(error).__name__}: {error}"[:200]})


def _perform(
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: Chain,
    trace: Trace,
) -> list[dict[str, Any]]:
    """Do the rule's actions; each answers with what it `did`, or the `error`."""
    done: list[dict[str, Any]] = []
    for action in rule.actions:
        if chain.actions >= MAX_ACTIONS and not chain.cut:
            _cut(conversation, chain, trace, _("one event caused too many actions"))
        if chain.cut:
            done.append({**action, "error": _("rules were stopped")})
            break
        chain.actions += 1
        try:
            did = _ACTS[action["type"]](action, rule, verdict, conversation, chain)
            done.append({**action, "did": did})
        except DeskError as error:
            done.append({**action, "error": error.message})
        except KeyError as error:
            done.append({**action, "error": _("%(key)s is missing") % {"key": error}})
        catch_up(conversation)
    return done


def _cut(conversation: Conversation, chain: Chain, trace: Trace, why: str) -> None:
    """End a loop: no further rule runs for this event; audited, and said in the Decision."""
    chain.cut = True
    trace.outcome = _("Rules were stopped: %(why)s") % {"why": why}
    audit("rules.loop_cut", by=None, target=conversation, reason=why)
    logger.warning("rules_cut conversation=%s why=%s", conversation.public_id, why)


# --- What rules can do ---------------------------------------------------------------------------


def _act_assign(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: Chain,
) -> str:
    target = target_of(**{key: action.get(key, "") for key in ("agent", "member", "team")})
    if target is None:
        raise CannotHoldError
    agent = agent_of(target) if isinstance(target, Member) else None
    if agent is not None:
        check_serves(agent, [conversation])
        hindered = hindrance(agent, conversation, chain.deciding.get(conversation.pk))
        if hindered is not None:
            to_people(conversation, agent, hindered)
            return _("not given to %(name)s but to people: %(why)s") % {
                "name": agent.name,
                "why": hindered.detail or hindered.reason,
            }
    services.assign(conversation, to=target, by=None, reason=Reason.RULE, detail=rule.name)
    return assigned_to(target)


def assigned_to(target: Member | Team) -> str:
    """What an assignment says it did."""
    return _("assigned to %(name)s") % {"name": target.name}


def _act_hand_off(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: Chain,
) -> str:
    team = _team(action.get("team", ""))
    found = (verdict.leaf or {}).get("found")
    detail = action.get("detail") or rule.name
    detail = f"{detail}: {quoted(str(found))}" if found else detail
    hand_off(conversation, to=team, reason=Reason.HANDED_OFF, detail=detail)
    return _("handed off to people")


def _act_label(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: Chain,
) -> str:
    services.add_labels(conversation, action["names"], by=None)
    return _("labelled %(names)s") % {"names": ", ".join(action["names"])}


def _act_reply(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: Chain,
) -> str:
    services.post_message(conversation, content=Content(text=action["text"]), author=None)
    return _("replied")


def _act_resolve(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: Chain,
) -> str:
    services.resolve(conversation, by=None, detail=action.get("detail") or rule.name)
    return _("resolved")


_ACTS = {
    "assign": _act_assign,
    "hand_off": _act_hand_off,
    "label": _act_label,
    "reply": _act_reply,
    "resolve": _act_resolve,
}


def check_serves(agent: Agent, conversations: Sequence[Conversation]) -> None:
    """An agent attached to inboxes takes conversations of these only. Raises `CannotHoldError`."""
    attached = set(AgentInbox.objects.filter(agent=agent).values_list("inbox_id", flat=True))
    for conversation in conversations:
        if attached and conversation.inbox_id not in attached:
            raise CannotHoldError(
                _("%(name)s does not serve the inbox %(inbox)s.")
                % {"name": agent.name, "inbox": conversation.inbox.name}
            )


def _team(public_id: str) -> Team | None:
    if not public_id:
        return None
    team = target_of(team=public_id)
    if not isinstance(team, Team):
        raise CannotHoldError(_("This team no longer exists."))
    return team


def forget(*, conversations: Sequence[Conversation], **_signal: Any) -> None:
    """Receiver of `contact_erased`: what was decided stays, the words that decided go."""
    Decision.objects.filter(conversation__in=conversations).update(facts={}, trace=[])
