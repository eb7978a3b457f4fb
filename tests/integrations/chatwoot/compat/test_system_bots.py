"""System bots in accounts: each has an agent of its own of one, and the walls between them stand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tenancy import account_context
from accounts.tokens import find_token
from agents import addresses, tasks
from agents import services as agents
from agents.models import Agent, AgentInbox, AssignmentRule, SystemAgent
from conversations import services
from conversations.models import Conversation, Delivery, Endpoint
from tests.accounts.test_admin import staff_client
from tests.accounts.test_entry import logged_in
from tests.accounts.test_proof import LATER, session_of
from tests.api import Caller, attrs_of, caller
from tests.factories import make_conversation, make_inbox
from tests.integrations.chatwoot.compat.conftest import Client4, client
from tests.integrations.chatwoot.compat.contract import (
    CONVERSATION,
    SLIM_SYSTEM_BOT,
    SYSTEM_BOT,
    check,
)
from tests.integrations.chatwoot.compat.platform import (
    URL,
    App,
    agent_in,
    make_app,
    make_system_bot,
)
from tests.integrations.chatwoot.compat.test_avatars import content_of, picture

NOT_FOUND = {"error": "Resource could not be found"}
FOREIGN_BOT = {"error": "Bot is not authorized to access this account"}
GUESSES = [URL, "https://93.184.215.15/x"]
NOT_FOR_BOTS = {"error": "Access to this endpoint is not authorized for bots"}


@pytest.fixture(autouse=True)
def media_root(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


@pytest.fixture
def app(db: None) -> App:
    return make_app()


@pytest.fixture
def everybodys(woot: SimpleNamespace, app: App) -> SimpleNamespace:
    return make_system_bot(app)


@pytest.fixture
def other(woot: SimpleNamespace) -> SimpleNamespace:
    """The stranger's account: its `account`, `owner` (Client4) and `inbox`."""
    account = woot.house.outsider_account
    return SimpleNamespace(
        account=account,
        owner=client(woot.house.outsider, account.pk),
        inbox=make_inbox(account),
    )


def as_bot(bot: SimpleNamespace, account_id: int) -> Client4:
    return Client4(bot.access_token, account_id)


def attach(owner: Client4, inbox: Any, bot: SimpleNamespace) -> None:
    answer = owner.post(f"inboxes/{inbox.pk}/set_agent_bot", {"agent_bot": bot.id})
    assert (answer.status_code, answer.content) == (200, b"")


def follow(bot: SimpleNamespace) -> int:
    return tasks.follow_system_agent(bot.id)


# --- Listed, and taken into service --------------------------------------------------------------


