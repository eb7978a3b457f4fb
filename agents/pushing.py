"""Telling the agent that holds a conversation: deliveries on its lane, written with the event."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import QuerySet, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import ids
from accounts.models import Account, Member
from accounts.prepared import KEYS, fetched, prepared
from accounts.tenancy import current_account_id
from agents import dialects, patience
from agents.dialects import Builder, Occasion
from agents.models import Agent, AgentInbox
from conversations.models import Conversation, Delivery, Endpoint, Event, Lane, Message
from conversations.services import Reason, callbacks, outbox
from conversations.services.courtesies import acknowledge_many
from conversations.services.erasing import EVENT as ERASED
from conversations.services.inbound import SILENT_KINDS
from conversations.services.outbox import LaneName, Place
from conversations.signals import Recorded

HISTORY = 20
# Unanswered messages that follow an assignment; older ones stand in the history.
FOLLOWING = 20
# What brings a reply address, in dialects that want one.
ANSWERED_LATER = frozenset({"conversation.assigned", "message.created"})
# What serving a conversation needs to know of an agent.
SERVING = ("member", "endpoint", "fallback_team", "account")


class Obstacle(NamedTuple):
    """Why an agent gets nothing now."""

    reason: str
    detail: str


def agent_of(member: Member | None) -> Agent | None:
    """The agent behind a member, with what a delivery needs; None for people and nobody."""
    return agents_of([member]).get(member.pk) if member is not None else None


def agents_of(members: Iterable[Member | None]) -> dict[int, Agent]:
    """The agents behind members, by the member's id; people and nobody are left out."""
    return agents_with({member.pk for member in members if member is not None and member.is_agent})


def agents_with(members: Collection[int]) -> dict[int, Agent]:
    """The same of members' ids."""
    return {agent.member_id: agent for agent in _agents(members)} if members else {}


@prepared(KEYS)
def _agents(members: Collection[int]) -> QuerySet[Agent]:
    return Agent.objects.select_related(*SERVING).filter(member__among=members)


def followers_at(endpoints: Collection[int]) -> dict[Agent, set[int]]:
    """The agents at these endpoints, with the ids of the inboxes they are attached to."""
    agents = Agent.objects.select_related(*SERVING).filter(endpoint__among=endpoints).order_by("pk")
    attached: dict[int, set[int]] = {}
    rows = AgentInbox.objects.filter(agent__endpoint__among=endpoints)
    for agent_id, inbox_id in rows.values_list("agent_id", "inbox_id"):
        attached.setdefault(agent_id, set()).add(inbox_id)
    return {agent: attached.get(agent.pk, set()) for agent in agents}


def agent_by_id(public_id: str | None) -> Agent | None:
    """The agent whose member an event names (`mem_…`)."""
    if not public_id:
        return None
    member_id = ids.decode("mem", public_id)
    return Agent.objects.select_related(*SERVING).filter(member_id=member_id).first()


def obstacle(agent: Agent, account: Account) -> Obstacle | None:
    """Paused, deleted, switched off or spoken to in a dialect that is not installed."""
    if agent.state == Agent.State.DELETED:
        return Obstacle(Reason.AGENT_DELETED, "")
    if agent.state == Agent.State.PAUSED:
        return Obstacle(Reason.AGENT_PAUSED, "")
    if account.agents_paused:
        return Obstacle(Reason.AGENT_PAUSED, _("AI agents are paused everywhere"))
    if agent.endpoint.state != Endpoint.State.ENABLED:
        return Obstacle(Reason.AGENT_DISABLED, _(agent.endpoint.disabled_reason))
    if agent.dialect not in {dialect.slug for dialect in dialects.all_dialects()}:
        return Obstacle(
            Reason.AGENT_DISABLED,
            _("the dialect “%(name)s” is not installed") % {"name": agent.dialect},
        )
    return None


def failing(agent: Agent) -> Obstacle | None:
    """Its breaker is open: nobody waits for an address that has just failed (DL-61). When the time for
    a probe has come, whoever comes next is it."""
    endpoint = agent.endpoint
    shut = endpoint.breaker != Endpoint.Breaker.CLOSED
    if not shut or endpoint.probe_at is None or endpoint.probe_at <= timezone.now():
        return None
    at = timezone.localtime(endpoint.probe_at).strftime("%H:%M:%S %Z")
    why = _("it has failed too often and is tried again at %(time)s") % {"time": at}
    return Obstacle(Reason.AGENT_UNREACHABLE, why)


