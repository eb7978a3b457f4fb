"""What happens on an event: rules first, then whoever holds the conversation is told.

Everything runs inside the transaction that records the event, so event, decision and deliveries
appear together or not at all (DL-02). Acts of rules record events themselves, which come back here:
one `_Chain` counts how deep and how many, and cuts loops.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member, Team
from agents import patience
from agents.conditions import Verdict, evaluate
from agents.facts import Facts
from agents.models import Agent, AgentInbox, AssignmentRule, Decision
from agents.patterns import PatternError
from agents.pushing import (
    Obstacle,
    Telling,
    agent_by_id,
    agent_of,
    agents_of,
    obstacle,
    push,
    push_assignment,
    push_farewell,
    push_messages,
    wants_answer,
)
from agents.rules import EVENTS, target_of
from conversations import services
from conversations.errors import CannotHoldError, DeskError
from conversations.messages import Content, DeliveryStatus
from conversations.models import Conversation, Event, Message
from conversations.services import Reason
from conversations.services.lines import add_line
from conversations.services.locking import lock
from conversations.signals import Recorded

logger = logging.getLogger(__name__)

MAX_DEPTH = 5
MAX_ACTIONS = 20
# Later than this an agent does not answer by itself (channels.md 2.4).
TOO_LATE = timedelta(hours=1)


@dataclass
class _Chain:
    """One outside event and everything that rules made of it."""

    # The message whose rules run now; it is told to the holder when they are through.
    deciding: Message | None = None
    depth: int = 0
    actions: int = 0
    cut: bool = False


_running: ContextVar[_Chain | None] = ContextVar("rules", default=None)


def on_events(*, recorded: Sequence[Recorded], **_signal: Any) -> None:
    """Receiver of `event_recorded`, inside the writing transaction.

    Conversations are left as rules made them, so that the caller goes on with the truth.
    """
    for one in recorded if _running.get() else _tell_plainly(recorded):
        _on_event(*one)


def _on_event(event: Event, conversation: Conversation, message: Message | None) -> None:
    with _chain() as chain:
        if _has_rules(event, message):
            chain.deciding, before = message or chain.deciding, chain.deciding
            _decide(event, conversation, message, chain)
            chain.deciding = before
        _tell(event, conversation, message, chain)


@contextmanager
def _chain() -> Iterator[_Chain]:
    chain = _running.get()
    token = None
    if chain is None:
        chain = _Chain()
        token = _running.set(chain)
    chain.depth += 1
    try:
        yield chain
    finally:
        chain.depth -= 1
        if token is not None:
            _running.reset(token)


# --- Rules ---------------------------------------------------------------------------------------


def _has_rules(event: Event, message: Message | None) -> bool:
    """Whether rules are asked about this event at all."""
    if event.type == "message.created":
        return wants_answer(message)
    if event.type == "conversation.unassigned":  # only when nobody follows
        return not event.data.get("assignee") and not event.data.get("team")
    return event.type in EVENTS


@dataclass
class _Trace:
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


def _rules_of(event_type: str) -> list[AssignmentRule]:
    rules = AssignmentRule.objects.filter(event=event_type, enabled=True)
    return list(rules.order_by("position", "id"))


def _decide(
    event: Event, conversation: Conversation, message: Message | None, chain: _Chain
) -> None:
    """Look at every rule in order, do what the matching ones say, and store why."""
    rules = _rules_of(event.type)
    if not rules or chain.cut:
        return
    epoch_before = conversation.assignment_epoch
    trace = _Trace()
    if chain.depth > MAX_DEPTH:
        _cut(conversation, chain, trace, _("rules called each other too deeply"))
    else:
        _walk(rules, conversation, message, chain, trace)
    trace.decision(event, conversation, epoch_before).save(force_insert=True)


def _walk(
    rules: list[AssignmentRule],
    conversation: Conversation,
    message: Message | None,
    chain: _Chain,
    trace: _Trace,
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
        row["actions"] = _perform(rule, verdict, conversation, chain, trace)
        failed = any("error" in act for act in row["actions"])
        said = "; ".join(act.get("error") or act["did"] for act in row["actions"])
        trace.outcome = trace.outcome or f"{rule.name}: {said}"
        facts = Facts(conversation, message)
        # A rule that could not do its work does not keep the next one from trying.
        if rule.stop and not failed:
            stopped_by = _("“%(name)s” matched before") % {"name": rule.name}


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
    chain: _Chain,
    trace: _Trace,
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
        _catch_up(conversation)
    return done


def _cut(conversation: Conversation, chain: _Chain, trace: _Trace, why: str) -> None:
    """End a loop: no further rule runs for this event; audited, and said in the Decision."""
    chain.cut = True
    trace.outcome = _("Rules were stopped: %(why)s") % {"why": why}
    audit("rules.loop_cut", by=None, target=conversation, reason=why)
    logger.warning("rules_cut conversation=%s why=%s", conversation.public_id, why)


_STATE = (
    "status", "snoozed_until", "resolved_at", "assignee", "team", "assignment_epoch", "last_agent",
    "priority", "attributes", "waiting_since", "inbound_count", "last_sequence", "preview",
    "preview_kind", "preview_direction", "last_activity_at", "contact",
)  # fmt: skip


def _catch_up(conversation: Conversation) -> None:
    """Acts work on a row of their own; make the caller's object say the same."""
    fresh = lock(conversation)
    for name in _STATE:
        setattr(conversation, name, getattr(fresh, name))
    _forget_labels(conversation)


