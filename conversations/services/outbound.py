"""Saying something: to the customer, to colleagues, or (too late) to nobody yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.inserting import insert_many
from accounts.models import Member
from accounts.tenancy import current_account_id
from conversations.channels import UnsupportedMessageError
from conversations.content import as_content, content_json, media_of, pictures_of
from conversations.errors import CannotSendError, WindowClosedError, WrongStateError
from conversations.messages import (
    MEDIA_KINDS,
    OUTSIDE_WINDOW,
    Content,
    DeliveryStatus,
    Kind,
    OutboundMessage,
)
from conversations.models import Attachment, Conversation, Delivery, Inbox, Lane, Message
from conversations.services import activity, events, outbox
from conversations.services.answering import keep_options
from conversations.services.events import Fact
from conversations.services.holding import assign, check_may_act, check_may_speak
from conversations.services.locking import lock
from conversations.services.media import fetch_later
from conversations.services.moving import Reason
from conversations.services.outbox import SEND_BUDGET, LaneName
from conversations.services.sending import go_on


@dataclass(frozen=True, slots=True)
class Saying:
    """Something to say in a locked conversation. `author` None: the system itself."""

    conversation: Conversation
    content: Content
    author: Member | None
    reply_to: Message | None = None
    client_id: str = ""
    # By an agent that does not hold it any more, and may speak nevertheless.
    late: bool = False


@transaction.atomic
def post_message(
    conversation: Conversation,
    *,
    content: Content,
    author: Member | None,
    reply_to: Message | None = None,
    client_id: str = "",
    epoch: int | None = None,
) -> Message:
    """Say something to the customer: store it, queue it for the channel, tell the rooms above.

    A person who answers gets the conversation (an agent that held it falls silent). An agent must
    hold it, under `epoch` if given; what one says that may speak afterwards is marked as late. `client_id`
    makes a repeated call return the first message. Raises `NotHolderError`, `CannotSendError`, `WindowClosedError`.
    """
    return say_in(
        lock(conversation),
        content=content,
        author=author,
        reply_to=reply_to,
        client_id=client_id,
        epoch=epoch,
    )


def say_in(
    conversation: Conversation,
    *,
    content: Content,
    author: Member | None,
    reply_to: Message | None = None,
    client_id: str = "",
    epoch: int | None = None,
) -> Message:
    """`post_message` in a conversation that is locked already, for whoever's own transaction ends with what
    it raises; after `NotHolderError` alone, which comes before anything is written, it may go on."""
    if client_id:
        known = Message.objects.filter(conversation=conversation, client_id=client_id).first()
        if known:
            return known
    late = check_may_speak(conversation, author, epoch=epoch)
    check_can_send(conversation, content.kind)
    if author is not None and author.is_person and conversation.assignee_id != author.pk:
        conversation = assign(conversation, to=author, by=author, reason=Reason.ANSWERED)
    return _say([Saying(conversation, content, author, reply_to, client_id, late)])[0]


# Without a savepoint: whoever calls it with several has a transaction for nothing else.
@transaction.atomic(savepoint=False)
def post_messages(sayings: Sequence[Saying]) -> list[Message]:
    """What AI agents say in conversations that are locked already, each named once; with as many
    statements as for one, all or nothing.

    Raises as `post_message`, and `IntegrityError` for a `client_id` that is known.
    """
    if not sayings:
        return []
    for one in sayings:
        check_may_act(one.conversation, one.author)
        check_can_send(one.conversation, one.content.kind)
    return _say(sayings)


def _say(sayings: Sequence[Saying]) -> list[Message]:
    """Store what may be said, queue it for the channels, tell the rooms above."""
    messages = insert_many(
        [
            _message(
                one.conversation,
                direction=Message.Direction.OUTBOUND,
                content=one.content,
                author=one.author,
                reply_to=one.reply_to,
                client_id=one.client_id,
                late=one.late,
            )
            for one in sayings
        ]
    )
    said = list(zip(sayings, messages, strict=True))
    for one, message in said:
        _store_files(one.conversation, message, one.content)
    go_on([one.conversation for one in sayings if one.author is not None and not one.late])
    _queue([(one.conversation, message) for one, message in said])
    for one, message in said:
        _touch(one.conversation, message, late=one.late)
    events.record_many(
        [
            Fact("message.created", one.conversation, message, one.author, _marks(one.late))
            for one, message in said
        ],
        showing=True,
    )
    return messages


@transaction.atomic
def add_note(conversation: Conversation, *, text: str, author: Member | None) -> Message:
    """A private note: people read it, and agents that follow the inbox; customers and other agents never do."""
    conversation = lock(conversation)
    late = check_may_speak(conversation, author)
    message = _store(
        conversation,
        direction=Message.Direction.NOTE,
        content=Content(text=text),
        author=author,
        late=late,
    )
    events.record(conversation, "message.created", actor=author, message=message, **_marks(late))
    return message


@transaction.atomic
def keep_draft(
    conversation: Conversation, *, content: Content, author: Member, reason: str
) -> Message:
    """Keep an answer that may not be sent (late, or of an old holder) for whoever holds it now.

    `reason` is `stale_epoch` or `late` (DL-39, DL-63).
    """
    conversation = lock(conversation)
    message = _store(
        conversation, direction=Message.Direction.DRAFT, content=content, author=author
    )
    Message.objects.filter(pk=message.pk).update(draft_reason=reason)
    message.draft_reason = reason
    events.record(conversation, "message.draft_kept", actor=author, message=message, reason=reason)
    return message


@transaction.atomic
def use_draft(draft: Message, *, by: Member) -> Message:
    """Send a kept draft as one's own words. Raises as `post_message`, `WrongStateError`."""
    if draft.direction != Message.Direction.DRAFT or draft.deleted_at:
        raise WrongStateError(_("This draft has been used or discarded already."))
    message = post_message(
        draft.conversation,
        content=as_content(draft),
        author=by,
        client_id=f"draft:{draft.public_id}",
    )
    discard_draft(draft, by=by)
    return message


