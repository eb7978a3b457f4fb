"""Whoever holds a conversation is told what happens in it; who cannot be told does not keep it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from django.db.models import QuerySet, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Team
from accounts.prepared import KEYS, prepared
from agents import patience
from agents.models import Agent
from agents.pushing import (
    Handover,
    Obstacle,
    Telling,
    agent_by_id,
    agent_of,
    agents_of,
    agents_told,
    agents_with,
    failing,
    followers_at,
    obstacle,
    push,
    push_assignments,
    push_farewell,
    push_messages,
    wants_answer,
)
from conversations import services
from conversations.messages import MEDIA_KINDS, DeliveryStatus
from conversations.models import Conversation, ConversationLabel, Event, Message
from conversations.services import Reason
from conversations.services.erasing import EVENT as ERASED
from conversations.services.lines import add_line
from conversations.services.locking import lock
from conversations.signals import Recorded

# What an event shows of its conversation.
_SHOWN = ("inbox", "address", "contact")
# Later than this an agent does not answer by itself (channels.md 2.4).
TOO_LATE = timedelta(hours=1)


def tell(
    event: Event, conversation: Conversation, message: Message | None, deciding: Message | None
) -> None:
    """Tell the holder of one event. `deciding` is the message whose rules run now, if any do."""
    match event.type:
        case "message.created" if message is not None:
            _tell_message(event, conversation, message)
        case "message.status":
            tell_statuses([Recorded(event, conversation, message)])
        case "conversation.updated":
            _tell_update(event, conversation)
        case "conversation.assigned":
            held_back = {conversation.pk: deciding} if deciding else {}
            tell_assignments([Recorded(event, conversation, None)], held_back)
        case "conversation.unassigned" | "conversation.resolved":
            previous = agent_by_id(event.data.get("previous"))
            if previous is not None:
                push_farewell(event, previous, conversation)
        case "contact.erased":
            push([Telling(event, agent, conversation) for agent in agents_told(conversation)])


def is_news(message: Message | None, conversation: Conversation) -> bool:
    """Whether a status tells the holder something about its own words. That the channel took them is
    no news to whoever said them; what became of them is."""
    return (
        message is not None
        and message.status != DeliveryStatus.SENT
        and message.author_id is not None
        and message.author_id == conversation.assignee_id
    )


def tell_statuses(recorded: Sequence[Recorded]) -> None:
    """Tell agents what became of their own words. Most statuses are no news to anybody."""
    news = [one for one in recorded if is_news(one.message, one.conversation)]
    agents = agents_with({one.conversation.assignee_id or 0 for one in news})
    heard = {
        pk: agent
        for pk, agent in agents.items()
        if obstacle(agent, agent.account) is None and not agent.endpoint.follows
    }
    tellings = [
        Telling(one.event, heard[one.conversation.assignee_id], one.conversation, one.message)
        for one in news
        if one.conversation.assignee_id in heard
    ]
    _read_shown(tellings)
    push(tellings)
    for telling in tellings:
        forget_labels(telling.conversation)


def _read_shown(tellings: Sequence[Telling]) -> None:
    """What the events show of agents' own words and of where they were said; what prefetching does, which
    takes as long as everything else about a status."""
    conversations = {one.conversation.pk: one.conversation for one in tellings}
    shown = {one.pk: one for one in _shown(conversations)} if conversations else {}
    for one in tellings:
        conversation, known = one.conversation, shown[one.conversation.pk]
        conversation.assignee = one.agent.member
        conversation.inbox, conversation.address = known.inbox, known.address
        conversation.contact = known.contact
        if one.message is not None:
            one.message.author = one.agent.member
    read_labels([one.conversation for one in tellings])
    messages = [one.message for one in tellings if one.message is not None]
    prefetch_related_objects([one for one in messages if one.reply_to_id], "reply_to")
    prefetch_related_objects([one for one in messages if one.kind in MEDIA_KINDS], "attachments")


@prepared(KEYS)
def _shown(conversations: Collection[int]) -> QuerySet[Conversation]:
    return Conversation.objects.select_related(*_SHOWN).filter(pk__among=conversations)


def _tell_message(event: Event, conversation: Conversation, message: Message) -> None:
    agent = agent_of(conversation.assignee)
    if agent is None:
        return
    hindered = hindrance(agent, conversation, message) if wants_answer(message) else None
    if hindered is not None:
        to_people(conversation, agent, hindered)
    else:
        serve([Recorded(event, conversation, message)], {agent.member_id: agent})


def _is_own_word(conversation: Conversation, message: Message) -> bool:
    """Whether the agent that holds a conversation says this to the customer itself."""
    return (
        conversation.held_by_agent
        and message.direction == Message.Direction.OUTBOUND
        and message.author_id == conversation.assignee_id
    )


def serve(said: Sequence[Recorded], agents: Mapping[int, Agent]) -> None:
    """Tell agents what their customers said; what they said themselves ends the wait, and needs none of
    `agents`."""
    tellings, reacted = [], []
    for event, conversation, message in said:
        agent = agents.get(conversation.assignee_id or 0)
        if message is not None and _is_own_word(conversation, message):
            reacted.append(conversation)
        elif agent is not None and wants_answer(message):
            tellings.append(Telling(event, agent, conversation, message))
    push_messages(tellings)
    patience.reacted(reacted)


def _tell_update(event: Event, conversation: Conversation) -> None:
    """What others changed; an agent's own changes are no news to it."""
    agent = agent_of(conversation.assignee)
    if agent is None or event.data.get("actor") == agent.member.public_id:
        return
    hindered = obstacle(agent, agent.account)
    if hindered is None and not agent.endpoint.follows:
        push([Telling(event, agent, conversation)])
    elif hindered is not None and conversation.status == Conversation.Status.OPEN:
        to_people(conversation, agent, hindered)


