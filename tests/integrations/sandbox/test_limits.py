"""Section 6: what one visitor and one caller may post, by script at the hook door as on the page."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts.models import RateBucket
from accounts.tenancy import account_context
from conversations.models import Inbox
from integrations import routes
from integrations.door import Door
from integrations.models import Receipt
from tests import factories
from tests.integrations.test_door import at_door, call

pytestmark = pytest.mark.usefixtures("clean_database")

Post = Callable[..., Awaitable[int]]


@pytest.fixture
def inbox() -> Inbox:
    return factories.make_inbox(factories.make_account())


@pytest.fixture
def token(inbox: Inbox) -> str:
    with account_context(inbox.account_id):
        return routes.create_route(inbox)


def posts(token: str, steps: Callable[[Post], Awaitable[Any]]) -> Any:
    """Run `steps(post)` at the door; `post` gives the status, and takes what the page would post."""

    async def run(door: Door) -> Any:
        number = 0

        async def post(visitor: str = "ana", ip: str = "192.0.2.1", **said: Any) -> int:
            nonlocal number
            number += 1
            body = {"visitor": visitor, "id": str(number), **(said or {"text": "hi"})}
            path = f"/hooks/sandbox/{token}"
            status, headers, _body = await call(door, path, json.dumps(body).encode(), ip=ip)
            assert status != 429 or 1 <= int(headers[b"retry-after"]) <= 60
            return int(status)

        return await steps(post)

    return at_door(run)


def stored(inbox: Inbox) -> int:
    with account_context(inbox.account_id):
        return Receipt.objects.count()


def test_a_script_posts_no_more_than_twenty_messages_a_minute(inbox: Inbox, token: str) -> None:
    async def steps(post: Post) -> Any:
        many = [await post() for _ in range(25)]
        return many, await post("bo")

    many, other = posts(token, steps)
    assert many == [200] * 20 + [429] * 5
    assert other == 200
    assert stored(inbox) == 21


def test_several_processes_count_together_and_a_minute_later_all_is_forgiven(
    inbox: Inbox, token: str
) -> None:
    async def steps(post: Post) -> list[int]:
        return [await post() for _ in range(12)]

    assert posts(token, steps) == [200] * 12
    assert posts(token, steps) == [200] * 8 + [429] * 4
    RateBucket.objects.update(updated_at=timezone.now() - timedelta(minutes=2))
    assert posts(token, steps) == [200] * 12


def test_new_visitors_from_one_address_are_ten_a_minute_and_known_ones_go_on(token: str) -> None:
    async def steps(post: Post) -> Any:
        new = [await post(f"v{n}") for n in range(13)]
        return new, await post("v3"), await post("v12"), await post("v12", ip="192.0.2.2")

    new, known, refused, elsewhere = posts(token, steps)
    assert new == [200] * 10 + [429] * 3
    assert (known, refused, elsewhere) == (200, 429, 200)


def test_one_address_posts_sixty_a_minute_whoever_it_says_it_is(inbox: Inbox, token: str) -> None:
    async def steps(post: Post) -> list[int]:
        bad = [await post("not a name") for _ in range(40)]
        return bad + [await post(f"v{n % 5}") for n in range(30)]

    began = time.monotonic()
    answers = posts(token, steps)
    refilled = int(time.monotonic() - began)  # one a second, on a machine that takes so long
    assert answers[:60] == [200] * 60
    assert set(answers[60:]) <= {200, 429}
    assert answers[60:].count(200) <= refilled
    assert refilled >= 10 or 429 in answers[60:]
    assert stored(inbox) <= 60


def test_what_the_page_says_by_itself_costs_a_fifth_of_a_message(token: str) -> None:
    async def steps(post: Post) -> Any:
        words = [await post() for _ in range(10)]
        seen = [await post(seen=f"sandbox:msg_{n}-0") for n in range(60)]
        return words, seen

    words, seen = posts(token, steps)
    assert words == [200] * 10
    assert seen[:50] == [200] * 50
    assert seen[-1] == 429


def test_the_page_without_script_and_the_door_count_together(inbox: Inbox, token: str) -> None:
    client = Client(REMOTE_ADDR="192.0.2.1")
    visitor = _visitor_of(client, token)

    async def steps(post: Post) -> list[int]:
        return [await post(visitor) for _ in range(15)]

    assert posts(token, steps) == [200] * 15
    page = f"/sandbox/{token}/"
    answers = [client.post(f"{page}say/", {"text": str(n)}).status_code for n in range(7)]
    assert answers == [302] * 5 + [429] * 2


def test_new_visitors_of_the_page_are_counted_too(token: str) -> None:
    page = f"/sandbox/{token}/"
    answers = [Client().post(f"{page}say/", {"text": "hi"}).status_code for _ in range(12)]
    assert answers == [302] * 10 + [429] * 2


def test_whoever_goes_on_knocking_costs_the_database_no_further_question(token: str) -> None:
    def forget() -> None:
        RateBucket.objects.all().delete()
        connections.close_all()

    async def steps(post: Post) -> Any:
        many = [await post() for _ in range(21)]
        await asyncio.to_thread(forget)
        return many[-1], await post(), await post("bo")

    assert posts(token, steps) == (429, 429, 200)


def _visitor_of(client: Client, token: str) -> str:
    page = client.get(f"/sandbox/{token}/").content.decode()
    return page.partition('data-visitor="')[2].partition('"')[0]
