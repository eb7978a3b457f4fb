"""Calling the REST API in tests, with a token or with a session."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.test import Client

from accounts.models import ApiToken, Member
from accounts.tokens import create_token

if TYPE_CHECKING:  # what Django's test client answers with has a name in its stubs only
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer


class Caller:
    """A client of the API; bodies are JSON unless `data` is given."""

    def __init__(self, token: str = "", **defaults: Any) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.client = Client(headers=headers, **defaults)

    def get(self, path: str, **query: Any) -> Answer:
        return self.client.get(path, query)

    def post(self, path: str, body: Any = None, *, key: str = "", **extra: Any) -> Answer:
        if key:
            extra["headers"] = {"idempotency-key": key, **extra.get("headers", {})}
        return self.send("post", path, body, **extra)

    def patch(self, path: str, body: Any = None, **extra: Any) -> Answer:
        return self.send("patch", path, body, **extra)

    def put(self, path: str, body: Any = None, **extra: Any) -> Answer:
        return self.send("put", path, body, **extra)

    def delete(self, path: str, **extra: Any) -> Answer:
        return self.client.delete(path, **extra)

    def send(self, method: str, path: str, body: Any = None, **extra: Any) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
        call = getattr(self.client, method)
        return call(path, data=raw, content_type="application/json", **extra)


def token_of(member: Member, **fields: Any) -> str:
    """A clear token of a member; an agent's for an agent."""
    kind = ApiToken.Kind.AGENT if member.is_agent else ApiToken.Kind.PERSONAL
    fields.setdefault("created_by", None if member.is_agent else member)
    _token, clear = create_token(member, kind=fields.pop("kind", kind), name="test", **fields)
    return clear


def caller(member: Member, **fields: Any) -> Caller:
    return Caller(token_of(member, **fields))


def code_of(response: Answer) -> str:
    """The code of a problem's first error; the answer must be a problem."""
    assert response["Content-Type"] == "application/problem+json", response.content
    body = response.json()
    assert body["status"] == response.status_code
    assert body["request_id"]
    return body["errors"][0]["code"]


def attrs_of(response: Answer) -> set[str]:
    return {error["attr"] for error in response.json()["errors"]}


def callers(house: SimpleNamespace) -> SimpleNamespace:
    """One caller per person of the house, its agent and the outsider."""
    people = ("owner", "admin", "supervisor", "person", "outsider")
    return SimpleNamespace(
        **{name: caller(getattr(house, name)) for name in people},
        agent=caller(house.agent.member),
    )
