"""The permission table over REST, for every route and role, made from the routes themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.ids import encode
from accounts.models import ApiToken, Invitation, RateBucket
from accounts.permissions import TABLE, Permission, Role
from accounts.rest.views import AccountViewSet
from accounts.tenancy import account_context
from agents import rules
from conversations import services
from conversations.messages import Content
from conversations.models import Conversation, Delivery, Endpoint, Inbox, Label, Message, Replay
from tests.api import Caller
from tests.factories import make_conversation, make_webhook

# Everybody may call these: they are how one comes in, or say nothing of any account.
OPEN = {
    "api-login", "api-mfa-verify", "api-confirm", "api-logout", "api-user", "api-password", "api-reset",
    "api-reset-confirm", "api-schema", "api-docs",
}  # fmt: skip
ROLES = {
    "owner": Role.OWNER, "admin": Role.ADMIN, "supervisor": Role.SUPERVISOR,
    "person": Role.PERSON, "agent": Role.AI,
}  # fmt: skip
# What the table allows to a role and the act itself refuses: people's acts, agents' acts.
REFUSED_LATER = {
    "agent": {"take_over", "give_back", "read", "use", "discard", "create_contact", "note_about", "participants",
        "change_participants", "unsent", "keep_unsent", "discard_unsent",
    },
    "person": {"answer"}, "supervisor": {"answer"}, "admin": {"answer"}, "owner": {"answer"},
}  # fmt: skip

# Actions whose own name says too little.
NAMED = {
    ("api-answer", "create"): "answer", ("api-contacts-list", "create"): "create_contact",
    **{("api-contact-notes-list", name): "note_about" for name in ("list", "create")},
    **{
        ("api-contact-notes-detail", name): "note_about"
        for name in ("retrieve", "partial_update", "destroy")
    },
}  # fmt: skip


@dataclass(frozen=True)
class Route:
    name: str
    path: str
    view: type[AccountViewSet]
    method: str
    action: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def at(self, **ids: str) -> str:
        return re.sub(r"<(\w+)>", lambda found: ids[found[1]], self.path)

    @property
    def permission(self) -> Permission | None:
        return self.view.permissions_by_action.get(self.action)


def _patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for each in resolver.url_patterns:
        path = prefix + str(each.pattern).removeprefix("^")
        if isinstance(each, URLPattern):
            yield "/" + path, each
        else:
            yield from _patterns(each, path)


def api_patterns() -> list[tuple[str, URLPattern]]:
    return [(path, each) for path, each in _patterns(get_resolver()) if path.startswith("/v1/")]


def routes() -> list[Route]:
    found = []
    for raw, pattern in api_patterns():
        view = getattr(pattern.callback, "cls", None)
        if pattern.name in OPEN or not (view and issubclass(view, AccountViewSet)):
            continue
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", raw).removesuffix("$").replace("/?", "/")
        actions: dict[str, str] = getattr(pattern.callback, "actions", {})
        for method, action in actions.items():
            name = NAMED.get((str(pattern.name), action), action)
            found.append(Route(name, path, view, method, action))
    return found


ROUTES = routes()


def test_there_are_routes_to_test() -> None:
    assert len(ROUTES) > 70


def test_every_route_of_the_api_is_an_account_resource_or_known_to_be_open() -> None:
    """SX-20"""
    for path, pattern in api_patterns():
        view = getattr(pattern.callback, "cls", None)
        ours = view is not None and issubclass(view, AccountViewSet)
        assert ours or pattern.name in OPEN, path


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_action_declares_its_permission(route: Route) -> None:
    """SX-20"""
    assert isinstance(route.permission, Permission)


def unknown_ids(route: Route) -> dict[str, str]:
    return {
        "id": encode(_prefix(route), 2**40),
        "conversation_id": encode("cnv", 2**40),
        "member_id": encode("mem", 2**40),
        "contact_id": encode("con", 2**40),
    }


def _prefix(route: Route) -> str:
    return str(getattr(route.view.model, "public_id", "evt"))


def send(caller: Caller, route: Route, path: str) -> Any:
    """One call, with fresh limits: these tests make more calls at once than a token may."""
    RateBucket.objects.all().delete()
    call = getattr(caller, route.method)
    return call(path) if route.method in ("get", "delete") else call(path, {})


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_the_table_says_and_nothing_else(
    api: SimpleNamespace, role: str
) -> None:
    """SX-20, SX-21: nothing named exists, so what is allowed ends in 404 or 400 and changes nothing"""
    wrong = []
    for route in ROUTES:
        allowed = route.permission in TABLE[ROLES[role]]
        allowed = allowed and route.name not in REFUSED_LATER[role]
        response = send(getattr(api, role), route, route.at(**unknown_ids(route)))
        if allowed != (response.status_code != 403) or response.status_code in (401, 405, 429, 500):
            wrong.append(f"{route}: {response.status_code}, allowed: {allowed}")
    assert not wrong, "\n".join(wrong)


def test_nobody_comes_in_without_a_token(db: None) -> None:
    stranger = Caller()
    for route in ROUTES:
        path = route.at(**unknown_ids(route))
        assert send(stranger, route, path).status_code == 401, str(route)


@pytest.fixture
def things(api: SimpleNamespace) -> dict[str, str]:
    """One of each in the house, by the prefix of its id."""
    house = api.house
    thread = make_conversation(house.inbox, "Hello there")
    with account_context(house.account):
        rule = rules.create_rule(name="r", actions=[{"type": "resolve"}], by=house.owner)
        services.add_labels(thread, ["vip"], by=house.owner)
        message = services.post_message(thread, content=Content(text="hi"), author=house.person)
        draft = services.keep_draft(
            thread, content=Content(text="draft"), author=house.person, reason="late"
        )
        invitation = Invitation.objects.create(
            account=house.account,
            email="x@example.test",
            token_sha256=b"x" * 32,
            invited_by=house.owner,
            expires_at=thread.created_at,
        )
        webhook = make_webhook(house.account)
        rows = [
            webhook, house.person, house.team, house.inbox, house.agent, thread, thread.contact,
            message, rule, invitation, Replay.objects.create(endpoint=webhook), Label.objects.get(),
            Delivery.objects.first(),
            services.add_contact_note(thread.contact, text="Hello there", by=house.owner),
            services.define_attribute(of="contact", key="x", name="Hello there", by=house.owner),
            services.create_saved_reply(code="hi", text="Hello there", by=house.owner),
            ApiToken.objects.filter(account=house.account).first(),
        ]  # fmt: skip
    found = {row.public_id.split("_")[0]: row.public_id for row in rows}
    return {**found, "draft": draft.public_id}


def test_the_outsider_gets_the_same_404_as_for_what_is_not_there(
    api: SimpleNamespace, things: dict[str, str]
) -> None:
    """SX-08, SX-09: in each route with an id, whatever is done"""
    before = state(api)
    compared = 0
    for route in ROUTES:
        if "<" not in route.path or route.name == "answer":
            continue
        prefix = _prefix(route)
        real = {
            "id": things["draft"] if route.name in ("use", "discard") else things.get(prefix, ""),
            "conversation_id": things["cnv"],
            "member_id": things["mem"],
            "contact_id": things["con"],
        }
        foreign = send(api.outsider, route, route.at(**real))
        none = send(api.outsider, route, route.at(**unknown_ids(route)))
        # A body that makes no sense is 400 either way; nothing tells the two apart.
        assert foreign.status_code == none.status_code, str(route)
        assert foreign.status_code in (404, 400), str(route)
        assert body_of(foreign) == body_of(none), str(route)
        if route.method in ("get", "delete"):
            assert foreign.status_code == 404, str(route)
        compared += 1
    assert compared > 40
    assert state(api) == before


def body_of(response: Any) -> dict[str, Any]:
    body = response.json()
    body.pop("request_id")
    return body


def test_lists_of_the_outsider_hold_nothing_of_the_house(
    api: SimpleNamespace, things: dict[str, str]
) -> None:
    """SX-09: no byte of another account"""
    for route in ROUTES:
        if route.method != "get" or "<" in route.path:
            continue
        text = send(api.outsider, route, route.path).content.decode()
        assert not [public_id for public_id in things.values() if public_id in text], str(route)
        assert "Hello there" not in text


def state(api: SimpleNamespace) -> list[Any]:
    """What must not have changed."""
    with account_context(api.house.account):
        return [
            list(model.objects.order_by("pk").values())
            for model in (Conversation, Message, Inbox, Label, Endpoint)
        ]