def _forget_labels(conversation: Conversation) -> None:
    """Read them anew when they are asked for: rules may change them."""
    vars(conversation).get("_prefetched_objects_cache", {}).pop("labels", None)


# --- What rules can do ---------------------------------------------------------------------------


def _act_assign(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: _Chain,
) -> str:
    target = target_of(**{key: action.get(key, "") for key in ("agent", "member", "team")})
    if target is None:
        raise CannotHoldError
    agent = agent_of(target) if isinstance(target, Member) else None
    if agent is not None:
        _check_serves(agent, conversation)
        hindered = _hindrance(agent, conversation, chain.deciding)
        if hindered is not None:
            _to_people(conversation, agent, hindered)
            return _("not given to %(name)s but to people: %(why)s") % {
                "name": agent.name,
                "why": hindered.detail or hindered.reason,
            }
    services.assign(conversation, to=target, by=None, reason=Reason.RULE, detail=rule.name)
    return _("assigned to %(name)s") % {"name": target.name}


def _act_hand_off(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: _Chain,
) -> str:
    team = _team(action.get("team", ""))
    found = (verdict.leaf or {}).get("found")
    detail = action.get("detail") or rule.name
    detail = f"{detail}: “{found}”" if found else detail
    _hand_off(conversation, to=team, reason=Reason.HANDED_OFF, detail=detail)
    return _("handed off to people")


def _act_label(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: _Chain,
) -> str:
    services.add_labels(conversation, action["names"], by=None)
    return _("labelled %(names)s") % {"names": ", ".join(action["names"])}


def _act_reply(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: _Chain,
) -> str:
    services.post_message(conversation, content=Content(text=action["text"]), author=None)
    return _("replied")


