"""Managing bots, inboxes, contacts, teams and labels with a person's token (contract, 6)."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import ApiToken
from accounts.tenancy import account_context
from agents.models import Agent, AgentInbox, AssignmentRule
from agents.rules import create_default_rules, create_rule
from conversations import services
from conversations.models import Contact, Conversation
from integrations.chatwoot import bots
from tests.accounts.test_entry import logged_in
from tests.factories import make_agent, make_conversation, make_inbox, make_team, said
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.conftest import Client4, client

NEW = {
    "name": "Support Bot",
    "description": "Handles initial customer inquiries",
    "outgoing_url": "https://93.184.216.34/webhook",
    "bot_config": {},
}


# --- Whoami --------------------------------------------------------------------------------------


def test_the_usual_test_of_a_connection(woot: SimpleNamespace) -> None:
    for end in ("", "/", ".json"):
        body = woot.owner.get(f"/api/v1/profile{end}").json()
        assert body["id"] == woot.house.owner.pk
        assert body["email"] == woot.house.owner.user.email
        assert body["access_token"] == woot.owner.token
        [account] = body["accounts"]
        assert (account["id"], account["role"]) == (woot.account_id, "administrator")
    assert woot.person.get("/api/v1/profile").json()["accounts"][0]["role"] == "agent"
    assert woot.bot.get("/api/v1/profile").status_code == 401


# --- Bots ----------------------------------------------------------------------------------------


def test_a_bot_is_made_shown_changed_and_taken_away(woot: SimpleNamespace) -> None:
    made = woot.owner.post("agent_bots", NEW)
    assert made.status_code == 200, made.content
    bot = made.json()
    contract.check(bot, contract.BOT)
    assert bot["outgoing_url"] == NEW["outgoing_url"]
    assert bot["access_token"].startswith("sb_agt_")
    assert bot["secret"].startswith("whsec_")
    with account_context(woot.house.account):
        assert Agent.objects.get(pk=bot["id"]).dialect == "chatwoot"
    path = f"agent_bots/{bot['id']}"
    for caller in (woot.owner, woot.person):
        for shown in (caller.get(path).json(), caller.get("agent_bots").json()[-1]):
            contract.check(shown, contract.BOT)
            assert not {"access_token", "secret"} & shown.keys()  # shown once (SX-31)
    changed = woot.owner.patch(
        path, {"name": "Updated", "outgoing_url": "https://93.184.216.34/new"}
    ).json()
    assert (changed["name"], changed["outgoing_url"]) == ("Updated", "https://93.184.216.34/new")
    assert changed["description"] == NEW["description"]
    config = {"language": "en", "flows": ["returns"]}
    for _ in range(2):
        assert woot.owner.patch(path, {"bot_config": config}).json()["bot_config"] == config
    assert woot.person.get("agent_bots").json()[-1]["bot_config"] == config
    too_large = woot.owner.patch(path, {"bot_config": {"x": "y" * 20_001}})
    assert too_large.json()["attributes"] == ["bot_config"]
    contract.check(woot.owner.delete(f"{path}/avatar").json(), contract.BOT)
    gone = woot.owner.delete(path)
    assert (gone.status_code, gone.content) == (200, b"")
    assert woot.owner.get(path).status_code == 404
    assert Client4(bot["access_token"], woot.account_id).get("conversations/1").status_code == 401


def test_wrapped_parameters_are_read_too(woot: SimpleNamespace) -> None:
    assert woot.owner.post("agent_bots", {"agent_bot": NEW}).json()["name"] == "Support Bot"
    assert woot.owner.form("agent_bots", {**NEW, "bot_config": "{}"}).status_code == 200


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"outgoing_url": "ftp://a.example/"}, "outgoing_url"),
        ({"outgoing_url": "javascript:alert(1)"}, "outgoing_url"),
        ({"outgoing_url": "https://169.254.169.254/"}, "outgoing_url"),
        ({"outgoing_url": "https://user:pass@93.184.216.34/"}, "outgoing_url"),
        ({"outgoing_url": ""}, "outgoing_url"),
        ({"name": ""}, "name"),
        ({"bot_type": "csml"}, "bot_type"),
    ],
    ids=str,
)
def test_a_bot_that_cannot_be(
    woot: SimpleNamespace, change: dict[str, str], attribute: str
) -> None:
    for response in (
        woot.owner.post("agent_bots", {**NEW, **change}),
        woot.owner.patch(f"agent_bots/{woot.bot_id}", change),
    ):
        assert response.status_code == 422, response.content
        contract.check(response.json(), {"message": str, "attributes": [str]})
        assert response.json()["attributes"] == [attribute]


def test_the_old_token_dies_at_once(woot: SimpleNamespace, held: Conversation) -> None:
    body = woot.owner.post(f"agent_bots/{woot.bot_id}/reset_access_token").json()
    contract.check(body, contract.BOT)
    path = f"conversations/{held.number}"
    assert woot.bot.get(path).json() == {"error": "Invalid Access Token"}
    assert Client4(body["access_token"], woot.account_id).get(path).status_code == 200


def test_the_old_secret_signs_no_more(woot: SimpleNamespace) -> None:
    body = woot.owner.post(f"agent_bots/{woot.bot_id}/reset_secret").json()
    contract.check(body, contract.BOT)
    with account_context(woot.house.account):
        [secret] = woot.house.agent.endpoint.secrets.filter(expires_at=None)
        assert secret.value == body["secret"]


def test_bots_of_another_account_do_not_exist(woot: SimpleNamespace) -> None:
    foreign = make_agent(woot.house.outsider_account)
    for method, path, body in (
        ("get", f"agent_bots/{foreign.pk}", None),
        ("patch", f"agent_bots/{foreign.pk}", {"name": "x"}),
        ("delete", f"agent_bots/{foreign.pk}", None),
        ("post", f"agent_bots/{foreign.pk}/reset_access_token", None),
        ("post", f"agent_bots/{foreign.pk}/agent_bot_inboxes", {"inbox_id": woot.house.inbox.pk}),
        ("post", f"inboxes/{woot.house.inbox.pk}/set_agent_bot", {"agent_bot": foreign.pk}),
    ):
        assert woot.owner.send(method, path, body).status_code == 404
    assert ApiToken.objects.filter(member=foreign.member).count() == 0


# --- Attaching -----------------------------------------------------------------------------------


def test_an_attached_bot_gets_the_inboxes_new_conversations(woot: SimpleNamespace) -> None:
    """By a rule, which stands in the dashboard before those that give every new chat to somebody."""
    with account_context(woot.house.account):
        default = make_agent(woot.house.account)
        asks, everything = create_default_rules(woot.house.account, default)
    inbox = make_inbox(woot.house.account, name="WhatsApp support")
    path = f"agent_bots/{woot.bot_id}/agent_bot_inboxes"
    response = woot.owner.post(path, {"inbox_id": inbox.pk})
    assert response.status_code == 200, response.content
    assert response.json().items() >= {
        "agent_bot_id": woot.bot_id, "inbox_id": inbox.pk, "account_id": woot.account_id,
        "status": "active",
    }.items()  # fmt: skip
    assert isinstance(response.json()["id"], int)
    assert woot.owner.post(path, {"inbox_id": inbox.pk}).json() == response.json()
    with account_context(woot.house.account):
        rules = list(AssignmentRule.objects.order_by("position", "id"))
    assert [rules[0], rules[2]] == [asks, everything]
    assert len(rules) == 3
    assert "WhatsApp support" in rules[1].name
    mine, others = make_conversation(inbox), make_conversation(woot.house.inbox)
    assert mine.assignee == woot.house.agent.member
    assert others.assignee == default.member
    shown = woot.person.get(f"inboxes/{inbox.pk}/agent_bot").json()
    contract.check(shown, {"agent_bot": contract.BOT})
    assert shown["agent_bot"]["id"] == woot.bot_id


def test_a_resolved_conversation_comes_back_to_the_bot(woot: SimpleNamespace) -> None:
    """Contract 5.7: the customer writes again, the bot starts again."""
    inbox = woot.house.inbox
    woot.owner.post(f"inboxes/{inbox.pk}/set_agent_bot", {"agent_bot": woot.bot_id})
    conversation = make_conversation(inbox, visitor="again")
    with account_context(woot.house.account):
        services.resolve(conversation, by=None)
        services.receive(inbox, said("me again", visitor="again"))
    shown = woot.owner.get(f"conversations/{conversation.number}").json()
    assert shown["status"] == "pending"


def test_one_bot_an_inbox_and_none_after_null(woot: SimpleNamespace) -> None:
    inbox, other = woot.house.inbox, make_agent(woot.house.account)
    path = f"inboxes/{inbox.pk}/set_agent_bot"
    for bot in (woot.bot_id, other.pk):
        response = woot.owner.post(path, {"agent_bot": bot})
        assert (response.status_code, response.content) == (200, b"")
        shown = woot.owner.get(f"inboxes/{inbox.pk}/agent_bot").json()
        assert shown["agent_bot"]["id"] == bot
    with account_context(woot.house.account):
        assert AssignmentRule.objects.count() == 1
        assert [link.agent for link in AgentInbox.objects.filter(inbox=inbox)] == [other]
    assert woot.owner.post(path, {"agent_bot": None}).status_code == 200
    assert woot.owner.get(f"inboxes/{inbox.pk}/agent_bot").json() == {"agent_bot": {}}
    with account_context(woot.house.account):
        assert not AssignmentRule.objects.exists()
    assert make_conversation(inbox).assignee is None


def test_an_agent_that_works_everywhere_is_taken_from_no_inbox(woot: SimpleNamespace) -> None:
    with account_context(woot.house.account):
        default = make_agent(woot.house.account)
        create_default_rules(woot.house.account, default)
    inbox = make_inbox(woot.house.account, name="Other")
    woot.owner.post(f"inboxes/{inbox.pk}/set_agent_bot", {"agent_bot": default.pk})
    assert make_conversation(inbox).assignee == default.member
    assert make_conversation(woot.house.inbox).assignee == default.member


def test_what_is_changed_in_the_dashboard_is_what_the_api_says(woot: SimpleNamespace) -> None:
    inbox = woot.house.inbox
    woot.owner.post(f"inboxes/{inbox.pk}/set_agent_bot", {"agent_bot": woot.bot_id})
    with account_context(woot.house.account):
        AssignmentRule.objects.update(enabled=False)
    assert woot.owner.get(f"inboxes/{inbox.pk}/agent_bot").json() == {"agent_bot": {}}


def test_a_bot_that_goes_takes_its_rules_along(woot: SimpleNamespace) -> None:
    inbox = woot.house.inbox
    woot.owner.post(f"inboxes/{inbox.pk}/set_agent_bot", {"agent_bot": woot.bot_id})
    woot.owner.delete(f"agent_bots/{woot.bot_id}")
    with account_context(woot.house.account):
        assert not AssignmentRule.objects.exists()
        assert bots.bot_of(inbox) is None


def test_a_bot_that_is_deleted_in_the_dashboard_is_no_inboxes_until_it_is_back(
    woot: SimpleNamespace,
) -> None:
    inbox = woot.house.inbox
    path, shown = f"inboxes/{inbox.pk}/set_agent_bot", f"inboxes/{inbox.pk}/agent_bot"
    woot.owner.post(path, {"agent_bot": woot.bot_id})
    browser = logged_in(woot.house.owner)
    with account_context(woot.house.account):
        agent, rule = woot.house.agent.public_id, AssignmentRule.objects.get()
    browser.post(reverse("delete_agent", args=[agent]))
    assert woot.owner.get(shown).json() == {"agent_bot": {}}
    with account_context(woot.house.account):
        assert AssignmentRule.objects.get().enabled is False
    browser.post(reverse("restore_agent", args=[agent]))
    assert woot.owner.get(shown).json()["agent_bot"]["id"] == woot.bot_id
    # Whoever is the inbox's bot by then stays it.
    browser.post(reverse("delete_agent", args=[agent]))
    other = woot.owner.post("agent_bots", NEW).json()["id"]
    woot.owner.post(path, {"agent_bot": other})
    browser.post(reverse("restore_agent", args=[agent]))
    assert woot.owner.get(shown).json()["agent_bot"]["id"] == other
    with account_context(woot.house.account):
        assert not AssignmentRule.objects.filter(pk=rule.pk).exists()


def test_rules_that_people_wrote_are_no_bots_and_stay(woot: SimpleNamespace) -> None:
    """Nearly the same is not the same: one condition more, one action more, another event."""
    inbox, other = woot.house.inbox, make_agent(woot.house.account)
    leaf = {"field": "inbox", "op": "is", "value": inbox.public_id}
    new = [
        {"field": "first_message", "op": "is", "value": True},
        {"field": "holder", "op": "is", "value": "none"},
    ]
    gives = {"type": "assign", "agent": woot.house.agent.public_id}
    more = {"field": "text", "op": "contains", "value": "invoice"}
    wanted: dict[str, dict[str, Any]] = {
        "invoices": {"condition": {"all": [leaf, *new, more]}},
        "everything": {"condition": leaf},
        "labelled": {
            "condition": {"all": [leaf, *new]},
            "actions": [{"type": "label", "names": ["vip"]}, gives],
        },
        "begun": {"condition": {"all": [leaf, *new]}, "event": "conversation.created"},
    }
    with account_context(woot.house.account):
        for name, fields in wanted.items():
            create_rule(**{"name": name, "actions": [gives], "by": woot.house.owner, **fields})
        written = set(AssignmentRule.objects.values_list("pk", flat=True))
    shown = f"inboxes/{inbox.pk}/agent_bot"
    assert woot.owner.get(shown).json() == {"agent_bot": {}}
    for bot in (None, other.pk, woot.bot_id, None):
        path = f"inboxes/{inbox.pk}/set_agent_bot"
        assert woot.owner.post(path, {"agent_bot": bot}).status_code == 200
        assert woot.owner.get(shown).json()["agent_bot"].get("id") == bot
    assert woot.owner.delete(f"agent_bots/{woot.bot_id}").status_code == 200
    with account_context(woot.house.account):
        assert set(AssignmentRule.objects.values_list("pk", flat=True)) == written


def test_who_writes_no_rules_sets_no_inboxes_bot(woot: SimpleNamespace) -> None:
    inbox, scopes = woot.house.inbox, ["agents:read", "agents:write"]
    narrow = client(woot.house.owner, woot.account_id, scopes=scopes)
    path = f"inboxes/{inbox.pk}/set_agent_bot"
    attach = f"agent_bots/{woot.bot_id}/agent_bot_inboxes"
    assert narrow.post(path, {"agent_bot": woot.bot_id}).status_code == 401
    assert narrow.post(attach, {"inbox_id": inbox.pk}).status_code == 401
    assert woot.owner.post(path, {"agent_bot": woot.bot_id}).status_code == 200
    assert narrow.post(path, {"agent_bot": None}).status_code == 401
    assert narrow.delete(f"agent_bots/{woot.bot_id}").status_code == 401
    assert woot.owner.get(f"inboxes/{inbox.pk}/agent_bot").json()["agent_bot"]["id"] == woot.bot_id


def test_only_administrators_manage_bots(woot: SimpleNamespace) -> None:
    inbox = woot.house.inbox
    for caller in (woot.person, woot.supervisor):
        for method, path, body in (
            ("post", "agent_bots", NEW),
            ("patch", f"agent_bots/{woot.bot_id}", {"name": "x"}),
            ("delete", f"agent_bots/{woot.bot_id}", None),
            ("post", f"agent_bots/{woot.bot_id}/reset_access_token", None),
            ("post", f"agent_bots/{woot.bot_id}/reset_secret", None),
            ("post", f"agent_bots/{woot.bot_id}/agent_bot_inboxes", {"inbox_id": inbox.pk}),
            ("post", f"inboxes/{inbox.pk}/set_agent_bot", {"agent_bot": woot.bot_id}),
        ):
            response = caller.send(method, path, body)
            assert response.status_code == 401, path
            assert response.json() == {"error": "You are not authorized to do this action"}


# --- The product page ----------------------------------------------------------------------------

PAGE = Path(settings.BASE_DIR) / "examples" / "agents" / "chatwoot" / "page.sh"


def commands() -> list[list[str]]:
    """Every command of the page, as words."""
    blocks = PAGE.read_text(encoding="utf-8").split("\n\n")
    return [shlex.split(block.replace("\\\n", "")) for block in blocks if block.startswith("curl ")]


def test_the_pages_commands_run_as_they_are(woot: SimpleNamespace, held: Conversation) -> None:
    """Unchanged but for the host, the ids and the tokens (a documentation address for the webhook)."""
    seen: list[str] = []
    bot_id = woot.bot_id
    for words in commands():
        method, url, headers, body = _read(words)
        values = {
            "{account_id}": str(woot.account_id), "{bot_id}": str(bot_id),
            "{conversation_id}": str(held.number),
        }  # fmt: skip
        path = url.removeprefix("https://app.chatwoot.com")
        for name, value in values.items():
            path = path.replace(name, value)
        token = woot.bot if headers["api_access_token"] == "BOT_ACCESS_TOKEN" else woot.owner
        body = body.replace("123", str(woot.house.inbox.pk))
        for host in ("your-service.com", "new-url.com"):
            body = body.replace(host, "93.184.216.34")
        headers_sent = {"api-access-token": token.token}
        response = Client(headers=headers_sent).generic(
            method, path, body, content_type=headers.get("Content-Type", "")
        )
        assert response.status_code == 200, (method, path, response.content)
        seen.append(method)
        if method == "DELETE":  # the page goes on with a bot
            bot_id = woot.owner.post("agent_bots", NEW).json()["id"]
    assert len(seen) == 7


def _read(words: list[str]) -> tuple[str, str, dict[str, str], str]:
    method, url, headers, body = "GET", "", {}, ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _colon, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest)
        else:
            url = word
    return method, url, headers, body


# --- Contacts ------------------------------------------------------------------------------------


def test_contacts_are_made_changed_and_forgotten(woot: SimpleNamespace) -> None:
    response = woot.owner.post(
        "contacts",
        {
            "name": "John Doe", "email": "john@example.test", "phone_number": "+14155550123",
            "identifier": "crm-7", "custom_attributes": {"plan": "pro"},
            "inbox_id": woot.house.inbox.pk, "source_id": "visitor-1",
        },
    )  # fmt: skip
    assert response.status_code == 200, response.content
    body = response.json()["payload"]
    contract.check(body, {"contact": contract.CONTACT, "contact_inbox": contract.CONTACT_INBOX})
    assert body["contact"]["identifier"] == "crm-7"
    assert body["contact"]["custom_attributes"] == {"plan": "pro"}
    path = f"contacts/{body['contact']['id']}"
    shown = woot.owner.put(path, {"name": "Jane", "custom_attributes": {"tier": 2}}).json()
    contract.check(shown, {"payload": contract.CONTACT})
    assert shown["payload"]["custom_attributes"] == {"plan": "pro", "tier": 2}
    assert shown["payload"]["phone_number"] == "+14155550123"
    left = woot.owner.post(
        f"{path}/destroy_custom_attributes", {"custom_attributes": ["plan"]}
    ).json()
    assert left["payload"]["custom_attributes"] == {"tier": 2}
    assert woot.owner.get(path).json() == left
    reached = woot.owner.get(f"{path}/contactable_inboxes").json()
    contract.check(reached, {"payload": [contract.CONTACT_INBOX]})
    assert woot.owner.delete(path).status_code == 200
    assert woot.owner.get(path).status_code == 404


@pytest.mark.parametrize(
    ("fields", "attribute"),
    [
        ({"email": "JOHN@example.test"}, "email"),
        ({"phone_number": "+14155550123"}, "phone_number"),
        ({"identifier": "crm-7"}, "identifier"),
        ({"email": "nonsense"}, "email"),
        ({"phone_number": "555"}, "phone_number"),
    ],
)
def test_what_is_taken_or_cannot_be(
    woot: SimpleNamespace, fields: dict[str, str], attribute: str
) -> None:
    first = {"email": "john@example.test", "phone_number": "+14155550123", "identifier": "crm-7"}
    assert woot.owner.post("contacts", first).status_code == 200
    response = woot.owner.post("contacts", {"name": "x", **fields})
    assert response.status_code == 422
    contract.check(response.json(), {"message": str, "attributes": [str]})
    assert response.json()["attributes"] == [attribute]


def test_nobody_is_no_contact(woot: SimpleNamespace) -> None:
    response = woot.owner.post("contacts", {"custom_attributes": {"plan": "pro"}})
    assert (response.status_code, response.json()["attributes"]) == (422, ["name"])


def test_the_identifier_is_no_attribute_and_is_found(woot: SimpleNamespace) -> None:
    made = woot.owner.post("contacts", {"name": "Jo", "identifier": "crm-7"}).json()["payload"]
    path = f"contacts/{made['contact']['id']}"
    with account_context(woot.house.account):
        contact = Contact.objects.get(identifier="crm-7")
        assert contact.attributes == {}
    row = {"attribute_key": "identifier", "filter_operator": "equal_to", "values": ["crm-7"]}
    for found in (
        woot.owner.get("contacts/search", q="crm-7").json(),
        woot.owner.post("contacts/filter", {"payload": [row]}).json(),
    ):
        assert [one["id"] for one in found["payload"]] == [contact.pk]
    other = woot.owner.post("contacts", {"name": "Bo"}).json()["payload"]["contact"]["id"]
    taken = woot.owner.put(f"contacts/{other}", {"identifier": "crm-7"})
    assert (taken.status_code, taken.json()["attributes"]) == (422, ["identifier"])
    assert woot.owner.put(path, {"identifier": "crm-7", "name": "Jo L"}).status_code == 200
    assert woot.owner.put(path, {"identifier": ""}).json()["payload"]["identifier"] is None


def test_the_labels_of_a_contact(woot: SimpleNamespace, held: Conversation) -> None:
    path = f"contacts/{held.contact_id}/labels"
    assert woot.owner.get(path).json() == {"payload": []}
    for labels in (["vip", "gold"], ["gold", "new"]):
        response = woot.person.post(path, {"labels": labels})
        contract.check(response.json(), {"payload": [str]})
        assert response.json()["payload"] == sorted(labels)
    assert woot.owner.get(path).json() == {"payload": ["gold", "new"]}
    for label, count in (("gold", 1), ("vip", 0)):
        assert woot.owner.get("contacts", **{"labels[]": label}).json()["meta"]["count"] == count
    for operator, count in (("equal_to", 1), ("is_present", 1), ("not_equal_to", 0)):
        row = {"attribute_key": "labels", "filter_operator": operator, "values": ["new"]}
        found = woot.owner.post("contacts/filter", {"payload": [row]}).json()
        assert found["meta"]["count"] == count, operator
    assert woot.owner.post(path, {}).status_code == 422
    assert woot.owner.post(path, {"labels": []}).json() == {"payload": []}


def test_two_contacts_become_one(woot: SimpleNamespace, held: Conversation) -> None:
    base = woot.owner.post("contacts", {"name": "Jo", "email": "jo@example.test"}).json()
    base_id = base["payload"]["contact"]["id"]
    body = {"base_contact_id": base_id, "mergee_contact_id": held.contact_id}
    assert woot.person.post("actions/contact_merge", body).status_code == 401
    response = woot.owner.post("actions/contact_merge", body)
    assert response.status_code == 200, response.content
    contract.check(response.json(), contract.CONTACT)
    assert (response.json()["id"], response.json()["name"]) == (base_id, "Jo")
    old = woot.owner.get(f"contacts/{held.contact_id}").json()["payload"]
    assert old["id"] == base_id  # whoever kept the old number finds who they are now
    assert woot.owner.get("contacts").json()["meta"]["count"] == 1
    [talk] = woot.owner.get(f"contacts/{base_id}/conversations").json()["payload"]
    assert talk["id"] == held.number
    again = woot.owner.post("actions/contact_merge", body)
    assert (again.status_code, again.json()) == (404, {"error": "Resource could not be found"})
    itself = {"base_contact_id": base_id, "mergee_contact_id": base_id}
    assert woot.owner.post("actions/contact_merge", itself).status_code == 422
    missing = woot.owner.post("actions/contact_merge", {"base_contact_id": base_id})
    assert "mergee_contact_id" in missing.json()["error"]


def test_a_taken_number_is_found_by_its_index(woot: SimpleNamespace) -> None:
    assert woot.owner.post("contacts", {"phone_number": "+14155550123"}).status_code == 200
    with CaptureQueriesContext(connection) as asked:
        taken = woot.owner.post("contacts", {"phone_number": "+14155550123"})
    assert taken.status_code == 422
    about = [one["sql"] for one in asked if '"phone"' in one["sql"] and "WHERE" in one["sql"]]
    assert any("\"phone\" = '+14155550123'" in sql for sql in about), about
    assert not any('UPPER("conversations_contact"."phone"' in sql for sql in about)


def test_contacts_are_listed_searched_and_filtered(woot: SimpleNamespace) -> None:
    with account_context(woot.house.account):
        Contact.objects.bulk_create(
            [Contact(name=f"Name {n:02}", email=f"n{n}@example.test") for n in range(20)]
        )
    page = woot.owner.get("contacts").json()
    contract.check(
        page, {"meta": {"count": int, "current_page": int}, "payload": [contract.CONTACT]}
    )
    assert (len(page["payload"]), page["meta"]["count"]) == (15, 20)
    second = woot.owner.get("contacts", page=2, sort="-name").json()
    assert [one["name"] for one in second["payload"]] == [f"Name {n:02}" for n in range(4, -1, -1)]
    found = woot.owner.get("contacts/search", q="n7@").json()
    contract.check(
        found,
        {
            "meta": {"count": int, "current_page": int, "has_more": bool},
            "payload": [contract.CONTACT],
        },
    )
    assert [one["name"] for one in found["payload"]] == ["Name 07"]
    assert woot.owner.get("contacts/search").status_code == 422
    rows = [{"attribute_key": "name", "filter_operator": "contains", "values": ["Name 1"]}]
    assert woot.owner.post("contacts/filter", {"payload": rows}).json()["meta"]["count"] == 10
    assert woot.owner.post("contacts/filter", {"payload": "x"}).status_code == 422
    for sort in ("user__password", "-", "--name", "- name"):
        assert woot.owner.get("contacts", sort=sort).status_code == 422, sort


def test_a_contacts_conversations(woot: SimpleNamespace, held: Conversation) -> None:
    body = woot.owner.get(f"contacts/{held.contact_id}/conversations").json()
    contract.check(body, {"payload": [contract.CONVERSATION]})
    assert [one["id"] for one in body["payload"]] == [held.number]


def test_a_bot_reads_and_writes_of_whom_it_talks_with(
    woot: SimpleNamespace, held: Conversation
) -> None:
    other = make_conversation(make_inbox(woot.house.account, name="Other"))
    path = f"contacts/{held.contact_id}"
    contract.check(woot.bot.get(path).json(), {"payload": contract.CONTACT})
    changed = woot.bot.put(path, {"custom_attributes": {"size": "L"}})
    assert changed.json()["payload"]["custom_attributes"] == {"size": "L"}
    assert woot.bot.put(path, {"blocked": True}).status_code == 401
    assert woot.bot.get(f"contacts/{other.contact_id}").status_code == 404
    with account_context(woot.house.account):
        services.take_over(held, by=woot.house.person)
    assert woot.bot.put(path, {"name": "x"}).status_code == 401


def test_somebody_who_was_merged_is_who_they_are_now(woot: SimpleNamespace) -> None:
    """The old id reads and writes the kept one; it erases nobody, and no list has it."""
    kept, old = (make_conversation(woot.house.inbox, visitor=name) for name in ("kept", "old"))
    with account_context(woot.house.account):
        services.assign(kept, to=woot.house.agent.member, by=None)
        services.merge_contacts(kept.contact, old.contact, by=woot.house.owner)
    path = f"contacts/{old.contact_id}"
    for caller in (woot.owner, woot.bot):
        assert caller.get(path).json()["payload"]["id"] == kept.contact_id
        changed = caller.put(path, {"name": "Jane"}).json()["payload"]
        assert (changed["id"], changed["name"]) == (kept.contact_id, "Jane")
    assert [one["id"] for one in woot.owner.get("contacts").json()["payload"]] == [kept.contact_id]
    theirs = woot.owner.get(f"{path}/conversations").json()["payload"]
    assert {one["id"] for one in theirs} == {kept.number, old.number}
    begun = {"inbox_id": woot.house.inbox.pk, "contact_id": old.contact_id}
    assert woot.owner.post("conversations", begun).json()["meta"]["sender"]["id"] == kept.contact_id
    assert woot.owner.delete(path).status_code == 404
    assert woot.owner.get(f"contacts/{kept.contact_id}").status_code == 200
    assert woot.outsider.get(path).status_code == 401


# --- The rest ------------------------------------------------------------------------------------


def test_inboxes(woot: SimpleNamespace, held: Conversation) -> None:
    body = woot.owner.get("inboxes").json()
    contract.check(body, {"payload": [contract.INBOX]})
    assert "credentials" not in str(body)
    other = make_inbox(woot.house.account, name="Other")
    contract.check(woot.bot.get(f"inboxes/{woot.house.inbox.pk}").json(), contract.INBOX)
    assert woot.bot.get(f"inboxes/{other.pk}").status_code == 401


def test_people(woot: SimpleNamespace) -> None:
    body = woot.bot.get("agents").json()
    contract.check(body, [contract.AGENT])
    assert {one["id"] for one in body} == {
        getattr(woot.house, name).pk for name in ("owner", "admin", "supervisor", "person")
    }
    inbox = woot.house.inbox.pk
    for response in (
        woot.person.get(f"inbox_members/{inbox}"),
        woot.person.get("assignable_agents", **{"inbox_ids[]": inbox}),
    ):
        contract.check(response.json(), {"payload": [contract.AGENT]})
    assert woot.person.get("assignable_agents", **{"inbox_ids[]": 987_654}).status_code == 404


def test_teams(woot: SimpleNamespace) -> None:
    made = woot.owner.post("teams", {"name": "billing", "description": "Money"}).json()
    contract.check(made, contract.TEAM)
    path = f"teams/{made['id']}"
    taken = woot.owner.post("teams", {"team": {"name": "billing"}})
    assert (taken.status_code, taken.json()["attributes"]) == (422, ["name"])
    assert woot.owner.patch(path, {"name": "invoices"}).json()["name"] == "invoices"
    person = woot.house.person.pk
    added = woot.owner.post(f"{path}/team_members", {"user_ids": [person]})
    contract.check(added.json(), [contract.AGENT])
    contract.check(woot.bot.get("teams").json(), [contract.TEAM])
    assert woot.person.get(path).json()["is_member"] is True
    assert [one["id"] for one in woot.owner.get(f"{path}/team_members").json()] == [person]
    woot.owner.patch(f"{path}/team_members", {"user_ids": [woot.house.owner.pk]})
    assert woot.person.get(path).json()["is_member"] is False
    body: dict[str, Any] = {"user_ids": [woot.house.owner.pk]}
    assert woot.owner.send("delete", f"{path}/team_members", body).status_code == 200
    assert woot.owner.get(f"{path}/team_members").json() == []
    foreign = {"user_ids": [woot.house.outsider.pk]}
    assert woot.owner.post(f"{path}/team_members", foreign).status_code == 404
    assert woot.owner.delete(path).status_code == 200
    assert woot.owner.get(path).status_code == 404
    assert woot.owner.get(f"teams/{make_team(woot.house.outsider_account).pk}").status_code == 404


# --- Transcripts ---------------------------------------------------------------------------------


def test_a_transcript_is_sent_to_an_address(woot: SimpleNamespace, held: Conversation) -> None:
    path = f"conversations/{held.number}/transcript"
    sent = woot.person.post(path, {"email": "ion@example.test"})
    assert (sent.status_code, sent.content) == (200, b"")
    missing = woot.person.post(path, {})
    assert (missing.status_code, missing.json()) == (422, {"error": "email param missing"})
    wrong = woot.person.post(path, {"email": "ion"})
    assert (wrong.status_code, wrong.json()["attributes"]) == (422, ["email"])
    for _ in range(29):
        woot.person.post(path, {"email": "ion@example.test"})
    throttled = woot.person.post(path, {"email": "ion@example.test"})
    assert throttled.status_code == 429
    assert int(throttled["Retry-After"]) > 0