def wants_answer(message: Message | None) -> bool:
    """A customer said something, and it was not only a reaction to something else."""
    return (
        message is not None
        and message.direction == Message.Direction.INBOUND
        and message.kind not in SILENT_KINDS
    )


@dataclass(frozen=True, slots=True)
class Telling:
    """One event for one agent, with what its dialect may want to say about it.

    `again`: it is told under a new assignment, so its wire id must differ from the one this endpoint
    may have seen.
    """

    event: Event
    agent: Agent
    conversation: Conversation
    message: Message | None = None
    history: Sequence[Message] = ()
    previous: Member | None = None
    again: bool = False
    # For it to know: nobody waits for an answer, and its failing is held against nobody.
    notice: bool = False

    @property
    def wire_id(self) -> str:
        suffix = self.agent.endpoint.public_id.removeprefix("end_")
        epoch = f"-{self.conversation.assignment_epoch}" if self.again else ""
        return f"{self.event.id}-{suffix}{epoch}"

    @property
    def recorded(self) -> Recorded:
        return Recorded(self.event, self.conversation, self.message)


class Request(NamedTuple):
    """One of the requests by which a dialect tells an event; the first has the event's own wire id."""

    telling: Telling
    name: str
    number: int

    @property
    def wire_id(self) -> str:
        own = self.telling.wire_id
        return f"{own}-{_LETTERS[self.number]}" if self.number else own

    @property
    def event_type(self) -> str:
        """Ours for what is waited for, the dialect's for a notice, which so is never taken for the other."""
        return self.name if self.telling.notice else self.telling.event.type


_LETTERS = string.ascii_lowercase


def push(tellings: Sequence[Telling]) -> None:
    """Put events on the agents' lanes, unless their dialect says nothing about them.

    The bodies are made here, once (DL-36).
    """
    requests = [
        Request(one, name, number)
        for one in tellings
        for number, name in enumerate(
            dialects.get(one.agent.dialect).names(one.event, one.conversation)
        )
    ]
    places = outbox.take_places(
        current_account_id(),
        [
            LaneName(Lane.Kind.AGENT, one.agent.endpoint_id, one.conversation.public_id)
            for one, _name, _number in requests
        ],
    )
    builders = _builders([request.telling for request in requests])
    deliveries: list[Delivery] = []
    issued: list[callbacks.Issued] = []
    skipped: Counter[int] = Counter()
    for request, taken in zip(requests, places, strict=True):
        one = request.telling
        # Who is not spoken to leaves no gap in the lane's numbers.
        place = replace(taken, sequence=taken.sequence - skipped[taken.lane_id])
        until = _callback_until(one, place.at)
        token = callbacks.new_token() if until else ""
        body = builders[one.agent.dialect](_occasion(request, place, token))
        if body is None:
            skipped[place.lane_id] += 1
            continue
        delivery = _delivery(request, place, body)
        deliveries.append(delivery)
        if until:
            issued.append(callbacks.Issued(token, delivery, until))
    outbox.put_many(deliveries)
    outbox.give_back(skipped)
    callbacks.keep(issued)


def _callback_until(one: Telling, now: datetime) -> datetime | None:
    """Until when this may be answered through a callback; None where none is offered."""
    wanted = dialects.get(one.agent.dialect).wants_callback
    if not wanted or one.event.type not in ANSWERED_LATER:
        return None
    until = callbacks.end_of(one.conversation, one.message, now=now)
    return until if until > now else None


def _builders(tellings: Sequence[Telling]) -> dict[str, Builder]:
    """What builds the bodies of each dialect."""
    told: dict[str, list[Recorded]] = {}
    for one in tellings:
        told.setdefault(one.agent.dialect, []).append(one.recorded)
    return {slug: dialects.get(slug).builder(recorded) for slug, recorded in told.items()}


def _occasion(request: Request, place: Place, token: str) -> Occasion:
    one = request.telling
    return Occasion(
        event=one.event,
        agent=one.agent,
        conversation=one.conversation,
        name=request.name,
        sequence=place.sequence,
        wire_id=request.wire_id,
        message=one.message,
        history=one.history,
        previous=one.previous,
        reply_url=callbacks.url_of(token) if token else "",
    )


