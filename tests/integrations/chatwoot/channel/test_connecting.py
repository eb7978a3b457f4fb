"""Connecting to an account and leaving it: over real HTTP, and what of it is kept with the inbox."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.tenancy import account_context
from conversations.channels import CheckStep, InboxConfig, Learnt
from conversations.models import Inbox
from integrations import removing, routes, services, tasks
from integrations.addresses import unreachable
from integrations.chatwoot.channel.acting import people_are_theirs
from integrations.chatwoot.channel.channel import ChatwootChannel
from tests.integrations.chatwoot.channel.conftest import Desk
from tests.integrations.chatwoot.channel.fake import BOT, SECRET, USER, FakeChatwoot

channel = ChatwootChannel()
HOOK = "https://desk.example/hooks/chatwoot/token"
VALUES = {"account_number": "1", "user_token": USER, "inboxes": "1, 2"}


def new(desk: Desk, **config: Any) -> InboxConfig:
    """The inbox before it was ever connected."""
    fresh = {"base_url": desk.chatwoot.url, "account_number": "1", "inboxes": "1, 2", **config}
    return dataclasses.replace(desk.inbox, credentials={"user_token": USER}, config=fresh)


def check(desk: Desk, inbox: InboxConfig, hook: str = HOOK) -> list[CheckStep | Learnt]:
    async def steps(http: Any) -> list[CheckStep | Learnt]:
        return [step async for step in channel.check(inbox, http, hook_url=hook)]

    return desk.run(steps)


def after(inbox: InboxConfig, steps: list[CheckStep | Learnt]) -> InboxConfig:
    """The inbox with what was learnt."""
    for step in steps:
        if isinstance(step, Learnt):
            inbox = dataclasses.replace(
                inbox,
                credentials={**inbox.credentials, **step.credentials},
                config={**inbox.config, **step.config},
            )
    return inbox


def failed(steps: list[CheckStep | Learnt]) -> CheckStep:
    last = steps[-1]
    assert isinstance(last, CheckStep)
    assert not last.ok
    return last


def test_our_bot_is_made_kept_and_then_set_on_what_was_chosen(desk: Desk) -> None:
    steps = check(desk, new(desk))
    assert all(step.ok for step in steps if isinstance(step, CheckStep))
    [learnt] = [step for step in steps if isinstance(step, Learnt)]
    assert learnt.credentials == {"bot_token": BOT, "bot_secret": SECRET}
    kinds = ["Channel::WebWidget", "Channel::Whatsapp"]
    assert learnt.config == {"bot_id": "7", "inbox_types": kinds}
    assert desk.chatwoot.bots[7]["outgoing_url"] == HOOK
    assert desk.chatwoot.bot_of == {1: 7, 2: 7}
    attached = next(i for i, step in enumerate(steps) if getattr(step, "name", "") == "attached")
    assert steps.index(learnt) < attached, "an event could come before its secret is known"


def test_a_second_test_changes_nothing_and_a_new_address_reaches_the_bot(desk: Desk) -> None:
    inbox = after(new(desk), check(desk, new(desk)))
    check(desk, inbox)
    assert list(desk.chatwoot.bots) == [7]
    check(desk, inbox, HOOK + "2")
    assert list(desk.chatwoot.bots) == [7]
    assert desk.chatwoot.bots[7]["outgoing_url"] == HOOK + "2"


def test_a_bot_that_was_made_before_we_broke_is_found_by_its_address(desk: Desk) -> None:
    check(desk, new(desk))
    steps = check(desk, new(desk))  # what was learnt has been lost
    assert list(desk.chatwoot.bots) == [7]
    assert after(new(desk), steps).credentials["bot_secret"] == SECRET


def test_an_inbox_that_is_no_longer_chosen_loses_our_bot(desk: Desk) -> None:
    inbox = after(new(desk), check(desk, new(desk)))
    fewer = dataclasses.replace(inbox, config={**inbox.config, "inboxes": "2"})
    check(desk, fewer)
    assert desk.chatwoot.bot_of == {2: 7}


def test_another_bot_is_never_replaced(desk: Desk) -> None:
    desk.chatwoot.bots[3] = {"id": 3, "outgoing_url": "https://other.example"}
    desk.chatwoot.bot_of = {2: 3}
    step = failed(check(desk, new(desk)))
    assert step.name == "other_bots"
    assert "2 WhatsApp" in step.detail
    assert desk.chatwoot.bot_of == {2: 3}
    assert list(desk.chatwoot.bots) == [3]


@pytest.mark.parametrize(
    ("inboxes", "words"),
    [("", "1 Website, 2 WhatsApp, 3 SMS"), ("9", "There is no inbox 9"), ("one", "“one”")],
)
def test_without_a_choice_the_test_says_what_there_is(desk: Desk, inboxes: str, words: str) -> None:
    step = failed(check(desk, new(desk, inboxes=inboxes)))
    assert step.name == "inboxes"
    assert words in step.detail
    assert not desk.chatwoot.bots


def test_the_token_must_be_an_administrators_of_this_account(desk: Desk) -> None:
    assert failed(check(desk, new(desk, account_number="5"))).name == "account"
    desk.chatwoot.role = "agent"
    assert "administrator" in failed(check(desk, new(desk))).detail
    wrong = dataclasses.replace(new(desk), credentials={"user_token": "wrong"})
    assert failed(check(desk, wrong)).name == "account"


def test_a_server_that_signs_nothing_is_taken_with_a_warning(desk: Desk) -> None:
    desk.chatwoot.signs = False
    steps = check(desk, new(desk))
    last = steps[-1]
    assert isinstance(last, CheckStep)
    assert last.ok
    assert "secret address" in last.detail


def test_leaving_takes_our_bot_away_also_twice(desk: Desk) -> None:
    inbox = after(new(desk), check(desk, new(desk)))
    desk.chatwoot.bots[3] = {"id": 3}
    desk.chatwoot.bot_of[3] = 3
    for _again in range(2):
        learnt = desk.run(lambda http: channel.leave(inbox, http))
        assert desk.chatwoot.bot_of == {3: 3}
        assert list(desk.chatwoot.bots) == [3]
    assert learnt == Learnt({"bot_token": "", "bot_secret": ""}, {"bot_id": ""})


# --- On our side ----------------------------------------------------------------------------------


@pytest.fixture
def chatwoot(settings: Any) -> Iterator[FakeChatwoot]:
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    with FakeChatwoot() as server:
        yield server


def connect(house: SimpleNamespace, chatwoot: FakeChatwoot) -> Inbox:
    values = {**VALUES, "base_url": chatwoot.url}
    return services.connect_inbox(platform="chatwoot", name="Chatwoot", values=values)


def run_check(house: SimpleNamespace, inbox: Inbox) -> str:
    services.start_check(inbox, by=house.owner)
    run = inbox.health["check"]["run"]
    return str(tasks.check_inbox(house.account.pk, inbox.pk, run, "en-gb"))


def test_what_was_learnt_is_sealed_and_stands_in_no_page_and_no_health(
    house: SimpleNamespace, chatwoot: FakeChatwoot
) -> None:
    inbox = connect(house, chatwoot)
    assert run_check(house, inbox) == "ok"
    inbox = Inbox.objects.get(pk=inbox.pk)
    assert inbox.credentials["bot_token"] == BOT
    assert inbox.credentials["bot_secret"] == SECRET
    assert inbox.config["bot_id"] == "7"
    assert chatwoot.bots[7]["outgoing_url"] == routes.hook_url(inbox)
    seen = json.dumps([inbox.config, inbox.health])
    assert BOT not in seen
    assert SECRET not in seen


def test_switching_off_leaves_the_platform_and_switching_on_comes_back(
    house: SimpleNamespace,
    chatwoot: FakeChatwoot,
    django_capture_on_commit_callbacks: Any,
) -> None:
    inbox = connect(house, chatwoot)
    run_check(house, inbox)
    inbox = Inbox.objects.get(pk=inbox.pk)
    with django_capture_on_commit_callbacks() as jobs:
        services.switch(inbox, on=False, by=house.owner)
    assert len(jobs) == 1
    assert tasks.leave_platform(house.account.pk, inbox.pk) == "left"
    assert chatwoot.bots == {}
    inbox = Inbox.objects.get(pk=inbox.pk)
    assert "bot_secret" not in inbox.credentials
    assert inbox.credentials["user_token"] == USER
    with django_capture_on_commit_callbacks():
        services.switch(inbox, on=True, by=house.owner)
    assert inbox.health["check"]["state"] == "running"
    assert tasks.leave_platform(house.account.pk, inbox.pk) == "on again"


def test_removing_leaves_the_platform_and_keeps_no_secret(
    house: SimpleNamespace, chatwoot: FakeChatwoot
) -> None:
    inbox = connect(house, chatwoot)
    run_check(house, inbox)
    removing.remove_inbox(inbox, by=house.owner)
    tasks.finish_removing(house.account.pk, inbox.pk)
    assert chatwoot.bots == {}
    assert Inbox.objects.get(pk=inbox.pk).credentials == {}


def test_a_change_and_a_new_address_are_brought_to_chatwoot(
    house: SimpleNamespace, chatwoot: FakeChatwoot
) -> None:
    inbox = connect(house, chatwoot)
    run_check(house, inbox)
    inbox = Inbox.objects.get(pk=inbox.pk)
    old = inbox.health["check"]["run"]
    values = {**VALUES, "base_url": chatwoot.url, "inboxes": "3"}
    services.change_inbox(inbox, by=house.owner, name="Theirs", fallback_team=None, values=values)
    services.rotate_address(inbox, by=house.owner)
    run = inbox.health["check"]["run"]
    assert run != old
    assert tasks.check_inbox(house.account.pk, inbox.pk, run, "en-gb") == "ok"
    assert chatwoot.bot_of == {3: 7}
    assert chatwoot.bots[7]["outgoing_url"] == routes.hook_url(inbox)


def test_a_test_that_passes_brings_an_inbox_back_whose_bot_was_refused(
    house: SimpleNamespace, chatwoot: FakeChatwoot
) -> None:
    inbox = connect(house, chatwoot)
    Inbox.objects.filter(pk=inbox.pk).update(state=Inbox.State.NEEDS_REAUTH)
    assert run_check(house, inbox) == "ok"
    assert Inbox.objects.get(pk=inbox.pk).state == Inbox.State.ACTIVE


def test_a_chatwoot_that_is_gone_does_not_keep_an_inbox_from_being_off(
    house: SimpleNamespace, chatwoot: FakeChatwoot
) -> None:
    inbox = connect(house, chatwoot)
    run_check(house, inbox)
    inbox = Inbox.objects.get(pk=inbox.pk)
    inbox.config = {**inbox.config, "base_url": f"{chatwoot.url}/moved"}
    inbox.state = Inbox.State.DISABLED
    inbox.save()
    assert tasks.leave_platform(house.account.pk, inbox.pk) == "unreachable"


def test_the_page_asks_for_what_is_needed_and_never_shows_the_token(
    house: SimpleNamespace, chatwoot: FakeChatwoot
) -> None:
    client = Client()
    client.force_login(house.owner.user)
    page = client.get(reverse("connect_inbox", args=["chatwoot"])).content.decode()
    assert "Access token of an administrator" in page
    answer = client.post(
        reverse("connect_inbox", args=["chatwoot"]),
        {"name": "Chatwoot", "base_url": chatwoot.url, **VALUES},
        follow=True,
    )
    assert USER not in answer.content.decode()
    assert "Nothing has to be copied" in answer.content.decode()
    with account_context(house.account):
        inbox = Inbox.objects.get(platform="chatwoot")
    assert inbox.credentials["user_token"] == USER


def test_the_page_lets_people_choose_where_they_answer(
    house: SimpleNamespace, chatwoot: FakeChatwoot
) -> None:
    inbox = connect(house, chatwoot)
    assert people_are_theirs(inbox.config)
    client = Client()
    client.force_login(house.owner.user)
    address = reverse("change_inbox", args=[inbox.public_id])
    assert (
        '<option value="chatwoot" selected>work in Chatwoot' in client.get(address).content.decode()
    )
    said = {"name": "Chatwoot", "base_url": chatwoot.url, **VALUES, "people": "desk"}
    client.post(address, said)
    inbox = Inbox.objects.get(pk=inbox.pk)
    assert not people_are_theirs(inbox.config)
    assert '<option value="desk" selected>' in client.get(address).content.decode()
    client.post(address, {**said, "people": "elsewhere"})
    assert Inbox.objects.get(pk=inbox.pk).config["people"] == "desk"


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9", "http://127.0.0.1:22", "http://x.invalid"]
)
def test_bad_input_47_the_test_tells_nothing_of_ports(desk: Desk, address: str) -> None:
    assert failed(check(desk, new(desk, base_url=address))).detail == unreachable()


@pytest.mark.parametrize("address", ["javascript:alert(1)", "https://a:b@example.com", "x"])
def test_bad_input_43_an_address_that_is_none_is_not_kept(address: str) -> None:
    [field] = [one for one in channel.fields if one.name == "base_url"]
    assert field.refusal(address)
