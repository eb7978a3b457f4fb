"""Their platform API: who makes bots over it, which ones it touches, and what it answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEntry, RateBucket
from accounts.tenancy import account_context
from accounts.tokens import find_token
from agents.models import Agent, SystemAgent
from agents.services import pause_agent
from integrations.chatwoot import tasks
from integrations.chatwoot.models import PlatformApp, PlatformBot
from integrations.chatwoot.platform.apps import give_token
from tests import pictures
from tests.accounts.test_admin import staff_client
from tests.accounts.test_entry import logged_in
from tests.integrations.chatwoot.compat.contract import PLATFORM_BOT, check
from tests.integrations.chatwoot.compat.platform import (
    PATH,
    URL,
    App,
    make_app,
    make_system_bot,
)
from tests.integrations.chatwoot.compat.test_avatars import content_of, fetched, kept, picture
from tests.integrations.couriers import Reply, Request, Server

NOT_FOUND = {"error": "Resource could not be found"}
INVALID = {"error": "Invalid access_token"}
FOREIGN = {"error": "Non permissible resource"}


@pytest.fixture(autouse=True)
def media_root(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


@pytest.fixture
def app(woot: SimpleNamespace) -> App:
    """It may act for the house's account."""
    return make_app("Bots & Co", woot.house.account)


# --- Who comes in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["", "x", "sb_plt_nonsense", "sb_plt_abcdefgh_" + "x" * 49, "ä", "y" * 500]
)
def test_a_token_that_is_none(db: None, token: str) -> None:
    headers = {"api-access-token": token} if token else {}
    for method in ("get", "post", "patch", "delete"):
        for path in ("", "/1", "/1/avatar"):
            answer = Client().generic(method.upper(), PATH + path, headers=headers)
            assert (answer.status_code, answer.json()) == (401, INVALID)


def test_the_format_may_be_named(app: App) -> None:
    bot = make_system_bot(app)
    assert app.get(f"{bot.id}.json").json() == app.get(str(bot.id)).json()
    listed = app.client.get(f"{PATH}.json")
    assert (listed.status_code, listed.json()) == (200, app.get("").json())


def test_no_other_token_opens_it_and_its_own_opens_nothing_else(
    woot: SimpleNamespace, app: App
) -> None:
    bot = make_system_bot(app)
    for token in (woot.owner.token, woot.bot.token, bot.access_token):
        answer = App(token, 0).get("")
        assert (answer.status_code, answer.json()) == (401, INVALID)
    assert find_token(app.token) is None
    for path in ("conversations", "agent_bots", "/api/v1/profile"):
        answer = woot.owner.client.get(woot.owner.at(path), headers={"api-access-token": app.token})
        assert (answer.status_code, answer.json()) == (401, {"error": "Invalid Access Token"})
    assert (
        Client(headers={"authorization": f"Bearer {app.token}"}).get("/v1/agents/").status_code
        == 401
    )


def test_bearer_is_taken_and_a_token_in_the_address_is_refused(app: App) -> None:
    bearer = Client(headers={"authorization": f"Bearer {app.token}"})
    assert bearer.get(f"{PATH}/").json() == []
    assert Client().get(PATH, {"api_access_token": app.token}).status_code == 400


def test_a_new_token_ends_the_old_one_and_an_app_is_switched_off(app: App) -> None:
    kept_app, clear = give_token("Bots & Co")
    assert kept_app.accounts.count() == 1
    assert app.get("").status_code == 401
    assert App(clear, 0).get("").status_code == 200
    kept_app.active = False
    kept_app.save()
    assert App(clear, 0).get("").json() == INVALID
    assert clear not in str(PlatformApp.objects.values())


def test_the_command_prints_a_token_that_works(woot: SimpleNamespace, capsys: Any) -> None:
    slug = woot.house.account.slug
    call_command("platform_token", "From the shell", account=[slug])
    clear = capsys.readouterr().out.strip()
    made = App(clear, 0).post("", {"name": "B", "outgoing_url": URL, "account_id": woot.account_id})
    assert made.status_code == 200
    with pytest.raises(CommandError, match="no account nowhere"):
        call_command("platform_token", "From the shell", account=[slug, "nowhere"])
    with pytest.raises(CommandError, match="1 to 120"):
        call_command("platform_token", " ")


