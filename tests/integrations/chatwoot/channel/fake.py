"""A Chatwoot server over real HTTP, as far as a channel speaks to one (contract, 1, 4 and 6)."""

from __future__ import annotations

import json
from typing import Any

from tests.integrations.couriers import Reply, Request, Server

USER, BOT, SECRET = "user-token-of-the-tests", "bot-token-of-the-tests", "bot-secret-of-the-tests"
BASE = "/api/v1/accounts/1/"


def said(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), headers)


class FakeChatwoot:
    """One account with a website, a WhatsApp number and an SMS number; what is said to it is kept."""

    def __init__(self, *, role: str = "administrator", signs: bool = True) -> None:
        self.role, self.signs = role, signs
        self.inboxes = {
            1: ("Website", "Channel::WebWidget"),
            2: ("WhatsApp", "Channel::Whatsapp"),
            3: ("SMS", "Channel::TwilioSms"),
        }
        self.bots: dict[int, dict[str, Any]] = {}
        self.bot_of: dict[int, int] = {}
        self.messages: list[Request] = []
        self.typing: list[Request] = []
        # What was done with conversations, in order: what it was, and its body.
        self.acts: list[tuple[str, Any]] = []
        self.labels: list[str] = []
        self.people = [{"id": 2, "name": "Ann", "email": "Ann@Example.com"}]
        self.teams = [{"id": 4, "name": "billing"}]
        # What every message is answered instead.
        self.refusal: Reply | None = None
        self.files: dict[str, Reply] = {}
        self.downloads: list[Request] = []
        self.server = Server(self.answer)

    def __enter__(self) -> FakeChatwoot:
        self.server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.__exit__(*error)

    @property
    def url(self) -> str:
        return self.server.url

    def answer(self, request: Request) -> Reply:
        if request.path in self.files:
            self.downloads.append(request)
            return self.files[request.path]
        token = request.headers.get("Api-Access-Token", "")
        if token not in (USER, BOT):
            return said({"error": "Invalid Access Token"}, 401)
        if request.path == "/api/v1/profile":
            account = {"id": 1, "name": "Acme", "role": self.role}
            return said({"id": 2, "name": "Ann", "accounts": [account]})
        if not request.path.startswith(BASE):
            return said({"error": "Resource could not be found"}, 404)
        parts = request.path.removeprefix(BASE).split("/")
        if parts[0] == "conversations":
            return self.conversation(request, parts[1], parts[2], bot=token == BOT)
        if token == BOT:
            error = "Access to this endpoint is not authorized for bots"
            return said({"error": error}, 401)
        return self.managed(request, parts)

    def conversation(self, request: Request, number: str, act: str, *, bot: bool) -> Reply:
        if number == "404":
            return said({"error": "Resource could not be found"}, 404)
        if act == "toggle_typing_status":
            self.typing.append(request)
            return Reply(200)
        if act == "messages" and not request.body:
            return self.listed() if not bot else said({"error": "not authorized for bots"}, 401)
        if self.refusal:
            return self.refusal
        if act != "messages":
            return self.done(request, act)
        if request.headers.get("Content-Type") == "application/json":
            self.acts.append(("note" if request.json["private"] else "message", request.json))
        self.messages.append(request)
        return said({"id": 1000 + len(self.messages), "conversation_id": int(number)})

    def listed(self) -> Reply:
        rows = [
            {"id": 1000 + n, "content_attributes": one.json["content_attributes"]}
            for n, one in enumerate(self.messages, start=1)
        ]
        return said({"meta": {}, "payload": rows})

    def done(self, request: Request, act: str) -> Reply:
        if not request.body:
            return said({"payload": self.labels})
        self.acts.append((act, request.json))
        if act == "labels":
            self.labels = request.json["labels"]
            return said({"payload": self.labels})
        if act == "assignments":
            return said(None)
        payload = {"success": True, "current_status": request.json["status"]}
        return said({"meta": {}, "payload": payload})

    def managed(self, request: Request, parts: list[str]) -> Reply:
        match parts:
            case ["inboxes"]:
                rows = [
                    {"id": pk, "name": name, "channel_type": kind}
                    for pk, (name, kind) in self.inboxes.items()
                ]
                return said({"payload": rows})
            case ["inboxes", pk, "agent_bot"]:
                bot = self.bots.get(self.bot_of.get(int(pk), 0))
                return said({"agent_bot": bot} if bot else {})
            case ["inboxes", pk, "set_agent_bot"]:
                wanted = request.json["agent_bot"]
                self.bot_of.pop(int(pk), None)
                if wanted is not None:
                    self.bot_of[int(pk)] = wanted
                return Reply(200)
            case ["agents"]:
                return said(self.people)
            case ["teams"]:
                return said(self.teams)
            case ["agent_bots"]:
                return self.many_bots(request)
            case ["agent_bots", pk]:
                return self.one_bot(request, int(pk))
        return said({"error": "Resource could not be found"}, 404)

    def many_bots(self, request: Request) -> Reply:
        if not request.body:
            return said(list(self.bots.values()))
        number = max(self.bots, default=6) + 1
        self.bots[number] = {"id": number, **request.json, "access_token": BOT}
        if self.signs:
            self.bots[number]["secret"] = SECRET
        return said(self.bots[number])

    def one_bot(self, request: Request, number: int) -> Reply:
        if number not in self.bots:
            return said({"error": "Resource could not be found"}, 404)
        if request.body:
            self.bots[number] |= request.json
            return said(self.bots[number])
        del self.bots[number]
        self.bot_of = {inbox: bot for inbox, bot in self.bot_of.items() if bot != number}
        return Reply(200)
