"""The courier has no reader: what it writes down for people is in the language of their account."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import Account
from conversations import services
from conversations.messages import Content
from conversations.models import Conversation, Delivery, Message
from tests import factories
from tests.integrations.couriers import House, Reply, Server, courier, make_house, wait_for

pytestmark = pytest.mark.usefixtures("clean_database")

NO_ADDRESS = "This customer has neither a phone number nor a WhatsApp user id."


def romanian(house: House) -> House:
    Account.objects.filter(pk=house.account.pk).update(locale="ro")
    return house


def lines(conversation: Conversation) -> list[str]:
    rows = Message.objects.filter(conversation=conversation, direction="system")
    return list(rows.order_by("pk").values_list("text", flat=True))


def refuses(request: Any) -> Reply:
    return Reply(400 if request.headers["X-Switchboard-Event"] == "message.created" else 200)


def test_dl_61_why_people_get_a_conversation_is_written_in_the_language_of_each_account() -> None:
    with Server(refuses) as agent:
        houses = [romanian(make_house(agent.url)), make_house(agent.url)]
        talks = [house.talk() for house in houses]
        with courier():
            for house, conversation in zip(houses, talks, strict=True):
                factories.make_conversation(house.inbox, "Salut", visitor="ana")
                wait_for(partial(_is_with_people, house, conversation))
    with houses[0].inside(), translation.override("ro"):
        refused, attempt = (
            _("The AI agent refused the message"),
            _("attempt %(n)d got HTTP %(status)d"),
        )
        assert refused != "The AI agent refused the message"
        assert lines(talks[0])[-1].startswith(refused)
        assert attempt % {"n": 1, "status": 400} in lines(talks[0])[-1]
    with houses[1].inside():
        assert lines(talks[1])[-1].startswith("The AI agent refused the message")


def _is_with_people(house: House, conversation: Conversation) -> bool:
    with house.inside():
        conversation.refresh_from_db()
        return conversation.assignee_id is None


def test_what_a_channel_refuses_is_explained_in_the_language_of_the_account() -> None:
    """The channel is asked outside of the account: it calls, and nothing is read or written meanwhile."""
    house = romanian(make_house(platform="whatsapp"))
    conversation = factories.make_conversation(house.inbox)
    with house.inside():
        message = services.post_message(
            conversation, content=Content(text="Salut"), author=factories.make_person(house.account)
        )
    with courier():
        wait_for(lambda: Delivery.all_accounts.filter(kind="send", state="dead").exists())
    with house.inside(), translation.override("ro"):
        message.refresh_from_db()
        assert message.error_text == _(NO_ADDRESS) != NO_ADDRESS
