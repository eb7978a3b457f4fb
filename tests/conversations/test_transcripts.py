"""A conversation as a letter."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from accounts.models import AuditEntry
from accounts.tenancy import account_context, current_account_id
from conversations import services, tasks, transcripts
from conversations.errors import FieldError
from conversations.messages import Content
from conversations.models import Conversation
from conversations.transcripts import LETTERS, TooManyLettersError
from tests.factories import make_conversation, said

TO = "ion@example.test"


@pytest.fixture
def talk(house: SimpleNamespace) -> Conversation:
    conversation = make_conversation(house.inbox, "Do you ship?", contact_name="Ion", visitor="v1")
    services.take_over(conversation, by=house.person)
    services.post_message(conversation, content=Content(text="We do."), author=house.person)
    services.add_note(conversation, text="Careful with this one", author=house.person)
    return conversation


def letter(conversation: Conversation) -> str:
    mail.outbox.clear()
    tasks.send_transcript(conversation.account_id, conversation.pk, TO, "en-gb")
    [sent] = mail.outbox
    assert sent.to == [TO]
    return str(sent.body)


def test_it_holds_what_was_said_in_order_and_no_notes(
    house: SimpleNamespace, talk: Conversation
) -> None:
    body = letter(talk)
    assert body.index("Ion:\nDo you ship?") < body.index("Petra:\nWe do.")
    assert "Careful" not in body
    assert mail.outbox[0].subject == f"Conversation #{talk.number} with {house.account.name}"


def test_nothing_is_escaped_and_nothing_comes_back_that_was_taken_back(
    house: SimpleNamespace, talk: Conversation
) -> None:
    services.receive(house.inbox, said("Is 2 < 3 & 4?", visitor="v1"))
    ours = talk.messages.get(text="We do.")
    services.take_back(ours, by=house.person)
    body = letter(talk)
    assert "Is 2 < 3 & 4?" in body
    assert "We do." not in body


def test_what_could_not_be_sent_was_not_said(house: SimpleNamespace, talk: Conversation) -> None:
    """Nor are drafts, and the lines of the system."""
    services.post_message(talk, content=Content(text="Never came"), author=house.person)
    talk.messages.filter(text="Never came").update(status="failed", error_text="no such number")
    services.keep_draft(
        talk, content=Content(text="Too late"), author=house.agent.member, reason="late"
    )
    body = letter(talk)
    assert "We do." in body
    for words in ("Never came", "no such number", "Too late", "took over"):
        assert words not in body


def test_an_erased_customer_has_said_nothing(house: SimpleNamespace, talk: Conversation) -> None:
    services.erase_contact(talk.contact, by=house.owner)
    body = letter(talk)
    assert "ship" not in body
    assert "Ion" not in body


def test_who_asked_for_it_is_written_down(house: SimpleNamespace, talk: Conversation) -> None:
    transcripts.send_later(talk, to=TO, by=house.person)
    entry = AuditEntry.objects.get(action="conversation.transcript_sent")
    assert entry.member == house.person
    assert entry.changes == {"to": "i…@example.test"}  # the log outlives an erased customer


def test_what_is_no_address_and_what_is_too_many(
    house: SimpleNamespace, talk: Conversation
) -> None:
    for to in ("", "ion", "ion@example.test\r\nBcc: x@example.test", "a@b.c, d@e.f"):
        with pytest.raises(FieldError):
            transcripts.send_later(talk, to=to, by=house.person)
    for _ in range(int(LETTERS.capacity)):
        transcripts.send_later(talk, to=TO, by=house.person)
    with pytest.raises(TooManyLettersError) as refused:
        transcripts.send_later(talk, to=TO, by=house.person)
    assert refused.value.wait > 0


class Postman(BaseEmailBackend):
    """Notes in whose account, and so in whose transaction, a letter is sent."""

    seen: ClassVar[list[int]] = []

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        self.seen.append(current_account_id())
        return len(email_messages)


def test_no_transaction_of_the_account_waits_for_the_mail_server(
    house: SimpleNamespace, talk: Conversation, settings: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Postman"
    with account_context(house.outsider_account):
        tasks.send_transcript(talk.account_id, talk.pk, TO, "")
    assert Postman.seen == [house.outsider_account.pk]


def test_the_courier_of_another_account_finds_nothing(
    house: SimpleNamespace, talk: Conversation
) -> None:
    with pytest.raises(Conversation.DoesNotExist):
        tasks.send_transcript(house.outsider_account.pk, talk.pk, TO, "")
    with account_context(house.account):
        assert talk.messages.exists()
