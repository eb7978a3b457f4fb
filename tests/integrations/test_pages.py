"""The pages of inboxes, the connection test as a job, and the test chat."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tenancy import account_context
from agents.models import Agent
from conversations import services as desk
from conversations.models import Conversation, Delivery, Inbox, Message
from integrations import reach, services, tasks
from tests.accounts.test_entry import logged_in
from tests.factories import make_agent
from tests.fakes.graph import FakeGraph

VALUES = {
    "name": "Support number",
    "phone_number_id": "200000000000001",
    "waba_id": "100000000000001",
    "access_token": "EAAsecret0123456789abcd",
    "app_secret": "0123456789abcdef",
}


def whatsapp(house: SimpleNamespace) -> Inbox:
    values = {name: value for name, value in VALUES.items() if name != "name"}
    return services.connect_inbox(platform="whatsapp", name="WA", values=values, by=house.owner)


def test_an_inbox_is_connected_and_its_secrets_are_never_shown(house: SimpleNamespace) -> None:
    """SX-51"""
    client = logged_in(house.admin)
    answer = client.post(reverse("connect_inbox", args=["whatsapp"]), VALUES, follow=True)
    page = answer.content.decode()
    inbox = Inbox.objects.get(platform="whatsapp")
    assert inbox.credentials["access_token"] == VALUES["access_token"]
    assert inbox.config["phone_number_id"] == VALUES["phone_number_id"]
    assert VALUES["access_token"] not in page
    assert VALUES["app_secret"] not in page
    assert "ends in ..abcd" in page
    assert inbox.credentials["verify_token"] in page
    assert "/hooks/whatsapp/" in page
    assert VALUES["access_token"] not in str(inbox.config)
    form = client.get(reverse("change_inbox", args=[inbox.public_id])).content.decode()
    assert VALUES["access_token"] not in form


def test_an_empty_field_comes_back_with_the_form(house: SimpleNamespace) -> None:
    answer = logged_in(house.admin).post(
        reverse("connect_inbox", args=["whatsapp"]), VALUES | {"app_secret": ""}
    )
    assert answer.status_code == 422
    assert VALUES["access_token"] not in answer.content.decode()
    assert not Inbox.objects.filter(platform="whatsapp").exists()


def test_an_empty_secret_leaves_the_stored_one(house: SimpleNamespace) -> None:
    inbox = whatsapp(house)
    Inbox.objects.filter(pk=inbox.pk).update(state=Inbox.State.NEEDS_REAUTH)
    path = reverse("change_inbox", args=[inbox.public_id])
    client = logged_in(house.admin)
    client.post(path, VALUES | {"access_token": "", "app_secret": "", "name": "New name"})
    inbox = Inbox.objects.get(pk=inbox.pk)
    assert inbox.name == "New name"
    assert inbox.credentials["access_token"] == VALUES["access_token"]
    assert inbox.state == Inbox.State.NEEDS_REAUTH
    client.post(path, VALUES | {"access_token": "EAAanother0123456789"})
    inbox = Inbox.objects.get(pk=inbox.pk)
    assert inbox.credentials["access_token"] == "EAAanother0123456789"
    assert inbox.state == Inbox.State.ACTIVE
    told = AuditEntry.objects.filter(action="inbox.changed").order_by("pk")
    assert [entry.changes for entry in told] == [
        {"name": ["WA", "New name"]},
        {"name": ["New name", VALUES["name"]], "credentials": "changed"},
    ]


def test_an_inbox_read_long_ago_brings_no_old_credentials_back(house: SimpleNamespace) -> None:
    old = whatsapp(house)
    now = Inbox.objects.get(pk=old.pk)
    values = {"access_token": "EAAanother0123456789"}
    services.change_inbox(now, by=house.owner, name="WA", fallback_team=None, values=values)
    services.rotate_address(old, by=house.owner)
    kept = Inbox.objects.get(pk=old.pk).credentials
    assert kept["access_token"] == values["access_token"]


def test_an_inbox_is_switched_off_and_on(house: SimpleNamespace) -> None:
    inbox = whatsapp(house)
    client, path = logged_in(house.admin), reverse("switch_inbox", args=[inbox.public_id])
    client.post(path, {"on": "0"})
    assert Inbox.objects.get(pk=inbox.pk).state == Inbox.State.DISABLED
    client.post(path, {"on": "1"})
    assert Inbox.objects.get(pk=inbox.pk).state == Inbox.State.ACTIVE


def test_who_only_reads_sees_neither_address_nor_token(house: SimpleNamespace) -> None:
    inbox = whatsapp(house)
    client = logged_in(house.person)
    page = client.get(reverse("inbox_settings", args=[inbox.public_id])).content.decode()
    assert "/hooks/" not in page
    assert inbox.credentials["verify_token"] not in page
    for name in ("switch_inbox", "check_inbox", "rotate_address"):
        assert client.post(reverse(name, args=[inbox.public_id])).status_code == 403


def test_another_accounts_inbox_is_not_there(house: SimpleNamespace) -> None:
    """SX-08"""
    inbox = whatsapp(house)
    client = logged_in(house.outsider)
    with account_context(house.outsider_account):
        for name in ("inbox_settings", "change_inbox", "check_state"):
            assert client.get(reverse(name, args=[inbox.public_id])).status_code == 404


def test_a_new_address_leaves_the_old_one_for_a_week(house: SimpleNamespace) -> None:
    from integrations.routes import find_route, route_token

    inbox = whatsapp(house)
    old = route_token(inbox)
    logged_in(house.admin).post(reverse("rotate_address", args=[inbox.public_id]))
    new = route_token(Inbox.objects.get(pk=inbox.pk))
    assert new != old
    assert find_route("whatsapp", old) is not None
    assert find_route("whatsapp", new) is not None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:8000", "Meta cannot reach 127.0.0.1"),
        ("https://desk.local", "Meta cannot reach desk.local"),
        ("https://10.0.0.7", "Meta cannot reach 10.0.0.7"),
        ("http://desk.example.com", "https"),
        ("https://desk.example.com", ""),
    ],
)
def test_we_say_when_meta_cannot_reach_us(url: str, said: str) -> None:
    problem = reach.problem("Meta", url)
    assert said in problem
    assert bool(problem) == bool(said)


# --- The connection test -------------------------------------------------------------------------


@pytest.fixture
def graph(settings: Any) -> Iterator[FakeGraph]:
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    numbers = {VALUES["phone_number_id"]: VALUES["waba_id"]}
    with FakeGraph(
        tokens=[VALUES["access_token"]], app_secret=VALUES["app_secret"], numbers=numbers
    ) as graph:
        settings.WHATSAPP_API_BASE = graph.base_url
        yield graph


def test_a_test_writes_each_step_where_the_page_polls(
    graph: FakeGraph, clean_database: None
) -> None:
    from tests import factories

    house = factories.make_house()
    with account_context(house.account):
        inbox = whatsapp(house)
        values = {**inbox.credentials, "access_token": "EAAwrong0123456789"}
        inbox.credentials = values
        inbox.save()
        services.start_check(inbox, by=house.owner)
        run = inbox.health["check"]["run"]
    client = logged_in(house.owner)
    running = client.get(reverse("check_state", args=[inbox.public_id])).content.decode()
    assert "hx-get" in running
    assert tasks.check_inbox(house.account.pk, inbox.pk, run, "en-gb") == "failed"
    over = client.get(reverse("check_state", args=[inbox.public_id])).content.decode()
    assert "hx-get" not in over
    assert "Access token and phone number" in over
    assert "is-danger" in over
    assert "test failed" in client.get(reverse("inboxes")).content.decode()


def test_an_older_test_does_not_write_over_a_newer_one(
    house: SimpleNamespace, graph: FakeGraph
) -> None:
    inbox = whatsapp(house)
    services.start_check(inbox, by=house.owner)
    old = inbox.health["check"]["run"]
    services.start_check(inbox, by=house.owner)
    new = inbox.health["check"]["run"]
    tasks.check_inbox(house.account.pk, inbox.pk, old, "en-gb")
    check = Inbox.objects.get(pk=inbox.pk).health["check"]
    assert (check["run"], check["state"]) == (new, "running")


def test_the_test_keeps_what_the_door_has_written(house: SimpleNamespace) -> None:
    inbox = whatsapp(house)
    services.note_health(inbox, "hooks", {"refused_in_a_row": 4})
    services.note_health(Inbox.objects.get(pk=inbox.pk), "check", {"state": "ok", "steps": []})
    assert set(Inbox.objects.get(pk=inbox.pk).health) == {"hooks", "check"}
    page = logged_in(house.owner).get(reverse("inboxes")).content.decode()
    assert "wrong signature" in page


# --- The test chat -------------------------------------------------------------------------------


@pytest.fixture
def agent(house: SimpleNamespace) -> Agent:
    return make_agent(house.account, name="Sales agent")


def say(client: Client, agent: Agent, text: str) -> None:
    client.post(reverse("test_say", args=[agent.public_id]), {"text": text})


def test_what_one_says_as_a_customer_goes_to_the_agent(
    house: SimpleNamespace, agent: Agent
) -> None:
    client = logged_in(house.admin)
    say(client, agent, "Do you ship to Cluj?")
    conversation = Conversation.objects.get()
    assert conversation.assignee == agent.member
    assert conversation.synthetic
    assert Delivery.objects.filter(endpoint=agent.endpoint).exists()
    say(client, agent, "Hello?")
    assert Message.objects.filter(conversation=conversation, direction="inbound").count() == 2
    page = client.get(reverse("test_agent", args=[agent.public_id])).content.decode()
    assert "Do you ship to Cluj?" in page


def test_the_chat_says_when_people_have_it_and_starts_over(
    house: SimpleNamespace, agent: Agent
) -> None:
    client = logged_in(house.admin)
    say(client, agent, "Hello")
    first = Conversation.objects.get()
    desk.take_over(first, by=house.person)
    path = reverse("test_agent", args=[agent.public_id])
    assert "people have it" in client.get(path).content.decode()
    client.post(reverse("test_start_over", args=[agent.public_id]))
    say(client, agent, "Hello again")
    assert Conversation.objects.count() == 2
    first.refresh_from_db()
    assert first.status == Conversation.Status.RESOLVED


def test_two_people_test_two_customers(house: SimpleNamespace, agent: Agent) -> None:
    say(logged_in(house.admin), agent, "one")
    say(logged_in(house.person), agent, "two")
    assert Conversation.objects.count() == 2
