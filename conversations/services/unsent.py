"""What people have begun to write and not sent: one text a person in a conversation."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Member
from conversations.errors import FieldError
from conversations.models import Conversation, UnsentText
from conversations.services.contacts import lock_present
from conversations.services.locking import lock

MAX_TEXT = 10_000


def unsent_text(conversation: Conversation, member: Member) -> UnsentText | None:
    return UnsentText.objects.filter(conversation=conversation, member=member).first()


@transaction.atomic
def keep_unsent(conversation: Conversation, *, text: str, by: Member) -> UnsentText | None:
    """In the place of what they had begun before; blank is nothing. Sending something leaves it alone:
    whoever keeps a text discards it.

    Raises `FieldError` for too long a text, `WrongStateError` for a customer who was erased.
    """
    if len(text) > MAX_TEXT or "\x00" in text:
        raise FieldError("text", _("Write a text of up to 10,000 letters."))
    if not text.strip():
        discard_unsent(conversation, by=by)
        return None
    conversation = lock(conversation)
    lock_present(conversation.contact)  # no word comes after they were erased
    kept, _made = UnsentText.objects.update_or_create(
        conversation=conversation, member=by, defaults={"text": text}
    )
    return kept


def discard_unsent(conversation: Conversation, *, by: Member) -> None:
    UnsentText.objects.filter(conversation=conversation, member=by).delete()
