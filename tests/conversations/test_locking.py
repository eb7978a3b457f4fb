"""Who waits for a conversation gets it as it is then, with what it points to then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections

from accounts.tenancy import account_context
from conversations import services
from conversations.models import Address, Contact, Conversation, Delivery
from conversations.services.locking import lock, lock_at_many, lock_many
from tests.factories import make_conversation, make_house, said

pytestmark = pytest.mark.usefixtures("clean_database")

_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def house() -> SimpleNamespace:
    return make_house()


@contextmanager
def meanwhile(house: SimpleNamespace, work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Inside the block this connection does something; `work`, on another, waits for its end. Afterwards
    the list holds what `work` returned."""
    found: list[Any] = []

    def run() -> None:
        try:
            with account_context(house.account):
                found.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    with account_context(house.account):
        yield found
        thread.start()
        waits_for_us()
    thread.join(20)


def waits_for_us() -> None:
    with connection.cursor() as cursor:
        for _ in range(2000):
            cursor.execute(_WAITING)
            if cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_sleep(0.005)")
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("several", [False, True])
def test_a_new_holder_is_there_with_the_row_that_names_it(
    house: SimpleNamespace, several: bool
) -> None:
    conversation = make_conversation(house.inbox)

    def work() -> Conversation:
        return lock_many([conversation.pk])[conversation.pk] if several else lock(conversation)

    with meanwhile(house, work) as found:
        services.assign(conversation, to=house.agent.member, by=None)
    assert found[0].assignee == house.agent.member
    assert found[0].assignee_id == house.agent.member_id


def test_a_holder_that_is_gone_is_not_there_any_more(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    with account_context(house.account):
        services.assign(conversation, to=house.agent.member, by=None)
    with meanwhile(house, lambda: lock(conversation)) as found:
        services.hand_off(conversation, by=None, to=house.team)
    assert found[0].assignee is None
    assert found[0].team == house.team


def test_the_holder_is_there_for_who_looks_by_address(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    with account_context(house.account):
        address = Address.objects.select_related("contact", "inbox").get(pk=conversation.address_id)
    with meanwhile(house, lambda: lock_at_many({address.pk: address})) as found:
        services.assign(conversation, to=house.agent.member, by=None)
    assert found[0][address.pk].assignee == house.agent.member


@pytest.mark.parametrize("by_address", [False, True])
def test_a_conversation_that_got_another_contact_is_not_lost(
    house: SimpleNamespace, by_address: bool
) -> None:
    conversation = make_conversation(house.inbox)
    with account_context(house.account):
        address = Address.objects.select_related("contact", "inbox").get(pk=conversation.address_id)
        other = Contact.objects.create(name="Ana")

    def work() -> Conversation:
        if by_address:
            return lock_at_many({address.pk: address})[address.pk]
        return lock(conversation)

    with meanwhile(house, work) as found:
        Address.objects.filter(pk=address.pk).update(contact=other)
        Conversation.objects.filter(pk=conversation.pk).update(contact=other)
    assert found[0].contact == other
    assert found[0].contact_id == other.pk
    assert found[0].address.contact_id == other.pk


def test_what_is_not_there_is_not_found(house: SimpleNamespace) -> None:
    with account_context(house.account):
        assert lock_many([1]) == {}
        with pytest.raises(Conversation.DoesNotExist):
            lock(1)


def test_what_is_said_while_the_agent_gets_the_conversation_is_told_to_it(
    house: SimpleNamespace,
) -> None:
    """The message came second, and its agent was missing: nobody would ever have told it (DL-22)."""
    conversation = make_conversation(house.inbox, visitor="ana")

    def work() -> str:
        return services.receive(house.inbox, said("And another thing", visitor="ana"))

    with meanwhile(house, work):
        services.assign(conversation, to=house.agent.member, by=None)
    with account_context(house.account):
        told = Delivery.objects.filter(kind="agent", message__text="And another thing")
        assert told.count() == 1
