"""A conversation as a letter: what was said with the customer, without notes and without what was taken
back or never reached them. Whoever asks for one may read it here; where it goes is written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import limits
from accounts.audit import audit
from accounts.limits import Limit
from accounts.models import Member
from accounts.redaction import mask
from conversations import tasks
from conversations.errors import DeskError, FieldError
from conversations.messages import DeliveryStatus
from conversations.models import Conversation, Message
from conversations.thread import kind_label

# The newest of a very long one.
MOST = 1000
# An account's; nobody's mailbox is to be filled with them.
LETTERS = Limit("transcript", capacity=30, per_second=30 / 3600)


class TooManyLettersError(DeskError):
    """More letters than the account may send; `wait` says how many seconds to wait."""

    code = "throttled"
    status = 429

    def __init__(self, wait: int) -> None:
        super().__init__(_("At most 30 of these letters an hour. Wait a little."))
        self.wait = wait


class Line(NamedTuple):
    """One thing said, as the letter shows it."""

    at: str
    who: str
    text: str


@transaction.atomic
def send_later(conversation: Conversation, *, to: str, by: Member) -> None:
    """Have the letter sent when this transaction is through. Raises `FieldError` for what is no e-mail,
    `TooManyLettersError`."""
    try:
        validate_email(to)
    except ValidationError as error:
        raise FieldError("email", str(error.message)) from error
    account_id = conversation.account_id
    taken = limits.take(LETTERS, str(account_id))
    if not taken.allowed:
        raise TooManyLettersError(taken.wait)
    # The log outlives a customer who is erased.
    changes = {"to": mask(to)}
    audit("conversation.transcript_sent", by=by, target=conversation, changes=changes)
    language = by.user.language if by.user is not None else ""
    job = (account_id, conversation.pk, to, language)
    transaction.on_commit(lambda: tasks.send_transcript.delay(*job), robust=True)


def letter(conversation: Conversation, *, to: str, language: str = "") -> EmailMessage:
    """As it is now. Somebody who was erased meanwhile has said nothing."""
    names = {"number": conversation.number, "account": conversation.account.name}
    with translation.override(language or translation.get_language()):
        subject = _("Conversation #%(number)d with %(account)s") % names
        lines = list(_lines(conversation))
        body = render_to_string("conversations/letters/transcript.txt", {**names, "lines": lines})
    return EmailMessage(" ".join(subject.split()), body, None, [to])


def _lines(conversation: Conversation) -> Iterator[Line]:
    spoken = (Message.Direction.INBOUND, Message.Direction.OUTBOUND)
    rows = conversation.messages.filter(direction__in=spoken, deleted_at__isnull=True)
    rows = rows.exclude(status=DeliveryStatus.FAILED)
    rows = rows.select_related("author").prefetch_related("attachments").order_by("-pk")
    for message in reversed(rows[:MOST]):
        at = f"{message.sent_at or message.created_at:%Y-%m-%d %H:%M} UTC"
        yield Line(at, _speaker(message, conversation), _text(message))


def _speaker(message: Message, conversation: Conversation) -> str:
    if message.direction == Message.Direction.INBOUND:
        return str(conversation.contact)
    return message.author.name if message.author is not None else conversation.account.name


def _text(message: Message) -> str:
    """Its words, and the names of its files; what has neither is called by its kind."""
    names = [one.filename for one in message.attachments.all() if one.filename]
    words = message.text or ("" if names else kind_label(message.kind))
    return "\n".join([*([words] if words else []), *(f"[{name}]" for name in names)])
