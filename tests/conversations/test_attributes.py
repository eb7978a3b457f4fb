"""Attributes: what an account defines of them, what fits, and how people read them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.models import AuditEntry
from conversations import attributes, services
from conversations.errors import FieldError, NotHolderError, TakenError
from conversations.models import AttributeDefinition, Event
from tests.api import attrs_of, code_of
from tests.conversations.test_views import logged_in
from tests.factories import make_conversation

Kind = AttributeDefinition.Kind


def define(house: SimpleNamespace, key: str = "size", **fields: Any) -> AttributeDefinition:
    fields = {"of": "contact", "name": key.title(), **fields}
    return services.define_attribute(key=key, by=house.owner, **fields)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("text", ["", "x"], [1, True]),
        ("number", [0, -1.5], ["1", True]),
        ("link", ["https://shop.test/1", "http://x"], ["javascript:alert(1)", "shop.test", 1, "http://[", "https://"]),
        ("date", ["2026-11-27", "2026-11-27T10:00:00Z"], ["2026-02-30", "tomorrow", 20261127]),
        ("list", ["S", "L"], ["XL", "", 1]),
        ("checkbox", [True, False], ["true", 1]),
    ],
)  # fmt: skip
def test_what_fits_and_what_does_not(kind: str, good: list[Any], bad: list[Any]) -> None:
    definition = AttributeDefinition(account_id=1, name="Size", kind=kind, values=["S", "L"])
    assert [attributes.misfit(definition, value) for value in (None, *good)] == [""] * (
        len(good) + 1
    )
    assert all(attributes.misfit(definition, value).startswith("Size is ") for value in bad)


def test_a_value_that_does_not_fit_is_refused_whoever_sets_it(house: SimpleNamespace) -> None:
    define(house, kind="list", values=["S", " L ", "L", ""])
    define(house, "paid", of="conversation", kind="checkbox")
    thread = make_conversation(house.inbox)
    contact = thread.contact
    calls = [
        lambda: services.set_attributes(thread, {"size": "XL"}, by=None),
        lambda: services.replace_attributes(thread, {"paid": "yes"}, by=None),
        lambda: services.update_contact(contact, by=house.owner, attributes={"size": "XL"}),
        lambda: services.create_contact(by=house.owner, name="x", attributes={"size": 1}),
    ]
    for call in calls:
        with pytest.raises(FieldError, match="is "):
            call()
    services.set_attributes(thread, {"size": "L", "paid": "of conversations only"}, by=None)
    services.set_attributes(thread, {"size": None}, by=None)
    contact.refresh_from_db()
    assert contact.attributes == {"paid": "of conversations only"}


def test_all_attributes_are_replaced_and_told_once(house: SimpleNamespace) -> None:
    thread = make_conversation(house.inbox)
    services.set_attributes(thread, {"a": 1, "b": 2}, by=None, on="conversation")
    services.replace_attributes(thread, {"b": 3, "c": 4}, by=house.person)
    thread.refresh_from_db()
    assert thread.attributes == {"b": 3, "c": 4}
    last = Event.objects.filter(conversation=thread).latest("sequence")
    assert last.data["attributes"] == {"conversation": {"a": None, "b": 3, "c": 4}}
    services.set_attributes(thread, {"x": 1}, by=None)
    services.replace_attributes(thread, {"y": 2}, by=None, on="contact")
    thread.contact.refresh_from_db()
    assert thread.contact.attributes == {"y": 2}
    with pytest.raises(NotHolderError):
        services.replace_attributes(thread, {}, by=house.agent.member)


def test_what_cannot_be_defined_is_refused(house: SimpleNamespace) -> None:
    define(house)
    with pytest.raises(TakenError):
        define(house)
    define(house, of="conversation")
    with pytest.raises(FieldError, match="up to 250 letters"):
        define(house, "x", kind="list", values=["S", "x" * 251])
    for fields in ({"key": "two words"}, {"key": ""}, {"key": "x", "kind": "list"}):
        with pytest.raises(FieldError):
            define(house, **fields)
    assert AttributeDefinition.objects.count() == 2


def test_definitions_change_and_go_and_values_stay(house: SimpleNamespace) -> None:
    definition = define(house, kind="list", values=["S"])
    thread = make_conversation(house.inbox)
    services.set_attributes(thread, {"size": "S"}, by=None)
    changed = services.update_definition(definition, by=house.owner, kind="number")
    assert (changed.kind, changed.values) == ("number", [])
    thread.contact.refresh_from_db()
    assert thread.contact.attributes == {"size": "S"}
    services.delete_definition(definition, by=house.owner)
    services.set_attributes(thread, {"size": "anything"}, by=None)
    actions = AuditEntry.objects.filter(action__startswith="attribute.").order_by("pk")
    assert [one.action.partition(".")[2] for one in actions] == ["defined", "changed", "deleted"]


# --- Pages ---------------------------------------------------------------------------------------


def test_the_details_call_them_by_their_names(house: SimpleNamespace) -> None:
    define(house, "crm", name="Their page", kind="link")
    define(house, "paid", name="Has paid", kind="checkbox", of="conversation")
    thread = make_conversation(house.inbox)
    services.set_attributes(thread, {"crm": "https://crm.test/1", "other": "plain"}, by=None)
    services.set_attributes(thread, {"paid": True}, by=None, on="conversation")
    page = logged_in(house.person).get(f"/inbox/{thread.public_id}/").content.decode()
    assert 'href="https://crm.test/1"' in page
    for words in ("Their page", 'Has paid</dt><dd dir="auto">yes', "other</dt>"):
        assert words in page
    assert ">crm<" not in page


def test_a_supervisor_defines_changes_and_deletes_one(house: SimpleNamespace) -> None:
    client: Any = logged_in(house.supervisor)
    assert b"No attributes are defined yet" in client.get("/settings/attributes/").content
    fields = {
        "of": "contact",
        "key": "size",
        "name": "Size",
        "kind": "list",
        "values": "S\r\nL\r\n",
    }
    assert client.post("/settings/attributes/new/", {**fields, "values": ""}).status_code == 422
    long = client.post("/settings/attributes/new/", {**fields, "values": "S\n" + "x" * 251})
    assert (long.status_code, b"up to 250 letters" in long.content) == (422, True)
    assert client.post("/settings/attributes/new/", fields).status_code == 302
    assert client.post("/settings/attributes/new/", fields).status_code == 422
    definition = AttributeDefinition.objects.get()
    assert definition.values == ["S", "L"]
    address = f"/settings/attributes/{definition.public_id}/"
    assert "S\nL" in client.get(address).content.decode()
    client.post(address, {"name": "Shirt", "kind": "text", "values": ""})
    definition.refresh_from_db()
    assert (definition.key, definition.name, definition.kind) == ("size", "Shirt", "text")
    assert b"Shirt" in client.get("/settings/attributes/").content
    person: Any = logged_in(house.person)
    assert person.get(address).status_code == 403
    stranger: Any = logged_in(house.outsider)
    assert stranger.post(address + "delete/").status_code == 404
    client.post(address + "delete/")
    assert not AttributeDefinition.objects.exists()


# --- REST ----------------------------------------------------------------------------------------


def test_definitions_over_rest(api: SimpleNamespace) -> None:
    body = {"of": "contact", "key": "size", "name": "Size", "kind": "list", "values": ["S"]}
    made = api.supervisor.post("/v1/attribute_definitions/", body)
    assert made.status_code == 201
    address = f"/v1/attribute_definitions/{made.json()['id']}/"
    taken = api.supervisor.post("/v1/attribute_definitions/", body)
    assert (code_of(taken), attrs_of(taken)) == ("already_exists", {"key"})
    assert api.owner.patch(address, {"values": ["S", "M"]}).json()["values"] == ["S", "M"]
    assert api.owner.patch(address, {"key": "x"}).status_code == 400
    for query, number in (
        ({"of": "contact"}, 1),
        ({"of": "conversation"}, 0),
        ({"key": "size"}, 1),
    ):
        listed = api.person.get("/v1/attribute_definitions/", **query).json()["results"]
        assert len(listed) == number
    assert api.outsider.get("/v1/attribute_definitions/").json()["results"] == []
    assert api.outsider.patch(address, {"name": "x"}).status_code == 404
    assert api.person.post("/v1/attribute_definitions/", body).status_code == 403
    thread = make_conversation(api.house.inbox)
    setting = f"/v1/conversations/{thread.public_id}/attributes/"
    refused = api.person.post(setting, {"values": {"size": "XL"}})
    assert (refused.status_code, attrs_of(refused)) == (400, {"attributes"})
    assert refused.json()["detail"] == "Size is one of: S, M."
    shown = api.person.post(
        setting, {"values": {"order": 1}, "on": "conversation", "replace": True}
    )
    assert shown.json()["attributes"] == {"order": 1}
    assert api.owner.delete(address).status_code == 204
