"""Media lanes: files that a customer sent or an agent named are downloaded, never in the webhook."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils import timezone
from django.utils.translation import get_language, override

from accounts.tenancy import account_context
from conversations import channels
from conversations.channels import ErrorClass, FetchedMedia, InboxConfig, SendError
from conversations.messages import Kind, Media
from conversations.models import Attachment, Delivery, Inbox, Message
from conversations.services import media
from integrations.courier import recording
from integrations.courier.schedule import Failure, next_due
from integrations.courier.work import Claim, Job, Outcome, Release, Result
from integrations.http import GuardedClient

logger = logging.getLogger(__name__)

State = Delivery.State
DOWNLOAD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Download:
    """A file to fetch, marked IN_FLIGHT. Without `inbox` it lies at a plain address."""

    job: Job
    attachment_id: int
    media: Media
    inbox: InboxConfig | None
    schedule: str
    # In which the channel says what went wrong; it is asked where no account is entered.
    language: str | None = field(default_factory=get_language)


def begin(claim: Claim, *, courier_id: int) -> Download | Release:
    with account_context(claim.account_id):
        job = recording.start(claim, courier_id=courier_id)
        if job is None:
            return Release(claim)
        delivery = Delivery.objects.get(pk=job.delivery_id)
        attachment = (
            Attachment.objects.select_related("message")
            .filter(pk=json.loads(delivery.body)["attachment"])
            .first()
        )
        inbox = Inbox.objects.filter(pk=claim.destination_id).first()
        if attachment is None or inbox is None or attachment.state == Attachment.State.READY:
            recording.finish(Result(job, State.CANCELED, Outcome("canceled"), reason="no file"))
            return Release(claim)
        theirs = attachment.message.direction == Message.Direction.INBOUND
        wanted = Media(
            kind=Kind(attachment.kind),
            mime=attachment.mime,
            size=attachment.size,
            filename=attachment.filename,
            remote_ref=attachment.remote_ref,
        )
        config = inbox.as_config() if theirs else None
        return Download(job, attachment.pk, wanted, config, delivery.schedule)


async def fetch(one: Download, http: GuardedClient) -> FetchedMedia | SendError:
    try:
        if one.inbox is None:
            return await _get(one.media.remote_ref, http)
        channel = channels.get(one.inbox.platform)
        with override(one.language):
            return await channel.fetch_media(one.media, one.inbox, http)
    except SendError as error:
        return error
    except Exception as error:
        logger.exception("download broke attachment=%d", one.attachment_id)
        return SendError(type(error).__name__, error_class=ErrorClass.TRANSIENT)


def record(one: Download, result: FetchedMedia | SendError, latency_ms: int) -> None:
    with account_context(one.job.claim.account_id):
        if isinstance(result, FetchedMedia):
            if recording.finish(
                Result(one.job, State.DELIVERED, Outcome("ok", latency_ms=latency_ms))
            ):
                media.keep_fetched(
                    one.attachment_id,
                    content=result.content,
                    mime=result.mime,
                    filename=result.filename,
                )
            return
        outcome = Outcome(str(result.error_class), result.status, latency_ms, str(result))
        due = None
        if not result.permanent:
            failure = Failure(str(result.error_class), result.status, result.retry_after)
            due = next_due(one.schedule, one.job.n, failure, now=timezone.now(), deadline=None)
        if due is not None:
            recording.finish(Result(one.job, State.RETRY_WAIT, outcome, due_at=due))
        elif recording.finish(Result(one.job, State.DEAD, outcome, reason=str(result))):
            media.give_up(one.attachment_id, error=str(result))


async def _get(url: str, http: GuardedClient) -> FetchedMedia:
    """A file at an address that an agent gave. Raises `SendError`."""
    answer = await http.request(
        "GET", url, timeout=DOWNLOAD_SECONDS, max_bytes=settings.MAX_UPLOAD_BYTES
    )
    if answer.status != 200:
        again = answer.status in (408, 425, 429) or answer.status >= 500
        raise SendError(
            f"the address answered {answer.status}",
            error_class=ErrorClass.TRANSIENT if again else ErrorClass.PERMANENT,
            status=answer.status,
        )
    mime = answer.headers.get("content-type", "").partition(";")[0].strip()
    return FetchedMedia(answer.body, mime, PurePosixPath(unquote(urlsplit(url).path)).name[:250])
