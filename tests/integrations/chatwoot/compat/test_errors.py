"""Every refusal of the contract's table (section 1), and that nothing ever answers a page."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import limits
from accounts.models import Account, ApiToken, RateBucket
from accounts.permissions import Permission
from accounts.rest.views import PER_ACCOUNT
from accounts.tenancy import account_context
from accounts.tokens import create_token
from conversations import services
from conversations.models import Conversation
from integrations.chatwoot import urls
from integrations.chatwoot.compat.base import END, CompatView, Nowhere
from integrations.chatwoot.errors import answer_to
from tests.factories import make_account, make_agent, make_conversation
from tests.integrations.chatwoot.compat.conftest import Client4, client

SIGN_IN = {"errors": ["You need to sign in or sign up before continuing."]}
NOT_FOUND = {"error": "Resource could not be found"}


def test_no_token(woot: SimpleNamespace) -> None:
    for path in ("/api/v1/profile", f"/api/v1/accounts/{woot.account_id}/conversations"):
        response = Client().get(path)
        assert (response.status_code, response.json()) == (401, SIGN_IN)


@pytest.mark.parametrize("token", ["w1mtT0ken", "sb_pat_abcdefgh_" + "x" * 49, "x" * 5000])
@pytest.mark.parametrize("header", ["api-access-token", "authorization"])
def test_an_unknown_token(woot: SimpleNamespace, token: str, header: str) -> None:
    value = f"Bearer {token}" if header == "authorization" else token
    response = Client(headers={header: value}).get("/api/v1/profile")
    assert (response.status_code, response.json()) == (401, {"error": "Invalid Access Token"})


def test_a_revoked_token(woot: SimpleNamespace) -> None:
    assert woot.owner.get("/api/v1/profile").status_code == 200
    ApiToken.objects.filter(member=woot.house.owner).delete()
    assert woot.owner.get("/api/v1/profile").json() == {"error": "Invalid Access Token"}


def test_bearer_is_taken_and_wins(woot: SimpleNamespace) -> None:
    bearer = {"authorization": f"Bearer {woot.owner.token}"}
    assert Client(headers=bearer).get("/api/v1/profile").status_code == 200
    both = {"authorization": "Bearer nonsense", "api-access-token": woot.owner.token}
    assert Client(headers=both).get("/api/v1/profile").status_code == 401


@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer", "Basic Zm9vOmJhcg=="])
def test_an_empty_bearer_is_none(woot: SimpleNamespace, authorization: str) -> None:
    both = {"authorization": authorization, "api-access-token": woot.owner.token}
    assert Client(headers=both).get("/api/v1/profile").status_code == 200


def test_a_token_in_the_address_is_refused(woot: SimpleNamespace) -> None:
    """SX-33."""
    response = Client().get("/api/v1/profile", {"api_access_token": woot.owner.token})
    assert response.status_code == 400
    assert set(response.json()) == {"error"}


# What a bot's token opens: the contract's list, and what we add to it.
FOR_BOTS = {
    ("conversations", "post"),
    ("conversations/<number>", "get"),
    ("conversations/<number>", "patch"),
    ("conversations/<number>", "put"),
    ("conversations/<number>/toggle_status", "post"),
    ("conversations/<number>/toggle_priority", "post"),
    ("conversations/<number>/toggle_typing_status", "post"),
    ("conversations/<number>/custom_attributes", "post"),
    ("conversations/<number>/messages", "get"),
    ("conversations/<number>/messages", "post"),
    ("conversations/<number>/assignments", "post"),
    ("conversations/<number>/labels", "get"),
    ("conversations/<number>/labels", "post"),
    ("contacts/<contact_id>", "get"),
    ("contacts/<contact_id>", "put"),
    ("contacts/<contact_id>", "patch"),
    ("teams", "get"),
    ("agents", "get"),
    ("inboxes/<inbox_id>", "get"),
}  # fmt: skip
METHODS = ("get", "post", "patch", "put", "delete")


def routes() -> list[tuple[str, type[CompatView]]]:
    """Every address below an account, with `<name>` for its numbers."""
    import re

    found = []
    for pattern in urls.urlpatterns:
        if not isinstance(pattern, URLPattern):  # the client API of API inboxes has no tokens
            continue
        view = getattr(pattern.callback, "cls", None)
        if view is None or issubclass(view, Nowhere):  # pictures need no token
            continue
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", str(pattern.pattern))
        path = path.removeprefix("^").removesuffix(END)
        found.append((path.removeprefix("api/v1/accounts/<account_id>/"), view))
    return found


def offers() -> list[tuple[str, str, type[CompatView]]]:
    return [
        (path, method, view)
        for path, view in routes()
        for method in METHODS
        if getattr(view, method, None) is not None
    ]


def filled(path: str) -> str:
    for name in (
        "number", "message_id", "bot_id", "inbox_id", "contact_id", "team_id", "label_id",
        "reply_id", "definition_id", "rule_id", "webhook_id", "filter_id", "note_id", "agent_id",
    ):  # fmt: skip
        path = path.replace(f"<{name}>", "1")
    return path if not path.startswith("api/") else f"/{path}"


@pytest.mark.parametrize(("path", "method", "view"), offers(), ids=lambda v: str(v)[-60:])
def test_every_method_says_what_it_needs(path: str, method: str, view: type[CompatView]) -> None:
    """SX-20."""
    assert isinstance(view.permissions_by_action.get(method), Permission)
    assert (method in view.bot_permissions) == ((path, method) in FOR_BOTS)


def test_bots_get_exactly_their_list(woot: SimpleNamespace) -> None:
    for path, method, _view in offers():
        if (path, method) in FOR_BOTS:
            continue
        response = woot.bot.send(method, filled(path), {})
        assert response.status_code == 401, (method, path)
        assert response.json() == {"error": "Access to this endpoint is not authorized for bots"}, (
            method,
            path,
        )


def test_another_account_and_none(woot: SimpleNamespace) -> None:
    """Theirs tells the two apart; an account's number is no secret."""
    stranger = make_agent(woot.house.outsider_account)
    foreign_bot = client(stranger.member, woot.account_id)
    path = "conversations/1"
    for caller, error in (
        (woot.outsider, "You are not authorized to access this account"),
        (foreign_bot, "Bot is not authorized to access this account"),
    ):
        response = caller.get(path)
        assert (response.status_code, response.json()) == (401, {"error": error})
        response = caller.get(f"/api/v1/accounts/987654321/{path}")
        assert (response.status_code, response.json()) == (404, NOT_FOUND)


