"""A platform app, and calling as one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from accounts.models import Account
from accounts.tenancy import account_context
from agents import system
from agents.models import Agent
from integrations.chatwoot.platform.apps import give_token
from tests.integrations.chatwoot.compat.conftest import Client4

URL = "https://93.184.215.14/hook"
PATH = "/platform/api/v1/agent_bots"


class App(Client4):
    """A client of the platform API; bots by their number."""

    def at(self, path: str) -> str:
        return PATH + (f"/{path}" if path else "")


def make_app(name: str = "Bots & Co", *accounts: Account) -> App:
    _app, clear = give_token(name, accounts)
    return App(clear, 0)


def make_system_bot(app: App, **fields: Any) -> SimpleNamespace:
    """`id, access_token, secret, …` as the app was shown them."""
    body = {"name": "Everybody's bot", "outgoing_url": URL, **fields}
    made = app.post("", body)
    assert made.status_code == 200, made.content
    return SimpleNamespace(**made.json())


def agent_in(account: Account, number: int) -> Agent | None:
    """The account's agent of a system bot."""
    with account_context(account):
        return system.present(number)