def _delivery(request: Request, place: Place, body: bytes) -> Delivery:
    one = request.telling
    lasting = one.event.type == ERASED
    deadline = None if lasting else place.at + timedelta(seconds=one.agent.patience_s)
    return outbox.delivery_at(
        place,
        kind=Lane.Kind.AGENT,
        schedule=_schedule(one),
        wire_id=request.wire_id,
        event_id=one.event.id,
        event_type=request.event_type,
        endpoint=one.agent.endpoint,
        conversation=one.conversation,
        message=one.message,
        epoch=one.conversation.assignment_epoch,
        deadline_at=deadline,
        body=body,
    )


def _schedule(one: Telling) -> Delivery.Schedule:
    if one.notice:
        return Delivery.Schedule.NOTICE
    # No customer waits for an agent to forget, and it has to hear of it however long it is down (F-32).
    return Delivery.Schedule.DURABLE if one.event.type == ERASED else Delivery.Schedule.LIVE


def push_messages(tellings: Sequence[Telling]) -> None:
    """Customers' messages: the agents get them, their patience begins, customers see “typing”."""
    push(tellings)
    _begin_waiting([(one.conversation, one.agent) for one in tellings])


class Handover(NamedTuple):
    """A conversation that an agent got."""

    event: Event
    agent: Agent
    conversation: Conversation
    # The message whose rules made the assignment; it is told by itself afterwards.
    held_back: Message | None


def push_assignments(handovers: Sequence[Handover]) -> None:
    """Tell new holders what they got: history and hand-off context, then what nobody answered."""
    if not handovers:
        return
    threads = _threads(handovers)
    unanswered = {
        one.conversation.pk: _unanswered(threads[one.conversation.pk], one.agent)
        for one in handovers
    }
    events = _events_of(unanswered)
    tellings: list[Telling] = []
    for event, agent, conversation, _held_back in handovers:
        following = unanswered[conversation.pk]
        begin = following[0].pk if following else None
        known = [one for one in threads[conversation.pk] if begin is None or one.pk < begin]
        if not agent.endpoint.follows:  # it has heard so with everybody who follows
            previous = _member(conversation, event.data.get("previous"))
            tellings.append(
                Telling(event, agent, conversation, history=known[-HISTORY:], previous=previous)
            )
        tellings += [
            Telling(events[message.public_id], agent, conversation, message, again=True)
            for message in following
        ]
    push(tellings)
    _begin_waiting(
        [
            (conversation, agent)
            for _event, agent, conversation, _held_back in handovers
            if unanswered[conversation.pk]
        ]
    )


def push_farewell(event: Event, agent: Agent, conversation: Conversation) -> None:
    """The agent lost the conversation: what waits is canceled, and it is told so.

    An assignment that never went out needs no farewell. One that follows the inbox hears of everything
    whoever holds it, this included: while it may work, it is told what it was asked, and asked no more.
    """
    if agent.endpoint.follows and obstacle(agent, agent.account) is None:
        asked = outbox.cancel_questions(conversation, endpoint_id=agent.endpoint_id)
        tell_anew(asked, {conversation.pk: conversation})
        return
    outbox.cancel_for_agent(conversation, endpoint_id=agent.endpoint_id, reason=outbox.NOT_ASSIGNED)
    if agent.endpoint.follows:
        return
    told = (
        Delivery.objects.filter(
            conversation=conversation, endpoint_id=agent.endpoint_id, epoch=event.epoch - 1
        )
        .exclude(event_type__in=outbox.FAREWELLS)
        .exclude(state=Delivery.State.CANCELED, attempts=0)
    )
    if told.exists():
        push([Telling(event, agent, conversation)])


