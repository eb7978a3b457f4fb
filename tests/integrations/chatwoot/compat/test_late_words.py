"""What a bot says after it has lost a conversation, while the conversation goes on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from accounts.tenancy import account_context
from agents.models import AgentInbox
from conversations import services
from conversations.models import Conversation, Message
from tests.conversations.test_locking import meanwhile
from tests.factories import make_conversation, make_house
from tests.integrations.chatwoot.compat.conftest import client

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.fixture
def house() -> SimpleNamespace:
    house = make_house()
    with account_context(house.account):
        AgentInbox.objects.create(agent=house.agent, inbox=house.inbox)
    return house


def test_none_are_kept_of_a_customer_who_was_merged_and_erased_meanwhile(
    house: SimpleNamespace,
) -> None:
    """The conversation is another contact's by the time that the bot's words are refused."""
    held, other = (make_conversation(house.inbox) for _ in range(2))
    bot = client(house.agent.member, house.account.pk)
    with account_context(house.account):
        services.assign(held, to=house.agent.member, by=None)

    def say() -> int:
        said = bot.post(f"conversations/{held.number}/messages", {"content": "Dear Ana"})
        return int(said.status_code)

    with meanwhile(house, say) as answers:
        held = Conversation.objects.select_related("contact").get(pk=held.pk)
        services.merge_contacts(other.contact, held.contact, by=house.owner)
        services.erase_contact(other.contact, by=house.owner)
    assert answers == [422]
    with account_context(house.account):
        assert not Message.objects.filter(direction="draft").exists()
        assert not Message.objects.filter(text="Dear Ana").exists()


def test_none_are_kept_of_a_customer_who_was_erased_while_they_waited(
    house: SimpleNamespace,
) -> None:
    """F-32: who waits for the lock is told of the conversation as it is, but of its customer as they were."""
    held = make_conversation(house.inbox)
    bot = client(house.agent.member, house.account.pk)
    with account_context(house.account):
        services.assign(held, to=house.agent.member, by=None)

    def say() -> int:
        said = bot.post(f"conversations/{held.number}/messages", {"content": "Dear Ana"})
        return int(said.status_code)

    with meanwhile(house, say) as answers:
        services.erase_contact(held.contact, by=house.owner)
    assert answers == [422]
    with account_context(house.account):
        assert not Message.objects.filter(text="Dear Ana").exists()