@transaction.atomic
def discard_draft(draft: Message, *, by: Member) -> None:
    """Put a draft away."""
    conversation = lock(draft.conversation_id)
    draft.deleted_at = timezone.now()
    draft.save(update_fields=["deleted_at"])
    events.record(conversation, "message.draft_discarded", actor=by, message=draft)


@transaction.atomic
def take_back(message: Message, *, by: Member) -> Message:
    """Hide what was said, or a note. The customer keeps what was sent: channels call nothing back.

    Raises `WrongStateError` for what was not said by us.
    """
    if message.direction not in (Message.Direction.OUTBOUND, Message.Direction.NOTE):
        raise WrongStateError(_("Only messages to the customer and notes can be deleted."))
    conversation = lock(message.conversation_id)
    check_may_act(conversation, by)
    if message.deleted_at is None:
        message.deleted_at = timezone.now()
        message.save(update_fields=["deleted_at"])
        events.record(conversation, "message.updated", actor=by, message=message)
    return message


def outbound_parts(message: Message) -> tuple[OutboundMessage, ...]:
    """What the channel is asked to send for a message: one part, or several in order.

    Deterministic; a delivery names its part by index. Raises `UnsupportedMessageError`.
    """
    content = as_content(message)
    base = OutboundMessage(
        reference=message.public_id,
        kind=content.kind,
        text=content.text,
        buttons=content.buttons,
        sections=content.sections,
        list_button=content.list_button,
        header=content.header,
        footer=content.footer,
        location=content.location,
        cards=content.cards,
        emoji=content.emoji,
        carousel=content.carousel,
        fields=content.fields,
        input=content.input,
        articles=content.articles,
        template=content.template,
        reply_to_external_id=message.reply_to.external_id if message.reply_to else "",
        target_external_id=message.content.get("target", ""),
    )
    files = media_of(message)
    if content.kind not in MEDIA_KINDS or not files:
        wanted = [base]
    else:
        wanted = [
            replace(base, kind=file.kind, media=file, text=content.text if n == 0 else "")
            for n, file in enumerate(files)
        ]
    channel = message.inbox.channel
    parts = [part for one in wanted for part in channel.prepare(one)]
    return tuple(
        replace(part, reference=f"{message.public_id}-{n}") for n, part in enumerate(parts)
    )


