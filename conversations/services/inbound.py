"""Taking in what a channel read: messages, statuses, changed identities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.inserting import insert_many
from conversations import timers
from conversations.content import inbound_json
from conversations.messages import (
    MEDIA_KINDS,
    Act,
    ActKind,
    DeliveryStatus,
    DeviceEcho,
    IdentifierChange,
    Ignored,
    InboundMessage,
    Kind,
    Reading,
    Stage,
    StageChange,
    StatusUpdate,
)
from conversations.models import (
    Address,
    Attachment,
    Contact,
    Conversation,
    Inbox,
    Message,
    Timer,
)
from conversations.services import acting, activity, events
from conversations.services.addresses import add_identifiers, addresses_of, find_address
from conversations.services.answering import as_choice, note_answers, quoted, still_open
from conversations.services.events import Fact
from conversations.services.holding import assign, hand_off, resolve, wake
from conversations.services.knowing import known_of, tell_changed
from conversations.services.lines import add_line
from conversations.services.locking import lock, lock_at_many
from conversations.services.media import fetch_later
from conversations.services.moving import Reason
from conversations.services.statuses import missing, receive_statuses

Direction = Message.Direction
# These say something about another message; they open no window and wait for no answer.
SILENT_KINDS = frozenset({Kind.REACTION, Kind.EDIT, Kind.DELETE, Kind.SYSTEM})
# What stands on the receipt of a message that has been received before.
DUPLICATE = "duplicate"


class NotYetError(Exception):
    """The thing this item speaks about is not here yet; try the receipt again a little later."""


def receive(inbox: Inbox, reading: Reading) -> str:
    """Apply one reading in the account's context; returns one line that stands on the receipt.

    Idempotent: the same message or status twice has one effect (delivery.md 0.5). Raises
    `NotYetError` for a status of a message we have not recorded as sent yet.
    """
    try:
        with transaction.atomic():
            return _apply(inbox, reading)
    except IntegrityError as error:
        # The constraint knows a second copy; asking beforehand would cost every first one a query.
        if "message_external_once" in str(error):
            return DUPLICATE
        raise


def _apply(inbox: Inbox, reading: Reading) -> str:
    match reading:
        case InboundMessage():
            return receive_messages(inbox, [reading])[0]
        case StatusUpdate():
            return _receive_status(inbox, reading)
        case IdentifierChange():
            return _change_identifiers(inbox, reading)
        case DeviceEcho():
            return _receive_echo(inbox, reading)
        case StageChange():
            return _receive_stage(inbox, reading)
        case Ignored():
            return f"ignored: {reading.reason}"


def receive_messages(inbox: Inbox, messages: Sequence[InboundMessage]) -> list[str]:
    """Apply what several customers said, in one transaction and with as many statements as for one.

    Returns a line for each, like `receive`. All or nothing: whatever cannot be applied raises, a
    second copy of a message `IntegrityError`; the caller then takes them one by one.
    """
    if not messages:
        return []
    addresses = addresses_of(inbox, [(said.identifiers, said.contact_name) for said in messages])
    results: dict[int, str] = {}
    for turn in _turns(addresses):
        heard = {}
        for place in turn:
            if addresses[place].contact.blocked:
                results[place] = "ignored: the contact is blocked"
            else:
                heard[place] = addresses[place]
        conversations = conversations_at(list(heard.values()))
        erased = _erased(conversations.values())
        for place in [place for place, one in heard.items() if one.contact_id in erased]:
            results[place] = "ignored: the contact has been erased"
            del heard[place]
        said = [(conversations[address.pk], messages[place]) for place, address in heard.items()]
        results.update(zip(heard, _hear(said), strict=True))
    return [results[place] for place in range(len(messages))]


def _erased(conversations: Iterable[Conversation]) -> set[int]:
    """Contacts that were erased while we waited for their conversations, which erasing resolves (F-32):
    what we know of them is from before, and nobody may hear of it any more."""
    ended = [one.contact_id for one in conversations if one.status != Conversation.Status.OPEN]
    if not ended:
        return set()
    erased = Contact.objects.filter(pk__among=ended, erased_at__isnull=False)
    return set(erased.values_list("pk", flat=True))


def _turns(addresses: Sequence[Address]) -> Iterator[list[int]]:
    """Places in `addresses`, each address once a turn: what one person says twice is heard twice."""
    waiting = list(range(len(addresses)))
    while waiting:
        turn = {addresses[place].pk: place for place in reversed(waiting)}
        yield sorted(turn.values())
        waiting = [place for place in waiting if turn[addresses[place].pk] != place]


def conversations_at(addresses: Sequence[Address]) -> dict[int, Conversation]:
    """Each address's one conversation, locked, by the address's id; made at the first word."""
    found = lock_at_many({address.pk: address for address in addresses})
    new = {address.pk: address for address in addresses if address.pk not in found}
    return found | _begin_conversations(list(new.values())) if new else found


def conversation_at(address: Address) -> Conversation:
    return conversations_at([address])[address.pk]


def _hear(said: Sequence[tuple[Conversation, InboundMessage]]) -> list[str]:
    """Write what was said in locked conversations, each named once, and tell the room above."""
    changes = {
        place: _change_message(conversation, change)
        for place, (conversation, change) in enumerate(said)
        if change.kind in (Kind.EDIT, Kind.DELETE)
    }
    news = [
        (conversation, as_choice(conversation, one))
        for place, (conversation, one) in enumerate(said)
        if place not in changes
    ]
    stored = _store_many(news, Direction.INBOUND)
    spoken = [
        (conversation, message)
        for (conversation, _said), message in zip(news, stored, strict=True)
        if message.kind not in SILENT_KINDS
    ]
    answers = note_answers(spoken)
    for conversation, message in spoken:
        if conversation.status != Conversation.Status.OPEN:
            wake(conversation, by=None)
        _touch(conversation, message)
        _open_window(conversation.address, message)
    activity.save_windows([conversation.address for conversation, _message in spoken])
    said_now = [
        Fact("message.created", conversation, message)
        for (conversation, _said), message in zip(news, stored, strict=True)
    ]
    recorded = events.record_many([*said_now, *answers], showing=True)
    acting.call_people(
        [
            (event, conversation)
            for event, (conversation, _said), message in zip(recorded, news, stored, strict=False)
            if message.kind not in SILENT_KINDS
        ]
    )
    places = (place for place in range(len(said)) if place not in changes)
    heard = {
        place: f"message {message.public_id}" for place, message in zip(places, stored, strict=True)
    }
    return [(changes | heard)[place] for place in range(len(said))]


def _open_window(address: Address, message: Message) -> None:
    """The reply window counts from the newest message, and the newest may have come first."""
    last = address.last_inbound_at
    if last is not None and message.sent_at is not None and message.sent_at < last:
        return
    address.last_inbound_at = message.sent_at
    address.last_inbound_external_id = message.external_id


def _receive_echo(inbox: Inbox, echo: DeviceEcho) -> str:
    """A person answered from the device: it is in the thread, and no agent is asked."""
    said = echo.message
    [address] = addresses_of(inbox, [(said.identifiers, said.contact_name)])
    conversation = conversation_at(address)
    [message] = _store_many([(conversation, said)], Direction.OUTBOUND)
    Message.objects.filter(pk=message.pk).update(
        status=DeliveryStatus.SENT, content={**message.content, "device": True}
    )
    conversation.waiting_since = None
    conversation.save(update_fields=["waiting_since", "updated_at"])
    timers.clear(Timer.Kind.PATIENCE, conversation)
    event = events.record(conversation, "message.created", message=message, device=True)
    if echo.takes_over:
        with acting.heard():
            taken = _give_to_people(conversation)
        if taken:  # they have answered, and yet it may not be in their list
            acting.put([(event, conversation, Act(ActKind.WITH_PEOPLE))])
    return f"echo {message.public_id}"


def _receive_stage(inbox: Inbox, change: StageChange) -> str:
    """People on the platform itself took the conversation, gave it to the agent, or ended it."""
    address = find_address(inbox, change.identifiers)
    found = Conversation.objects.filter(address=address).first() if address else None
    if found is None:
        return "ignored: unknown contact"
    conversation, platform = lock(found), str(inbox.channel.name)
    if inbox.channel.acts and acting.came_back(conversation, change.stage):
        return f"our own act came back: {change.stage}"
    if change.stage is Stage.WITH_AGENT:
        _give_to_agent(
            conversation
        )  # an agent that cannot take it gives it back to people, who must hear of it
        return f"{change.stage} {conversation.public_id}"
    with acting.heard():
        if change.stage is Stage.RESOLVED:
            resolve(conversation, by=None, detail=platform)
        else:
            _give_to_people(conversation)
    return f"{change.stage} {conversation.public_id}"


def _give_to_agent(conversation: Conversation) -> None:
    """Back to the agent that had it last. One that is resolved wakes with the customer's next word, about which
    rules decide."""
    agent, is_open = conversation.last_agent, conversation.status == Conversation.Status.OPEN
    if is_open and not conversation.held_by_agent and agent is not None and agent.active:
        detail = str(conversation.inbox.channel.name)
        assign(conversation, to=agent, by=None, reason=Reason.GIVEN_BACK, detail=detail)


def _give_to_people(conversation: Conversation) -> bool:
    """Whoever of ours may have it from now on, no agent answers in it; also none that a rule has just
    given it to. Whether an agent had it."""
    now = lock(conversation)
    if not now.held_by_agent:
        return False
    hand_off(now, by=None, detail=str(now.inbox.channel.name))
    return True


def _receive_status(inbox: Inbox, update: StatusUpdate) -> str:
    [line] = receive_statuses(inbox, [update])
    if line is None:
        raise NotYetError(missing(update))
    return line


def _change_identifiers(inbox: Inbox, change: IdentifierChange) -> str:
    address = find_address(inbox, change.old)
    if address is None:
        return "ignored: unknown contact"
    kinds = {identifier.kind for identifier in change.new}
    address.identifiers.filter(kind__in=kinds).delete()
    add_identifiers(inbox, address, change.new)
    phone = next((i.value for i in change.new if i.kind == "phone"), "")
    if phone:
        _change_phone(address.contact_id, phone)
    conversation = conversation_at(address)
    add_line(conversation, "number_changed")
    events.record(conversation, "contact.updated")
    return "identifiers changed"


def _change_phone(contact_id: int, phone: str) -> None:
    contact = Contact.objects.select_for_update().get(pk=contact_id)
    was = known_of(contact)
    contact.phone = phone[:32]
    contact.save(update_fields=["phone"])
    tell_changed(contact, was)


def _change_message(conversation: Conversation, said: InboundMessage) -> str:
    target = Message.objects.filter(
        conversation=conversation, external_id=said.target_external_id
    ).first()
    if target is None:
        return "ignored: the changed message is unknown"
    if said.kind == Kind.DELETE:
        target.deleted_at = timezone.now()
        target.save(update_fields=["deleted_at"])
    else:
        target.text, target.edited_at = said.text, timezone.now()
        target.save(update_fields=["text", "edited_at"])
    events.record(conversation, "message.updated", message=target)
    return f"{said.kind} of {target.public_id}"


def _store_many(
    said: Sequence[tuple[Conversation, InboundMessage]], direction: str
) -> list[Message]:
    messages = insert_many([_message(conversation, one, direction) for conversation, one in said])
    for message, (conversation, one) in zip(messages, said, strict=True):
        if one.kind in MEDIA_KINDS:
            _store_files(conversation, message, one)
    return messages


def _message(conversation: Conversation, said: InboundMessage, direction: str) -> Message:
    quotes = said.reply_to_external_id
    reply_to = quoted(conversation, quotes) if quotes else None
    return Message(
        conversation=conversation,
        inbox=conversation.inbox,
        direction=direction,
        kind=said.kind,
        text=said.text.replace("\x00", ""),
        content=inbound_json(said),
        external_id=said.external_id,
        reply_to=reply_to,
        status=DeliveryStatus.DELIVERED,
        sent_at=_display_time(said.sent_at),
    )


def _store_files(conversation: Conversation, message: Message, said: InboundMessage) -> None:
    for media in said.media:
        attachment = Attachment.objects.create(
            message=message,
            kind=media.kind,
            mime=media.mime,
            size=media.size,
            filename=media.filename[:250],
            remote_ref=media.remote_ref,
            path=media.path,
            state=Attachment.State.READY if media.path else Attachment.State.PENDING,
        )
        if not media.path:
            fetch_later(attachment, conversation)


def _display_time(sent_at: datetime | None) -> datetime:
    """The platform's time, but never in our future (a wrong clock must not widen the window)."""
    now = timezone.now()
    return min(sent_at, now) if sent_at else now


