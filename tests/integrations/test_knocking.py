"""The button that tests an agent's address (security.md, bad input 48)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from accounts import limits
from accounts.tenancy import account_context
from conversations.models import Endpoint
from integrations.knocking import PER_ACCOUNT, knock
from tests.accounts.test_entry import logged_in
from tests.factories import make_house
from tests.integrations.couriers import Reply, Server

UNREACHABLE = "could not be reached"


@pytest.fixture
def shop(clean_database: None, settings: Any) -> SimpleNamespace:
    """A house whose rows are committed, with local addresses allowed."""
    settings.ALLOW_HTTP_TARGETS, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    return make_house()


@pytest.fixture
def agent_side() -> Iterator[Server]:
    with Server(lambda request: Reply(status=405, body=b"zzgreeting of an inner system")) as server:
        yield server


def press(client: Client, house: SimpleNamespace, url: str = "") -> str:
    """Press the button; what the page says then."""
    if url:
        with account_context(house.account):
            Endpoint.objects.update(url=url)
    answer = client.post(reverse("test_address", args=[house.agent.public_id]))
    assert answer["Location"] == reverse("agent", args=[house.agent.public_id])
    return " ".join(str(one) for one in get_messages(answer.wsgi_request))


def test_any_answer_proves_that_the_address_is_there(
    shop: SimpleNamespace, agent_side: Server
) -> None:
    said = press(logged_in(shop.owner), shop, f"{agent_side.url}/hook")
    assert said == "The address can be reached (HTTP 405)."
    [request] = agent_side.requests
    assert (request.path, request.body) == ("/hook", b"")


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, "knows nothing at this address"), (410, "knows nothing"), (502, "in trouble"),
     (301, "can be reached"), (401, "can be reached")],
)  # fmt: skip
def test_a_status_says_what_it_means_and_no_redirect_is_followed(
    shop: SimpleNamespace, agent_side: Server, status: int, said: str
) -> None:
    agent_side.answer = lambda request: Reply(status, headers={"Location": "/elsewhere"})
    assert said in press(logged_in(shop.owner), shop, agent_side.url)
    assert len(agent_side.requests) == 1


def test_closed_mute_refused_and_unsafe_addresses_get_the_same_words(
    shop: SimpleNamespace, agent_side: Server, settings: Any
) -> None:
    """Bad input 48: nobody learns what is behind a port."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    secure = agent_side.url.replace("http:", "https:")
    urls = [
        f"http://127.0.0.1:{port}/", secure, "http://169.254.169.254/", "http://127.0.0.1:6379/",
        "http://name.invalid/", "gopher://x/",
    ]  # fmt: skip
    said = {knock(url).sentence for url in urls}
    assert len(said) == 1
    assert UNREACHABLE in said.pop()
    settings.OUTBOUND_ALLOW = []
    assert UNREACHABLE in knock(agent_side.url).sentence
    assert agent_side.requests == []


def test_nothing_of_what_came_back_is_shown(shop: SimpleNamespace, agent_side: Server) -> None:
    client = logged_in(shop.owner)
    press(client, shop, agent_side.url)
    page = client.get(reverse("agent", args=[shop.agent.public_id])).content.decode()
    assert "The address can be reached" in page
    assert "zzgreeting" not in page


def test_ten_knocks_a_minute_and_no_more(shop: SimpleNamespace, agent_side: Server) -> None:
    """Bad input 48."""
    assert (PER_ACCOUNT.capacity, PER_ACCOUNT.per_second * 60) == (10, 10)
    client = logged_in(shop.owner)
    assert "can be reached" in press(client, shop, agent_side.url)
    limits.empty(PER_ACCOUNT, str(shop.account.pk))
    assert "ten times a minute" in press(client, shop)
    assert len(agent_side.requests) == 1


def test_who_may_not_change_agents_knocks_nowhere(
    shop: SimpleNamespace, agent_side: Server
) -> None:
    with account_context(shop.account):
        Endpoint.objects.update(url=agent_side.url)
    path = reverse("test_address", args=[shop.agent.public_id])
    for member in (shop.supervisor, shop.person):
        assert logged_in(member).post(path).status_code == 403
    assert logged_in(shop.outsider).post(path).status_code == 404
    assert logged_in(shop.owner).get(path).status_code == 405
    assert agent_side.requests == []
