"""Labels: which there are, and which stand on conversations and contacts."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from accounts.ids import encode
from accounts.models import AuditEntry
from accounts.tenancy import account_context
from conversations import desk, services
from conversations.errors import FieldError, NotHolderError, TakenError, WrongStateError
from conversations.models import ContactLabel, Conversation, Event, Label, Message
from tests.api import code_of
from tests.conversations.test_views import HTMX, logged_in
from tests.factories import make_conversation, make_house


def names(conversation: Conversation) -> set[str]:
    return set(conversation.labels.values_list("name", flat=True))


def told(conversation: Conversation) -> list[dict]:
    events = Event.objects.filter(conversation=conversation, type="conversation.updated")
    return [event.data for event in events.order_by("sequence")]


def test_the_whole_list_is_replaced_and_told_once(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    services.add_labels(conversation, ["old", "kept"], by=None)
    before = len(told(conversation))
    services.set_labels(conversation, ["new", " kept ", "", "new", "newer"], by=house.person)
    assert names(conversation) == {"new", "kept", "newer"}
    assert told(conversation)[before:] == [
        {
            "labels_added": ["new", "newer"],
            "labels_removed": ["old"],
            "actor": house.person.public_id,
        }
    ]
    lines = Message.objects.filter(conversation=conversation, direction="system")
    assert lines.filter(text="Label “old” removed by Petra").exists()
    services.set_labels(conversation, ["newer", "kept", "new"], by=house.person)
    assert len(told(conversation)) == before + 1
    services.set_labels(conversation, [], by=house.person)
    assert names(conversation) == set()


def test_an_agent_labels_what_it_holds_only(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    with pytest.raises(NotHolderError):
        services.set_labels(conversation, ["x"], by=house.agent.member)
    assert names(conversation) == set()


def test_a_label_is_renamed_everywhere_and_deleted_from_everything(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    services.add_labels(conversation, ["vip"], by=None)
    services.set_contact_labels(conversation.contact, ["vip"])
    label = Label.objects.get()
    services.update_label(label, by=house.owner, name="gold", colour="#AABBCC")
    assert names(conversation) == {"gold"}
    assert Label.objects.get().shade == "#aabbcc"
    entry = AuditEntry.objects.filter(action="label.changed").get()
    assert entry.changes == {"name": ["vip", "gold"], "colour": ["slate", "#aabbcc"]}
    services.delete_label(label, by=house.owner)
    assert names(conversation) == set()
    assert not ContactLabel.objects.exists()


def test_what_cannot_be_a_label_is_refused(house: SimpleNamespace) -> None:
    services.create_label(by=house.owner, name="vip")
    for fields in ({"name": " "}, {"name": "x" * 61}, {"name": "x", "colour": "url(x)"}):
        with pytest.raises(FieldError):
            services.create_label(by=house.owner, **fields)
    with pytest.raises(TakenError):
        services.create_label(by=house.owner, name="vip ")
    assert Label.objects.count() == 1


def test_a_colour_is_always_digits_on_a_page(house: SimpleNamespace) -> None:
    for colour, shade in (("red", "#dc2626"), ("mauve", "#64748b"), ("#012345", "#012345")):
        assert Label(name="x", colour=colour).shade == shade


def test_a_label_that_is_being_put_on_is_deleted_after_that(clean_database: None) -> None:
    house = make_house()
    thread = make_conversation(house.inbox)
    with account_context(house.account):
        label = services.create_label(by=house.owner, name="vip")
    put_on, go = threading.Event(), threading.Event()

    def label_it() -> None:
        try:
            with account_context(house.account):
                services.add_labels(thread, ["vip"], by=None)
                put_on.set()
                go.wait(10)
        finally:
            connection.close()

    other = threading.Thread(target=label_it)
    other.start()
    assert put_on.wait(10)
    threading.Timer(0.2, go.set).start()
    with account_context(house.account):
        services.delete_label(label, by=house.owner)
    other.join(10)
    with account_context(house.account):
        assert not Label.objects.exists()
        assert names(thread) == set()


def test_two_who_make_the_same_labels_in_opposite_order_never_wait_for_each_other(
    clean_database: None,
) -> None:
    house = make_house()
    threads = [make_conversation(house.inbox) for _each in range(2)]
    names_given = [f"label {number:03}" for number in range(80)]
    begin = threading.Barrier(2)
    failed: list[Exception] = []

    def label_them(thread: Conversation, given: list[str]) -> None:
        try:
            with account_context(house.account):
                begin.wait(10)
                services.add_labels(thread, given, by=None)
        except OperationalError as error:
            failed.append(error)
        finally:
            connection.close()

    orders = [names_given, names_given[::-1]]
    others = [
        threading.Thread(target=label_them, args=pair) for pair in zip(threads, orders, strict=True)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert failed == []
    with account_context(house.account):
        assert names(threads[0]) == names(threads[1]) == set(names_given)


# --- Contacts ------------------------------------------------------------------------------------


def test_a_contact_has_labels_of_its_own(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    contact = conversation.contact
    services.add_contact_labels(contact, ["vip", "vip", "rude"])
    services.remove_contact_labels(contact, ["rude", "never there"])
    assert list(contact.labels.values_list("name", flat=True)) == ["vip"]
    changed = contact.updated_at
    services.set_contact_labels(contact, ["kind", "vip"])
    contact.refresh_from_db()
    assert set(contact.labels.values_list("name", flat=True)) == {"vip", "kind"}
    assert contact.updated_at > changed
    assert names(conversation) == set()


def test_an_erased_contact_loses_its_labels_and_gets_none(house: SimpleNamespace) -> None:
    contact = make_conversation(house.inbox).contact
    services.add_contact_labels(contact, ["vip"])
    services.erase_contact(contact, by=house.owner)
    assert not ContactLabel.objects.exists()
    with pytest.raises(WrongStateError):
        services.add_contact_labels(contact, ["vip"])
    with pytest.raises(WrongStateError):
        services.set_contact_labels(contact, [])


# --- Pages ---------------------------------------------------------------------------------------


def test_a_supervisor_makes_renames_and_deletes_one(house: SimpleNamespace) -> None:
    client = logged_in(house.supervisor)
    assert b"No labels yet" in client.get("/settings/labels/").content
    fields = {"name": "vip", "colour": "#dc2626", "description": "Pays more", "in_filters": "on"}
    assert client.post("/settings/labels/new/", fields).status_code == 302
    label = Label.objects.get()
    assert (label.colour, label.description, label.in_filters) == ("#dc2626", "Pays more", True)
    assert client.post("/settings/labels/new/", fields).status_code == 422
    conversation = make_conversation(house.inbox)
    services.add_labels(conversation, ["vip"], by=None)
    services.add_contact_labels(conversation.contact, ["vip"])
    address = f"/settings/labels/{label.public_id}/"
    assert "Conversations: 1, contacts: 1." in client.get(address).content.decode()
    client.post(address, {**fields, "name": "gold", "in_filters": ""})
    label.refresh_from_db()
    assert (label.name, label.in_filters) == ("gold", False)
    assert b"gold" in client.get("/settings/labels/").content
    assert b"Nothing found" in client.get("/settings/labels/?q=zzz").content
    client.post(address + "delete/")
    assert not Label.objects.exists()


def test_the_list_offers_a_hidden_label_only_while_it_is_chosen(house: SimpleNamespace) -> None:
    shown = services.create_label(by=house.owner, name="shown")
    hidden = services.create_label(by=house.owner, name="hidden", in_filters=False)
    assert list(desk.filters(desk.Query()).labels) == [shown]
    assert list(desk.filters(desk.Query(label=hidden.public_id)).labels) == [hidden, shown]


def test_the_page_of_labels_takes_the_same_number_of_queries(house: SimpleNamespace) -> None:
    client = logged_in(house.person)
    client.get("/settings/labels/")
    counts = []
    for number in range(2):
        for each in range(3):
            conversation = make_conversation(house.inbox)
            services.add_labels(conversation, [f"l{number}{each}"], by=None)
        with CaptureQueriesContext(connection) as queries:
            client.get("/settings/labels/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_somebody_at_the_desk_labels_the_customer(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    address = f"/inbox/{conversation.public_id}/label-contact/"
    client: Any = logged_in(house.person)
    assert client.post(address, {"name": "vip"}, **HTMX).status_code == 204
    assert (
        "Labels of the customer" in client.get(f"/inbox/{conversation.public_id}/").content.decode()
    )
    assert conversation.contact.labels.get().name == "vip"
    assert client.post(address, {"name": ""}, **HTMX).status_code == 409
    client.post(address, {"name": "vip", "remove": "on"}, **HTMX)
    assert not ContactLabel.objects.exists()
    stranger: Any = logged_in(house.outsider)
    assert stranger.post(address, {"name": "x"}, **HTMX).status_code == 404


# --- REST ----------------------------------------------------------------------------------------


def test_labels_over_rest(api: SimpleNamespace) -> None:
    made = api.supervisor.post(
        "/v1/labels/", {"name": "vip", "colour": "#1F93FF", "description": "x", "in_filters": False}
    )
    assert made.status_code == 201
    body = made.json()
    assert (body["colour"], body["description"], body["in_filters"]) == ("#1f93ff", "x", False)
    address = f"/v1/labels/{body['id']}/"
    assert code_of(api.owner.post("/v1/labels/", {"name": "vip"})) == "already_exists"
    assert api.owner.patch(address, {"name": "gold"}).json()["name"] == "gold"
    assert len(api.person.get("/v1/labels/", q="OL").json()["results"]) == 1
    assert api.person.get("/v1/labels/", name="vip").json()["results"] == []
    assert api.person.get("/v1/labels/", in_filters="true").json()["results"] == []
    assert api.outsider.patch(address, {"name": "x"}).status_code == 404
    assert api.person.delete(address).status_code == 403
    assert api.owner.delete(address).status_code == 204


def test_the_labels_of_a_conversation_are_set_over_rest(api: SimpleNamespace) -> None:
    thread = make_conversation(api.house.inbox)
    address = f"/v1/conversations/{thread.public_id}/labels/"
    assert api.person.post(address, {"set": ["b", "a"]}).json()["labels"] == ["a", "b"]
    assert api.person.post(address, {"set": []}).json()["labels"] == []
    assert api.person.post(address, {"set": ["a"], "add": ["b"]}).status_code == 400
    assert api.agent.post(address, {"set": ["a"]}).status_code == 404


def test_the_labels_of_a_contact_over_rest(api: SimpleNamespace) -> None:
    ion, maria = (
        (made, encode("con", made.contact_id))
        for made in (make_conversation(api.house.inbox) for _each in range(2))
    )
    contact = f"/v1/contacts/{ion[1]}/"
    shown = api.person.post(contact + "labels/", {"add": ["vip", "old"]})
    assert shown.json()["labels"] == ["old", "vip"]
    assert api.person.post(contact + "labels/", {"remove": ["old"]}).json()["labels"] == ["vip"]
    assert api.person.post(contact + "labels/", {"set": ["gold"]}).json()["labels"] == ["gold"]
    assert api.person.patch(contact, {"name": "Ion"}).json()["labels"] == ["gold"]
    found = api.person.get("/v1/contacts/", label="gold").json()["results"]
    assert [row["id"] for row in found] == [ion[1]]
    assert api.outsider.post(contact + "labels/", {"set": []}).status_code == 404
    # An AI agent reaches the customers of what it holds, and no others.
    assert api.agent.post(contact + "labels/", {"set": []}).status_code == 404
    with account_context(api.house.account):
        services.assign(maria[0], to=api.house.agent.member, by=api.house.owner)
    mine = f"/v1/contacts/{maria[1]}/labels/"
    assert api.agent.post(mine, {"set": ["ai"]}).json()["labels"] == ["ai"]
