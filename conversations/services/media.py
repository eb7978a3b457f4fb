"""Files: asking the courier to fetch one, and keeping what it brought."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import QuerySet

from accounts.prepared import KEY, prepared
from conversations.messages import MEDIA_KINDS
from conversations.models import Attachment, Conversation, Delivery, Lane, Message
from conversations.services import events, outbox
from conversations.services.locking import lock

# What was stored inside `kept_together`.
_stored: ContextVar[list[str] | None] = ContextVar("stored", default=None)


def fetch_later(attachment: Attachment, conversation: Conversation) -> None:
    """Queue the download of a file that a platform or an agent named (never in the webhook)."""
    place = outbox.take_place(
        account_id=attachment.account_id,
        kind=Lane.Kind.MEDIA,
        destination_id=conversation.inbox_id,
        key=attachment.public_id,
    )
    outbox.put(
        place,
        kind=Lane.Kind.MEDIA,
        schedule=Delivery.Schedule.SEND,
        wire_id=attachment.public_id,
        event_type="media.fetch",
        conversation=conversation,
        message_id=attachment.message_id,
        body=json.dumps({"attachment": attachment.pk}).encode(),
    )


def with_files(message: Message) -> Message:
    """The message with its files, as if they had been prefetched; most kinds have none."""
    if message.kind not in MEDIA_KINDS:
        return message
    vars(message)["_prefetched_objects_cache"] = {"attachments": _files_of(message.pk)}
    return message


@prepared(KEY)
def _files_of(message_id: int) -> QuerySet[Attachment]:
    return Attachment.objects.filter(message_id=message_id).order_by("id")


def store(content: bytes, *, account_id: int) -> str:
    """Write a file under a random name inside the account's folder; returns its storage path."""
    name = f"{account_id}/{secrets.token_hex(2)}/{secrets.token_urlsafe(18)}"
    path = default_storage.save(name, ContentFile(content))
    if (paths := _stored.get()) is not None:
        paths.append(path)
    return path


def drop(paths: Iterable[str]) -> None:
    """Delete stored files that nothing names any more, when this transaction is through."""
    for path in paths:
        transaction.on_commit(partial(default_storage.delete, path), robust=True)


@contextmanager
def kept_together() -> Iterator[None]:
    """Around a transaction: files that were stored inside go again when an exception leaves it.

    A row that names a file is rolled back by the database; the file itself is not.
    """
    paths: list[str] = []
    reset = _stored.set(paths)
    try:
        yield
    except BaseException:
        for path in paths:
            default_storage.delete(path)
        raise
    finally:
        _stored.reset(reset)


@transaction.atomic
def keep_fetched(attachment_id: int, *, content: bytes, mime: str, filename: str) -> Attachment:
    """The file is here: store it and tell open pages."""
    attachment = Attachment.objects.select_related("message").get(pk=attachment_id)
    attachment.path = store(content, account_id=attachment.account_id)
    attachment.size = len(content)
    attachment.mime = mime or attachment.mime
    attachment.filename = attachment.filename or filename
    attachment.state = Attachment.State.READY
    attachment.save()
    conversation = lock(attachment.message.conversation_id)
    events.record(conversation, "message.updated", message=attachment.message)
    return attachment


@transaction.atomic
def give_up(attachment_id: int, *, error: str) -> None:
    """The file cannot be had; the thread says so instead of waiting for ever."""
    attachment = Attachment.objects.select_related("message").get(pk=attachment_id)
    attachment.state = Attachment.State.FAILED
    attachment.error = error[:250]
    attachment.save(update_fields=["state", "error"])
    conversation = lock(attachment.message.conversation_id)
    events.record(conversation, "message.updated", message=attachment.message)
