"""Runs the requests of Chatwoot's page about agent bots, as they stand in page.sh, against a Switchboard.

    python manage.py demo --json | python examples/agents/chatwoot/page.py

Only the hosts, the ids and the tokens are replaced. A customer of the demo's WhatsApp number writes first, so
that there is a conversation for the bot to answer in. Ends with 1 at the first answer that differs from
what Chatwoot says.
"""

import hashlib
import hmac
import json
import re
import shlex
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

PAGE = Path(__file__).with_name("page.sh")
BOT = {
    "id": int, "name": str, "description": str, "thumbnail": str, "outgoing_url": str, "bot_type": str,
    "bot_config": dict, "account_id": int, "system_bot": bool,
}  # fmt: skip
ATTACHED = {"id": int, "agent_bot_id": int, "inbox_id": int, "account_id": int, "status": str}
MESSAGE = {
    "id": int, "content": str, "inbox_id": int, "conversation_id": int, "message_type": int,
    "content_type": str, "status": str, "content_attributes": dict, "created_at": int, "private": bool,
    "sender": dict,
}  # fmt: skip


class DifferentError(Exception):
    """An answer is not Chatwoot's."""


class Quiet(BaseHTTPRequestHandler):
    """The bot's webhook: takes everything."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        """Quiet."""


def commands() -> list[list[str]]:
    """Every command of the page, as words, in its order."""
    blocks = PAGE.read_text(encoding="utf-8").split("\n\n")
    return [shlex.split(block.replace("\\\n", "")) for block in blocks if block.startswith("curl ")]


def curl(*words: str) -> tuple[int, str]:
    """Status and body of an answer."""
    done = subprocess.run(  # noqa: S603 - the page's own commands
        ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *words],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise DifferentError(what)


def has_shape(body: object, shape: dict[str, type]) -> None:
    expect(isinstance(body, dict), f"no object: {body!r}")
    for name, kind in shape.items():
        expect(name in body, f"{name} is missing in {body!r}")
        expect(type(body[name]) is kind, f"{name} is {body[name]!r}, not {kind.__name__}")


class Run:
    """One run through the page, with what the answers so far have told."""

    def __init__(self, demo: dict, webhook: str) -> None:
        self.demo, self.webhook = demo, webhook
        self.account = demo["account"]["number"]
        self.api = f"{demo['base_url']}/api/v1/accounts/{self.account}"
        self.owner = demo["owner"]["api_token"]
        self.inbox = demo["inboxes"]["whatsapp"]
        self.bot: dict = {}
        self.conversation = 0

    def play(self) -> None:
        for words in commands():
            what = f"{words[2]} {words[3].partition('{account_id}')[2]}"
            status, text = curl(*[self.filled(word) for word in words[1:]])
            expect(status == 200, f"{what} answered {status}: {text[:300]}")
            getattr(self, self.check_of(what))(json.loads(text) if text else None)
            sys.stdout.write(f"same  {what}\n")

    @staticmethod
    def check_of(what: str) -> str:
        """The name of the method that looks at the answer, e.g. `post_agent_bots`."""
        path = re.sub(r"/\{\w+\}", "", what.split(" ", 1)[1]).strip("/").replace("/", "_")
        method = what.split(" ", 1)[0].lower()
        alone = "_one" if method in ("patch", "delete") else ""
        return f"{method}_{path}{alone}"

    def filled(self, word: str) -> str:
        for name, value in (
            ("https://app.chatwoot.com", self.demo["base_url"]),
            ("https://your-service.com/webhook", self.webhook),
            ("https://new-url.com", self.webhook),
            ("YOUR_ACCESS_TOKEN", self.owner),
            ("BOT_ACCESS_TOKEN", self.bot.get("access_token", "")),
            ("{account_id}", str(self.account)),
            ("{bot_id}", str(self.bot.get("id", ""))),
            ("{conversation_id}", str(self.conversation)),
            ('"inbox_id": 123', f'"inbox_id": {self.inbox["number"]}'),
        ):
            word = word.replace(name, value)
        return word

    # --- What each answer must be ----------------------------------------------------------------

    def post_agent_bots(self, body: dict) -> None:
        has_shape(body, {**BOT, "access_token": str, "secret": str})
        expect(body["name"] == "Support Bot" and body["bot_type"] == "webhook", repr(body))
        self.bot = body

    def post_agent_bots_agent_bot_inboxes(self, body: dict) -> None:
        has_shape(body, ATTACHED)
        expect(body["agent_bot_id"] == self.bot["id"] and body["status"] == "active", repr(body))
        self.conversation = self.write_as_customer()

    def post_conversations_messages(self, body: dict) -> None:
        has_shape(body, MESSAGE)
        expect(body["content"] == "Hello! How can I help you today?", repr(body))
        expect(body["message_type"] == 1 and body["sender"]["type"] == "agent_bot", repr(body))

    def get_agent_bots(self, body: list) -> None:
        expect(isinstance(body, list), f"no list: {body!r}")
        [mine] = [bot for bot in body if bot["id"] == self.bot["id"]]
        has_shape(mine, BOT)

    def patch_agent_bots_one(self, body: dict) -> None:
        has_shape(body, BOT)
        expect(body["name"] == "Updated Bot Name", repr(body))
        expect(body["description"] == "New description", repr(body))

    def delete_agent_bots_one(self, body: None) -> None:
        expect(body is None, f"not empty: {body!r}")
        gone, _text = self.ask(f"agent_bots/{self.bot['id']}", self.owner)
        expect(gone == 404, f"the bot is still there ({gone})")
        # The page goes on with a bot.
        fresh = {"name": "Support Bot", "outgoing_url": self.webhook}
        _status, text = self.ask("agent_bots", self.owner, json.dumps(fresh))
        self.bot = json.loads(text)

    def post_agent_bots_reset_access_token(self, body: dict) -> None:
        has_shape(body, {**BOT, "access_token": str})
        expect(body["access_token"] != self.bot["access_token"], "the token is the old one")
        path = f"conversations/{self.conversation}"
        status, text = self.ask(path, self.bot["access_token"])
        expect(status == 401, f"the old token still works ({status})")
        expect(json.loads(text) == {"error": "Invalid Access Token"}, text)
        curl(
            "-X",
            "DELETE",
            "-H",
            f"api_access_token: {self.owner}",
            f"{self.api}/agent_bots/{body['id']}",
        )

    # --- Around the page -------------------------------------------------------------------------

    def ask(self, path: str, token: str, body: str = "") -> tuple[int, str]:
        sent = ["-H", "Content-Type: application/json", "-d", body] if body else []
        return curl("-H", f"api_access_token: {token}", *sent, f"{self.api}/{path}")

    def write_as_customer(self) -> int:
        """A customer of the demo's WhatsApp number writes; the number of the conversation, once the bot has it."""
        phone = f"4079{time.time_ns() // 1000 % 10**7:07d}"
        said = {
            "from": phone,
            "id": f"wamid.PAGE{phone}",
            "timestamp": str(int(time.time())),
            "type": "text",
            "text": {"body": "Hello, I need help"},
        }
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"phone_number_id": self.inbox["phone_number_id"]},
            "contacts": [{"profile": {"name": "John Doe"}, "wa_id": phone}],
            "messages": [said],
        }
        changes = [{"field": "messages", "value": value}]
        body = json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": changes}]})
        signed = hmac.new(self.inbox["app_secret"].encode(), body.encode(), hashlib.sha256)
        header = f"X-Hub-Signature-256: sha256={signed.hexdigest()}"
        status, text = curl("-H", header, "-d", body, self.inbox["hook_url"])
        expect(status == 200, f"the customer's message was not taken: {status} {text[:200]}")
        for _ in range(100):
            _status, text = self.ask(
                "conversations?status=pending&sort_by=created_at_desc", self.owner
            )
            for one in json.loads(text)["data"]["payload"]:
                if one["meta"]["sender"]["phone_number"] == f"+{phone}":
                    return int(one["id"])
            time.sleep(0.1)
        raise DifferentError("the customer's conversation is not with the bot")


def main() -> int:
    webhook = HTTPServer(("127.0.0.1", 0), Quiet)
    Thread(target=webhook.serve_forever, daemon=True).start()
    run = Run(json.load(sys.stdin), f"http://127.0.0.1:{webhook.server_port}/webhook")
    try:
        run.play()
    except DifferentError as difference:
        sys.stdout.write(f"DIFFERENT: {difference}\n")
        return 1
    finally:
        if run.bot:
            curl(
                "-X",
                "DELETE",
                "-H",
                f"api_access_token: {run.owner}",
                f"{run.api}/agent_bots/{run.bot['id']}",
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
