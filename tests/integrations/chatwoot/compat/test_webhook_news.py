"""What account webhooks hear beside conversations: of contacts, and of who is typing (contract, 6.8)."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Identifier, IdentifierChange
from conversations.models import Contact, Conversation, Delivery
from conversations.services import replaying
from tests.factories import make_conversation, make_inbox, make_webhook, said
from tests.integrations.chatwoot.api_inbox.conftest import make_app
from tests.integrations.chatwoot.compat.test_webhooks import make, told
from tests.integrations.chatwoot.schemas import check

OF_CONTACTS = ["contact_created", "contact_updated"]
TYPING = ["conversation_typing_on", "conversation_typing_off"]


@pytest.fixture
def made(woot: SimpleNamespace) -> dict[str, Any]:
    return make(woot, subscriptions=OF_CONTACTS)


def bodies(woot: SimpleNamespace, made: dict[str, Any]) -> list[dict[str, Any]]:
    """What it was told, each of the shape of its event."""
    found = [json.loads(one.body) for one in told(woot, made)]
    for body in found:
        check(body)
    return found


def changes(body: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (one["previous_value"], one["current_value"])
        for change in body["changed_attributes"]
        for name, one in change.items()
    }


def test_a_contact_is_made_and_changed(woot: SimpleNamespace, made: dict[str, Any]) -> None:
    given = {"name": "Mia", "email": "mia@example.com", "custom_attributes": {"tier": "gold"}}
    contact = woot.owner.post("contacts", given).json()["payload"]["contact"]
    woot.owner.patch(
        f"contacts/{contact['id']}",
        {"name": "Mia Pop", "phone_number": "+40721000222", "custom_attributes": {"size": "L"}},
    )
    woot.owner.patch(f"contacts/{contact['id']}", {"name": "Mia Pop"})  # nothing new
    created, updated = bodies(woot, made)
    assert (created["event"], created["id"], created["name"]) == (
        "contact_created", contact["id"], "Mia",
    )  # fmt: skip
    assert created["account"] == {"id": woot.account_id, "name": woot.house.account.name}
    assert changes(updated) == {
        "name": ("Mia", "Mia Pop"),
        "phone_number": (None, "+40721000222"),
        "custom_attributes": ({"tier": "gold"}, {"tier": "gold", "size": "L"}),
    }
    assert updated["phone_number"] == "+40721000222"
    rows = told(woot, made)
    assert [one.sequence for one in rows] == [1, 2]
    assert len({one.wire_id for one in rows}) == 2
    assert {one.schedule for one in rows} == {Delivery.Schedule.DURABLE}


def test_who_writes_for_the_first_time_is_a_new_contact(
    woot: SimpleNamespace, made: dict[str, Any]
) -> None:
    for text in ("Hello", "Hello again"):
        make_conversation(woot.house.inbox, text, visitor="ana")
    with account_context(woot.house.account):
        services.receive(woot.house.inbox, said("I am Ana", visitor="ana", contact_name="Ana"))
    created, updated = bodies(woot, made)
    assert created["event"] == "contact_created"
    assert (updated["event"], updated["name"]) == ("contact_updated", "Ana")


def test_a_new_number_blocking_attributes_and_merging_are_changes(
    woot: SimpleNamespace, made: dict[str, Any]
) -> None:
    inbox = make_inbox(woot.house.account, "whatsapp")
    old, new = (Identifier("phone", f"+4072100000{n}") for n in (1, 2))
    with account_context(woot.house.account):
        services.receive(inbox, replace(said("Hello"), identifiers=(old,)))
        conversation = Conversation.objects.get(inbox=inbox)
        services.receive(inbox, IdentifierChange((old,), (new,)))
        services.set_attributes(conversation, {"tier": "gold"}, by=woot.house.owner)
        services.update_contact(conversation.contact, by=woot.house.owner, blocked=True)
        other = Contact.objects.create(email="ana@example.com")
        services.merge_contacts(conversation.contact, other, by=woot.house.owner)
    assert [changes(body) for body in bodies(woot, made)[1:]] == [
        # Who has no name is called by their number.
        dict.fromkeys(("name", "phone_number"), ("+40721000001", "+40721000002")),
        {"custom_attributes": ({}, {"tier": "gold"})},
        {"blocked": (False, True)},
        {"email": (None, "ana@example.com")},
    ]


def test_what_they_do_not_know_is_no_news(woot: SimpleNamespace, made: dict[str, Any]) -> None:
    with account_context(woot.house.account):
        contact = Contact.objects.create(name="Mia")
        services.update_contact(contact, by=woot.house.owner, language="ro")
    assert told(woot, made) == []


def test_only_who_subscribed_hears_of_contacts_and_nobody_of_another_account(
    woot: SimpleNamespace, made: dict[str, Any]
) -> None:
    others = make(woot, url="https://93.184.216.34/2", subscriptions=["message_created"])
    ours = make_webhook(woot.house.account)
    own = woot.outsider.__class__(woot.outsider.token, woot.house.outsider.account_id)
    assert own.post("contacts", {"name": "Zoe"}).status_code == 200
    woot.owner.post("contacts", {"name": "Mia"})
    assert [one["name"] for one in bodies(woot, made)] == ["Mia"]
    with account_context(woot.house.account):
        assert not Delivery.objects.filter(endpoint__in=(others["id"], ours.pk)).exists()


def test_what_was_told_of_a_contact_goes_with_them(
    woot: SimpleNamespace, made: dict[str, Any]
) -> None:
    """Also of whoever became a part of them."""
    mia, ana = (
        woot.owner.post("contacts", {"name": name}).json()["payload"]["contact"]["id"]
        for name in ("Mia", "Ana")
    )
    with account_context(woot.house.account):
        base, other = Contact.objects.get(pk=mia), Contact.objects.get(pk=ana)
        services.merge_contacts(base, other, by=woot.house.owner)
        services.erase_contact(base, by=woot.house.owner)
    rows = told(woot, made)
    assert len(rows) == 2
    assert not any(one.body_sealed for one in rows)
    assert {one.state for one in rows} == {Delivery.State.CANCELED}


def test_it_is_sent_again_on_the_contacts_lane(woot: SimpleNamespace, made: dict[str, Any]) -> None:
    woot.owner.post("contacts", {"name": "Mia"})
    [first] = told(woot, made)
    with account_context(woot.house.account):
        Delivery.objects.filter(pk=first.pk).update(state=Delivery.State.DEAD)
        [again] = replaying.put_events([first], epochs={}, patience=None)
    assert (again.lane_id, again.contact_id) == (first.lane_id, first.contact_id)
    assert (again.wire_id, again.body) == (first.wire_id, first.body)


# --- Typing --------------------------------------------------------------------------------------


def test_who_is_typing_is_told_at_once_or_not_at_all(
    woot: SimpleNamespace, held: Conversation
) -> None:
    made = make(woot, subscriptions=TYPING)
    path = f"conversations/{held.number}/toggle_typing_status"
    woot.person.post(path, {"typing_status": "on", "is_private": True})
    woot.bot.post(path, {"typing_status": "on"})
    woot.bot.post(path, {"typing_status": "off"})
    found = bodies(woot, made)
    person = woot.house.person
    assert [(one["event"], one["is_private"]) for one in found] == [
        ("conversation_typing_on", True),
        ("conversation_typing_on", False),
        ("conversation_typing_off", False),
    ]
    assert found[0]["user"] == {
        "id": person.pk, "name": person.name, "email": person.user.email, "type": "user",
    }  # fmt: skip
    bot = woot.house.agent
    assert found[1]["user"] == {"id": bot.pk, "name": bot.member.name, "type": "agent_bot"}
    assert {one["conversation"]["id"] for one in found} == {held.number}
    rows = told(woot, made)
    assert {one.schedule for one in rows} == {Delivery.Schedule.NOTICE}
    assert all(one.deadline_at is not None for one in rows)
    with account_context(woot.house.account):
        Delivery.objects.filter(endpoint=made["id"]).update(state=Delivery.State.DEAD)
        assert not replaying.missed(made["id"]).exists()


def test_customers_of_an_app_are_typing_too(woot: SimpleNamespace) -> None:
    made = make(woot, subscriptions=TYPING)
    ana = make_app(woot.house).customer("ana", name="Ana")
    for status in ("on", "off"):
        ana.app.post(f"{ana.thread}/toggle_typing", {"typing_status": status})
    found = bodies(woot, made)
    assert [one["event"] for one in found] == TYPING
    assert {one["user"]["name"] for one in found} == {"Ana"}
    assert "email" in found[0]["user"]


def test_typing_is_no_news_for_who_did_not_ask_for_it(
    woot: SimpleNamespace, held: Conversation
) -> None:
    made = make(woot)
    woot.person.post(f"conversations/{held.number}/toggle_typing_status", {"typing_status": "on"})
    assert "conversation_typing_on" not in [one.event_type for one in told(woot, made)]