def _touch(conversation: Conversation, message: Message) -> None:
    now = timezone.now()
    activity.show_last(conversation, message)
    conversation.unread_count += 1
    conversation.inbound_count += 1
    conversation.waiting_since = conversation.waiting_since or now
    conversation.last_inbound_at = message.sent_at
    conversation.options = still_open(conversation.options)


def _begin_conversations(addresses: Sequence[Address]) -> dict[int, Conversation]:
    """The first ones at these addresses, by the address's id."""
    try:
        with transaction.atomic():
            begun = insert_many(_first_conversations(addresses))
    except IntegrityError:  # another courier was faster somewhere; its conversation is the one
        return {address.pk: _begin_or_find(address) for address in addresses}
    events.record_many([Fact("conversation.created", one) for one in begun])
    return {one.address_id: one for one in begun}


def _begin_or_find(address: Address) -> Conversation:
    try:
        with transaction.atomic():
            [begun] = insert_many(_first_conversations([address]))
    except IntegrityError:
        return lock(Conversation.objects.get(address=address))
    events.record(begun, "conversation.created")
    return begun


def _first_conversations(addresses: Sequence[Address]) -> Iterator[Conversation]:
    """Not written yet. Nobody else sees them before the commit, so they need no lock."""
    last = _take_numbers(addresses[0].account_id, len(addresses))
    for number, address in enumerate(addresses, start=last - len(addresses) + 1):
        yield Conversation(
            number=number,
            inbox=address.inbox,
            address=address,
            contact=address.contact,
            last_activity_at=timezone.now(),
            synthetic=address.inbox.channel.synthetic,
        )


def _take_numbers(account_id: int, n: int) -> int:
    """The last of `n` numbers. They rise per account; the counter's row is taken after all conversations
    are locked, and held until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_account SET conversation_counter = conversation_counter + %s"
            " WHERE id = %s RETURNING conversation_counter",
            [n, account_id],
        )
        return int(cursor.fetchone()[0])
