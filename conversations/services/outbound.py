"""Saying something: to the customer, to colleagues, or (too late) to nobody yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Member
from conversations.channels import UnsupportedMessageError
from conversations.content import as_content, content_json, media_of
from conversations.errors import CannotSendError, WindowClosedError, WrongStateError
from conversations.messages import MEDIA_KINDS, Content, DeliveryStatus, Kind, OutboundMessage
from conversations.models import Attachment, Conversation, Delivery, Inbox, Lane, Message
from conversations.services import events, outbox
from conversations.services.holding import Reason, assign, check_may_act
from conversations.services.locking import lock
from conversations.services.media import fetch_later
from conversations.services.sending import go_on

# Free text that would reach the channel after its window closed is refused at once; see DL-97.
PREVIEW_LENGTH = 200


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
    hold it, under `epoch` if given. `client_id` makes a repeated call return the first message.
    Raises `NotHolderError`, `CannotSendError`, `WindowClosedError`.
    """
    conversation = lock(conversation)
    if client_id:
        known = Message.objects.filter(conversation=conversation, client_id=client_id).first()
        if known:
            return known
    check_may_act(conversation, author, epoch=epoch)
    _check_can_send(conversation)
    if author is not None and author.is_person and conversation.assignee_id != author.pk:
        conversation = assign(conversation, to=author, by=author, reason=Reason.ANSWERED)
    message = _store(
        conversation,
        direction=Message.Direction.OUTBOUND,
        content=content,
        author=author,
        reply_to=reply_to,
        client_id=client_id,
    )
    if author is not None:
        go_on(conversation)
    _queue(conversation, message)
    _touch(conversation, message)
    events.record(conversation, "message.created", actor=author, message=message)
    return message


@transaction.atomic
def add_note(conversation: Conversation, *, text: str, author: Member | None) -> Message:
    """A private note: people read it, customers and other agents never do."""
    conversation = lock(conversation)
    check_may_act(conversation, author)
    message = _store(
        conversation, direction=Message.Direction.NOTE, content=Content(text=text), author=author
    )
    events.record(conversation, "message.created", actor=author, message=message)
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


def _check_can_send(conversation: Conversation) -> None:
    if conversation.inbox.state == Inbox.State.DISABLED:
        raise CannotSendError(_("This inbox is switched off. Switch it on to answer."))
    if conversation.contact.blocked:
        raise CannotSendError(_("This contact is blocked. Unblock them to answer."))
    conversation.address.inbox = conversation.inbox
    closes_at = conversation.address.window_closes_at()
    has_window = conversation.inbox.channel.capabilities.window is not None
    if has_window and (closes_at is None or closes_at <= timezone.now() + timedelta(seconds=5)):
        raise WindowClosedError


def _store(
    conversation: Conversation,
    *,
    direction: str,
    content: Content,
    author: Member | None,
    reply_to: Message | None = None,
    client_id: str = "",
) -> Message:
    message = Message.objects.create(
        conversation=conversation,
        inbox=conversation.inbox,
        direction=direction,
        kind=content.kind,
        text=content.text,
        content=content_json(content),
        author=author,
        reply_to=reply_to,
        client_id=client_id,
        status=DeliveryStatus.QUEUED
        if direction == Message.Direction.OUTBOUND
        else DeliveryStatus.READ,
        sent_at=timezone.now(),
    )
    for file in content.media:
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
    return message


def _queue(conversation: Conversation, message: Message) -> None:
    try:
        parts = outbound_parts(message)
    except UnsupportedMessageError as error:
        raise CannotSendError(str(error)) from error
    options = {key: {"id": c.id, "title": c.title} for part in parts for key, c in part.options}
    if options or message.kind in (Kind.BUTTONS, Kind.LIST):
        conversation.options = options
        conversation.save(update_fields=["options"])
    for number in range(len(parts)):
        place = outbox.take_place(
            account_id=conversation.account_id,
            kind=Lane.Kind.SEND,
            destination_id=conversation.inbox_id,
            key=conversation.public_id,
        )
        outbox.put(
            place,
            kind=Lane.Kind.SEND,
            schedule=Delivery.Schedule.SEND,
            wire_id=f"{message.public_id}-{number}",
            event_type="message.send",
            conversation=conversation,
            message=message,
            part=number,
            epoch=conversation.assignment_epoch,
            deadline_at=timezone.now() + timedelta(minutes=60),
        )


def _touch(conversation: Conversation, message: Message) -> None:
    conversation.preview = (message.text or str(message.kind))[:PREVIEW_LENGTH]
    conversation.preview_kind = message.kind
    conversation.preview_direction = message.direction
    conversation.last_activity_at = timezone.now()
    if message.author is not None:  # an automatic text answers nobody
        conversation.waiting_since = None
    if message.author is not None and message.author.is_person:
        conversation.unread_count = 0
    conversation.save(
        update_fields=[
            "preview", "preview_kind", "preview_direction", "last_activity_at", "waiting_since",
            "unread_count", "updated_at",
        ]
    )  # fmt: skip
