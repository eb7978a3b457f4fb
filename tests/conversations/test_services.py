"""The acts of the desk, tried directly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event as Moment
from time import sleep
from types import SimpleNamespace

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tenancy import NoAccountError, _current, account_context
from conversations import services
from conversations.errors import NotHolderError
from conversations.messages import Content, Identifier
from conversations.models import Contact, Conversation, Delivery, Event, Message
from tests.factories import make_account, make_conversation, make_inbox, said


def test_a_first_message_makes_contact_conversation_and_events(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox, "Do you ship to Cluj?")
    assert conversation.preview == "Do you ship to Cluj?"
    assert conversation.unread_count == 1
    kinds = list(Event.objects.filter(conversation=conversation).values_list("type", "sequence"))
    assert kinds[:2] == [("conversation.created", 1), ("message.created", 2)]


def test_an_old_message_that_comes_late_does_not_close_the_window(house: SimpleNamespace) -> None:
    now = timezone.now()
    conversation = make_conversation(house.inbox, visitor="same", sent_at=now)
    services.receive(house.inbox, said("Old", visitor="same", sent_at=now - timedelta(days=2)))
    conversation.address.refresh_from_db()
    assert conversation.address.last_inbound_at == now


@pytest.mark.usefixtures("clean_database")
def test_two_couriers_that_meet_the_same_new_customer_make_one_contact() -> None:
    inbox = make_inbox(make_account())
    phone, user = Identifier("phone", "+40700"), Identifier("bsuid", "RO.1")
    writing = Moment()

    def other_lane() -> None:
        writing.wait()
        with account_context(inbox.account_id):
            services.receive(inbox, replace(said("Two"), identifiers=(user, phone)))
        connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(other_lane)
        with account_context(inbox.account_id):
            services.receive(inbox, replace(said("One"), identifiers=(user, phone)))
            writing.set()
            sleep(0.3)
        other.result()
    with account_context(inbox.account_id):
        assert (Contact.objects.count(), Conversation.objects.count()) == (1, 1)
        assert Message.objects.filter(direction="inbound").count() == 2


def test_the_same_message_twice_has_one_effect(house: SimpleNamespace) -> None:
    """delivery.md 0.5"""
    once = said("Hello")
    services.receive(house.inbox, once)
    assert services.receive(house.inbox, once) == "duplicate"
    assert Message.objects.filter(external_id=once.external_id).count() == 1


def test_a_person_who_answers_has_it_and_the_answer_is_queued(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    message = services.post_message(conversation, content=Content(text="Hi"), author=house.person)
    conversation.refresh_from_db()
    assert conversation.assignee == house.person
    assert Delivery.objects.get(message=message).kind == "send"


def test_an_agent_that_lost_the_conversation_cannot_speak(house: SimpleNamespace) -> None:
    """SX-14, DL-63"""
    conversation = make_conversation(house.inbox)
    agent = house.agent.member
    conversation = services.assign(conversation, to=agent, by=house.owner)
    epoch = conversation.assignment_epoch
    services.take_over(conversation, by=house.person)
    with pytest.raises(NotHolderError):
        services.post_message(conversation, content=Content(text="late"), author=agent, epoch=epoch)


def test_a_take_over_stands_in_the_audit_log_without_the_customers_name(
    house: SimpleNamespace,
) -> None:
    """security.md 10"""
    conversation = make_conversation(house.inbox)
    services.take_over(conversation, by=house.supervisor)
    assert not AuditEntry.objects.exists()  # nobody had it
    services.post_message(conversation, content=Content(text="Hi"), author=house.person)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.member) == ("conversation.taken_over", house.person)
    assert entry.object_name == f"#{conversation.number}"
    assert entry.changes == {"holder": ["Sonia", "Petra"], "reason": "answered"}


def test_resolving_and_writing_again_reopens(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox, visitor="same")
    services.resolve(conversation, by=house.person)
    services.receive(house.inbox, said("again", visitor="same"))
    conversation.refresh_from_db()
    assert conversation.status == Conversation.Status.OPEN
    assert conversation.assignee is None
    assert conversation.inbound_count == 1


def test_rows_of_an_account_cannot_be_read_without_entering_it(house: SimpleNamespace) -> None:
    """SX-01"""
    token = _current.set(None)
    try:
        with pytest.raises(NoAccountError):
            Conversation.objects.count()
    finally:
        _current.reset(token)
