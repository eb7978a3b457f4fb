"""Automation rules that are our rules (contract, 6.7)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts import ids
from accounts.tenancy import account_context
from agents import editor, rules
from agents.models import AssignmentRule, Decision
from conversations import services
from conversations.models import Conversation, Label
from integrations.chatwoot.automation.conditions import conditions_of, tree_of
from integrations.chatwoot.models import RuleWords
from tests.factories import make_conversation, make_inbox, make_team, said
from tests.integrations.chatwoot.compat import contract

PATH = "automation_rules"
REFUSED = {"error": "You are not authorized to do this action"}


def row(key: str, operator: str, *values: Any, then: str | None = None, kind: str = "") -> Any:
    return {
        "attribute_key": key,
        "filter_operator": operator,
        "values": list(values),
        "query_operator": then,
        "custom_attribute_type": kind,
    }


def act(name: str, *values: Any) -> Any:
    return {"action_name": name, "action_params": list(values)}


def rule(woot: SimpleNamespace, **changes: Any) -> dict[str, Any]:
    return {
        "name": "Refunds",
        "description": "Money goes to the team",
        "event_name": "message_created",
        "active": True,
        "conditions": [row("content", "contains", "refund", "money back")],
        "actions": [act("assign_team", woot.house.team.pk)],
        **changes,
    }


def now(conversation: Conversation) -> Conversation:
    with account_context(conversation.account_id):
        return Conversation.objects.select_related("assignee", "team").get(pk=conversation.pk)


def say(woot: SimpleNamespace, text: str, *, visitor: str = "v") -> Conversation:
    return make_conversation(woot.house.inbox, text, visitor=visitor)


# --- Made, shown, changed ------------------------------------------------------------------------


def test_a_rule_comes_back_as_it_was_said(woot: SimpleNamespace) -> None:
    given = rule(woot)
    made = woot.owner.post(PATH, given)
    assert made.status_code == 200, made.content
    contract.check(made.json(), contract.AUTOMATION_RULE)
    assert given.items() <= made.json().items()
    path = f"{PATH}/{made.json()['id']}"
    assert woot.supervisor.get(path).json() == {"payload": made.json()}
    assert woot.owner.get(PATH).json() == {"payload": [made.json()]}
    changed = woot.owner.patch(path, {"active": False, "name": "Refunds, off"}).json()["payload"]
    assert changed == {**made.json(), "active": False, "name": "Refunds, off"}
    actions = [act("add_label", "money"), act("send_message", "One moment.")]
    changed = woot.owner.send("put", path, {"automation_rule": {"actions": actions}}).json()
    assert changed["payload"]["actions"] == actions
    assert changed["payload"]["conditions"] == given["conditions"]
    clone = woot.owner.post(f"{path}/clone").json()["payload"]
    assert clone == {**changed["payload"], "id": clone["id"], "created_on": clone["created_on"]}
    assert clone["id"] != made.json()["id"]
    gone = woot.owner.delete(path)
    assert (gone.status_code, gone.content) == (200, b"")
    assert woot.owner.get(path).status_code == 404
    assert [one["id"] for one in woot.owner.get(PATH).json()["payload"]] == [clone["id"]]


def test_the_words_are_kept_to_the_letter(woot: SimpleNamespace) -> None:
    """Small operators, numbers as texts, missing keys: what the client compares with what it sent."""
    conditions = [
        {**row("status", "equal_to", "open"), "query_operator": "and"},
        {"attribute_key": "team_id", "filter_operator": "equal_to",
         "values": [str(woot.house.team.pk)], "query_operator": "or"},
        {"attribute_key": "labels", "filter_operator": "is_present", "values": []},
    ]  # fmt: skip
    given = rule(woot, conditions=conditions, actions=[act("change_status", "resolved")])
    made = woot.owner.post(PATH, given).json()
    assert (made["conditions"], made["actions"]) == (conditions, given["actions"])
    without = {key: value for key, value in given.items() if key != "description"}
    assert woot.owner.post(PATH, without).json()["description"] is None


def test_who_may(woot: SimpleNamespace) -> None:
    made = woot.supervisor.post(PATH, rule(woot)).json()["id"]
    for method, path in (
        ("get", PATH), ("post", PATH), ("get", f"{PATH}/{made}"), ("patch", f"{PATH}/{made}"),
        ("delete", f"{PATH}/{made}"), ("post", f"{PATH}/{made}/clone"),
    ):  # fmt: skip
        assert woot.person.send(method, path, rule(woot)).json() == REFUSED
    own = woot.outsider.__class__(woot.outsider.token, woot.house.outsider.account_id)
    for method in ("get", "patch", "delete"):
        assert own.send(method, f"{PATH}/{made}", {}).status_code == 404
    assert own.get(PATH).json() == {"payload": []}


# --- They work -----------------------------------------------------------------------------------


def test_a_message_moves_its_conversation(woot: SimpleNamespace) -> None:
    woot.owner.post(PATH, rule(woot))
    assert now(say(woot, "I want my money back", visitor="v1")).team == woot.house.team
    assert now(say(woot, "Good morning", visitor="v2")).team is None


def test_every_action_does_what_it_says(woot: SimpleNamespace) -> None:
    actions = [
        act("add_label", "money", "urgent"), act("send_message", "One moment, please."),
        act("assign_agent", woot.house.person.pk),
    ]  # fmt: skip
    assert woot.owner.post(PATH, rule(woot, actions=actions)).status_code == 200
    thanks = [row("content", "equal_to", "thanks")]
    done = rule(woot, conditions=thanks, actions=[act("resolve_conversation")])
    assert woot.owner.post(PATH, done).status_code == 200
    conversation = now(say(woot, "refund", visitor="v1"))
    assert conversation.assignee == woot.house.person
    with account_context(woot.house.account):
        assert {one.name for one in conversation.labels.all()} == {"money", "urgent"}
        assert (
            conversation.messages.filter(direction="outbound").get().text == "One moment, please."
        )
    assert say(woot, "Thanks", visitor="v1").status == Conversation.Status.RESOLVED


@pytest.mark.parametrize(
    "event", ["conversation_created", "conversation_updated", "conversation_resolved"]
)
def test_every_event_is_heard(woot: SimpleNamespace, event: str) -> None:
    given = rule(woot, event_name=event, conditions=[], actions=[act("add_label", "seen")])
    assert woot.owner.post(PATH, given).status_code == 200
    conversation = say(woot, "Hello")
    with account_context(woot.house.account):
        if event == "conversation_updated":
            services.set_priority(conversation, "high", by=woot.house.owner)
        if event == "conversation_resolved":
            services.resolve(conversation, by=woot.house.owner)
        assert [one.name for one in conversation.labels.all()] == ["seen"]
        decisions = Decision.objects.filter(event_type=event.replace("_", ".")).order_by("pk")
        assert "labelled seen" in decisions[0].outcome


def test_all_of_them_are_looked_at_also_before_ours_that_stop(woot: SimpleNamespace) -> None:
    """In the order they were made; one that matches ends nothing."""
    with account_context(woot.house.account):
        rules.create_default_rules(woot.house.account, woot.house.agent)
    for label in ("one", "two"):
        woot.owner.post(PATH, rule(woot, name=label, actions=[act("add_label", label)]))
    with account_context(woot.house.account):
        names = list(AssignmentRule.objects.order_by("position").values_list("name", flat=True))
    assert names[:2] == ["one", "two"]
    conversation = now(say(woot, "refund"))
    assert conversation.assignee == woot.house.agent.member  # the default rule still gives it away
    with account_context(woot.house.account):
        assert {one.name for one in conversation.labels.all()} == {"one", "two"}


def test_an_inboxs_bot_keeps_none_of_them_from_being_looked_at(woot: SimpleNamespace) -> None:
    """Whether it was attached before or after they were made."""
    attach = f"inboxes/{woot.house.inbox.pk}/set_agent_bot", {"agent_bot": woot.bot_id}
    woot.owner.post(PATH, rule(woot, actions=[act("add_label", "one")]))
    assert woot.owner.post(*attach).status_code == 200
    woot.owner.post(PATH, rule(woot, actions=[act("add_label", "two")]))
    given = rule(woot, conditions=[row("content", "contains", "person")])
    woot.owner.post(PATH, given)
    assert woot.owner.post(attach[0], {"agent_bot": None}).status_code == 200
    assert woot.owner.post(*attach).status_code == 200
    conversation = now(say(woot, "refund"))
    assert conversation.assignee == woot.house.agent.member
    with account_context(woot.house.account):
        assert {one.name for one in conversation.labels.all()} == {"one", "two"}
    moved = now(say(woot, "A person, please", visitor="v2"))
    assert (moved.team, moved.assignee) == (woot.house.team, None)


def test_and_binds_tighter_than_or(woot: SimpleNamespace) -> None:
    other = make_inbox(woot.house.account, name="Other")
    conditions = [
        row("content", "contains", "refund", then="OR"),
        row("content", "contains", "parcel", then="AND"),
        row("inbox_id", "equal_to", other.pk),
    ]
    woot.owner.post(PATH, rule(woot, conditions=conditions))
    assert now(say(woot, "refund", visitor="v1")).team is not None
    assert now(say(woot, "parcel", visitor="v2")).team is None
    assert now(make_conversation(other, "parcel")).team is not None


@pytest.mark.parametrize(("status", "matches"), [("pending", True), ("open", False)])
def test_pending_is_what_an_agent_has(
    woot: SimpleNamespace, held: Conversation, status: str, matches: bool
) -> None:
    conditions = [row("status", "equal_to", status)]
    woot.owner.post(PATH, rule(woot, conditions=conditions, actions=[act("add_label", "seen")]))
    with account_context(woot.house.account):
        name = held.address.identifiers.get().value
        services.receive(woot.house.inbox, said("More", visitor=name))
        assert held.labels.exists() is matches


@pytest.mark.parametrize(
    "action", [act("open_conversation"), act("change_status", "open")], ids=str
)
def test_what_a_bot_has_is_opened_by_handing_it_over(
    woot: SimpleNamespace, held: Conversation, action: dict[str, Any]
) -> None:
    conditions = [
        row("status", "equal_to", "pending", then="AND"), row("content", "contains", "human"),
    ]  # fmt: skip
    given = rule(woot, conditions=conditions, actions=[action])
    made = woot.owner.post(PATH, given)
    assert (made.status_code, made.json()["actions"]) == (200, [action])
    with account_context(woot.house.account):
        name = held.address.identifiers.get().value
        services.receive(woot.house.inbox, said("A human, please", visitor=name))
    moved = now(held)
    assert (moved.assignee, moved.status) == (None, "open")


def test_who_is_assigned_has_it_open(woot: SimpleNamespace, held: Conversation) -> None:
    actions = [act("assign_team", woot.house.team.pk), act("open_conversation")]
    made = woot.owner.post(PATH, rule(woot, actions=actions)).json()
    assert made["actions"] == actions
    assert woot.owner.get(f"{PATH}/{made['id']}").json()["payload"]["actions"] == actions
    with account_context(woot.house.account):
        name = held.address.identifiers.get().value
        services.receive(woot.house.inbox, said("refund", visitor=name))
    assert (now(held).team, now(held).assignee) == (woot.house.team, None)


def test_attributes_are_asked_by_their_definition(woot: SimpleNamespace) -> None:
    plan = [row("plan", "equal_to", "pro", kind="contact_attribute")]
    refused = woot.owner.post(PATH, rule(woot, conditions=plan))
    assert refused.json() == {
        "message": "Automation conditions plan not supported.", "attributes": ["conditions"],
    }  # fmt: skip
    defined = {
        "attribute_display_name": "Plan", "attribute_key": "plan", "attribute_display_type": "text",
        "attribute_model": "contact_attribute",
    }  # fmt: skip
    assert woot.owner.post("custom_attribute_definitions", defined).status_code == 200
    assert woot.owner.post(PATH, rule(woot, conditions=plan)).status_code == 200
    conversation = say(woot, "Hello", visitor="v1")
    assert conversation.team is None
    woot.owner.patch(f"contacts/{conversation.contact_id}", {"custom_attributes": {"plan": "Pro"}})
    assert now(say(woot, "Again", visitor="v1")).team == woot.house.team


# --- What cannot be said -------------------------------------------------------------------------

HAS = row("vip", "is_present", kind="contact_attribute")
CANNOT: list[tuple[str, dict[str, Any], str, str]] = [
    ("an event", {"event_name": "conversation_opened"}, "event_name", "conversation_opened"),
    ("no event", {"event_name": ""}, "event_name", "not supported"),
    ("no name", {"name": " "}, "name", "1 to 120"),
    ("a key", {"conditions": [row("email", "equal_to", "a@b.c")]}, "conditions", "email"),
    ("an operator", {"conditions": [row("content", "starts_with", "x")]}, "conditions", "starts_with"),
    ("a change", {"conditions": [row("status", "attribute_changed")]}, "conditions", "attribute_changed"),
    ("a status", {"conditions": [row("status", "equal_to", "asleep")]}, "conditions", "asleep"),
    ("a priority", {"conditions": [row("priority", "equal_to", "huge")]}, "conditions", "none, low"),
    ("no value", {"conditions": [row("content", "contains")]}, "conditions", "needs a value"),
    ("an empty value", {"conditions": [row("content", "contains", "")]}, "conditions", "1 to 500"),
    ("nested values", {"conditions": [row("content", "contains", {})]}, "conditions", "plain"),
    ("no such inbox", {"conditions": [row("inbox_id", "equal_to", 987654)]}, "conditions", "987654"),
    ("no number", {"conditions": [row("team_id", "equal_to", "red")]}, "conditions", "numbers"),
    ("our own words", {"conditions": [row("message_type", "equal_to", "outgoing")]}, "conditions", "incoming"),
    (
        "no operator between",
        {"conditions": [row("content", "contains", "a"), row("labels", "is_present")]},
        "conditions", "query operator",
    ),
    (
        "another operator between",
        {"conditions": [row("labels", "is_present", then="XOR"), row("labels", "is_present")]},
        "conditions", "XOR",
    ),
    (
        "words where nothing is said",
        {"event_name": "conversation_created"}, "conditions", "message_created only",
    ),
    ("somebody called abc", {"conditions": [row("assignee_id", "is_present", "abc")]}, "conditions", "abc"),
    ("a key of no words", {"conditions": [{**HAS, "attribute_key": ["a"]}]}, "conditions", "attribute_key"),
    ("a numbered key", {"conditions": [{**HAS, "attribute_key": 5}]}, "conditions", "attribute_key"),
    (
        "a type of no words",
        {"conditions": [{**row("content", "contains", "a"), "custom_attribute_type": ["x"]}]},
        "conditions", "custom_attribute_type",
    ),
    ("no list", {"conditions": "all"}, "conditions", "list"),
    ("too many", {"conditions": [row("labels", "is_present", then="AND")] * 61}, "conditions", "60"),
    ("no action", {"actions": []}, "actions", "1 to 10"),
    ("an action", {"actions": [act("mute_conversation")]}, "actions", "mute_conversation"),
    ("no such person", {"actions": [act("assign_agent", 987654)]}, "actions", "987654"),
    ("nobody", {"actions": [act("assign_agent", "nil")]}, "actions", "assign_agent"),
    ("no such team", {"actions": [act("assign_team", 987654)]}, "actions", "987654"),
    ("a placeholder", {"actions": [act("send_message", "Hi {{contact.name}}")]}, "actions", "placeholders"),
    ("no text", {"actions": [act("send_message", "")]}, "actions", "1 to 4000"),
    ("labels of numbers", {"actions": [act("add_label", 1)]}, "actions", "add_label"),
    ("another status", {"actions": [act("change_status", "snoozed")]}, "actions", "resolved"),
    ("opening what is open", {"actions": [act("open_conversation")]}, "actions", "pending"),
    (
        "opening and resolving",
        {"actions": [act("open_conversation"), act("resolve_conversation")]}, "actions", "at once",
    ),
    ("some of it", {"actions": [act("add_label", "x"), act("send_attachment", 1)]}, "actions", "send_attachment"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "attribute", "names"),
    [case[1:] for case in CANNOT],
    ids=[case[0] for case in CANNOT],
)
def test_a_rule_that_cannot_be(
    woot: SimpleNamespace, change: dict[str, Any], attribute: str, names: str
) -> None:
    """Refused with a sentence that names it, and never kept by half."""
    made = woot.owner.post(PATH, rule(woot)).json()
    for response in (
        woot.owner.post(PATH, rule(woot, **change)),
        woot.owner.patch(f"{PATH}/{made['id']}", change),
    ):
        assert response.status_code == 422, response.content
        assert response.json()["attributes"] == [attribute]
        assert names in response.json()["message"]
    assert woot.owner.get(PATH).json() == {"payload": [made]}
    with account_context(woot.house.account):
        assert AssignmentRule.objects.count() == RuleWords.objects.count() == 1


def test_somebody_elses_team_and_people_are_nobody(woot: SimpleNamespace) -> None:
    foreign, stranger = make_team(woot.house.outsider_account), woot.house.outsider
    for change in (
        {"actions": [act("assign_team", foreign.pk)]},
        {"actions": [act("assign_agent", stranger.pk)]},
        {
            "actions": [act("assign_agent", woot.house.agent.member_id)]
        },  # a bot is no agent of theirs
        {"conditions": [row("assignee_id", "equal_to", stranger.pk)]},
        {"conditions": [row("team_id", "equal_to", foreign.pk)]},
    ):
        assert woot.owner.post(PATH, rule(woot, **change)).status_code == 422


# --- Rules that others wrote ---------------------------------------------------------------------


def test_a_rule_of_the_dashboard_is_shown_where_they_have_words_for_it(
    woot: SimpleNamespace,
) -> None:
    house = woot.house
    condition = {
        "any": [
            {"all": [
                {"field": "text", "op": "contains_any", "value": ["a", "b"]},
                {"not": {"field": "text", "op": "contains", "value": "c"}},
                {"field": "status", "op": "is", "value": "resolved"},
            ]},
            {"field": "holder", "op": "is", "value": house.team.public_id},
            {"field": "holder", "op": "is_not", "value": "person"},
        ]
    }  # fmt: skip
    acts = [{"type": "assign", "member": house.person.public_id}, {"type": "resolve"}]
    with account_context(house.account):
        written = rules.create_rule(
            name="Ours", condition=condition, actions=acts, stop=False, by=house.owner
        )
    shown = woot.owner.get(f"{PATH}/{written.pk}").json()["payload"]
    contract.check(shown, contract.AUTOMATION_RULE)
    assert shown["conditions"] == [
        row("content", "contains", "a", "b", then="AND"),
        row("content", "does_not_contain", "c", then="AND"),
        row("status", "equal_to", "resolved", then="OR"),
        row("team_id", "equal_to", house.team.pk, then="OR"),
        row("assignee_id", "is_not_present"),
    ]
    assert shown["actions"] == [act("assign_agent", house.person.pk), act("resolve_conversation")]
    changed = woot.owner.patch(f"{PATH}/{written.pk}", {"description": "Why"}).json()["payload"]
    assert changed == {**shown, "description": "Why"}
    with account_context(house.account):
        assert AssignmentRule.objects.get().condition == condition


def test_what_they_have_no_words_for_is_neither_shown_nor_reached(woot: SimpleNamespace) -> None:
    house = woot.house
    to_person = [{"type": "assign", "member": house.person.public_id}]
    to_bot = [{"type": "assign", "agent": house.agent.public_id}]
    text = {"field": "text", "op": "contains", "value": "x"}
    bot = {"field": "holder", "op": "is", "value": house.agent.member.public_id}
    hidden: list[dict[str, Any]] = [
        {"condition": text, "actions": to_bot},
        {"condition": text, "actions": [{"type": "hand_off"}]},
        {"condition": text, "actions": [{"type": "resolve", "detail": "Done"}]},
        {"condition": text, "actions": to_person, "stop": True},
        {"condition": text, "actions": to_person, "event": "conversation.assigned"},
        {"condition": bot, "actions": to_person},
        {"condition": {"field": "text", "op": "matches", "value": "x+"}, "actions": to_person},
        {"condition": {"field": "status", "op": "is", "value": "open"}, "actions": to_person},
        {"condition": {"not": {"any": [text, text]}}, "actions": to_person},
        {"condition": {"all": [{"any": [text, bot]}, text]}, "actions": to_person},
        {
            "condition": {"field": "contact.attributes.plan", "op": "is", "value": "pro"},
            "actions": to_person,
        },
    ]
    with account_context(house.account):
        made = [
            rules.create_rule(name="Ours", by=house.owner, **{"stop": False, **fields})
            for fields in hidden
        ]
    assert woot.owner.get(PATH).json() == {"payload": []}
    for one in made:
        for method, path in (("get", ""), ("patch", ""), ("delete", ""), ("post", "/clone")):
            assert woot.owner.send(method, f"{PATH}/{one.pk}{path}", {}).status_code == 404
    with account_context(house.account):
        assert AssignmentRule.objects.count() == len(hidden)


def test_what_is_changed_in_the_dashboard_is_shown_as_it_is_now(woot: SimpleNamespace) -> None:
    made = woot.owner.post(PATH, rule(woot)).json()
    with account_context(woot.house.account):
        ours = AssignmentRule.objects.get()
        rules.update_rule(ours, by=woot.house.owner, actions=[{"type": "label", "names": ["new"]}])
    shown = woot.owner.get(f"{PATH}/{made['id']}").json()["payload"]
    assert shown["actions"] == [act("add_label", "new")]
    assert shown["description"] == made["description"]
    with account_context(woot.house.account):
        rules.update_rule(ours, by=woot.house.owner, actions=[{"type": "hand_off"}])
    assert woot.owner.get(f"{PATH}/{made['id']}").status_code == 404


# --- Translating ---------------------------------------------------------------------------------

LISTS: list[list[dict[str, Any]]] = [
    [],
    [row("content", "equal_to", "a")],
    [row("content", "not_equal_to", "a", "b", then="AND"), row("content", "does_not_contain", "a")],
    [row("status", "equal_to", "open"), ],
    [row("status", "equal_to", "open", "pending", "snoozed")],
    [row("status", "not_equal_to", "pending", then="OR"), row("status", "equal_to", "open")],
    [row("status", "equal_to", "pending", then="OR"), row("labels", "is_present", then="AND"),
     row("priority", "equal_to", "high", "nil")],
    [row("inbox_id", "is_present", then="AND"), row("assignee_id", "is_present", then="OR"),
     row("team_id", "is_not_present", then="AND"), row("team_id", "equal_to", 4, 5)],
    [row("message_type", "equal_to", "incoming", then="AND"), row("name", "contains", "Ana")],
    [row("phone_number", "starts_with", "+40", then="AND"),
     row("conversation_language", "not_equal_to", "ro")],
    [row("plan", "is_greater_than", "3", kind="conversation_attribute", then="OR"),
     row("plan", "is_not_present", kind="contact_attribute")],
]  # fmt: skip


@pytest.mark.parametrize("said_so", LISTS, ids=[str(n) for n in range(len(LISTS))])
def test_there_and_back_and_through_the_form(said_so: list[dict[str, Any]]) -> None:
    """Their words for our tree are the ones it was made of; the rule form leaves the tree as it is."""
    tree = tree_of(said_so, of_message=True)
    assert conditions_of(tree) == said_so
    assert editor.tree_of(editor.node_of(tree)) == tree


def test_ids_are_the_public_ones() -> None:
    tree = tree_of([row("team_id", "equal_to", "4")], of_message=False)
    leaf = {"field": "holder", "op": "is", "value": ids.encode("tem", 4)}
    assert tree == {"all": [leaf]}


def test_labels_need_not_exist_beforehand(woot: SimpleNamespace) -> None:
    woot.owner.post(PATH, rule(woot, actions=[act("add_label", "brand new")]))
    say(woot, "refund")
    with account_context(woot.house.account):
        assert Label.objects.filter(name="brand new").exists()
