"""The example bots, which know nothing of Switchboard: each answers, and hands over to people."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.request import Request, urlopen

import pytest
from django.conf import settings

from accounts.tenancy import account_context
from conversations import services
from conversations.models import Conversation, Message
from tests import factories
from tests.api import token_of
from tests.factories import said
from tests.integrations.couriers import courier, wait_for
from tests.serving import serve

pytestmark = pytest.mark.usefixtures("clean_database")
BOTS = Path(settings.BASE_DIR) / "examples" / "agents" / "chatwoot"
LOOPBACK = {"OUTBOUND_ALLOW": "127.0.0.0/8", "ALLOW_HTTP_TARGETS": "1"}
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node.js on this machine")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(name: str, port: int, **environment: str) -> Iterator[None]:
    """A program of the examples, until the block ends; it listens when the block begins."""
    program = str(NODE) if name.endswith(".mjs") else sys.executable
    process = subprocess.Popen([program, str(BOTS / name)], env=os.environ | environment)
    try:
        wait_for(lambda: listens(port))
        yield
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Desk:
    """A house on a real socket, and what a Chatwoot client does with it."""

    def __init__(self, house: SimpleNamespace, url: str) -> None:
        self.house, self.url = house, url
        self.token = token_of(house.owner)

    def call(self, path: str, body: object) -> dict[str, object]:
        request = Request(  # noqa: S310 - our own address
            f"{self.url}/api/v1/accounts/{self.house.account.pk}/{path}",
            json.dumps(body).encode(),
            {"api_access_token": self.token, "Content-Type": "application/json"},
        )
        with urlopen(request, timeout=20) as answer:  # noqa: S310
            return dict(json.loads(answer.read() or b"{}"))

    def hire(self, port: int) -> dict[str, str]:
        """Make a bot at that port and give it the inbox; what the bot's program needs to know."""
        bot = self.call("agent_bots", {"name": "Bot", "outgoing_url": f"http://127.0.0.1:{port}/"})
        self.call(f"inboxes/{self.house.inbox.pk}/set_agent_bot", {"agent_bot": bot["id"]})
        return {
            "CHATWOOT_URL": self.url,
            "CHATWOOT_ACCOUNT": str(self.house.account.pk),
            "BOT_TOKEN": str(bot["access_token"]),
            "BOT_SECRET": str(bot["secret"]),
            "BOT_PORT": str(port),
        }

    def hears(self, text: str) -> None:
        with account_context(self.house.account):
            services.receive(self.house.inbox, said(text, visitor="ana"))

    def told(self, text: str) -> bool:
        """Whether the customer has been told this."""
        with account_context(self.house.account):
            return Message.objects.filter(direction="outbound", text=text).exists()

    def conversation(self) -> Conversation:
        with account_context(self.house.account):
            return Conversation.objects.select_related("assignee", "team").get()

    def with_people(self) -> bool:
        one = self.conversation()
        return one.status == "open" and (one.assignee is None or one.assignee.is_person)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    house = factories.make_house()
    with serve(tmp_path, port=0, **LOOPBACK) as served, courier():
        yield Desk(house, served.url)


@pytest.fixture
def stand_in() -> Iterator[str]:
    port = free_port()
    with running("stand_ins.py", port, STAND_IN_PORT=str(port)):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "name", ["openai_bot.py", pytest.param("dialogflow_bot.mjs", marks=needs_node)]
)
def test_a_bot_that_asks_a_foreign_service_answers_and_hands_over(
    desk: Desk, stand_in: str, name: str
) -> None:
    port = free_port()
    foreign = {"OPENAI_BASE_URL": f"{stand_in}/v1", "DIALOGFLOW_URL": stand_in}
    with running(name, port, **desk.hire(port), **foreign):
        desk.hears("Where is my order?")
        wait_for(lambda: desk.told("Your order left yesterday and arrives tomorrow."))
        assert not desk.with_people()
        desk.hears("I want a person")
        wait_for(desk.with_people)
        time.sleep(0.5)  # its own words and the hand-over come back to it: it says no more
        with account_context(desk.house.account):
            assert Message.objects.filter(direction="outbound").count() == 2


@needs_node
def test_a_bot_gives_conversations_to_the_team_of_the_customers_words(desk: Desk) -> None:
    port = free_port()
    with account_context(desk.house.account):
        billing = factories.make_team(desk.house.account, "Billing")
        technical = factories.make_team(desk.house.account, "Technical")
    teams = {"BILLING_TEAM": str(billing.pk), "TECHNICAL_TEAM": str(technical.pk)}
    with running("routing_bot.mjs", port, **desk.hire(port), **teams):
        desk.hears("Good morning")
        wait_for(lambda: desk.told(QUESTION))
        desk.hears("My payment failed")
        wait_for(desk.with_people)
        wait_for(lambda: desk.told("I am connecting you with our billing team."))
        assert desk.conversation().team == billing


QUESTION = "How can I help you today? You can ask about billing or technical issues."


@needs_node
def test_a_bot_believes_nobody_who_does_not_sign(desk: Desk) -> None:
    port = free_port()
    with running("routing_bot.mjs", port, **desk.hire(port)):
        done = subprocess.run(
            [
                "curl",
                "-s",
                "-o",
                os.devnull,
                "-w",
                "%{http_code}",
                "-d",
                "{}",
                f"http://127.0.0.1:{port}/",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "401"
