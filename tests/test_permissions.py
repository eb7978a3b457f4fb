"""The permission table, read as pages and endpoints read it (SX-20, SX-21)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.permissions import RANK, TABLE, Permission, Role, allows, may_grant

P = Permission

# Endpoints of the API that need no membership.
OPEN = {"accounts.auth_api"}  # the way in


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


def test_every_action_of_the_api_declares_what_it_needs() -> None:
    """SX-20: what is not in `permissions_by_action` is closed."""
    for path, view in all_views():
        actions = getattr(view, "actions", None)
        if not actions or module_of(view) in OPEN:
            continue
        table = view.cls.permissions_by_action
        for action in set(actions.values()):
            assert action in table, f"{path}: {action}"


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
        P.RULES_WRITE, P.WEBHOOKS_READ, P.WEBHOOKS_WRITE, P.TOKENS_WRITE, P.SECRETS_READ, P.AUDIT_READ, P.ACCOUNT_WRITE,
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
