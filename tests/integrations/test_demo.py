"""The demo account: made once, the same at each call, and nothing of it travels by itself."""

from __future__ import annotations

import io
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import F
from django.test import Client

from accounts.models import Account, ApiToken, Member, Team
from accounts.tenancy import account_context
from accounts.tokens import find_token
from agents.models import AssignmentRule, Decision
from conversations.models import Conversation, Delivery, Inbox, Lane, Message, Timer
from integrations import demo
from integrations.routes import find_route

KEYS = {
    "base_url": None,
    "account": {"id", "number", "slug"},
    "owner": {"email", "password", "api_token"},
    "team": {"id", "number"},
    "agent": {"id", "number", "dialect", "url", "token", "secret"},
}


@pytest.fixture(autouse=True)
def _own_data_directory(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def facts(db) -> dict[str, Any]:
    return run()


def run(**options: Any) -> Any:
    out = io.StringIO()
    call_command("demo", json=True, stdout=out, **options)
    return json.loads(out.getvalue())


def inside() -> Any:
    return account_context(Account.objects.get(slug="casa-lumina"))


def test_it_prints_exactly_what_scripts_are_promised(facts):
    assert set(facts) == {*KEYS, "people", "inboxes"}
    for name, keys in KEYS.items():
        assert keys is None or set(facts[name]) == keys
    assert [set(person) for person in facts["people"]] == [
        {"id", "number", "email", "api_token"}
    ] * 3
    assert set(facts["inboxes"]["sandbox"]) == {"id", "number", "url"}
    assert set(facts["inboxes"]["whatsapp"]) == {
        "id", "number", "hook_url", "app_secret", "verify_token", "phone_number_id",
    }  # fmt: skip


def test_it_says_the_same_again(facts):
    assert run() == facts
    assert Account.objects.count() == 1


def owner_of(clear: str) -> Member:
    token = find_token(clear)
    assert token is not None
    return token.member


@pytest.mark.usefixtures("clean_database")
def test_two_at_once_make_one_and_say_the_same() -> None:
    def make() -> Any:
        try:
            return run()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.submit(make), threads.submit(make)
        assert first.result() == second.result()


def test_everything_it_prints_works(facts):
    client = Client()
    owner = facts["owner"]
    assert client.login(username=owner["email"], password=owner["password"])
    for somebody in (owner, *facts["people"]):
        user = owner_of(somebody["api_token"]).user
        assert user is not None
        assert user.email == somebody["email"]
    agent = find_token(facts["agent"]["token"])
    assert agent is not None
    assert (agent.kind, agent.member.is_agent) == ("agt", True)
    assert Client().get(facts["inboxes"]["sandbox"]["url"]).status_code == 200
    hook = facts["inboxes"]["whatsapp"]["hook_url"]
    assert find_route("whatsapp", hook.rpartition("/")[2]) is not None


def test_the_agents_secret_is_the_one_that_signs(facts):
    with inside():
        agent = demo._agent(Account.objects.get())
        assert agent.endpoint.secrets.get().value == facts["agent"]["secret"]
        assert agent.endpoint.url == facts["agent"]["url"]


def test_what_cannot_be_read_back_is_kept_for_its_owner_alone(facts, tmp_path):
    path = tmp_path / "demo.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert facts["owner"]["api_token"] in path.read_text()


def test_what_is_lost_is_made_anew_and_the_old_is_worth_nothing(facts, tmp_path):
    (tmp_path / "demo.json").unlink()
    again = run()
    assert again["owner"]["api_token"] != facts["owner"]["api_token"]
    assert find_token(facts["owner"]["api_token"]) is None
    assert find_token(again["owner"]["api_token"]) is not None
    assert Client().login(username=again["owner"]["email"], password=again["owner"]["password"])
    assert again["inboxes"] == facts["inboxes"]
    assert again["agent"]["secret"] == facts["agent"]["secret"]


def test_a_revoked_token_is_replaced(facts):
    ApiToken.objects.filter(key_id=facts["agent"]["token"].split("_")[2]).delete()
    again = run()
    assert again["agent"]["token"] != facts["agent"]["token"]
    assert find_token(again["agent"]["token"]) is not None
    assert again["owner"] == facts["owner"]


def test_another_port_moves_the_agent_along(facts, settings):
    settings.AGENT_PORT = 9123
    assert run()["agent"]["url"] == "http://127.0.0.1:9123/"


def give_the_agent(url: str) -> None:
    with inside():
        endpoint = demo._agent(Account.objects.get()).endpoint
        endpoint.url = url
        endpoint.save()


def test_an_address_that_somebody_gave_the_agent_stays(facts):
    give_the_agent("http://127.0.0.1:9555/")
    assert run()["agent"]["url"] == "http://127.0.0.1:9555/"
    assert run()["agent"]["url"] == "http://127.0.0.1:9555/"


def test_it_stays_also_when_nothing_is_known_of_the_last_time(facts, tmp_path):
    give_the_agent("https://lumi.example/hook")
    (tmp_path / "demo.json").unlink()
    assert run()["agent"]["url"] == "https://lumi.example/hook"


def test_changes_of_the_person_who_tries_it_stay(facts):
    """Nothing is put back, and nothing that was renamed stands in the way of the next start."""
    with inside():
        Member.objects.filter(name="Radu Ionescu").update(name="Radu")
        AssignmentRule.objects.all().delete()
        Inbox.objects.filter(platform="sandbox").update(name="My phone")
        Team.objects.update(name="Renamed")
    again = run()
    assert again["team"] == facts["team"]
    with inside():
        assert not AssignmentRule.objects.exists()
        assert Inbox.objects.get(platform="sandbox").name == "My phone"


def test_the_inbox_is_not_empty_and_shows_every_state(facts):
    with inside():
        conversations = Conversation.objects.all()
        assert conversations.count() >= 8
        assert not conversations.filter(synthetic=True).exists()
        assert set(conversations.values_list("status", flat=True)) == {
            "open", "snoozed", "resolved",
        }  # fmt: skip
        assert conversations.open().with_ai().exists()
        assert conversations.open().filter(assignee__kind="person").exists()
        assert conversations.open().unassigned().exists()
        assert set(conversations.values_list("language", flat=True)) == {"en", "ro"}
        directions = set(Message.objects.values_list("direction", flat=True))
        assert directions == {"inbound", "outbound", "note", "system", "draft"}
        assert Message.objects.filter(status="failed").exists()
        assert Decision.objects.exists()


def test_the_past_is_in_order(facts):
    with inside():
        for conversation in Conversation.objects.all():
            times = list(conversation.messages.order_by("pk").values_list("created_at", flat=True))
            assert times == sorted(times)
            assert conversation.last_activity_at == times[-1] or conversation.status != "open"
            backwards = conversation.assignments.filter(ended_at__lt=F("started_at"))
            assert not backwards.exists()


def test_nothing_of_the_past_travels_any_more(facts):
    """No agent is asked again, and no invented customer is written to."""
    with inside():
        assert not Delivery.objects.exists()
        assert not Lane.objects.exists()
        assert set(Timer.objects.values_list("kind", flat=True)) == {"snooze"}
        assert not Message.objects.filter(status="queued").exists()


def test_a_new_message_is_given_to_the_demo_agent(facts):
    """The default rules are there: what the sandbox says goes to the agent, and out of it."""
    from conversations import services
    from tests.factories import said

    with inside():
        inbox = Inbox.objects.get(platform="sandbox")
        services.receive(inbox, said("Do you ship to Cluj?", visitor="v"))
        conversation = Conversation.objects.get(synthetic=True)
        assert conversation.held_by_agent
        services.receive(inbox, said("vreau să vorbesc cu un om", visitor="v"))
        conversation.refresh_from_db()
        assert not conversation.held_by_agent
        assert conversation.assignments.latest("epoch").summary


def test_in_words_it_says_one_sentence(db):
    out = io.StringIO()
    call_command("demo", stdout=out)
    assert out.getvalue().startswith("The demo account Casa Lumină is ready: log in at ")
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("url", "embedded", "refused"),
    [
        ("https://desk.example.com", False, True),
        ("https://8.8.4.4", False, True),
        ("https://desk.example.com", True, False),
        ("http://127.0.0.1:8000", False, False),
        ("http://localhost:8000", False, False),
        ("http://192.168.1.7:8000", False, False),
    ],
)
def test_production_gets_no_demo_account_unasked(db, settings, url, embedded, refused):
    settings.PUBLIC_URL, settings.EMBEDDED = url, embedded
    if refused:
        with pytest.raises(CommandError, match="--force"):
            run()
        assert not Account.objects.exists()
    assert run(force=True)["base_url"] == url