def check_can_send(conversation: Conversation, kind: str = Kind.TEXT) -> None:
    """Whether the channel takes something of this kind now. Raises `CannotSendError`, `WindowClosedError`."""
    if conversation.inbox.removed_at is not None:
        raise CannotSendError(_("This inbox was removed."))
    if conversation.inbox.state == Inbox.State.DISABLED:
        raise CannotSendError(_("This inbox is switched off. Switch it on to answer."))
    if conversation.contact.blocked:
        raise CannotSendError(_("This contact is blocked. Unblock them to answer."))
    conversation.address.inbox = conversation.inbox
    closes_at = conversation.address.window_closes_at()
    # Free text that would reach the channel after its window closed is refused at once (DL-97).
    has_window = (
        conversation.inbox.channel.capabilities.window is not None and kind not in OUTSIDE_WINDOW
    )
    if has_window and (closes_at is None or closes_at <= timezone.now() + timedelta(seconds=5)):
        raise WindowClosedError


def _store(
    conversation: Conversation,
    *,
    direction: str,
    content: Content,
    author: Member | None,
    late: bool = False,
) -> Message:
    message = _message(conversation, direction=direction, content=content, author=author, late=late)
    message.save()
    _store_files(conversation, message, content)
    return message


def _message(
    conversation: Conversation,
    *,
    direction: str,
    content: Content,
    author: Member | None,
    reply_to: Message | None = None,
    client_id: str = "",
    late: bool = False,
) -> Message:
    return Message(
        conversation=conversation,
        inbox=conversation.inbox,
        direction=direction,
        kind=content.kind,
        text=content.text,
        content={**content_json(content), **_marks(late)},
        author=author,
        reply_to=reply_to,
        client_id=client_id,
        status=DeliveryStatus.QUEUED
        if direction == Message.Direction.OUTBOUND
        else DeliveryStatus.READ,
        sent_at=timezone.now(),
    )


def _store_files(conversation: Conversation, message: Message, content: Content) -> None:
    for file in (*content.media, *pictures_of(content)):
        attachment = Attachment.objects.create(
            message=message,
            kind=file.kind,
            mime=file.mime,
            filename=file.filename,
            size=file.size,
            path=file.path,
            remote_ref=file.url,
            state=Attachment.State.READY if file.path else Attachment.State.PENDING,
        )
        if not file.path:
            fetch_later(attachment, conversation)


def _queue(said: Sequence[tuple[Conversation, Message]]) -> None:
    """Put every part of every message on its conversation's send lane."""
    wanted = [
        (conversation, message, number)
        for conversation, message in said
        for number in range(_count_parts(conversation, message))
    ]
    places = outbox.take_places(
        current_account_id(),
        [
            LaneName(Lane.Kind.SEND, conversation.inbox_id, conversation.public_id)
            for conversation, _message, _number in wanted
        ],
    )
    outbox.put_many(
        [
            outbox.delivery_at(
                place,
                kind=Lane.Kind.SEND,
                schedule=Delivery.Schedule.SEND,
                wire_id=f"{message.public_id}-{number}",
                event_type="message.send",
                conversation=conversation,
                message=message,
                part=number,
                epoch=conversation.assignment_epoch,
                deadline_at=place.at + SEND_BUDGET,
            )
            for place, (conversation, message, number) in zip(places, wanted, strict=True)
        ]
    )


def _count_parts(conversation: Conversation, message: Message) -> int:
    """How many parts the channel makes of it; the options that it offers are kept for the answer."""
    try:
        parts = outbound_parts(message)
    except UnsupportedMessageError as error:
        raise CannotSendError(str(error)) from error
    keep_options(conversation, message, parts)
    return len(parts)


def _marks(late: bool) -> dict[str, Any]:
    """What stands on words of an agent that had lost the conversation, and on their event."""
    return {"late": True} if late else {}


def _touch(conversation: Conversation, message: Message, *, late: bool) -> None:
    activity.show_last(conversation, message)
    # An automatic text answers nobody; whoever has it by now still owes an answer after a late word.
    if message.author is not None and not late:
        conversation.waiting_since = None
    if message.author is not None and message.author.is_person:
        conversation.unread_count = 0
