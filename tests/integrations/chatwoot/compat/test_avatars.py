"""Pictures of bots (contract, 6.4): what is taken, where it is seen, and when it is gone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.tenancy import account_context
from agents.models import Agent
from conversations import services
from conversations.messages import Content
from conversations.models import Conversation
from integrations.chatwoot import tasks
from tests import pictures
from tests.integrations.couriers import Reply, Request, Server

HOOK = "https://93.184.216.34/hook"


@pytest.fixture(autouse=True)
def media_root(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


def picture(content: bytes | None = None, name: str = "bot.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, pictures.png() if content is None else content, "image/png")


def put(woot: SimpleNamespace, file: Any) -> Any:
    return woot.owner.form(f"agent_bots/{woot.bot_id}", {"avatar": file}, method="patch")


def fetched(url: str) -> Any:
    return Client().get("/" + url.partition("://")[2].partition("/")[2])


def content_of(url: str) -> bytes:
    answer = fetched(url)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def kept(root: Path) -> int:
    return sum(one.is_file() for one in root.rglob("*"))


def test_a_bot_is_made_with_a_picture(woot: SimpleNamespace) -> None:
    made = woot.owner.form(
        "agent_bots", {"name": "Support Bot", "outgoing_url": HOOK, "avatar": picture()}
    )
    assert made.status_code == 200, made.content
    url = made.json()["thumbnail"]
    answer = fetched(url)
    assert b"".join(answer.streaming_content) == pictures.png()
    assert answer["Content-Type"] == "image/png"
    assert answer["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert woot.person.get(f"agent_bots/{made.json()['id']}").json()["thumbnail"] == url


def test_it_is_seen_wherever_the_bot_is(woot: SimpleNamespace, held: Conversation) -> None:
    url = put(woot, picture()).json()["thumbnail"]
    assert url
    with account_context(woot.house.account):
        services.post_message(held, content=Content(text="Hi"), author=woot.house.agent.member)
    messages = woot.owner.get(f"conversations/{held.number}/messages").json()
    assert messages["payload"][-1]["sender"]["avatar_url"] == url
    assert messages["meta"]["assignee"]["avatar_url"] == url
    shown = woot.owner.get(f"conversations/{held.number}").json()
    assert shown["meta"]["assignee"]["thumbnail"] == url


def test_another_one_takes_its_place(woot: SimpleNamespace, media_root: Path) -> None:
    first = put(woot, picture()).json()["thumbnail"]
    with account_context(woot.house.account):
        woot.owner.patch(f"agent_bots/{woot.bot_id}", {"name": "New name"})
    assert woot.owner.get(f"agent_bots/{woot.bot_id}").json()["thumbnail"] == first
    second = put(woot, picture(pictures.png(4, 4))).json()["thumbnail"]
    assert first != second
    assert content_of(second) == pictures.png(4, 4)
    assert fetched(first).status_code == 404


def test_old_files_do_not_stay(
    woot: SimpleNamespace, media_root: Path, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        put(woot, picture())
        put(woot, picture(pictures.png(4, 4)))
    assert kept(media_root) == 1
    with django_capture_on_commit_callbacks(execute=True):
        gone = woot.owner.delete(f"agent_bots/{woot.bot_id}/avatar")
    assert gone.json()["thumbnail"] == ""
    assert kept(media_root) == 0
    again = woot.owner.delete(f"agent_bots/{woot.bot_id}/avatar")
    assert (again.status_code, again.json()["thumbnail"]) == (200, "")


@pytest.mark.parametrize(
    "file",
    [
        picture(b"<script>"),
        picture(b""),
        picture(b"hello, this is a text", "bot.txt"),
        picture(b"%PDF-1.4 nothing", "bot.pdf"),
        picture(pictures.png(60_000, 60_000)),
        picture(pictures.jpeg()),
    ],
    ids=["a page", "empty", "a text", "a pdf", "too many pixels", "another type than its name"],
)
def test_what_is_no_picture_is_refused(
    woot: SimpleNamespace, file: SimpleUploadedFile, media_root: Path
) -> None:
    file.seek(0)
    refused = put(woot, file)
    assert refused.status_code == 422, refused.content
    assert refused.json()["attributes"] == ["avatar"]
    assert kept(media_root) == 0


def test_too_much_and_no_file_is_refused(woot: SimpleNamespace, settings: Any) -> None:
    text = woot.owner.patch(f"agent_bots/{woot.bot_id}", {"avatar": "bot.png"})
    assert text.json()["attributes"] == ["avatar"]
    settings.MAX_UPLOAD_BYTES = 10
    assert put(woot, picture()).json()["attributes"] == ["avatar"]


def test_who_may_not_change_the_bot_changes_no_picture(woot: SimpleNamespace) -> None:
    path = f"agent_bots/{woot.bot_id}"
    for caller in (woot.person, woot.outsider, woot.bot):
        refused = caller.form(path, {"avatar": picture()}, method="patch")
        assert refused.status_code == 401
        assert caller.delete(f"{path}/avatar").status_code == 401


@pytest.mark.parametrize("signed", ["x", "agn_1.acc_1.0.x", "a.b.c.d", "ä"])
def test_an_address_of_nothing(db: None, signed: str) -> None:
    assert Client().get(f"/agent-bots/avatars/{signed}").status_code == 404


# --- avatar_url ------------------------------------------------------------------------------------


def test_a_picture_is_fetched_afterwards(woot: SimpleNamespace, settings: Any) -> None:
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]

    def answer(request: Request) -> Reply:
        pages = {"/bot.png": Reply(body=pictures.png()), "/page": Reply(body=b"<html>")}
        return pages.get(request.path, Reply(404))

    def fetch(url: str) -> str:
        return tasks.fetch_avatar(woot.account_id, woot.bot_id, url)

    with Server(answer) as server:
        assert fetch(f"{server.url}/page") == "no_picture"
        assert fetch(f"{server.url}/nothing") == "http_404"
        assert fetch(f"{server.url}/bot.png") == "kept"
        with account_context(woot.house.account):
            Agent.objects.filter(pk=woot.bot_id).update(state="deleted")
        assert fetch(f"{server.url}/bot.png") == "no_agent"
        with account_context(woot.house.account):
            Agent.objects.filter(pk=woot.bot_id).update(state="active")
    assert fetch("http://10.0.0.1/bot.png") == "permanent"  # an address that we do not call
    assert content_of(woot.owner.get(f"agent_bots/{woot.bot_id}").json()["thumbnail"])


@pytest.mark.parametrize("url", ["ftp://a.example/x", "https://10.0.0.1/x", "nonsense"])
def test_an_address_that_we_would_not_ask(woot: SimpleNamespace, url: str) -> None:
    refused = woot.owner.patch(f"agent_bots/{woot.bot_id}", {"avatar_url": url})
    assert (refused.status_code, refused.json()["attributes"]) == (422, ["avatar_url"])


def test_an_address_is_taken_and_asked_later(woot: SimpleNamespace) -> None:
    taken = woot.owner.patch(
        f"agent_bots/{woot.bot_id}", {"avatar_url": "https://93.184.216.34/bot.png"}
    )
    assert (taken.status_code, taken.json()["thumbnail"]) == (200, "")
