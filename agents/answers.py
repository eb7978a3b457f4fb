"""What comes of an agent's answer: all of it in one transaction, behind the epoch fence."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import ids
from accounts.audit import audit
from accounts.models import Member, Team
from accounts.prepared import KEYS, WORDS, prepared
from agents import dialects, moving, patience
from agents.actions import (
    Action,
    AddLabels,
    Answer,
    Assign,
    HandOff,
    Note,
    RemoveLabels,
    Resolve,
    Say,
    SetAttributes,
    Typing,
)
from agents.dialects import UnreadableAnswerError
from agents.models import Agent
from agents.pushing import SERVING
from conversations import services
from conversations.errors import DeskError, NotHolderError
from conversations.models import Attempt, Conversation, Delivery, Message
from conversations.services import Reason, endpoints
from conversations.services.courtesies import acknowledge
from conversations.services.holding import check_may_speak
from conversations.services.lines import add_line
from conversations.services.locking import lock, lock_many

logger = logging.getLogger(__name__)

# Where an answer in the response is taken. Statuses and farewells ask nothing: an agent that answers
# everything with words would otherwise talk to its own echo.
TAKES_ANSWER = frozenset({"conversation.assigned", "message.created", "conversation.updated"})

# What became of an answer with more than words, of an agent that may speak without having the conversation.
WORDS_ONLY = "late: only its words were taken"

_ANSWERED = "UPDATE conversations_delivery SET answered_at = now() WHERE id = ANY(%s)"


class MistakenActionError(DeskError):
    """An agent asked for something that does not exist or that it may not do."""

    code = "mistaken_action"


# --- The courier's two calls ---------------------------------------------------------------------


def settle(
    delivery: Delivery,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    late: bool = False,
) -> str:
    """Read the answer to a delivery and do what it asks; returns one line for the attempt.

    Called inside `account_context`, in the transaction that marks the delivery DELIVERED. `late`: the
    answer came after the time limit. Returns `ok`, `no answer`, `answered before` (one wire id has one
    answer, DL-37), `late`, `late: only its words were taken` (`Agent.stale_gate`), `stale_epoch`,
    `unreadable: …` or `refused: …`; the last two changed nothing. Never raises for what an agent sent.
    """
    agent = _agent_of(delivery)
    if agent is None or delivery.conversation_id is None:
        return "no answer"
    if delivery.event_type not in TAKES_ANSWER:
        return "no answer"
    conversation = lock(delivery.conversation_id)
    try:
        answer = dialects.get(agent.dialect).read_answer(status, headers, body)
    except UnreadableAnswerError as error:
        _tell_people(conversation, agent, str(error))
        return f"unreadable: {error}"
    if not answer:
        return "no answer"
    if _answered([delivery]):
        return "answered before"
    try:
        outcome = _settle(conversation, agent, answer, delivery, late=late)
    except DeskError as error:
        _tell_people(conversation, agent, error.message)
        return f"refused: {error.message}"
    _mark_answered([delivery])
    return outcome


@dataclass(frozen=True, slots=True)
class Response:
    """What an agent answered to a delivery, in time."""

    delivery: Delivery
    status: int
    headers: Mapping[str, str]
    body: bytes


def settle_many(responses: Sequence[Response]) -> dict[int, str]:
    """`settle` for all that is plain, with as many statements as for one: nothing said, or one message
    of the agent that holds the conversation. Returns the lines by the responses' places; the others are
    left for `settle`. Raises, and has then changed nothing, where a plain one cannot be done."""
    agents = _agents_at({one.delivery.endpoint_id or 0 for one in responses})
    lines: dict[int, str] = {}
    said: dict[int, Say] = {}
    for place, one in enumerate(responses):
        answer = _plain_answer(one, agents)
        if answer is not None and not answer:
            lines[place] = "no answer"
        elif answer is not None and isinstance(answer.actions[0], Say):
            said[place] = answer.actions[0]
    conversations = lock_many([responses[place].delivery.conversation_id or 0 for place in said])
    answered = _answered([responses[place].delivery for place in said])
    sayings = {}
    for place, say in said.items():
        delivery = responses[place].delivery
        agent = agents[delivery.endpoint_id or 0]
        conversation = conversations.get(delivery.conversation_id or 0)
        if conversation is None or not _holds(agent, conversation, delivery):
            continue
        if delivery.wire_id not in answered:
            own_id = say.client_id or f"{delivery.wire_id}:0"
            sayings[place] = services.Saying(
                conversation, say.content, agent.member, client_id=own_id
            )
    services.post_messages(list(sayings.values()))
    _mark_answered([responses[place].delivery for place in sayings])
    return lines | dict.fromkeys(sayings, "ok")


def _plain_answer(one: Response, agents: Mapping[int, Agent]) -> Answer | None:
    """The answer, if it says nothing or one message; None for everything else."""
    agent = agents.get(one.delivery.endpoint_id or 0)
    if agent is None or one.delivery.event_type not in TAKES_ANSWER:
        return None
    try:
        answer = dialects.get(agent.dialect).read_answer(one.status, one.headers, one.body)
    except UnreadableAnswerError:
        return None
    match answer.actions:
        case () | (Say(reply_to=""),):
            return answer
    return None


def _holds(agent: Agent, conversation: Conversation, delivery: Delivery) -> bool:
    return (
        conversation.assignee_id == agent.member_id
        and conversation.assignment_epoch == delivery.epoch
    )


def _settle(
    conversation: Conversation, agent: Agent, answer: Answer, delivery: Delivery, *, late: bool
) -> str:
    if late:
        return withhold(conversation, agent, answer, reason="late")
    try:
        said = apply_answer(
            conversation, agent, answer, epoch=delivery.epoch, client_prefix=delivery.wire_id
        )
    except NotHolderError:
        return withhold(conversation, agent, answer, reason="stale_epoch")
    came_late = any(message.content.get("late") for message in said)
    return WORDS_ONLY if came_late and len(answer.actions) > len(said) else "ok"


def delivery_failed(delivery: Delivery, *, reason: str) -> None:
    """A delivery is dead: people get the conversation, once.

    `reason` is `agent_unreachable`, `agent_rejected`, `agent_timeout` or `agent_disabled` (the agent
    answered 410, or its endpoint is off: then people get all its conversations, DL-33).
    Called inside `account_context`, in the transaction that marks the delivery DEAD.
    """
    agent = _agent_of(delivery)
    if agent is None:
        return
    if reason == Reason.AGENT_DISABLED:
        switch_off(agent, detail=agent.endpoint.disabled_reason or endpoints.GONE)
        return
    if delivery.event_type not in patience.ASKING or delivery.conversation_id is None:
        return
    if delivery.replay_of_id is not None:
        return  # nobody waits for it: customers wait for what was told at first, with its own patience
    conversation = lock(delivery.conversation_id)
    held = conversation.assignee_id == agent.member_id
    if not held or conversation.assignment_epoch != delivery.epoch:
        return
    last = Attempt.objects.filter(delivery=delivery).order_by("-n").first()
    patience.give_to_people(
        conversation,
        agent,
        reason=reason,
        detail=patience.describe_attempt(last) if last else "",
    )


def switch_off(agent: Agent, *, detail: str) -> None:
    """Disable the endpoint at once; people get every open conversation of the agent, the first in this
    transaction (agents/moving.py)."""
    Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    if endpoints.switch_off(agent.endpoint, detail=detail):
        endpoints.tell_owners(agent.endpoint, endpoints.OFF, path=page_of_agent(agent))
        audit("agent.endpoint_disabled", by=None, target=agent, reason=detail)
        logger.warning("endpoint_disabled agent=%s", agent.public_id)
    moving.follow([agent], by=None)


def page_of_agent(agent: Agent) -> str:
    return reverse("agent", args=[agent.public_id])


def _agent_of(delivery: Delivery) -> Agent | None:
    endpoint_id = delivery.endpoint_id or 0
    return _agents_at({endpoint_id}).get(endpoint_id)


def _agents_at(endpoints: Collection[int]) -> dict[int, Agent]:
    return {agent.endpoint_id: agent for agent in _serving(endpoints)}


@prepared(KEYS)
def _serving(endpoints: Collection[int]) -> QuerySet[Agent]:
    return Agent.objects.select_related(*SERVING).filter(endpoint__among=endpoints)


def _answered(deliveries: Sequence[Delivery]) -> set[str]:
    """The wire ids that have had their answer; a replay is another row with the same one."""
    if not deliveries:
        return set()
    return {wire_id for (wire_id,) in _with_answers([one.wire_id for one in deliveries])}


@prepared(WORDS)
def _with_answers(wire_ids: Collection[str]) -> QuerySet[Delivery, tuple[str]]:
    answered = Delivery.objects.filter(wire_id__among=wire_ids, answered_at__isnull=False)
    return answered.values_list("wire_id")


def _mark_answered(deliveries: Sequence[Delivery]) -> None:
    if deliveries:
        with connection.cursor() as cursor:
            cursor.execute(_ANSWERED, [[one.pk for one in deliveries]])


def withhold(conversation: Conversation, agent: Agent, answer: Answer, *, reason: str) -> str:
    """Keep the words as drafts for whoever holds it now; everything else is dropped (DL-39)."""
    for action in answer.actions:
        if isinstance(action, Say) and conversation.contact.erased_at is None:
            services.keep_draft(
                conversation, content=action.content, author=agent.member, reason=reason
            )
    return reason


def _tell_people(conversation: Conversation, agent: Agent, error: str) -> None:
    add_line(conversation, "answer_refused", by=agent.member, detail=error[:500])


# --- Doing it ------------------------------------------------------------------------------------


def apply_answer(
    conversation: Conversation,
    agent: Agent,
    answer: Answer,
    *,
    epoch: int | None = None,
    client_prefix: str = "",
) -> list[Message]:
    """Do everything of one answer in order, or nothing of it; returns the messages it made.

    What gives the conversation away (hand-off, assignment, resolving) is done last, at most one of
    them. `epoch` is the one the agent was given it under. Messages without a client id of their own
    get `<client_prefix>:<n>`, so that the same answer twice says everything once. Raises
    `NotHolderError` for an agent that does not hold it (any more), `MistakenActionError` and the other
    `DeskError`s for what cannot be done. Of one that may speak nevertheless only the words are taken:
    everything else is the holder's, and an answer without words is refused.
    """
    with transaction.atomic():
        conversation = lock(conversation)
        if check_may_speak(conversation, agent.member, epoch=epoch):
            answer = Answer(_words(answer))
            if not answer:
                raise NotHolderError
        leaving = [action for action in answer.actions if isinstance(action, _LEAVING)]
        if len(leaving) > 1:
            raise MistakenActionError(
                _("An answer can give the conversation away once: by hand-off, assign or resolve.")
            )
        said: list[Message] = []
        for action in [*(a for a in answer.actions if not isinstance(a, _LEAVING)), *leaving]:
            if isinstance(action, Say):
                own_id = f"{client_prefix}:{len(said)}"
                said.append(_say(conversation, agent, action, own_id, epoch=epoch))
            else:
                _do(conversation, agent, action)
        return said


_LEAVING = (HandOff, Assign, Resolve)


def _words(answer: Answer) -> tuple[Say, ...]:
    return tuple(action for action in answer.actions if isinstance(action, Say))


def _say(
    conversation: Conversation, agent: Agent, say: Say, own_id: str, *, epoch: int | None
) -> Message:
    reply_to = _message(conversation, say.reply_to) if say.reply_to else None
    client_id = say.client_id or ("" if own_id.startswith(":") else own_id)
    return services.post_message(
        conversation,
        content=say.content,
        author=agent.member,
        reply_to=reply_to,
        client_id=client_id,
        epoch=epoch,
    )


def _do(conversation: Conversation, agent: Agent, action: Action) -> None:
    by = agent.member
    match action:
        case Note(text):
            services.add_note(conversation, text=text, author=by)
        case AddLabels(names):
            services.add_labels(conversation, names, by=by)
        case RemoveLabels(names):
            services.remove_labels(conversation, names, by=by)
        case SetAttributes(values, on):
            services.set_attributes(conversation, values, by=by, on=on)
        case Typing():
            patience.extend(conversation, agent)
            acknowledge(conversation, typing=True)
        case HandOff():
            services.hand_off(
                conversation,
                by=by,
                to=_team(action.team) if action.team else agent.fallback_team,
                detail=action.reason,
                summary=action.summary,
            )
        case Assign():
            _assign(conversation, agent, action)
        case Resolve(reason):
            # Its last word crossed the customer's next one: that would be closed unread.
            if not patience.has_unheard(conversation, agent):
                services.resolve(conversation, by=by, detail=reason)


def _assign(conversation: Conversation, agent: Agent, action: Assign) -> None:
    """To people: that is a hand-off. To another agent only where the account allows it (SX-23)."""
    target = _team(action.team) if action.team else _member(agent, action.member)
    if isinstance(target, Member) and target.is_agent:
        if target == agent.member:
            raise MistakenActionError(_("You hold this conversation already."))
        if not agent.account.settings.get("agents_may_assign_agents"):
            raise MistakenActionError(
                _("AI agents may not give conversations to other AI agents in this account.")
            )
        services.assign(conversation, to=target, by=agent.member, detail=action.reason)
        return
    services.hand_off(conversation, by=agent.member, to=target, detail=action.reason)


def _message(conversation: Conversation, public_id: str) -> Message:
    found = None
    try:
        pk = ids.decode("msg", public_id)
    except ValueError:
        pk = 0
    if pk:
        found = Message.objects.filter(pk=pk, conversation=conversation).first()
    if found is None:
        raise MistakenActionError(
            _("There is no message %(id)s in this conversation.") % {"id": public_id[:40]}
        )
    return found


M = TypeVar("M", Team, Member)


def _by_id_or_name(candidates: QuerySet[M], prefix: str, name: str) -> M | None:
    """The one with this opaque id, else the only one with this exact name."""
    try:
        return candidates.filter(pk=ids.decode(prefix, name)).first()
    except ValueError:
        named = list(candidates.filter(name=name)[:2])
        return named[0] if len(named) == 1 else None


def _team(name: str) -> Team:
    """By opaque id, or by exact name."""
    found = _by_id_or_name(Team.objects.all(), "tem", name)
    if found is None:
        raise MistakenActionError(_("There is no team “%(name)s”.") % {"name": name[:60]})
    return found


def _member(agent: Agent, name: str) -> Member:
    found = _by_id_or_name(Member.objects.active().filter(account=agent.account), "mem", name)
    if found is None:
        raise MistakenActionError(_("There is no member “%(name)s”.") % {"name": name[:60]})
    return found