def _act_resolve(
    action: Mapping[str, Any],
    rule: AssignmentRule,
    verdict: Verdict,
    conversation: Conversation,
    chain: _Chain,
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


def _check_serves(agent: Agent, conversation: Conversation) -> None:
    """An agent attached to inboxes takes conversations of these only."""
    attached = set(AgentInbox.objects.filter(agent=agent).values_list("inbox_id", flat=True))
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


# --- Telling the holder --------------------------------------------------------------------------


def _tell(event: Event, conversation: Conversation, message: Message | None, chain: _Chain) -> None:
    match event.type:
        case "message.created" if message is not None:
            _tell_message(event, conversation, message)
        case "message.status" if _is_news(message, conversation):
            agent = agent_of(conversation.assignee)
            if agent is not None and obstacle(agent, agent.account) is None:
                push([Telling(event, agent, conversation, message)])
        case "conversation.updated":
            _tell_update(event, conversation)
        case "conversation.assigned":
            _tell_assignment(event, conversation, chain)
        case "conversation.unassigned" | "conversation.resolved":
            previous = agent_by_id(event.data.get("previous"))
            if previous is not None:
                push_farewell(event, previous, conversation)


def _is_news(message: Message | None, conversation: Conversation) -> bool:
    """Whether a status tells the holder something about its own words. That the channel took them is
    no news to whoever said them; what became of them is."""
    return (
        message is not None
        and message.status != DeliveryStatus.SENT
        and message.author_id is not None
        and message.author_id == conversation.assignee_id
    )


def _tell_message(event: Event, conversation: Conversation, message: Message) -> None:
    agent = agent_of(conversation.assignee)
    if agent is None:
        return
    if _is_its_own(message, agent):
        patience.reacted([(conversation, agent)])
    elif wants_answer(message):
        hindered = _hindrance(agent, conversation, message)
        if hindered is not None:
            _to_people(conversation, agent, hindered)
        else:
            push_messages([Telling(event, agent, conversation, message)])


def _is_its_own(message: Message, agent: Agent) -> bool:
    return message.direction == Message.Direction.OUTBOUND and message.author_id == agent.member_id


# --- Many at once --------------------------------------------------------------------------------


def _tell_plainly(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Do for all at once what is the same for most: messages that no rule matches are told to the
    agent that holds the conversation, and its own words end its customer's wait. Returns the others,
    which nothing has been done about."""
    said = [one for one in recorded if one.event.type == "message.created" and one.message]
    agents = agents_of(one.conversation.assignee for one in said)
    undecided = _pass_rules([one for one in said if wants_answer(one.message)], agents)
    settled = {one.event.id for one in said} - undecided
    _serve([one for one in said if one.event.id in settled], agents)
    return [one for one in recorded if one.event.id not in settled and _concerns(one)]


def _concerns(one: Recorded) -> bool:
    """Whether anybody may want to know; most statuses are no news."""
    return one.event.type != "message.status" or _is_news(one.message, one.conversation)


def _pass_rules(asked: Sequence[Recorded], agents: Mapping[int, Agent]) -> set[str]:
    """Look at every rule for each message and store the decisions where none matches. Returns the
    events where one does, or whose agent may not answer: nothing has been done about them."""
    rules = _rules_of("message.created") if asked else []
    prefetch_related_objects([one.conversation for one in asked], "labels")
    undecided, decisions = set(), []
    for one in asked:
        agent = agents.get(one.conversation.assignee_id or 0)
        trace = _unmatched(rules, one)
        if trace is None or (agent and _hindrance(agent, one.conversation, one.message)):
            undecided.add(one.event.id)
            _forget_labels(one.conversation)
        elif rules:
            epoch = one.conversation.assignment_epoch
            decisions.append(trace.decision(one.event, one.conversation, epoch))
    Decision.objects.bulk_create(decisions)
    return undecided


def _unmatched(rules: Sequence[AssignmentRule], one: Recorded) -> _Trace | None:
    """What was seen when no rule matches; None when one does."""
    trace, facts = _Trace(), Facts(one.conversation, one.message)
    for rule in rules:
        if trace.look(rule, facts, trace.begin(rule)).matched:
            return None
    return trace


def _serve(said: Sequence[Recorded], agents: Mapping[int, Agent]) -> None:
    """Tell agents what their customers said; what they said themselves ends the wait."""
    tellings, reacted = [], []
    for event, conversation, message in said:
        agent = agents.get(conversation.assignee_id or 0)
        if agent is None or message is None:
            continue
        if _is_its_own(message, agent):
            reacted.append((conversation, agent))
        elif wants_answer(message):
            tellings.append(Telling(event, agent, conversation, message))
    push_messages(tellings)
    patience.reacted(reacted)


def _tell_update(event: Event, conversation: Conversation) -> None:
    """What others changed; an agent's own changes are no news to it."""
    agent = agent_of(conversation.assignee)
    if agent is None or event.data.get("actor") == agent.member.public_id:
        return
    hindered = obstacle(agent, agent.account)
    if hindered is None:
        push([Telling(event, agent, conversation)])
    elif conversation.status == Conversation.Status.OPEN:
        _to_people(conversation, agent, hindered)


def _tell_assignment(event: Event, conversation: Conversation, chain: _Chain) -> None:
    if event.epoch != conversation.assignment_epoch:
        return  # a rule has moved it on already
    agent = agent_of(conversation.assignee)
    if agent is None:
        return
    hindered = obstacle(agent, agent.account)
    if hindered is not None:
        _to_people(conversation, agent, hindered)
    else:
        push_assignment(event, agent, conversation, holding_back=chain.deciding)


def _hindrance(
    agent: Agent, conversation: Conversation, message: Message | None
) -> Obstacle | None:
    """Why this agent may not answer this message: its own state, or the message's age."""
    hindered = obstacle(agent, agent.account)
    if hindered is None and message is not None and message.sent_at is not None:
        late = timezone.now() - message.sent_at
        if late > TOO_LATE:
            minutes = int(late.total_seconds() // 60)
            return Obstacle(
                Reason.LATE_MESSAGE,
                _("written %(minutes)d minutes before it arrived") % {"minutes": minutes},
            )
    return hindered


def _to_people(conversation: Conversation, agent: Agent, why: Obstacle) -> None:
    _hand_off(conversation, to=agent.fallback_team, reason=why.reason, detail=why.detail)
    _catch_up(conversation)


def _hand_off(conversation: Conversation, *, to: Team | None, reason: str, detail: str) -> None:
    """Hand off; where nobody had it and nobody gets it, the thread says at least why."""
    epoch = conversation.assignment_epoch
    moved = services.hand_off(conversation, by=None, to=to, reason=reason, detail=detail)
    if moved.assignment_epoch == epoch:
        add_line(conversation, "assigned", to=moved.team, reason=reason, detail=detail)
