"""A house whose conversations are called about in Chatwoot's manner."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from django.test import Client

from accounts.models import Member
from accounts.tenancy import account_context
from agents import dialects
from agents.actions import Answer
from agents.dialects import Dialect, Occasion
from agents.models import AgentInbox
from conversations import services
from conversations.models import Conversation
from tests.api import Caller, token_of
from tests.factories import make_conversation, make_house


class SilentDialect(Dialect):
    """Stands in where the platform's second role is not installed: says nothing."""

    slug: ClassVar[str] = "chatwoot"
    name: ClassVar[str] = "Chatwoot"
    event_types: ClassVar[frozenset[str]] = frozenset()

    def build(self, occasion: Occasion) -> bytes | None:
        return None

    def headers(
        self, body: bytes, *, wire_id: str, timestamp: int, secrets: Sequence[str]
    ) -> Mapping[str, str]:
        return {}

    def read_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        return Answer()


class Client4(Caller):
    """A client of theirs: the token stands in `api_access_token`, addresses below the account, whose
    number stands for `<account_id>` in others."""

    def __init__(self, token: str, account_id: int) -> None:
        super().__init__()
        self.client = Client(headers={"Api-Access-Token": token} if token else {})
        self.token, self.account_id = token, account_id
        self.base = f"/api/v1/accounts/{account_id}"

    def at(self, path: str) -> str:
        path = path.replace("<account_id>", str(self.account_id))
        return path if path.startswith("/api/") else f"{self.base}/{path}"

    def get(self, path: str, **query: Any) -> Any:
        return super().get(self.at(path), **query)

    def delete(self, path: str, **extra: Any) -> Any:
        return super().delete(self.at(path), **extra)

    def post(self, path: str, body: Any = None, *, key: str = "", **extra: Any) -> Any:
        if key:
            extra["headers"] = {"idempotency-key": key}
        return self.send("post", path, body, **extra)

    def send(self, method: str, path: str, body: Any = None, **extra: Any) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
        extra.setdefault("content_type", "application/json")
        return self.client.generic(method.upper(), self.at(path), raw, **extra)

    def form(self, path: str, fields: dict[str, Any], *, method: str = "post") -> Any:
        """As multipart/form-data."""
        return self.client.generic(method.upper(), self.at(path), **_multipart(fields))


def _multipart(fields: dict[str, Any]) -> dict[str, Any]:
    from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

    return {"data": encode_multipart(BOUNDARY, fields), "content_type": MULTIPART_CONTENT}


@pytest.fixture(autouse=True)
def a_dialect() -> Iterator[None]:
    """Bots made by this API speak `chatwoot`; without that dialect a silent one stands in."""
    if "chatwoot" in dialects._dialects:
        yield
        return
    dialects.register(SilentDialect())
    yield
    del dialects._dialects["chatwoot"]


@pytest.fixture
def woot(db: None) -> SimpleNamespace:
    """A house, outside its context, with clients for its people and its bot (attached to its inbox).

    `house`, `owner, admin, supervisor, person, outsider, bot` (Client4), `account_id`, `bot_id`
    """
    house = make_house()
    with account_context(house.account):
        AgentInbox.objects.create(agent=house.agent, inbox=house.inbox)
    people = ("owner", "admin", "supervisor", "person", "outsider")
    return SimpleNamespace(
        house=house,
        account_id=house.account.pk,
        bot_id=house.agent.pk,
        bot=client(house.agent.member, house.account.pk),
        **{name: client(getattr(house, name), house.account.pk) for name in people},
    )


def client(member: Member, account_id: int, **fields: Any) -> Client4:
    return Client4(token_of(member, **fields), account_id)


@pytest.fixture
def held(woot: SimpleNamespace) -> Conversation:
    """A conversation that the bot has: pending."""
    conversation = make_conversation(woot.house.inbox, "Hello, I need help")
    with account_context(woot.house.account):
        return services.assign(conversation, to=woot.house.agent.member, by=None)


@pytest.fixture
def open_one(woot: SimpleNamespace) -> Conversation:
    """A conversation that nobody has."""
    return make_conversation(woot.house.inbox, "Is anybody there?")