def tell_anew(questions: Sequence[Delivery], conversations: Mapping[int, Conversation]) -> None:
    """Tell agents that follow the inbox what they were asked and lost unheard, as it is now: as notices, each
    once. `questions` were canceled; `conversations`, by id, are locked. Replays are left out, for their
    first one was told."""
    lost = [
        one
        for one in questions
        if one.schedule == Delivery.Schedule.LIVE and one.message_id and one.replay_of_id is None
    ]
    if not lost:
        return
    followers = {
        agent.endpoint_id: agent
        for agent in followers_at({one.endpoint_id or 0 for one in lost})
        if agent.endpoint.follows and obstacle(agent, agent.account) is None
    }
    events = Event.objects.in_bulk({one.event_id or "" for one in lost})
    messages = Message.objects.in_bulk({one.message_id for one in lost})
    prefetch_related_objects(list(messages.values()), "author", "reply_to", "attachments")
    heard = _noticed(events, followers)
    push(
        [
            Telling(
                events[one.event_id or ""],
                followers[one.endpoint_id or 0],
                conversations[one.conversation_id or 0],
                messages[one.message_id or 0],
                again=True,
                notice=True,
            )
            for one in lost
            if one.endpoint_id in followers
            and one.event_id in events
            and one.message_id in messages
            and (one.endpoint_id, one.event_id) not in heard
        ]
    )


def _noticed(events: Collection[str], endpoints: Collection[int]) -> set[tuple[int | None, str]]:
    """Which of these events have been told as notices already, by endpoint."""
    notices = Delivery.objects.filter(
        event_id__in=events, endpoint__in=endpoints, schedule=Delivery.Schedule.NOTICE
    ).exclude(state=Delivery.State.CANCELED)
    return set(notices.values_list("endpoint_id", "event_id"))


def agents_told(conversation: Conversation) -> list[Agent]:
    """The agents that have heard of the conversation and can still be reached."""
    told = Delivery.objects.filter(conversation=conversation, kind=Lane.Kind.AGENT, attempts__gt=0)
    return list(
        Agent.objects.select_related(*SERVING)
        .filter(endpoint__in=told.values("endpoint"), endpoint__state=Endpoint.State.ENABLED)
        .order_by("pk")
    )


def _begin_waiting(served: Sequence[patience.Served]) -> None:
    patience.start(served)
    acknowledge_many([conversation for conversation, _agent in served], typing=True)


def _answers(message: Message, agent: Agent) -> bool:
    """Somebody who had it said it, at the desk or on the phone itself, or `agent`, which gets it, has said it
    already without having it; automatic texts answer nobody."""
    if message.direction != Message.Direction.OUTBOUND:
        return False
    if message.author_id is None:
        return bool(message.content.get("device"))
    return not message.content.get("late") or message.author_id == agent.member_id


def _unanswered(thread: Sequence[Message], agent: Agent) -> list[Message]:
    """What the customer has said since somebody last answered, for `agent`; the newest of it."""
    answered = len(thread)
    while answered and not _answers(thread[answered - 1], agent):
        answered -= 1
    return [message for message in thread[answered:] if wants_answer(message)][-FOLLOWING:]


_THREADS = """
SELECT message.*
FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (conversation_id, before)
CROSS JOIN LATERAL (
    SELECT * FROM conversations_message
    WHERE conversation_id = wanted.conversation_id AND id < wanted.before
      AND direction IN ('inbound', 'outbound') AND deleted_at IS NULL
    ORDER BY id DESC LIMIT %s) message
ORDER BY message.id
"""
_LAST = 2**63 - 1


def _threads(handovers: Sequence[Handover]) -> dict[int, list[Message]]:
    """The last words that each customer and the desk exchanged, oldest first, by conversation."""
    before = [one.held_back.pk if one.held_back else _LAST for one in handovers]
    asked = [[one.conversation.pk for one in handovers], before, HISTORY + FOLLOWING]
    messages = fetched(Message, _THREADS, asked)
    prefetch_related_objects(messages, "author", "reply_to", "attachments")
    threads: dict[int, list[Message]] = {one.conversation.pk: [] for one in handovers}
    for message in messages:
        threads[message.conversation_id].append(message)
    return threads


def _events_of(messages: Mapping[int, Sequence[Message]]) -> dict[str, Event]:
    """The `message.created` event of each message, by the message's public id."""
    wanted = [message.public_id for said in messages.values() for message in said]
    if not wanted:
        return {}
    events = Event.objects.filter(
        conversation__among=[pk for pk, said in messages.items() if said],
        type="message.created",
        data__message__in=wanted,
    )
    return {event.data["message"]: event for event in events}


def _member(conversation: Conversation, public_id: str | None) -> Member | None:
    if not public_id:
        return None
    return Member.objects.filter(
        account_id=conversation.account_id, pk=ids.decode("mem", public_id)
    ).first()
