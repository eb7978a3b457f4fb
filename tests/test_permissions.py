"""The permission table, read as pages and endpoints read it (SX-20, SX-21)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.permissions import RANK, TABLE, Permission, Role, allows, may_grant
from tests import factories

P = Permission

# Pages that need no membership: why each is open to whoever comes.
WITHOUT_PERMISSION = {
    "accounts.views.entry": "the way in",
    "accounts.views.mailbox": "letters on a machine without mail",
    "accounts.views.profile": "one's own login",
    "accounts.auth_api": "the way in, by REST",
    "config.health": "says only whether it runs",
    "config.login_link": "the printed link",
    "conversations.ui": "the catalogue of parts, in development",
    "integrations.media": "the address is the permission",
    "integrations.sandbox.views": "the address is the permission",
}


def all_views() -> Iterator[tuple[str, Any]]:
    return _walk(get_resolver(), "")


def _walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if path.startswith("admin/"):
            continue  # tests/accounts/test_admin.py
        if isinstance(entry, URLResolver):
            yield from _walk(entry, path)
        elif isinstance(entry, URLPattern):
            yield path, entry.callback


def module_of(view: Any) -> str:
    return str(inspect.unwrap(getattr(view, "cls", view)).__module__)


def test_every_page_declares_what_it_needs() -> None:
    """SX-20: a new page without a permission is a decision, made in this file."""
    undeclared = {
        module_of(view)
        for _path, view in all_views()
        if not hasattr(view, "permission")
        and not getattr(getattr(view, "cls", None), "permissions_by_action", None)
        and not module_of(view).startswith(("drf_spectacular", "django.", "rest_framework"))
    }
    assert undeclared <= set(WITHOUT_PERMISSION)


def test_every_action_of_the_api_declares_what_it_needs() -> None:
    """SX-20: what is not in `permissions_by_action` is closed."""
    for path, view in all_views():
        actions = getattr(view, "actions", None)
        if not actions or module_of(view) in WITHOUT_PERMISSION:
            continue
        table = view.cls.permissions_by_action
        for action in set(actions.values()):
            assert action in table, f"{path}: {action}"


PAGES = [
    ("/", P.CONVERSATIONS_READ),
    ("/agents/", P.AGENTS_READ),
    ("/agents/new/", P.AGENTS_WRITE),
    ("/inboxes/", P.INBOXES_READ),
    ("/inboxes/connect/", P.INBOXES_WRITE),
    ("/rules/", P.RULES_READ),
    ("/rules/new/", P.RULES_WRITE),
    ("/team/", P.MEMBERS_READ),
    ("/team/teams/", P.MEMBERS_READ),
    ("/team/teams/new/", P.CONFIG_WRITE),
    ("/deliveries/", P.DELIVERIES_READ),
    ("/settings/", P.ACCOUNT_READ),
    ("/settings/tokens/", P.TOKENS_OWN),
    ("/settings/audit/", P.AUDIT_READ),
    ("/settings/support/", P.ACCOUNT_READ),
]


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN, Role.SUPERVISOR, Role.PERSON])
def test_each_role_opens_exactly_the_pages_of_the_table(house: SimpleNamespace, role: Role) -> None:
    """SX-21: one row of the table after the other, by each role."""
    client = Client()
    client.force_login(factories.make_person(house.account, role).user)
    for path, needed in PAGES:
        expected = 200 if needed in TABLE[role] else 403
        assert client.get(path).status_code == expected, f"{role} {path}"


def test_nobody_sees_a_page_without_logging_in(house: SimpleNamespace) -> None:
    for path, _needed in PAGES:
        response = Client().get(path)
        assert response.status_code == 302, path
        assert response["Location"].startswith("/login/"), path


def test_a_member_who_was_taken_out_is_out_at_the_next_request(house: SimpleNamespace) -> None:
    """SX-24."""
    client = Client()
    client.force_login(house.person.user)
    assert client.get("/").status_code == 200
    house.person.active = False
    house.person.save()
    response = client.get("/")
    assert response.status_code == 302
    assert "/accounts/" in response["Location"]


def test_rights_only_grow_with_the_rank() -> None:
    people = [Role.PERSON, Role.SUPERVISOR, Role.ADMIN, Role.OWNER]
    for lower, higher in pairwise(people):
        assert RANK[lower] < RANK[higher]
        assert TABLE[lower] <= TABLE[higher]


def test_an_agent_has_no_right_over_settings_people_or_secrets() -> None:
    """SX-23."""
    assert not TABLE[Role.AI] & {
        P.MEMBERS_READ, P.MEMBERS_WRITE, P.AGENTS_WRITE, P.INBOXES_READ, P.INBOXES_WRITE,
        P.RULES_WRITE, P.TOKENS_WRITE, P.SECRETS_READ, P.AUDIT_READ, P.ACCOUNT_WRITE,
    }  # fmt: skip


def test_only_owners_change_the_account_itself() -> None:
    assert [role for role in Role if allows(role, P.ACCOUNT_WRITE)] == [Role.OWNER]


def test_nobody_hands_out_a_role_above_their_own() -> None:
    """Bad input 12."""
    assert not may_grant(Role.ADMIN, Role.OWNER)
    assert may_grant(Role.OWNER, Role.OWNER)
    assert may_grant(Role.ADMIN, Role.ADMIN)
    assert not may_grant(Role.OWNER, Role.AI)


def test_scopes_narrow_and_never_widen() -> None:
    """SX-22."""
    assert allows(Role.ADMIN, P.RULES_WRITE, scopes=["rules:write"])
    assert not allows(Role.ADMIN, P.RULES_WRITE, scopes=["rules:read"])
    assert not allows(Role.PERSON, P.RULES_WRITE, scopes=["rules:write"])
