"""What a person said to the customer by another way (from the phone itself), and is only recorded here."""

from __future__ import annotations

from django.utils.translation import gettext as _

from conversations import services
from conversations.messages import MEDIA_KINDS, Content, DeviceEcho, InboundMessage, Kind, Media
from conversations.models import Conversation, Message
from integrations.chatwoot.errors import unprocessable


def known(conversation: Conversation, name: str) -> Message | None:
    """What was recorded, or sent, under this name of the channel before."""
    return Message.objects.filter(inbox=conversation.inbox, external_id=name).first()


def record(conversation: Conversation, content: Content, name: str) -> Message:
    """It stands in the thread and is not sent; an agent that has the conversation gives it to people, as for
    an answer from the phone. Raises 422 for what no phone says, and where the customer was erased."""
    if content.kind != Kind.TEXT and content.kind not in MEDIA_KINDS:
        raise unprocessable(_("What was sent by another way is recorded as text and files."))
    names = [one.as_identifier() for one in conversation.address.names]
    if not names:  # they were erased
        raise unprocessable(_("What was sent by another way cannot be recorded by this call."))
    said = InboundMessage(
        external_id=name,
        kind=content.kind,
        identifiers=tuple(names),
        text=content.text,
        media=tuple(
            Media(file.kind, mime=file.mime, filename=file.filename, size=file.size, path=file.path)
            for file in content.media
        ),
    )
    services.receive(conversation.inbox, DeviceEcho(said, takes_over=True))
    message = known(conversation, name)
    assert message is not None  # noqa: S101 - it was written, or had been
    return message
