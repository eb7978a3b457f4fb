"""Telling the agent that holds a conversation: deliveries on its lane, written with the event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import ids
from accounts.models import Account, Member
from agents import dialects, patience
from agents.dialects import Occasion
from agents.models import Agent
from conversations.models import Conversation, Delivery, Endpoint, Event, Lane, Message
from conversations.services import Reason, outbox
from conversations.services.courtesies import acknowledge
from conversations.services.inbound import SILENT_KINDS

HISTORY = 20
# Unanswered messages that follow an assignment; older ones stand in the history.
FOLLOWING = 20


class Obstacle(NamedTuple):
    """Why an agent gets nothing now."""

    reason: str
    detail: str


def agent_of(member: Member | None) -> Agent | None:
    """The agent behind a member, with what a delivery needs; None for people and nobody."""
    if member is None or not member.is_agent:
        return None
    return (
        Agent.objects.select_related("member", "endpoint", "fallback_team", "account")
        .filter(member=member)
        .first()
    )


def agent_by_id(public_id: str | None) -> Agent | None:
    """The agent whose member an event names (`mem_…`)."""
    if not public_id:
        return None
    member_id = ids.decode("mem", public_id)
    return (
        Agent.objects.select_related("member", "endpoint", "fallback_team", "account")
        .filter(member_id=member_id)
        .first()
    )


def obstacle(agent: Agent, account: Account) -> Obstacle | None:
    """Paused, deleted, switched off or spoken to in a dialect that is not installed."""
    if agent.state == Agent.State.DELETED:
        return Obstacle(Reason.AGENT_DELETED, "")
    if agent.state == Agent.State.PAUSED:
        return Obstacle(Reason.AGENT_PAUSED, "")
    if account.agents_paused:
        return Obstacle(Reason.AGENT_PAUSED, _("AI agents are paused everywhere"))
    if agent.endpoint.state != Endpoint.State.ENABLED:
        return Obstacle(Reason.AGENT_DISABLED, agent.endpoint.disabled_reason)
    if agent.dialect not in {dialect.slug for dialect in dialects.all_dialects()}:
        return Obstacle(
            Reason.AGENT_DISABLED,
            _("the dialect “%(name)s” is not installed") % {"name": agent.dialect},
        )
    return None


def wants_answer(message: Message | None) -> bool:
    """A customer said something, and it was not only a reaction to something else."""
    return (
        message is not None
        and message.direction == Message.Direction.INBOUND
        and message.kind not in SILENT_KINDS
    )


def push(
    event: Event,
    agent: Agent,
    conversation: Conversation,
    *,
    message: Message | None = None,
    history: Sequence[Message] = (),
    previous: Member | None = None,
    again: bool = False,
) -> Delivery | None:
    """Put one event on the agent's lane; None when its dialect says nothing about it.

    The body is made here, once (DL-36). `again`: the event is told under a new assignment, so its wire
    id must differ from the one this endpoint may have seen.
    """
    dialect = dialects.get(agent.dialect)
    if event.type not in dialect.event_types:
        return None
    suffix = agent.endpoint.public_id.removeprefix("end_")
    wire_id = f"{event.id}-{suffix}" + (f"-{conversation.assignment_epoch}" if again else "")
    with transaction.atomic():
        place = outbox.take_place(
            account_id=conversation.account_id,
            kind=Lane.Kind.AGENT,
            destination_id=agent.endpoint_id,
            key=conversation.public_id,
        )
        body = dialect.build(
            Occasion(
                event=event,
                agent=agent,
                conversation=conversation,
                sequence=place.sequence,
                wire_id=wire_id,
                message=message,
                history=history,
                previous=previous,
            )
        )
        if body is None:
            transaction.set_rollback(True)  # the lane's numbers have no gap
            return None
        return outbox.put(
            place,
            kind=Lane.Kind.AGENT,
            schedule=Delivery.Schedule.LIVE,
            wire_id=wire_id,
            event_id=event.id,
            event_type=event.type,
            endpoint=agent.endpoint,
            conversation=conversation,
            message=message,
            epoch=conversation.assignment_epoch,
            deadline_at=timezone.now() + timedelta(seconds=agent.patience_s),
            body=body,
        )


def push_message(event: Event, agent: Agent, conversation: Conversation, message: Message) -> None:
    """A customer's message: the agent gets it, its patience begins, the customer sees “typing”."""
    push(event, agent, conversation, message=message)
    _begin_waiting(conversation, agent)


def push_assignment(
    event: Event, agent: Agent, conversation: Conversation, *, holding_back: Message | None = None
) -> None:
    """Tell a new holder what it got: history and hand-off context, then what nobody answered.

    `holding_back` is the message whose rules made this assignment; it is told by itself afterwards.
    """
    thread = _thread(conversation, before=holding_back)
    answered = len(thread)
    while answered and not _answers(thread[answered - 1]):
        answered -= 1
    unanswered = [message for message in thread[answered:] if wants_answer(message)][-FOLLOWING:]
    begin = unanswered[0].pk if unanswered else None
    known = [message for message in thread if begin is None or message.pk < begin]
    push(
        event,
        agent,
        conversation,
        history=known[-HISTORY:],
        previous=_member(conversation, event.data.get("previous")),
    )
    events = _events_of(conversation, unanswered)
    for message in unanswered:
        push(events[message.public_id], agent, conversation, message=message, again=True)
    if unanswered:
        _begin_waiting(conversation, agent)


def push_farewell(event: Event, agent: Agent, conversation: Conversation) -> None:
    """The agent lost the conversation: what waits is canceled, and it is told so.

    An assignment that never went out needs no farewell.
    """
    outbox.cancel_for_agent(conversation, endpoint_id=agent.endpoint_id, reason="not_assigned")
    told = (
        Delivery.objects.filter(
            conversation=conversation, endpoint_id=agent.endpoint_id, epoch=event.epoch - 1
        )
        .exclude(event_type__in=outbox.FAREWELLS)
        .exclude(state=Delivery.State.CANCELED, attempts=0)
    )
    if told.exists():
        push(event, agent, conversation)


def _begin_waiting(conversation: Conversation, agent: Agent) -> None:
    patience.start(conversation, agent)
    acknowledge(conversation, typing=True)


def _answers(message: Message) -> bool:
    """Somebody said it, at the desk or on the phone itself; automatic texts answer nobody."""
    return message.direction == Message.Direction.OUTBOUND and (
        message.author_id is not None or bool(message.content.get("device"))
    )


def _thread(conversation: Conversation, *, before: Message | None) -> list[Message]:
    """The last words that customer and desk exchanged, oldest first."""
    messages = Message.objects.filter(
        conversation=conversation,
        direction__in=(Message.Direction.INBOUND, Message.Direction.OUTBOUND),
        deleted_at__isnull=True,
    )
    if before is not None:
        messages = messages.filter(pk__lt=before.pk)
    recent = (
        messages.select_related("author", "reply_to")
        .prefetch_related("attachments")
        .order_by("-id")[: HISTORY + FOLLOWING]
    )
    return list(recent)[::-1]


def _events_of(conversation: Conversation, messages: Sequence[Message]) -> dict[str, Event]:
    """The `message.created` event of each message, by the message's public id."""
    if not messages:
        return {}
    events = Event.objects.filter(
        conversation=conversation,
        type="message.created",
        data__message__in=[message.public_id for message in messages],
    )
    return {event.data["message"]: event for event in events}


def _member(conversation: Conversation, public_id: str | None) -> Member | None:
    if not public_id:
        return None
    return Member.objects.filter(
        account_id=conversation.account_id, pk=ids.decode("mem", public_id)
    ).first()
