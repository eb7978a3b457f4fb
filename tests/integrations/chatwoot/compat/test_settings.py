"""Labels, canned responses and custom attribute definitions (contract, 6.6)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.tenancy import account_context
from conversations import services
from conversations.models import AttributeDefinition, Conversation, Label, SavedReply
from tests.factories import make_team
from tests.integrations.chatwoot.compat import contract

REFUSED = {"error": "You are not authorized to do this action"}


# --- Labels --------------------------------------------------------------------------------------


def test_labels_have_a_description_and_a_colour(woot: SimpleNamespace, held: Conversation) -> None:
    given = {"title": "vip", "color": "#1F93FF", "description": "Best", "show_on_sidebar": False}
    made = woot.owner.post("labels", {"label": given})
    assert made.status_code == 200, made.content
    contract.check(made.json(), contract.LABEL)
    assert made.json() == {**given, "id": made.json()["id"], "color": "#1f93ff"}
    path = f"labels/{made.json()['id']}"
    changed = woot.owner.patch(path, {"title": "gold"}).json()
    assert changed == {**made.json(), "title": "gold"}
    contract.check(woot.person.get("labels").json(), {"payload": [contract.LABEL]})
    assert woot.person.get(path).json() == changed
    woot.owner.post(f"conversations/{held.number}/labels", {"labels": ["gold"]})
    assert woot.owner.delete(path).status_code == 200
    assert woot.owner.get(f"conversations/{held.number}/labels").json() == {"payload": []}
    with account_context(woot.house.account):
        assert not Label.objects.exists()


def test_a_label_made_here_has_the_plain_colour(woot: SimpleNamespace) -> None:
    made = woot.owner.post("labels", {"title": "new"}).json()
    assert (made["color"], made["description"], made["show_on_sidebar"]) == ("#64748b", None, True)


@pytest.mark.parametrize(
    ("given", "attribute", "message"),
    [
        ({"title": "vip"}, "title", "Title has already been taken"),
        ({"title": " "}, "title", "60"),
        ({}, "title", "60"),
        ({"title": "x" * 61}, "title", "60"),
        ({"title": "x", "color": "#12"}, "color", "six digits"),
    ],
)
def test_a_label_that_cannot_be(
    woot: SimpleNamespace, given: dict[str, str], attribute: str, message: str
) -> None:
    assert woot.owner.post("labels", {"title": "vip"}).status_code == 200
    response = woot.owner.post("labels", given)
    assert (response.status_code, response.json()["attributes"]) == (422, [attribute])
    assert message in response.json()["message"]
    assert woot.person.post("labels", {"title": "x"}).json() == REFUSED


# --- Canned responses ----------------------------------------------------------------------------


def test_canned_responses_are_made_found_changed_and_taken_away(woot: SimpleNamespace) -> None:
    for body in (
        {"canned_response": {"short_code": "hi", "content": "Hello"}},
        {"short_code": "bye", "content": "Say hi to your lamp"},
    ):
        made = woot.owner.post("canned_responses", body)
        assert made.status_code == 200, made.content
        contract.check(made.json(), contract.CANNED_RESPONSE)
    listed = woot.person.get("canned_responses").json()
    contract.check(listed, [contract.CANNED_RESPONSE])
    assert [one["short_code"] for one in listed] == ["bye", "hi"]
    found = woot.person.get("canned_responses", search="hi").json()
    assert [one["short_code"] for one in found] == ["hi", "bye"]  # by its code first
    assert woot.person.get("canned_responses", search="lamp").json() == [listed[0]]
    path = f"canned_responses/{made.json()['id']}"
    changed = woot.owner.patch(path, {"content": "Goodbye"}).json()
    assert (changed["short_code"], changed["content"]) == ("bye", "Goodbye")
    for method in ("patch", "delete"):
        assert woot.person.send(method, path, {}).json() == REFUSED
    gone = woot.owner.delete(path)
    assert (gone.status_code, gone.content) == (200, b"")
    assert woot.owner.delete(path).status_code == 404


def test_a_teams_canned_responses_are_for_the_team(woot: SimpleNamespace) -> None:
    with account_context(woot.house.account):
        other = make_team(woot.house.account, "Other")
        services.create_saved_reply(code="own", text="Ours", by=woot.house.owner, team=other)
    assert woot.person.get("canned_responses").json() == []
    assert [one["short_code"] for one in woot.owner.get("canned_responses").json()] == ["own"]


def test_their_placeholders_are_ours_and_come_back_as_theirs(woot: SimpleNamespace) -> None:
    content = (
        "Hello {{contact.name}}, {{ agent.first_name }} here about {{conversation.id}} and "
        "{{contact.custom_attribute.order}}. {{account.name}}"
    )
    made = woot.owner.post("canned_responses", {"short_code": "hi", "content": content}).json()
    assert made["content"] == content
    with account_context(woot.house.account):
        assert SavedReply.objects.get().text == (
            "Hello {{contact.name}}, {{ member.first_name }} here about {{conversation.number}} and "
            "{{contact.attributes.order}}. {{account.name}}"
        )


@pytest.mark.parametrize(
    ("given", "attribute", "message"),
    [
        ({"short_code": "hi", "content": "x"}, "short_code", "Short code has already been taken"),
        ({"content": "x"}, "short_code", "short code"),
        ({"short_code": "a b", "content": "x"}, "short_code", "short code"),
        ({"short_code": "x"}, "content", "10,000"),
        ({"short_code": "x", "content": "y" * 10_001}, "content", "10,000"),
        ({"short_code": "x", "content": "{{inbox.colour}}"}, "content", "inbox.colour"),
    ],
)
def test_a_canned_response_that_cannot_be(
    woot: SimpleNamespace, given: dict[str, str], attribute: str, message: str
) -> None:
    first = {"short_code": "hi", "content": "Hello"}
    assert woot.owner.post("canned_responses", first).status_code == 200
    response = woot.owner.post("canned_responses", given)
    assert (response.status_code, response.json()["attributes"]) == (422, [attribute])
    assert message in response.json()["message"]


# --- Custom attribute definitions ----------------------------------------------------------------

PLAN = {
    "attribute_display_name": "Plan",
    "attribute_display_type": "list",
    "attribute_description": "What they pay for",
    "attribute_key": "plan",
    "attribute_values": ["free", "pro"],
    "attribute_model": "contact_attribute",
}
DEFINITIONS = "custom_attribute_definitions"


def test_attributes_are_defined_changed_and_forgotten(woot: SimpleNamespace) -> None:
    made = woot.owner.post(DEFINITIONS, PLAN)
    assert made.status_code == 200, made.content
    contract.check(made.json(), contract.ATTRIBUTE_DEFINITION)
    assert PLAN.items() <= made.json().items()
    path = f"{DEFINITIONS}/{made.json()['id']}"
    wrapped = {"custom_attribute_definition": {**PLAN, "attribute_display_name": "Tariff"}}
    changed = woot.owner.patch(path, wrapped).json()
    assert changed["attribute_display_name"] == "Tariff"
    assert woot.person.get(path).json() == changed
    contract.check(woot.person.get(DEFINITIONS).json(), [contract.ATTRIBUTE_DEFINITION])
    for method in ("patch", "delete"):
        assert woot.person.send(method, path, {}).json() == REFUSED
    assert woot.owner.delete(path).status_code == 200
    assert woot.owner.get(path).status_code == 404


def test_types_and_models_have_numbers_too(woot: SimpleNamespace) -> None:
    for n, (number, shown) in enumerate(((0, "text"), (2, "number"), (7, "checkbox"))):
        given = {"attribute_display_name": "x", "attribute_key": f"k{n}"}
        given |= {"attribute_display_type": str(number), "attribute_model": "0"}
        made = woot.owner.post(DEFINITIONS, given).json()
        assert made["attribute_display_type"] == shown
        assert made["attribute_model"] == "conversation_attribute"
    assert woot.owner.post(DEFINITIONS, PLAN).status_code == 200
    for model, count in (("contact_attribute", 1), ("1", 1), ("0", 3), ("", 4)):
        assert len(woot.owner.get(DEFINITIONS, attribute_model=model).json()) == count


def test_a_value_that_does_not_fit_is_refused(woot: SimpleNamespace, held: Conversation) -> None:
    woot.owner.post(DEFINITIONS, {**PLAN, "attribute_model": "conversation_attribute"})
    path = f"conversations/{held.number}/custom_attributes"
    refused = woot.bot.post(path, {"custom_attributes": {"plan": "gold"}})
    assert (refused.status_code, refused.json()["attributes"]) == (422, ["custom_attributes"])
    kept = woot.bot.post(path, {"custom_attributes": {"plan": "pro", "own": 1}})
    assert kept.json() == {"custom_attributes": {"plan": "pro", "own": 1}}


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({}, "attribute_key"),
        ({"attribute_key": "a b"}, "attribute_key"),
        ({"attribute_key": "x", "attribute_values": []}, "attribute_values"),
        ({"attribute_key": "x", "regex_pattern": "[0-9]+"}, "regex_pattern"),
        ({"attribute_key": "x", "default_value": "free"}, "default_value"),
    ],
)
def test_a_definition_that_cannot_be(
    woot: SimpleNamespace, change: dict[str, Any], attribute: str
) -> None:
    made = woot.owner.post(DEFINITIONS, PLAN).json()
    response = woot.owner.post(DEFINITIONS, {**PLAN, **change})
    assert (response.status_code, response.json()["attributes"]) == (422, [attribute])
    for stays in ({"attribute_key": "other"}, {"attribute_model": "conversation_attribute"}):
        response = woot.owner.patch(f"{DEFINITIONS}/{made['id']}", stays)
        assert (response.status_code, response.json()["attributes"]) == (422, list(stays))
    for unknown in ({"attribute_model": "company_attribute"}, {"attribute_display_type": "colour"}):
        given: dict[str, Any] = {**PLAN, "attribute_key": "x", **unknown}
        assert woot.owner.post(DEFINITIONS, given).status_code == 422


# --- Who else ------------------------------------------------------------------------------------


def test_the_outsider_changes_nothing_of_it(woot: SimpleNamespace) -> None:
    label = woot.owner.post("labels", {"title": "vip"}).json()["id"]
    canned = woot.owner.post("canned_responses", {"short_code": "hi", "content": "x"}).json()["id"]
    defined = woot.owner.post(DEFINITIONS, PLAN).json()["id"]
    own = woot.outsider.__class__(woot.outsider.token, woot.house.outsider.account_id)
    for path in (f"labels/{label}", f"canned_responses/{canned}", f"{DEFINITIONS}/{defined}"):
        for method in ("patch", "delete"):
            assert own.send(method, path, {"title": "y", "content": "y"}).status_code == 404
            assert woot.outsider.send(method, path, {}).status_code == 401
    for path in ("canned_responses", DEFINITIONS):
        assert own.get(path).json() == []
    with account_context(woot.house.account):
        assert Label.objects.get().name == "vip"
        assert SavedReply.objects.get().text == "x"
        assert AttributeDefinition.objects.count() == 1