def test_the_outsider_learns_and_changes_nothing(woot: SimpleNamespace) -> None:
    """By every address, of our account and of their own, with our numbers."""
    conversation = make_conversation(woot.house.inbox, "canary says")
    own = Client4(woot.outsider.token, woot.house.outsider.account_id)
    make_account()
    for path, method, _view in offers():
        if path == "api/v1/profile":
            continue
        target = path.replace("<number>", str(conversation.number))
        target = target.replace("<inbox_id>", str(woot.house.inbox.pk))
        target = target.replace("<bot_id>", str(woot.bot_id))
        target = target.replace("<contact_id>", str(conversation.contact_id))
        target = target.replace("<team_id>", str(woot.house.team.pk))
        body = {
            "inbox_id": woot.house.inbox.pk, "contact_id": conversation.contact_id,
            "agent_bot": woot.bot_id, "content": "x", "labels": ["x"], "name": "x",
        }  # fmt: skip
        RateBucket.objects.all().delete()  # more calls than a token may make at once
        for caller in (woot.outsider, own):
            response = caller.send(method, filled(target), body)
            assert "canary" not in response.content.decode(), (method, path)
            assert response.status_code < 500, (method, path)
            if "<" in path:
                assert response.status_code in (401, 403, 404, 422), (method, path)
    with account_context(woot.house.account):
        after = Conversation.objects.get(pk=conversation.pk)
        assert after.updated_at == conversation.updated_at
        assert after.messages.count() == 1


@pytest.mark.parametrize("number", ["0", str(2**31), "9" * 18, "9" * 19, "9" * 5000])
def test_a_number_that_no_conversation_can_have(
    woot: SimpleNamespace, held: Conversation, number: str
) -> None:
    """Columns of numbers end somewhere."""
    for caller in (woot.bot, woot.person):
        for path in (f"conversations/{number}", f"conversations/{number}/messages"):
            assert caller.get(path).status_code == 404, path
        said = caller.post(f"conversations/{number}/messages", {"content": "Hello"})
        assert said.status_code == 404, said.content


def test_a_role_that_may_not(woot: SimpleNamespace) -> None:
    response = woot.person.post("agent_bots", {"name": "x", "outgoing_url": "https://a.example/"})
    assert response.status_code == 401
    assert response.json() == {"error": "You are not authorized to do this action"}


def test_scopes_narrow_a_token(woot: SimpleNamespace, held: Conversation) -> None:
    _token, clear = create_token(
        woot.house.owner, kind="int", name="read", created_by=woot.house.owner,
        scopes=["conversations:read"],
    )  # fmt: skip
    narrow = Client4(clear, woot.account_id)
    assert narrow.get(f"conversations/{held.number}").status_code == 200
    response = narrow.post(f"conversations/{held.number}/messages", {"content": "x"})
    assert response.json() == {"error": "You are not authorized to do this action"}


