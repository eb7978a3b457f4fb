"""An account with an API inbox, and an app that speaks for its customers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accounts.tenancy import account_context
from conversations.models import Conversation, Inbox
from integrations import routes
from integrations.services import connect_inbox
from tests.api import Caller
from tests.factories import make_house
from tests.integrations.chatwoot.compat.conftest import _multipart

TOKEN = "the secret of identities"


def proof(identifier: str, token: str = TOKEN) -> str:
    return hmac.new(token.encode(), identifier.encode(), hashlib.sha256).hexdigest()


@dataclass
class App(Caller):
    """An app, and the inbox that it feeds. Paths are below the inbox."""

    inbox: Inbox
    house: SimpleNamespace
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        with self.inside():
            self.identifier = routes.route_token(self.inbox)

    @contextmanager
    def inside(self) -> Iterator[None]:
        with account_context(self.inbox.account_id):
            yield

    def at(self, path: str) -> str:
        base = f"/public/api/v1/inboxes/{self.identifier}"
        return path if path.startswith("/public") else f"{base}/{path}" if path else base

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(self.at(path), query)

    def send(self, method: str, path: str, body: Any = None, **extra: Any) -> Any:
        return super().send(method, self.at(path), body, **extra)

    def form(self, path: str, fields: dict[str, Any]) -> Any:
        return self.client.generic("POST", self.at(path), **_multipart(fields))

    def customer(self, source_id: str = "ana", **said: Any) -> Customer:
        """Somebody who has a thread."""
        made = self.post("contacts", {"source_id": source_id, **said})
        assert made.status_code == 200, made.content
        thread = self.post(f"contacts/{source_id}/conversations")
        assert thread.status_code == 200, thread.content
        return Customer(self, source_id, thread.json()["id"])


@dataclass
class Customer:
    app: App
    source_id: str
    number: int

    @property
    def thread(self) -> str:
        return f"contacts/{self.source_id}/conversations/{self.number}"

    @property
    def messages(self) -> str:
        return f"{self.thread}/messages"

    def says(self, content: str, **more: Any) -> Any:
        said = self.app.post(self.messages, {"content": content, **more})
        assert said.status_code == 200, said.content
        return said.json()

    def conversation(self) -> Conversation:
        with self.app.inside():
            return Conversation.objects.get(number=self.number)


def make_app(house: SimpleNamespace, **values: str) -> App:
    with account_context(house.account):
        inbox = connect_inbox(platform="api", name="Our app", values=values, by=house.owner)
    return App(inbox, house)


@pytest.fixture(autouse=True)
def own_media_root(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def house(db: None) -> SimpleNamespace:
    """A house, outside its context."""
    return make_house()


@pytest.fixture
def app(house: SimpleNamespace) -> App:
    """Proves identities, where it wants to."""
    return make_app(house, hmac_token=TOKEN)
