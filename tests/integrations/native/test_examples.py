"""The example agents, really started, pushed to with signed requests, their answers really read."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from standardwebhooks import Webhook

from agents.actions import AddLabels, HandOff, Resolve, Say, SetAttributes
from agents.dialects import get

EXAMPLES = Path(__file__).parents[3] / "examples" / "agents"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NODE = shutil.which("node")


class Running(NamedTuple):
    """An example agent that listens."""

    url: str

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def push(self, event: dict[str, Any], *, secret: str = SECRET) -> tuple[int, bytes]:
        body = json.dumps(event, ensure_ascii=False).encode()
        return self.post(body, signed(body, secret=secret))

    def actions(self, event: dict[str, Any]) -> tuple[Any, ...]:
        """The answer as Switchboard reads it."""
        status, body = self.push(event)
        assert status == 200
        return get("native").read_answer(status, {}, body).actions


def signed(
    body: bytes, *, secret: str = SECRET, at: datetime | None = None, more: str = ""
) -> dict[str, str]:
    moment = at or datetime.now(UTC)
    signature = Webhook(secret).sign("evt_1", moment, body.decode())
    return {
        "Content-Type": "application/json",
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": f"{more} {signature}".strip(),
    }


def event(
    text: str = "",
    *,
    type: str = "message.created",  # noqa: A002 - the field's name
    conversation: str = "cnv_1",
    language: str | None = None,
    **message: Any,
) -> dict[str, Any]:
    """An event as the dialect builds it (its golden files are beside this test)."""
    golden = Path(__file__).parent / "fixtures" / f"push_{type}.json"
    body: dict[str, Any] = json.loads(golden.read_text())["body"]
    body["conversation"] |= {"id": conversation, "language": language}
    body["contact"]["language"] = None
    if "message" in body:
        body["message"] |= {"text": text, "content": {}, "attachments": []} | message
    return body


Start = Callable[..., Running]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start a program and wait until it listens; it ends with the module."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*command: str) -> Running:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {**os.environ, "AGENT_SECRET": SECRET, "AGENT_PORT": str(port)}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        running.append(process)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert process.poll() is None, f"{command} ended with {process.returncode}"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return Running(f"http://127.0.0.1:{port}/")
        raise AssertionError(f"{command} does not listen")

    yield begin
    for process in running:
        process.terminate()
    for process in running:
        process.wait(timeout=10)


needs_node = pytest.mark.skipif(NODE is None, reason="no Node on this machine")


@pytest.fixture(scope="module", params=["python", pytest.param("node", marks=needs_node)])
def echo(request: pytest.FixtureRequest, start: Start) -> Running:
    if request.param == "python":
        return start(sys.executable, str(EXAMPLES / "echo_agent.py"))
    return start(str(NODE), str(EXAMPLES / "echo_agent.mjs"))


@pytest.fixture(scope="module")
def lumi(start: Start) -> Running:
    return start(sys.executable, str(EXAMPLES / "demo_agent.py"))


# --- The small ones ------------------------------------------------------------------------------


def test_the_python_echo_has_at_most_25_lines() -> None:
    assert len((EXAMPLES / "echo_agent.py").read_text().splitlines()) <= 25


def test_an_echo_says_what_it_heard(echo: Running) -> None:
    (say,) = echo.actions(event("Bună, știți românește?"))
    assert say.content.text == "You said: Bună, știți românește?"


@pytest.mark.parametrize(
    "type", [kind for kind in sorted(get("native").event_types) if kind != "message.created"]
)
def test_an_echo_is_silent_about_everything_else(echo: Running, type: str) -> None:  # noqa: A002
    assert echo.actions(event(type=type)) == ()


def test_an_echo_takes_any_of_several_signatures(echo: Running) -> None:
    """DL-73: during a rotation each request has both."""
    body = json.dumps(event("Hi")).encode()
    other = signed(body, secret="whsec_b3RoZXJvdGhlcm90aGVyb3RoZXI=")["webhook-signature"]
    status, _answer = echo.post(body, signed(body, more=other))
    assert status == 200


@pytest.mark.parametrize("how", ["unsigned", "other secret", "old", "changed", "garbage"])
@pytest.mark.parametrize("who", ["echo", "lumi"])
def test_what_is_not_signed_by_us_is_refused(
    request: pytest.FixtureRequest, echo: Running, who: str, how: str
) -> None:
    agent: Running = request.getfixturevalue(who)
    body = json.dumps(event("Hi")).encode()
    headers = signed(body)
    match how:
        case "unsigned":
            headers = {"Content-Type": "application/json"}
        case "other secret":
            headers = signed(body, secret="whsec_b3RoZXJvdGhlcm90aGVyb3RoZXI=")
        case "old":
            headers = signed(body, at=datetime.now(UTC) - timedelta(minutes=6))
        case "changed":
            body = body.replace(b"Hi", b"Ho")
        case "garbage":
            headers["webhook-signature"] = "v1 , v1,% v2,a"
    assert agent.post(body, headers)[0] == 401


# --- The demo agent ------------------------------------------------------------------------------


def said(actions: tuple[Any, ...]) -> str:
    return " | ".join(action.content.text for action in actions if isinstance(action, Say))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Do you ship to Cluj?", "Yes, we ship to Cluj"),
        ("Livrați în Cluj?", "Da, livrăm în Cluj"),
        ("livrati in bucuresti", "Da, livrăm în București"),
        ("Do you deliver?", "We ship everywhere"),
        ("How much are the lamps?", "from 159 to 449 lei"),
        ("Cât costă lămpile?", "între 159 și 449 lei"),
        ("Can I return a lamp?", "within 30 days"),
        ("Cum fac un retur?", "30 de zile"),
        ("When are you open?", "Monday to Friday"),
        ("Ce program aveți?", "luni–vineri"),
        ("Where is my order 1024?", "with the courier"),
        ("Unde este comanda 1031?", "se împachetează"),
        ("Where is my order 9999?", "no order 9999"),
        ("Can I pay by cash?", "by card"),
        ("Ce garanție are lampa?", "garanție trei ani"),
        ("Hello", "I am Lumi"),
        ("Bună ziua", "sunt Lumi"),
        ("Thanks!", "anything else"),
    ],
)
def test_lumi_answers_questions_in_their_language(lumi: Running, text: str, part: str) -> None:
    actions = lumi.actions(event(text, conversation=f"cnv_{text}"))
    assert part in said(actions)
    assert not any(isinstance(action, HandOff | Resolve) for action in actions)


@pytest.mark.parametrize(
    ("text", "reason", "part"),
    [
        ("vreau să vorbesc cu un om", "the customer asks for a person", "rog un coleg"),
        ("I want to talk to a human", "the customer asks for a person", "a colleague"),
        ("My lamp arrived broken, I want a refund for my order", "a complaint", "I am sorry"),
        ("Lampa a venit spartă", "a complaint", "Îmi pare rău"),
    ],
)
def test_lumi_hands_off_with_reason_and_summary(
    lumi: Running, text: str, reason: str, part: str
) -> None:
    actions = lumi.actions(event(text, conversation=f"cnv_{text}"))
    assert part in said(actions)
    act = actions[-1]
    assert isinstance(act, HandOff)
    assert act.reason == reason
    assert text in act.summary
    assert (AddLabels(("complaint",)) in actions) is (reason == "a complaint")


def test_lumi_resolves_when_the_customer_says_good_bye(lumi: Running) -> None:
    for text in ("thanks, bye", "Mulțumesc, la revedere"):
        assert isinstance(lumi.actions(event(text, conversation=f"cnv_{text}"))[-1], Resolve)


def test_lumi_offers_orders_as_buttons_and_understands_the_press(lumi: Running) -> None:
    (say,) = lumi.actions(event("Where is my order?", conversation="cnv_order"))
    assert [button.id for button in say.content.buttons] == ["order:1024", "order:1031", "person"]
    choice = {"choice": {"id": "order:1024", "title": "# 1024"}}
    press = event("# 1024", conversation="cnv_order", kind="button_reply", content=choice)
    actions = lumi.actions(press)
    assert "with the courier" in said(actions)
    assert SetAttributes({"order": "1024"}, "conversation") in actions


def test_lumi_shows_a_menu_once_and_then_gives_up(lumi: Running) -> None:
    (menu,) = lumi.actions(event("xyzzy", conversation="cnv_lost"))
    assert [row.id for row in menu.content.sections[0].rows][-1] == "person"
    assert lumi.actions(event("plugh", conversation="cnv_lost"))[-1].reason.startswith("I did not")


def test_lumi_keeps_the_language_of_the_conversation(lumi: Running) -> None:
    lumi.actions(event("Bună ziua", conversation="cnv_ro"))
    assert "Nu am înțeles" in said(
        lumi.actions(event("xyzzy", conversation="cnv_ro2", language="ro"))
    )
    assert "Nu pot vedea" in said(
        lumi.actions(event("", conversation="cnv_ro", kind="image", attachments=[{"url": "x"}]))
    )


def test_lumi_is_silent_where_nothing_is_asked(lumi: Running) -> None:
    for kind in sorted(get("native").event_types - {"message.created"}):
        assert lumi.actions(event(type=kind)) == ()


def test_lumi_says_that_it_lives(lumi: Running) -> None:
    with urllib.request.urlopen(lumi.url, timeout=10) as answer:  # noqa: S310 - ours
        assert json.load(answer)["ok"] is True


def test_lumi_does_not_start_without_its_secret() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "AGENT_SECRET"}
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / "demo_agent.py")],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "AGENT_SECRET" in ended.stderr