def test_who_may_not_assign_moves_nothing_by_a_status_either(
    woot: SimpleNamespace, held: Conversation
) -> None:
    _token, clear = create_token(
        woot.house.owner, kind="int", name="write", created_by=woot.house.owner,
        scopes=["conversations:write"],
    )  # fmt: skip
    narrow = Client4(clear, woot.account_id)
    path = f"conversations/{held.number}/toggle_status"
    assert narrow.post(path, {"status": "open"}).status_code == 401
    assert narrow.post(path, {"status": "resolved"}).status_code == 200


def test_who_may_not_assign_does_it_by_no_other_call(
    woot: SimpleNamespace, held: Conversation
) -> None:
    """Neither many at once, nor by beginning a conversation, nor by opening what nobody has."""
    house, open_one = woot.house, make_conversation(woot.house.inbox, visitor="v2")
    woot.owner.post(f"inboxes/{house.inbox.pk}/set_agent_bot", {"agent_bot": woot.bot_id})
    scopes = ["conversations:write", "contacts:read"]
    narrow = client(house.person, woot.account_id, scopes=scopes)
    wide = client(house.person, woot.account_id, scopes=[*scopes, "conversations:assign"])
    closed = make_conversation(house.inbox, visitor="v3")
    with account_context(house.account):
        services.unassign(closed, by=None)
        services.resolve(closed, by=None)
    begun = {"inbox_id": house.inbox.pk, "contact_id": open_one.contact_id}
    calls = [
        ("bulk_actions", {"ids": [open_one.number], "fields": {"status": "pending"}}),
        ("bulk_actions", {"ids": [held.number], "fields": {"status": "open"}}),
        ("bulk_actions", {"ids": [open_one.number], "fields": {"team_id": house.team.pk}}),
        ("bulk_actions", {"ids": [open_one.number], "fields": {"assignee_id": house.person.pk}}),
        ("conversations", {**begun, "assignee_id": house.person.pk}),
        ("conversations", {**begun, "team_id": house.team.pk}),
        ("conversations", {**begun, "status": "pending"}),
        (f"conversations/{closed.number}/toggle_status", {"status": "open"}),
        (f"conversations/{open_one.number}/toggle_status", {"status": "open"}),
    ]
    for path, body in calls:
        assert narrow.post(path, body).status_code == 401, body
    with account_context(house.account):
        assert not Conversation.objects.filter(assignee=house.person).exists()
    assert narrow.post("conversations", begun).status_code == 200
    for path, body in calls:
        assert wide.post(path, body).status_code == 200, body


def test_a_role_taken_away_counts_at_once(woot: SimpleNamespace) -> None:
    """SX-24."""
    woot.house.owner.active = False
    woot.house.owner.save()
    assert woot.owner.get("conversations").status_code == 401


def test_somebody_elses_conversations_do_not_exist(woot: SimpleNamespace) -> None:
    """Where people see their own only, another's is a 404 and not in the list."""
    Account.objects.filter(pk=woot.account_id).update(people_see="own")
    conversation = make_conversation(woot.house.inbox)
    with account_context(woot.house.account):
        services.assign(conversation, to=woot.house.owner, by=None)
    response = woot.person.get(f"conversations/{conversation.number}")
    assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert woot.person.get("conversations").json()["data"]["payload"] == []
    assert woot.owner.get(f"conversations/{conversation.number}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "nothing", "conversations/abc", "conversations/1/nothing", "conversations/-1",
        "conversations/" + "9" * 40, "/api/v1/accounts/", "/api/v1/accounts/x/conversations",
        "/api/v1/profile/more", "/api/v2/accounts/1/nothing", "/api/v2/accounts", "agent_bots/1/2/3", "conversations/1/messages/x",
    ],
)  # fmt: skip
def test_what_is_nowhere_is_their_404(woot: SimpleNamespace, path: str) -> None:
    for method in METHODS:
        response = woot.owner.send(method, path, {})
        assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert Client().get(woot.owner.at(path)).json() == NOT_FOUND


def test_a_method_that_is_not_there(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.owner.delete(f"conversations/{held.number}/toggle_status")
    assert response.status_code == 405
    assert set(response.json()) == {"error"}
    assert response["Allow"] == "POST"
    assert woot.owner.client.options("/api/v1/profile").status_code == 405


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"[1]", 422), (b'"x"', 422), (b"null", 422), (b'{"a":1,"a":2}', 400),
        (b'{"content":"\\u0000"}', 400), (b'{"content":"\\ud800"}', 400), (b'{"content":NaN}', 400),
        (b"[" * 5000, 400), (b"\xff\xfe", 400),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_read(
    woot: SimpleNamespace, held: Conversation, body: bytes, status: int
) -> None:
    response = woot.bot.post(f"conversations/{held.number}/messages", body)
    assert response.status_code == status
    assert set(response.json()) == {"error"}


