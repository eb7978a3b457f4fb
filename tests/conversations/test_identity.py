"""Who a customer is, by which of the channel's names (channels.md 2.3)."""

from __future__ import annotations

from types import SimpleNamespace

from conversations import services
from conversations.messages import Identifier
from conversations.models import Conversation, Message
from conversations.services.addresses import find_or_create_address
from tests.factories import make_conversation, said


def named(**names: str) -> tuple[Identifier, ...]:
    return tuple(Identifier(kind, value) for kind, value in names.items())


def test_any_lasting_name_finds_the_customer_and_new_ones_are_added(house: SimpleNamespace) -> None:
    ana = find_or_create_address(house.inbox, named(phone="+40721000111"), name="Ana")
    both = find_or_create_address(house.inbox, named(bsuid="RO.1", phone="+40721000111"))
    assert both == ana
    assert find_or_create_address(house.inbox, named(bsuid="RO.1")) == ana
    assert ana.contact.name == "Ana"


def test_a_username_that_changed_hands_does_not_join_two_people(house: SimpleNamespace) -> None:
    ana = find_or_create_address(house.inbox, named(bsuid="RO.1", username="shoefan"))
    other = find_or_create_address(house.inbox, named(bsuid="RO.2", username="shoefan"))
    assert other != ana
    assert find_or_create_address(house.inbox, named(bsuid="RO.2")) == other
    assert find_or_create_address(house.inbox, named(bsuid="RO.1")) == ana


def test_the_strongest_name_decides_when_names_disagree(house: SimpleNamespace) -> None:
    ana = find_or_create_address(house.inbox, named(phone="+40721000111"))
    bob = find_or_create_address(house.inbox, named(bsuid="RO.2"))
    assert find_or_create_address(house.inbox, named(bsuid="RO.2", phone="+40721000111")) == bob
    assert find_or_create_address(house.inbox, named(phone="+40721000111")) == ana


def test_on_a_numbered_menu_the_number_or_the_title_is_the_choice(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox, visitor="ana")
    Conversation.objects.filter(pk=conversation.pk).update(
        options={"1": {"id": "r", "title": "Roșu"}, "2": {"id": "g", "title": "Verde"}}
    )
    services.receive(house.inbox, said("2.", visitor="ana"))
    answer = Message.objects.filter(conversation=conversation).latest("id")
    assert (answer.kind, answer.text) == ("button_reply", "Verde")
    assert answer.content["choice"]["id"] == "g"