def test_too_many_calls(app: App) -> None:
    app.get("")
    RateBucket.objects.filter(key__contains="platform:").update(tokens=0)
    refused = app.get("")
    assert (refused.status_code, refused["Content-Type"]) == (429, "text/plain; charset=utf-8")
    assert int(refused["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "path", ["/platform/api/v1/", "/platform/api/v1/users", PATH + "/x", PATH + "/1/2"]
)
def test_what_is_nowhere_is_their_404(app: App, path: str) -> None:
    answer = app.client.get(path)
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


def test_a_method_that_is_not_there(app: App) -> None:
    refused = app.client.put(PATH)
    assert (refused.status_code, refused["Allow"]) == (405, "GET, POST, HEAD")


# --- Bots of an account --------------------------------------------------------------------------


def test_a_bot_of_an_account_is_one_like_every_other(woot: SimpleNamespace, app: App) -> None:
    made = app.post(
        "", {"name": "Ours", "description": "x", "outgoing_url": URL, "account_id": woot.account_id}
    )
    check(made.json(), PLATFORM_BOT)
    assert made.json().items() >= {"account_id": woot.account_id, "system_bot": False}.items()
    number, token = made.json()["id"], made.json()["access_token"]
    found = find_token(token)
    assert found is not None
    assert found.account_id == woot.account_id
    listed = [one["id"] for one in woot.owner.get("agent_bots").json()]
    assert number in listed
    changed = app.patch(str(number), {"name": "Theirs"})
    check(changed.json(), PLATFORM_BOT)
    assert changed.json()["name"] == "Theirs"
    assert [one["name"] for one in app.get("").json()] == ["Theirs"]
    with account_context(woot.house.account):
        entries = AuditEntry.objects.filter(actor_kind="program").order_by("pk")
        assert list(entries.values_list("action", "actor_name")) == [
            ("agent.created", "Bots & Co"), ("agent.updated", "Bots & Co"),
        ]  # fmt: skip
    gone = app.delete(str(number))
    assert (gone.status_code, gone.content) == (200, b"")
    assert app.get(str(number)).json() == NOT_FOUND
    assert number not in [one["id"] for one in woot.owner.get("agent_bots").json()]


def test_for_another_account_it_makes_nothing(woot: SimpleNamespace, app: App) -> None:
    for account in (woot.house.outsider_account.pk, 987654321):
        answer = app.post("", {"name": "B", "outgoing_url": URL, "account_id": account})
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
    assert app.post("", {"name": "B", "outgoing_url": URL, "account_id": "x"}).status_code == 422
    assert not PlatformBot.objects.exists()
    with account_context(woot.house.outsider_account):
        assert not Agent.objects.exists()


def test_it_touches_only_what_it_made(woot: SimpleNamespace, app: App) -> None:
    other = make_app("Another", woot.house.account)
    bodies = {"name": "B", "outgoing_url": URL}
    mine = [
        make_system_bot(app).id,
        app.post("", {**bodies, "account_id": woot.account_id}).json()["id"],
    ]
    for number in mine:
        for method, path in (
            ("get", ""), ("patch", ""), ("put", ""), ("delete", ""), ("delete", "/avatar"),
        ):  # fmt: skip
            answer = other.send(method, f"{number}{path}", {"name": "Mine now"})
            assert (answer.status_code, answer.json()) == (401, FOREIGN), (method, path)
    assert other.get("").json() == []
    # What people made is no platform app's, whatever the account.
    for number in (woot.bot_id, 987654321):
        assert app.patch(str(number), {"name": "x"}).json() == NOT_FOUND


def test_an_account_that_is_taken_away_takes_its_bots_along(
    woot: SimpleNamespace, app: App
) -> None:
    made = app.post("", {"name": "B", "outgoing_url": URL, "account_id": woot.account_id}).json()
    PlatformApp.objects.get().accounts.clear()
    assert app.get("").json() == []
    answer = app.patch(str(made["id"]), {"name": "x"})
    assert (answer.status_code, answer.json()) == (401, FOREIGN)


def test_any_number_of_bots_takes_the_same_statements(woot: SimpleNamespace) -> None:
    app = make_app("Many", woot.house.account)
    counts = []
    for _round in range(2):
        for account_id in (woot.account_id, None):
            make_system_bot(app, account_id=account_id)
        with CaptureQueriesContext(connection) as queries:
            numbers = [bot["id"] for bot in app.get("").json()]
        assert numbers == sorted(numbers)
        counts.append((len(numbers), len(queries)))
    (few, asked), (more, asked_again) = counts
    assert (few, more) == (2, 4)
    assert asked == asked_again


def test_what_was_deleted_in_its_account_is_gone(woot: SimpleNamespace, app: App) -> None:
    made = app.post("", {"name": "B", "outgoing_url": URL, "account_id": woot.account_id}).json()
    assert woot.owner.delete(f"agent_bots/{made['id']}").status_code == 200
    assert app.get("").json() == []
    assert app.get(str(made["id"])).json() == NOT_FOUND


# --- Values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"outgoing_url": URL}, ["name"]),
        ({"name": "x" * 121, "outgoing_url": URL}, ["name"]),
        ({"name": "B"}, ["outgoing_url"]),
        ({"name": "B", "outgoing_url": "ftp://a.example"}, ["outgoing_url"]),
        ({"name": "B", "outgoing_url": "http://10.0.0.1/x"}, ["outgoing_url"]),
        ({"name": "B", "outgoing_url": "http://169.254.169.254/"}, ["outgoing_url"]),
        ({"name": "B", "outgoing_url": "https://u:p@93.184.215.14/"}, ["outgoing_url"]),
        ({"name": "B", "outgoing_url": URL, "bot_type": "csml"}, ["bot_type"]),
        ({"name": "B", "outgoing_url": URL, "avatar_url": "https://10.0.0.1/x"}, ["avatar_url"]),
        ({"name": "B", "outgoing_url": URL, "avatar": "bot.png"}, ["avatar"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_422(app: App, body: dict[str, Any], names: list[str]) -> None:
    refused = app.post("", body)
    assert (refused.status_code, refused.json()["attributes"]) == (422, names)
    assert not SystemAgent.objects.exists()
    bot = make_system_bot(app)
    changed = {name: body.get(name, "") for name in names}
    assert app.patch(str(bot.id), changed).status_code == 422
    assert app.get(str(bot.id)).json()["name"] == bot.name


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":2}', b'{"name":"\\u0000"}'])
def test_bodies_that_cannot_be_read(app: App, body: bytes) -> None:
    refused = app.post("", body)
    assert (refused.status_code, set(refused.json())) == (400, {"error"})


# --- System bots ---------------------------------------------------------------------------------


def test_a_system_bot_has_its_keys_shown_once(woot: SimpleNamespace, app: App) -> None:
    made = app.post("", {"name": " Everybody's ", "description": "d", "outgoing_url": URL})
    check(made.json(), PLATFORM_BOT)
    shown = made.json()
    assert shown.items() >= {
        "name": "Everybody's", "description": "d", "outgoing_url": URL, "account_id": None,
        "system_bot": True, "thumbnail": "",
    }.items()  # fmt: skip
    assert shown["access_token"].startswith("sb_sys_")
    assert shown["secret"].startswith("whsec_")
    again = app.get(str(shown["id"])).json()
    check(again, PLATFORM_BOT)
    assert "secret" not in again
    assert "access_token" not in again
    row = SystemAgent.objects.get()
    assert row.secret == shown["secret"]
    stored = str(SystemAgent.objects.values().get())
    assert shown["access_token"] not in stored
    assert shown["secret"] not in stored


def test_numbers_of_agents_and_system_bots_are_never_the_same(
    woot: SimpleNamespace, app: App
) -> None:
    numbers = [make_system_bot(app).id]
    body = {"name": "B", "outgoing_url": URL}
    numbers.append(woot.owner.post("agent_bots", body).json()["id"])
    numbers.append(make_system_bot(app).id)
    numbers.append(woot.owner.post("agent_bots", body).json()["id"])
    assert numbers == sorted(set(numbers))
    assert woot.bot_id not in numbers


def test_forms_and_the_wrapped_object_are_read(app: App) -> None:
    made = app.form("", {"agent_bot[name]": "Form", "agent_bot[outgoing_url]": URL})
    assert made.json()["name"] == "Form"


def test_its_picture(app: App, media_root: Any) -> None:
    made = app.form("", {"name": "B", "outgoing_url": URL, "avatar": picture()}).json()
    assert content_of(made["thumbnail"])
    assert kept(media_root) == 1
    changed = app.form(str(made["id"]), {"avatar": picture(pictures.png(4, 4))}, method="patch")
    assert changed.json()["thumbnail"] not in ("", made["thumbnail"])
    assert fetched(made["thumbnail"]).status_code == 404
    gone = app.delete(f"{made['id']}/avatar")
    assert (gone.status_code, gone.json()["thumbnail"]) == (200, "")
    check(gone.json(), PLATFORM_BOT)


def test_its_picture_is_fetched_afterwards(app: App, settings: Any) -> None:
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    bot = make_system_bot(app)

    def answer(request: Request) -> Reply:
        return Reply(body=pictures.png()) if request.path == "/bot.png" else Reply(404)

    with Server(answer) as server:
        assert tasks.fetch_system_avatar(bot.id, f"{server.url}/x") == "http_404"
        assert tasks.fetch_system_avatar(bot.id, f"{server.url}/bot.png") == "kept"
        assert content_of(app.get(str(bot.id)).json()["thumbnail"])
        assert app.delete(str(bot.id)).status_code == 200
        assert tasks.fetch_system_avatar(bot.id, f"{server.url}/bot.png") == "no_agent"
    assert tasks.fetch_system_avatar(bot.id, "http://10.0.0.1/x") == "permanent"


def test_an_account_bots_picture(woot: SimpleNamespace, app: App, media_root: Any) -> None:
    fields = {"name": "B", "outgoing_url": URL, "account_id": woot.account_id, "avatar": picture()}
    made = app.form("", fields).json()
    assert content_of(made["thumbnail"])
    assert app.delete(f"{made['id']}/avatar").json()["thumbnail"] == ""
    with account_context(woot.house.account):
        pause_agent(Agent.objects.get(pk=made["id"]), by=None)
    assert app.get(str(made["id"])).status_code == 200


# --- Staff ---------------------------------------------------------------------------------------


def test_staff_see_apps_and_switch_them_off(woot: SimpleNamespace, app: App) -> None:
    page = reverse("admin:chatwoot_platformapp_change", args=[PlatformApp.objects.get().pk])
    support = staff_client()
    listed = support.get(reverse("admin:chatwoot_platformapp_changelist"))
    assert "Bots &amp; Co" in listed.content.decode()
    shown = support.get(page).content.decode()
    assert PlatformApp.objects.get().key_id not in shown
    # Neither its accounts nor its name, and a switched off one stays so.
    form = {"name": "Mine", "accounts": [str(woot.house.outsider_account.pk)]}
    assert support.post(page, form).status_code == 302
    switched = PlatformApp.objects.get()
    assert (switched.name, switched.active) == ("Bots & Co", False)
    assert list(switched.accounts.all()) == [woot.house.account]
    assert app.get("").json() == INVALID
    assert support.post(page, {"active": "on"}).status_code in (200, 302, 403)
    assert not PlatformApp.objects.get().active
    assert support.get(reverse("admin:chatwoot_platformapp_add")).status_code == 403
    superuser = staff_client(is_superuser=True)
    assert superuser.post(page, {**form, "name": "Bots", "active": "on"}).status_code == 302
    switched.refresh_from_db()
    assert (switched.name, switched.active) == ("Bots", True)
    assert list(switched.accounts.all()) == [woot.house.outsider_account]


def test_who_is_no_staff_sees_no_apps(woot: SimpleNamespace, app: App) -> None:
    page = logged_in(woot.house.owner).get(reverse("admin:chatwoot_platformapp_changelist"))
    assert page.status_code in (302, 403, 404)
    assert b"Bots &amp; Co" not in page.content