def test_bodies_of_another_kind(woot: SimpleNamespace, held: Conversation) -> None:
    address = woot.bot.at(f"conversations/{held.number}/messages")
    for kind, status in (("text/plain", 415), ("multipart/form-data", 400), ("nonsense", 415)):
        response = woot.bot.client.post(address, b"content=x", content_type=kind)
        assert response.status_code == status, kind
        assert set(response.json()) == {"error"}


def test_what_a_client_accepts_changes_nothing(woot: SimpleNamespace) -> None:
    for accepted in ("text/html", "application/xml", "nonsense"):
        response = woot.owner.client.get("/api/v1/profile", headers={"accept": accepted})
        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"


def test_head_is_a_get_without_its_body(woot: SimpleNamespace, held: Conversation) -> None:
    response = woot.bot.client.head(woot.bot.at(f"conversations/{held.number}"))
    assert (response.status_code, response.content) == (200, b"")


def test_what_nobody_expected_says_nothing_of_the_inside() -> None:
    status, body = answer_to(RuntimeError("the password is swordfish"))
    assert (status, set(body)) == (500, {"error"})
    assert "swordfish" not in str(body)


def test_too_many_calls(woot: SimpleNamespace) -> None:
    limits.empty(PER_ACCOUNT, str(woot.account_id), seconds=60)
    response = woot.owner.get("conversations")
    assert response.status_code == 429
    assert response["Content-Type"].startswith("text/plain")
    assert int(response["Retry-After"]) > 0


def test_an_overloaded_account_takes_no_more(woot: SimpleNamespace, held: Conversation) -> None:
    """DL-93."""
    Account.objects.filter(pk=woot.account_id).update(overloaded_since="2026-01-01T00:00:00Z")
    assert (
        woot.bot.post(f"conversations/{held.number}/messages", {"content": "x"}).status_code == 429
    )
    assert woot.bot.get(f"conversations/{held.number}/messages").status_code == 200


def test_the_walk_finds_the_addresses() -> None:
    assert len(offers()) > 30
    assert any(str(p.pattern) == "" for p in get_resolver().url_patterns)


# --- Whatever somebody sends ---------------------------------------------------------------------

# Without what would end the bot's own token, and so the sense of asking on.
TARGETS = [
    (path, method)
    for path, method, _view in offers()
    if method in ("post", "patch", "put") and not path.endswith("reset_access_token")
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
NAMES = st.sampled_from(
    [
        "content", "message_type", "content_type", "content_attributes", "private", "attachments",
        "echo_id", "status", "snoozed_until", "priority", "typing_status", "custom_attributes",
        "labels", "assignee_id", "assignee_type", "team_id", "inbox_id", "contact_id", "source_id",
        "message", "payload", "name", "outgoing_url", "description", "agent_bot", "bot_type",
        "sender_type", "sender_id", "page", "q", "sort", "email", "phone_number", "title", "color",
        "user_ids", "additional_attributes", "blocked", "short_code", "canned_response",
    ]
)  # fmt: skip
BODIES = st.dictionaries(NAMES, VALUES, max_size=6)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(target=st.sampled_from(TARGETS), body=BODIES, form=st.booleans())
def test_no_body_breaks_anything(
    woot: SimpleNamespace, held: Conversation, target: tuple[str, str], body: Any, form: bool
) -> None:
    RateBucket.objects.all().delete()
    path, method = target
    path = path.replace("<number>", str(held.number)).replace("<bot_id>", str(woot.bot_id))
    path = path.replace("<contact_id>", str(held.contact_id))
    path = filled(path.replace("<inbox_id>", str(woot.house.inbox.pk)))
    for caller in (woot.owner, woot.bot):
        if form:
            flat = {f"{key}[]": json.dumps(value) for key, value in body.items()}
            response = caller.form(path, flat, method=method)
        else:
            response = caller.send(method, path, body)
        assert response.status_code < 500, response.content
        assert "html" not in response["Content-Type"] if response.content else True


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(query=st.dictionaries(NAMES, st.text(max_size=20), max_size=4))
def test_no_query_breaks_anything(woot: SimpleNamespace, held: Conversation, query: Any) -> None:
    for path, method, _view in offers():
        if method == "get":
            RateBucket.objects.all().delete()
            response = woot.owner.get(filled(path.replace("<number>", str(held.number))), **query)
            assert response.status_code < 500, response.content