def test_every_account_sees_it_and_not_where_it_is_reached(
    woot: SimpleNamespace, other: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    for owner in (woot.owner, woot.person, other.owner):
        listed = {one["id"]: one for one in owner.get("agent_bots").json()}
        shown = listed[everybodys.id]
        check(shown, SYSTEM_BOT)
        assert (shown["account_id"], shown["system_bot"]) == (None, True)
        assert owner.get(f"agent_bots/{everybodys.id}").json() == shown
    # To be seen makes nothing.
    assert agent_in(woot.house.account, everybodys.id) is None


@pytest.mark.parametrize("way", ["set_agent_bot", "agent_bot_inboxes"])
def test_an_inbox_gets_an_agent_of_the_accounts_own(
    woot: SimpleNamespace, everybodys: SimpleNamespace, way: str
) -> None:
    inbox = woot.house.inbox
    if way == "set_agent_bot":
        attach(woot.owner, inbox, everybodys)
    else:
        answer = woot.owner.post(
            f"agent_bots/{everybodys.id}/agent_bot_inboxes", {"inbox_id": inbox.pk}
        )
        assert answer.json()["agent_bot_id"] == everybodys.id
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    with account_context(woot.house.account):
        assert (agent.name, agent.endpoint.url) == (everybodys.name, URL)
        assert agent.dialect == "chatwoot"
        assert [one.value for one in agent.endpoint.secrets.all()] == [everybodys.secret]
    shown = woot.owner.get(f"inboxes/{inbox.pk}/agent_bot").json()["agent_bot"]
    check(shown, SYSTEM_BOT)
    assert shown["id"] == everybodys.id
    ids = [one["id"] for one in woot.owner.get("agent_bots").json()]
    assert ids.count(everybodys.id) == 1
    assert agent.pk not in ids
    # By the number that the row has here, nobody finds it.
    assert woot.owner.get(f"agent_bots/{agent.pk}").json() == NOT_FOUND
    again = woot.owner.post(f"inboxes/{inbox.pk}/set_agent_bot", {"agent_bot": agent.pk})
    assert again.json() == NOT_FOUND
    # The next inbox gets the same one.
    attach(woot.owner, make_inbox(woot.house.account, name="Second"), everybodys)
    with account_context(woot.house.account):
        assert Agent.objects.filter(system=everybodys.id).count() == 1
        assert AgentInbox.objects.filter(agent=agent).count() == 2


def test_new_conversations_go_to_it_and_are_told_in_the_account(
    woot: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    conversation = make_conversation(woot.house.inbox, "Hello")
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    assert conversation.assignee == agent.member
    with account_context(woot.house.account):
        assert Delivery.objects.filter(endpoint=agent.endpoint).exists()
    shown = woot.owner.get(f"conversations/{conversation.number}").json()
    check(shown, CONVERSATION)
    assert shown["status"] == "pending"
    check(shown["meta"]["assignee"], SLIM_SYSTEM_BOT)
    assert shown["meta"]["assignee"]["id"] == everybodys.id
    said = as_bot(everybodys, woot.account_id).post(
        f"conversations/{conversation.number}/messages", {"content": "Hi"}
    )
    assert said.json()["sender"]["id"] == everybodys.id
    with account_context(woot.house.account):
        told = [
            bytes(one.body).decode() for one in Delivery.objects.filter(endpoint=agent.endpoint)
        ]
    assert any(f'"id":{everybodys.id},' in body.replace(" ", "") for body in told)


def test_a_conversation_is_given_to_it(
    woot: SimpleNamespace, everybodys: SimpleNamespace, open_one: Conversation
) -> None:
    body = {"assignee_id": everybodys.id, "assignee_type": "AgentBot"}
    path = f"conversations/{open_one.number}/assignments"
    # Whoever may make no AI agents takes none into the account's service; a bot neither.
    assert woot.person.post(path, body).content == b"null"
    assert agent_in(woot.house.account, everybodys.id) is None
    given = woot.owner.post(path, body)
    check(given.json(), SLIM_SYSTEM_BOT)
    assert given.json()["id"] == everybodys.id
    bot = as_bot(everybodys, woot.account_id)
    assert bot.get(f"conversations/{open_one.number}").json()["status"] == "pending"
    spoken = woot.owner.post(
        f"conversations/{open_one.number}/messages",
        {"content": "For it", "sender_type": "AgentBot", "sender_id": everybodys.id},
    )
    assert spoken.json()["sender"]["id"] == everybodys.id
    opened = bot.post(f"conversations/{open_one.number}/toggle_status", {"status": "open"})
    assert opened.json()["payload"]["current_status"] == "open"
    # It may say goodbye, and then has no business there any more.
    goodbye = bot.post(f"conversations/{open_one.number}/messages", {"content": "Bye"})
    assert goodbye.status_code == 200
    again = woot.person.post(f"conversations/{open_one.number}/assignments", body)
    assert again.json()["id"] == everybodys.id


@pytest.mark.parametrize("who", ["person", "supervisor"])
def test_who_may_not_attach_bots_attaches_none_of_these(
    woot: SimpleNamespace, everybodys: SimpleNamespace, who: str
) -> None:
    member = getattr(woot, who)
    for path, body in (
        (f"inboxes/{woot.house.inbox.pk}/set_agent_bot", {"agent_bot": everybodys.id}),
        (f"agent_bots/{everybodys.id}/agent_bot_inboxes", {"inbox_id": woot.house.inbox.pk}),
    ):
        assert member.post(path, body).status_code == 401
    assert agent_in(woot.house.account, everybodys.id) is None


# --- Walls ---------------------------------------------------------------------------------------


def test_its_token_opens_the_accounts_that_use_it_and_no_other(
    woot: SimpleNamespace, other: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    secret_one = make_conversation(woot.house.inbox, "canary")
    attach(other.owner, other.inbox, everybodys)
    theirs = make_conversation(other.inbox, "Hello")
    bot, abroad = as_bot(everybodys, other.account.pk), as_bot(everybodys, woot.account_id)
    assert bot.get(f"conversations/{theirs.number}").status_code == 200
    for method, path in (
        ("get", f"conversations/{secret_one.number}"),
        ("get", f"conversations/{secret_one.number}/messages"),
        ("post", f"conversations/{secret_one.number}/messages"),
        ("post", f"conversations/{secret_one.number}/toggle_status"),
        ("get", f"contacts/{secret_one.contact_id}"),
        ("get", "agents"),
        ("get", f"inboxes/{woot.house.inbox.pk}"),
    ):
        answer = abroad.send(method, path, {"content": "x", "status": "open"})
        assert (answer.status_code, answer.json()) == (401, FOREIGN_BOT), (method, path)
        inside = bot.send(method, path, {"content": "x", "status": "open"})
        assert b"canary" not in inside.content
    # Numbers of the other account lead nowhere in this one.
    assert bot.get(f"contacts/{secret_one.contact_id}").json() == NOT_FOUND
    assert bot.get(f"inboxes/{woot.house.inbox.pk}").json() == NOT_FOUND
    nowhere = bot.get("/api/v1/accounts/987654321/conversations/1")
    assert (nowhere.status_code, nowhere.json()) == (404, NOT_FOUND)
    with account_context(woot.house.account):
        assert Conversation.objects.get(pk=secret_one.pk).messages.count() == 1
        assert not Agent.objects.filter(system=everybodys.id).exists()


def test_in_two_accounts_it_has_two_agents_that_know_nothing_of_each_other(
    woot: SimpleNamespace, other: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    attach(other.owner, other.inbox, everybodys)
    mine, theirs = (
        make_conversation(woot.house.inbox, "canary"),
        make_conversation(other.inbox, "robin"),
    )
    assert mine.number == theirs.number == 1
    for account_id, own, foreign in (
        (woot.account_id, "canary", "robin"), (other.account.pk, "robin", "canary"),
    ):  # fmt: skip
        thread = as_bot(everybodys, account_id).get("conversations/1/messages").content.decode()
        assert own in thread
        assert foreign not in thread
    first, second = (agent_in(a, everybodys.id) for a in (woot.house.account, other.account))
    assert first is not None
    assert second is not None
    assert first.member != second.member
    # What silences it in one account is nothing to the other.
    with account_context(woot.house.account):
        agents.switch_off(first, detail="broken")
        assert Endpoint.objects.get(pk=first.endpoint_id).state == "disabled"
    with account_context(other.account):
        assert Endpoint.objects.get(pk=second.endpoint_id).state == "enabled"
        assert not Agent.objects.filter(pk=first.pk).exists()


def test_it_may_what_a_bot_may_and_nothing_more(
    woot: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, make_inbox(woot.house.account, name="Its own"), everybodys)
    bot = as_bot(everybodys, woot.account_id)
    elsewhere = make_conversation(woot.house.inbox, "canary")
    refused = bot.get(f"conversations/{elsewhere.number}")
    assert (refused.status_code, refused.json()) == (
        401, {"error": "You are not authorized to do this action"},
    )  # fmt: skip
    for path in ("conversations", "agent_bots", "contacts", "webhooks"):
        assert bot.get(path).json() == NOT_FOR_BOTS
    assert bot.get("/api/v1/profile").json() == NOT_FOR_BOTS
    assert find_token(everybodys.access_token) is None
    assert Caller(everybodys.access_token).get("/v1/conversations/").status_code == 401


@pytest.mark.parametrize("spoil", [lambda t: t[:-1] + "x", lambda t: t.replace("sb_sys", "sb_agt")])
def test_a_token_that_is_not_quite_its_own(
    woot: SimpleNamespace, everybodys: SimpleNamespace, spoil: Any
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    answer = Client4(spoil(everybodys.access_token), woot.account_id).get("agents")
    assert (answer.status_code, answer.json()) == (401, {"error": "Invalid Access Token"})


def test_other_tokens_are_looked_up_as_before(woot: SimpleNamespace) -> None:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert find_token(woot.owner.token) is not None
        woot.owner.get("labels")
    assert (
        len([one for one in asked if "accounts_apitoken" in one["sql"] and "SELECT" in one["sql"]])
        == 2
    )
    assert not [one for one in asked if "systemagent" in one["sql"]]


def test_detaching_ends_it(woot: SimpleNamespace, everybodys: SimpleNamespace) -> None:
    inbox = woot.house.inbox
    attach(woot.owner, inbox, everybodys)
    bot = as_bot(everybodys, woot.account_id)
    assert bot.get("agents").status_code == 200
    assert (
        woot.owner.post(f"inboxes/{inbox.pk}/set_agent_bot", {"agent_bot": None}).status_code == 200
    )
    assert woot.owner.get(f"inboxes/{inbox.pk}/agent_bot").json() == {"agent_bot": {}}
    refused = bot.get("agents")
    assert (refused.status_code, refused.json()) == (401, FOREIGN_BOT)
    attach(woot.owner, inbox, everybodys)
    assert bot.get("agents").status_code == 200


# --- What the account may not change -------------------------------------------------------------


def test_the_account_changes_nothing_of_it_here(
    woot: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    for method, path in (
        ("patch", ""), ("put", ""), ("delete", ""), ("delete", "/avatar"),
        ("post", "/reset_access_token"), ("post", "/reset_secret"),
    ):  # fmt: skip
        answer = woot.owner.send(method, f"agent_bots/{everybodys.id}{path}", {"name": "Mine"})
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND), (method, path)
    assert SystemAgent.objects.get().name == everybodys.name


def test_rest_shows_no_address_and_refuses_with_a_sentence(
    woot: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    owner, path = caller(woot.house.owner), f"/v1/agents/{agent.public_id}/"
    shown = owner.get(path).json()
    assert (shown["name"], shown["url"]) == (everybodys.name, "")
    assert [one["ends_in"] for one in shown["secrets"]] == [""]
    for name, value in (
        ("name", "Mine"), ("url", "https://93.184.215.15/x"), ("description", "x"),
        ("dialect", "native"),
    ):  # fmt: skip
        refused = owner.patch(path, {name: value})
        assert refused.status_code == 400
        assert attrs_of(refused) == {name}
        assert "belongs to the installation" in refused.content.decode()
    for act in ("rotate_secret", "rotate_token"):
        refused = owner.post(f"{path}{act}/", {})
        assert refused.status_code == 400, refused.content
        assert "belongs to the installation" in refused.content.decode()
    assert owner.patch(path, {"patience_s": 33}).json()["patience_s"] == 33
    with account_context(woot.house.account):
        kept = Agent.objects.get(pk=agent.pk)
        assert (kept.name, kept.endpoint.url) == (everybodys.name, URL)
        assert [one.value for one in kept.endpoint.secrets.all()] == [everybodys.secret]


def test_a_stale_session_learns_no_address_by_guessing_it(
    woot: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    owner, path = session_of(woot.house.owner), f"/v1/agents/{agent.public_id}/"
    assert owner.get("/v1/me/").status_code == 200
    with time_machine.travel(timezone.now() + LATER, tick=False):
        right, wrong = (owner.patch(path, {"url": url}) for url in GUESSES)
    assert right.status_code == wrong.status_code == 400
    assert right.json()["errors"] == wrong.json()["errors"]


def test_the_dashboard_asks_of_every_guess_whether_it_may_be_called(
    woot: SimpleNamespace, everybodys: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To be asked of all but one tells which one it is, by the time that it takes."""
    asked: list[str] = []

    def note(url: str) -> str:
        asked.append(url)
        return ""

    monkeypatch.setattr(addresses, "_checks", [note])
    attach(woot.owner, woot.house.inbox, everybodys)
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    browser, page = logged_in(woot.house.owner), reverse("change_agent", args=[agent.public_id])
    for url in GUESSES:
        assert browser.post(page, {"url": url, "patience_s": "44"}).status_code == 302
    assert asked == GUESSES


def test_the_dashboard_shows_no_address_and_offers_no_keys(
    woot: SimpleNamespace, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    conversation = make_conversation(woot.house.inbox, "Hello")
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    browser = logged_in(woot.house.owner)
    with account_context(woot.house.account):
        delivery = Delivery.objects.filter(endpoint=agent.endpoint).first()
    assert delivery is not None
    pages = [
        reverse("agents"), reverse("agent", args=[agent.public_id]),
        reverse("change_agent", args=[agent.public_id]), reverse("deliveries"),
        reverse("delivery", args=[delivery.public_id]), reverse("audit_log"),
    ]  # fmt: skip
    for page in pages:
        answer = browser.get(page)
        assert answer.status_code == 200, page
        assert "93.184.215.14" not in answer.content.decode(), page
        assert everybodys.secret not in answer.content.decode(), page
    shown = browser.get(pages[1]).content.decode()
    assert "belongs to the installation" in shown
    assert "New secret" not in shown
    for name in ("rotate_agent_secret", "rotate_agent_token"):
        answer = browser.post(reverse(name, args=[agent.public_id]), follow=True)
        assert "belongs to the installation" in answer.content.decode()
    changed = browser.post(
        pages[2],
        {"name": "Mine", "url": "https://93.184.215.15/x", "dialect": "native", "patience_s": "44",
         "description": "mine", "fallback_text": ""},
    )  # fmt: skip
    assert changed.status_code == 302, changed.content
    with account_context(woot.house.account):
        kept = Agent.objects.select_related("member", "endpoint").get(pk=agent.pk)
    assert (kept.patience_s, kept.name, kept.endpoint.url, kept.dialect, kept.description) == (
        44, everybodys.name, URL, "chatwoot", "",
    )  # fmt: skip
    # It is sent away as every agent is.
    browser.post(reverse("delete_agent", args=[agent.public_id]))
    assert agent_in(woot.house.account, everybodys.id) is None
    with account_context(woot.house.account):
        assert Conversation.objects.get(pk=conversation.pk).assignee is None
    assert as_bot(everybodys, woot.account_id).get("agents").json() == FOREIGN_BOT


def test_an_agent_that_was_sent_away_comes_back_when_it_is_wanted(
    woot: SimpleNamespace, app: App, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    with account_context(woot.house.account):
        agents.delete_agent(agent, by=woot.house.owner)
    app.patch(str(everybodys.id), {"name": "New name"})
    attach(woot.owner, woot.house.inbox, everybodys)
    again = agent_in(woot.house.account, everybodys.id)
    assert again == agent
    assert again is not None
    assert again.name == "New name"
    assert as_bot(everybodys, woot.account_id).get("agents").status_code == 200


# --- What becomes of it follows ------------------------------------------------------------------


def test_a_change_follows_into_every_account(
    woot: SimpleNamespace, other: SimpleNamespace, app: App, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    attach(other.owner, other.inbox, everybodys)
    url = "https://93.184.215.15/new"
    changed = app.patch(
        str(everybodys.id), {"name": "Renamed", "outgoing_url": url, "description": "d"}
    )
    assert changed.json().items() >= {"name": "Renamed", "outgoing_url": url}.items()
    assert follow(everybodys) == 2
    for account in (woot.house.account, other.account):
        agent = agent_in(account, everybodys.id)
        assert agent is not None
        assert (agent.name, agent.description, agent.endpoint.url) == ("Renamed", "d", url)
        with account_context(account):
            entry = AuditEntry.objects.get(action="agent.updated")
            assert entry.changes["url"] == "changed"
            assert entry.changes["name"] == {"from": everybodys.name, "to": "Renamed"}
            assert "93.184" not in str(list(AuditEntry.objects.values()))
    # Once more changes nothing.
    assert follow(everybodys) == 2
    with account_context(woot.house.account):
        assert AuditEntry.objects.filter(action="agent.updated").count() == 1


def test_a_job_that_was_lost_is_made_up_for(
    woot: SimpleNamespace, app: App, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    assert tasks.follow_leftovers() == 0
    app.patch(str(everybodys.id), {"name": "Renamed"})
    app.patch(str(everybodys.id), {"name": "Renamed again"})
    assert tasks.follow_leftovers() == 1
    assert tasks.follow_leftovers() == 0
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    assert agent.name == "Renamed again"


def test_a_change_starts_the_job(
    app: App, everybodys: SimpleNamespace, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        app.patch(str(everybodys.id), {"name": "Renamed"})
    assert len(callbacks) == 1


def test_deleting_it_gives_its_conversations_to_people_everywhere(
    woot: SimpleNamespace, other: SimpleNamespace, app: App, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    attach(other.owner, other.inbox, everybodys)
    mine, theirs = make_conversation(woot.house.inbox), make_conversation(other.inbox)
    gone = app.delete(str(everybodys.id))
    assert (gone.status_code, gone.content) == (200, b"")
    # Its token ends at once, and nobody can take it into service any more.
    answer = as_bot(everybodys, woot.account_id).get("agents")
    assert (answer.status_code, answer.json()) == (401, {"error": "Invalid Access Token"})
    assert everybodys.id not in [one["id"] for one in woot.owner.get("agent_bots").json()]
    assert app.get("").json() == []
    assert app.get(str(everybodys.id)).json() == NOT_FOUND
    assert follow(everybodys) == 2
    for account, conversation in ((woot.house.account, mine), (other.account, theirs)):
        assert agent_in(account, everybodys.id) is None
        with account_context(account):
            assert Conversation.objects.get(pk=conversation.pk).assignee is None
            assert not AssignmentRule.objects.exists()
            assert AuditEntry.objects.filter(action="agent.deleted", actor_kind="system").exists()
            agent = Agent.objects.get(system=everybodys.id)
            with pytest.raises(agents.AgentError):
                agents.undo_delete(agent, by=None)
    answer = woot.owner.post(
        f"inboxes/{woot.house.inbox.pk}/set_agent_bot", {"agent_bot": everybodys.id}
    )
    assert answer.json() == NOT_FOUND
    page = logged_in(woot.house.owner).post(
        reverse("restore_agent", args=[agent_row(woot.house.account, everybodys)]), follow=True
    )
    assert "was deleted by who runs it" in page.content.decode()


def agent_row(account: Any, bot: SimpleNamespace) -> str:
    with account_context(account):
        return Agent.objects.get(system=bot.id).public_id


def test_accounts_show_its_picture(
    woot: SimpleNamespace, app: App, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    conversation = make_conversation(woot.house.inbox)
    made = app.form(str(everybodys.id), {"avatar": picture()}, method="patch").json()
    follow(everybodys)
    listed = {one["id"]: one for one in woot.person.get("agent_bots").json()}
    assert listed[everybodys.id]["thumbnail"] == made["thumbnail"]
    shown = woot.owner.get(f"conversations/{conversation.number}").json()["meta"]["assignee"]
    assert content_of(shown["thumbnail"]) == content_of(made["thumbnail"])
    late = make_inbox(woot.house.outsider_account)
    attach(client(woot.house.outsider, woot.house.outsider_account.pk), late, everybodys)
    theirs = agent_in(woot.house.outsider_account, everybodys.id)
    assert theirs is not None
    with account_context(woot.house.outsider_account):
        assert theirs.bot_settings.avatar_path
    app.delete(f"{everybodys.id}/avatar")
    follow(everybodys)
    shown = woot.owner.get(f"conversations/{conversation.number}").json()["meta"]["assignee"]
    assert shown["thumbnail"] == ""


def test_people_may_still_pause_it(woot: SimpleNamespace, everybodys: SimpleNamespace) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    conversation = make_conversation(woot.house.inbox)
    agent = agent_in(woot.house.account, everybodys.id)
    assert agent is not None
    with account_context(woot.house.account):
        agents.pause_agent(agent, by=woot.house.owner)
        assert Conversation.objects.get(pk=conversation.pk).assignee is None
        services.assign(conversation, to=woot.house.person, by=woot.house.owner)


# --- Its token in the wrong hands ----------------------------------------------------------------


def works_with(token: str, account_id: int) -> int:
    status: int = Client4(token, account_id).get("agents").status_code
    return status


def told(account: Any) -> list[tuple[str, str, str]]:
    """What the account's audit log says of its token: who, and why."""
    with account_context(account):
        entries = AuditEntry.objects.filter(action="agent.token_rotated").order_by("pk")
        assert all(entry.changes == {"token": "changed"} for entry in entries)
        return list(entries.values_list("actor_kind", "actor_name", "reason"))


def test_the_command_replaces_its_token_in_every_account(
    woot: SimpleNamespace,
    other: SimpleNamespace,
    everybodys: SimpleNamespace,
    capsys: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    attach(other.owner, other.inbox, everybodys)
    with django_capture_on_commit_callbacks() as callbacks:
        call_command("system_agent_token", str(everybodys.id), reason="It leaked")
    clear = capsys.readouterr().out.strip()
    assert len(callbacks) == 1
    for account_id in (woot.account_id, other.account.pk):
        assert works_with(everybodys.access_token, account_id) == 401
        assert works_with(clear, account_id) == 200
    assert clear not in str(SystemAgent.objects.values())
    # Nothing else of it has changed, and the account's own key to it is as it was.
    assert SystemAgent.objects.get().secret == everybodys.secret
    assert tasks.tell_token_replaced(everybodys.id, "", "It leaked") == 2
    for account in (woot.house.account, other.account):
        assert told(account) == [("system", "", "It leaked")]
    for number in (woot.bot_id, 987654321):
        with pytest.raises(CommandError, match=f"no system agent {number}"):
            call_command("system_agent_token", str(number))


def test_staff_end_its_token_with_a_reason_and_see_none(
    woot: SimpleNamespace,
    other: SimpleNamespace,
    everybodys: SimpleNamespace,
    django_capture_on_commit_callbacks: Any,
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    staff: Any = staff_client()
    reason = "Ticket 4711: it was in a public repository"
    page = reverse("admin:agents_systemagent_change", args=[everybodys.id])
    listed = staff.get(reverse("admin:agents_systemagent_changelist")).content.decode()
    assert page in listed
    end = reverse("admin:systemagent_end", args=[everybodys.id])
    shown = [staff.get(path).content.decode() for path in (page, end)]
    assert end in shown[0]
    assert f"system_agent_token {everybodys.id}" in shown[1]
    assert staff.post(end, {"reason": "why"}).status_code == 422
    assert staff.post(page, {"name": "Mine"}).status_code == 403
    assert works_with(everybodys.access_token, woot.account_id) == 200
    with django_capture_on_commit_callbacks(execute=True):
        ended = staff.post(end, {"reason": reason}, follow=True)
    assert "The token of Everybody&#x27;s bot has ended" in ended.content.decode()
    assert works_with(everybodys.access_token, woot.account_id) == 401
    row = SystemAgent.objects.get()
    assert row.name == everybodys.name
    for html in (*shown, ended.content.decode()):
        assert "sb_sys_" not in html
        assert row.key_id not in html
    tasks.tell_token_replaced(everybodys.id, staff.user.email, reason)
    assert told(woot.house.account) == [("support", staff.user.email, reason)]
    assert told(other.account) == []  # which does not use it


def test_who_is_no_staff_ends_no_token(
    woot: SimpleNamespace, app: App, everybodys: SimpleNamespace
) -> None:
    attach(woot.owner, woot.house.inbox, everybodys)
    end = reverse("admin:systemagent_end", args=[everybodys.id])
    answer = logged_in(woot.house.owner).post(end, {"reason": "Ticket 4711: it leaked"})
    assert answer.status_code in (302, 403, 404)
    assert works_with(everybodys.access_token, woot.account_id) == 200
    app.delete(str(everybodys.id))
    assert staff_client().get(end).status_code == 404
