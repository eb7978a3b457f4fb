"""What becomes of a conversation here, told to a platform that has people of its own.

An act stands on the conversation's send lane, between its messages, as a delivery without one. So it goes out
after the answer that was given before it (DL-21), is tried again like that answer, outlives every crash, and
when it is given up it is a letter, and the lane goes on. Nobody wants it twice, but doing it twice changes
nothing: one whose end is not known is done again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts import ids
from accounts.models import Member
from conversations.messages import Act, ActKind, Stage
from conversations.models import Conversation, Delivery, Event, Inbox, Lane
from conversations.services import outbox
from conversations.services.lines import add_line, sentence
from conversations.services.locking import lock
from conversations.services.outbox import SEND_BUDGET, LaneName
from conversations.signals import Recorded

State = Delivery.State
LOST, GOT = "conversation.unassigned", "conversation.assigned"
TELLING = (LOST, GOT, "conversation.resolved", "conversation.updated")
# How long after an act the platform's word that it happened is taken for an echo of it.
ECHO = timedelta(minutes=5)
NOT_SO = gettext_noop("it is not so any more")
_heard: ContextVar[bool] = ContextVar("heard", default=False)


# --- Writing down ---------------------------------------------------------------------------------


@contextmanager
def heard() -> Iterator[None]:
    """Inside, what happens came from the platform, which need not be told of it."""
    token = _heard.set(True)
    try:
        yield
    finally:
        _heard.reset(token)


def tell(recorded: Sequence[Recorded]) -> None:
    """Put what events mean for their platforms on the lanes. Called before anybody acts upon them, so that
    what follows from one stands behind it; costs nothing where no platform is told."""
    if _heard.get():
        return
    put(
        [
            (event, conversation, act)
            for event, conversation, _message in recorded
            if event.type in TELLING and conversation.inbox.channel.acts
            for act in _acts(event, conversation)
        ]
    )


def call_people(said: Sequence[tuple[Event, Conversation]]) -> None:
    """Customers wrote and rules are through: where nobody has it, the platform's people are called, once for
    what is said until they are."""
    lonely = [
        (event, conversation)
        for event, conversation in said
        if conversation.assignee_id is None
        and conversation.team_id is None
        and conversation.status == Conversation.Status.OPEN
        and conversation.inbox.channel.acts
    ]
    if lonely:
        called = _being_called([conversation.pk for _event, conversation in lonely])
        act = Act(ActKind.WITH_PEOPLE)
        put([(event, one, act) for event, one in lonely if one.pk not in called])


def _being_called(conversations: Sequence[int]) -> set[int | None]:
    calls = Delivery.objects.filter(
        conversation__among=conversations,
        event_type=_type_of(ActKind.WITH_PEOPLE),
        state__in=Delivery.OPEN_STATES,
    )
    return set(calls.values_list("conversation_id", flat=True))


def put(found: Sequence[tuple[Event, Conversation, Act]]) -> None:
    """Put acts on the lanes, in this order: those that the inboxes want."""
    wanted = [one for one in found if _is_wanted(one[1].inbox, one[2])]
    if not wanted:
        return
    names = [
        LaneName(Lane.Kind.SEND, conversation.inbox_id, conversation.public_id)
        for _event, conversation, _act in wanted
    ]
    places = outbox.take_places(wanted[0][1].account_id, names)
    outbox.put_many(
        [
            outbox.delivery_at(
                place,
                kind=Lane.Kind.SEND,
                schedule=Delivery.Schedule.SEND,
                wire_id=f"{event.pk}-{act.kind}",
                event_id=event.pk,
                event_type=_type_of(act.kind),
                conversation=conversation,
                epoch=conversation.assignment_epoch,
                deadline_at=place.at + SEND_BUDGET,
                body=_packed(act),
            )
            for place, (event, conversation, act) in zip(places, wanted, strict=True)
        ]
    )


def _is_wanted(inbox: Inbox, act: Act) -> bool:
    return inbox.state != Inbox.State.DISABLED and inbox.channel.wants(act, inbox.config)


def _type_of(kind: ActKind | Stage) -> str:
    return f"act.{kind}"


def _packed(act: Act) -> bytes:
    said = {name: value for name, value in dataclasses.asdict(act).items() if value}
    return json.dumps(said, ensure_ascii=False).encode()


def act_of(delivery: Delivery, *, again: bool) -> Act:
    """The act that a delivery carries. `again`: it was tried before."""
    said: dict[str, Any] = json.loads(delivery.body)
    return Act(
        kind=ActKind(said.pop("kind")),
        added=tuple(said.pop("added", ())),
        removed=tuple(said.pop("removed", ())),
        reference=delivery.wire_id,
        again=again,
        **said,
    )


# --- What events mean -----------------------------------------------------------------------------


def _acts(event: Event, conversation: Conversation) -> list[Act]:
    match event.type:
        case "conversation.resolved":
            return [Act(ActKind.RESOLVED)]
        case "conversation.updated":
            return _changes(event)
    return _move(event, conversation)


def _changes(event: Event) -> list[Act]:
    added = tuple(event.data.get("labels_added", ()))
    removed = tuple(event.data.get("labels_removed", ()))
    if added or removed:
        return [Act(ActKind.LABELS, added=added, removed=removed)]
    # A customer who writes again wakes it by themselves, there as here.
    by_hand = "actor" in event.data and event.data.get("was") == Conversation.Status.RESOLVED
    return [Act(ActKind.WITH_PEOPLE)] if by_hand else []


def _move(event: Event, conversation: Conversation) -> list[Act]:
    holder = conversation.assignee or conversation.team
    if event.type == LOST and holder is not None:
        return []  # who got it is said next
    had_agent = event.data.get("before", {}).get("with_agent", False)
    if conversation.held_by_agent:
        # What rules give to an agent was said where agents are heard; what people took meanwhile stays theirs.
        is_news = not had_agent and "actor" in event.data
        return [Act(ActKind.WITH_AGENT)] if is_news else []
    if holder is None and not had_agent:
        return []
    told = Act(
        ActKind.WITH_PEOPLE,
        person=_email(conversation.assignee),
        team=conversation.team.name if conversation.team is not None else "",
    )
    return [_note(event, conversation), told] if had_agent else [told]


def _note(event: Event, conversation: Conversation) -> Act:
    """Why the agent has it no more, as the thread says it, and what to read first."""
    holder = conversation.assignee or conversation.team
    facts = {
        "reason": event.data.get("reason", ""),
        "detail": event.data.get("detail", ""),
        **({"by": name} if (name := _name(event.data.get("actor"))) else {}),
        **({"to": holder.name} if holder is not None else {}),
    }
    said = (sentence("assigned", facts), str(event.data.get("summary", "")))
    return Act(ActKind.NOTE, text="\n\n".join(filter(None, said)))


def _email(member: Member | None) -> str:
    return member.user.email if member is not None and member.user is not None else ""


def _name(actor: str | None) -> str:
    known = Member.objects.filter(pk=ids.decode("mem", actor)) if actor else Member.objects.none()
    return known.values_list("name", flat=True).first() or ""


# --- Whether they are still so --------------------------------------------------------------------


def is_so(delivery: Delivery, conversation: Conversation) -> bool:
    """Whether the conversation still is where an act says. What is not so any more is not told: what became of
    it since stands behind, or came from the platform itself."""
    resolved = conversation.status == Conversation.Status.RESOLVED
    match delivery.event_type.partition(".")[2]:
        case ActKind.RESOLVED:
            return resolved
        case ActKind.WITH_AGENT:
            return conversation.held_by_agent
        case ActKind.WITH_PEOPLE:
            return not resolved and not conversation.held_by_agent
    return True


def drop(delivery: Delivery) -> None:
    """Take what is not so any more off its lane."""
    waiting = Delivery.objects.filter(pk=delivery.pk, state__in=(State.PENDING, State.RETRY_WAIT))
    outbox.cancel(waiting, reason=NOT_SO)


# --- What became of them --------------------------------------------------------------------------


def came_back(conversation: Conversation, stage: Stage) -> bool:
    """Whether the platform only tells of an act of ours; each act comes back once. What people there do
    afterwards counts, though it looks the same."""
    begun = Delivery.objects.filter(
        conversation=conversation,
        kind=Lane.Kind.SEND,
        event_type=_type_of(stage),
        answered_at__isnull=True,
        request_started_at__gt=timezone.now() - ECHO,
    ).exclude(state=State.DEAD)
    first = begun.order_by("pk").values("pk")[:1]
    return bool(Delivery.objects.filter(pk__in=first).update(answered_at=timezone.now()))


def done(delivery: Delivery, conversation: Conversation) -> None:
    """The platform was told. Once its people have a conversation that nobody has here, nobody here is
    waited for."""
    is_theirs = delivery.event_type == _type_of(ActKind.WITH_PEOPLE)
    if is_theirs and delivery.epoch == conversation.assignment_epoch:
        add_line(conversation, "told", platform=_platform(conversation))
        if conversation.assignee_id is None:
            conversation.waiting_since = None
            conversation.save(update_fields=["waiting_since", "updated_at"])


def failed(delivery: Delivery, *, text: str) -> None:
    """It is given up: the thread says so, for people there may not know what they have to do."""
    conversation = lock(delivery.conversation_id or 0)
    add_line(conversation, "untold", platform=_platform(conversation), detail=text)


def _platform(conversation: Conversation) -> str:
    return str(conversation.inbox.channel.name)