def tell_assignments(recorded: Sequence[Recorded], deciding: Mapping[int, Message]) -> None:
    """Tell agents what they got; `deciding`, by conversation, are messages that they are told of later."""
    # Those that a rule has moved on already are none of its holder's business.
    current = [one for one in recorded if one.event.epoch == one.conversation.assignment_epoch]
    agents = agents_of(one.conversation.assignee for one in current)
    handovers = []
    for event, conversation, _message in current:
        agent = agents.get(conversation.assignee_id or 0)
        if agent is None:
            continue
        hindered = obstacle(agent, agent.account) or failing(agent)
        if hindered is not None:
            to_people(conversation, agent, hindered)
        else:
            held_back = deciding.get(conversation.pk)
            handovers.append(Handover(event, agent, conversation, held_back))
    push_assignments(handovers)


# --- Followers -----------------------------------------------------------------------------------


def tell_followers(recorded: Sequence[Recorded], endpoints: Collection[int]) -> None:
    """Let the agents at `endpoints`, which follow their inboxes, know of everything that happens there and
    to what they hold, each once. Costs nothing where nobody follows, and as many queries for many events
    as for one.

    What a customer says to the agent that holds the conversation is not among it: that one is asked (`serve`).
    """
    if not recorded or not endpoints:
        return
    followers = {
        agent: inboxes
        for agent, inboxes in followers_at(endpoints).items()
        if obstacle(agent, agent.account) is None
    }
    push(
        [
            Telling(event, agent, conversation, message, notice=True)
            for event, conversation, message in recorded
            for agent, inboxes in followers.items()
            if _hears(agent, inboxes, Recorded(event, conversation, message))
        ]
    )
    for one in recorded:
        forget_labels(one.conversation)


def _hears(agent: Agent, inboxes: Collection[int], one: Recorded) -> bool:
    event, conversation, message = one
    if (
        event.type == ERASED
    ):  # `tell` lets all know that have heard of it, however long they are down
        return False
    holds = conversation.assignee_id == agent.member_id
    if holds and event.type == "message.created" and wants_answer(message):
        return False
    lost = event.data.get("previous") == agent.member.public_id
    return holds or lost or conversation.inbox_id in inboxes


def hindrance(agent: Agent, conversation: Conversation, message: Message | None) -> Obstacle | None:
    """Why this agent may not answer this message: its own state, or the message's age."""
    hindered = obstacle(agent, agent.account) or failing(agent)
    if hindered is None and message is not None and message.sent_at is not None:
        late = timezone.now() - message.sent_at
        if late > TOO_LATE:
            minutes = int(late.total_seconds() // 60)
            return Obstacle(
                Reason.LATE_MESSAGE,
                _("written %(minutes)d minutes before it arrived") % {"minutes": minutes},
            )
    return hindered


def to_people(conversation: Conversation, agent: Agent, why: Obstacle) -> None:
    hand_off(conversation, to=agent.fallback_team, reason=why.reason, detail=why.detail)
    patience.count_fallback(agent, why.reason)
    catch_up(conversation)


def hand_off(conversation: Conversation, *, to: Team | None, reason: str, detail: str) -> None:
    """Hand off; where nobody had it and nobody gets it, the thread says at least why."""
    epoch = conversation.assignment_epoch
    moved = services.hand_off(conversation, by=None, to=to, reason=reason, detail=detail)
    if moved.assignment_epoch == epoch:
        add_line(conversation, "assigned", to=moved.team, reason=reason, detail=detail)


_STATE = (
    "status", "snoozed_until", "resolved_at", "assignee", "team", "assignment_epoch", "last_agent",
    "priority", "attributes", "waiting_since", "inbound_count", "last_sequence", "preview",
    "preview_kind", "preview_direction", "last_activity_at", "contact",
)  # fmt: skip


def catch_up(conversation: Conversation) -> None:
    """Acts work on a row of their own; make the caller's object say the same."""
    fresh = lock(conversation)
    for name in _STATE:
        setattr(conversation, name, getattr(fresh, name))
    forget_labels(conversation)


def read_labels(conversations: Sequence[Conversation]) -> None:
    """For all at once; what prefetching does, which takes longer than everything else about a message."""
    found: dict[int, list[str]] = {one.pk: [] for one in conversations}
    for conversation_id, name in _labelled(found) if found else ():
        found[conversation_id].append(name)
    for one in conversations:
        one.known_labels = found[one.pk]


@prepared(KEYS)
def _labelled(conversations: Collection[int]) -> QuerySet[ConversationLabel, tuple[int, str]]:
    rows = ConversationLabel.objects.filter(conversation__among=conversations)
    return rows.values_list("conversation_id", "label__name")


def forget_labels(conversation: Conversation) -> None:
    """Read them anew when they are asked for: rules may change them."""
    conversation.known_labels = None
    vars(conversation).get("_prefetched_objects_cache", {}).pop("labels", None)
