"""The permission table on every page of the dashboard: each declares what it needs (SX-20, SX-21)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.permissions import Permission, allows
from tests.accounts.test_entry import logged_in

# For people without a login, or about oneself; the phone is the customer's, and `/ui/` is for staff.
WITHOUT = {
    "sign_up", "sign_up_code", "login", "login_code", "logout", "password_reset",
    "password_reset_confirm", "invitation", "accounts", "create_account", "no-account",
    "switch_account", "mailbox", "letter", "profile", "security", "change_password", "factor_on",
    "factor_off", "recovery_codes", "prove", "login_link", "media", "ui", "callback",
}  # fmt: skip


def pages(patterns: list[Any] | None = None) -> list[URLPattern]:
    """Every named route of ours, without the admin, the API and the sandbox's phone."""
    found: list[URLPattern] = []
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        if isinstance(pattern, URLResolver) and pattern.namespace != "admin":
            found += pages(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            found.append(pattern)
    return [p for p in found if not str(p.name).startswith(("api-", "sandbox"))]


def needed(pattern: URLPattern) -> Permission | None:
    found: Permission | None = getattr(pattern.callback, "permission", None)
    return found


def test_every_page_declares_what_it_needs() -> None:
    assert {pattern.name for pattern in pages() if needed(pattern) is None} <= WITHOUT


def test_every_page_lets_in_exactly_the_roles_of_the_table(house: SimpleNamespace) -> None:
    wrong = []
    for member in (house.owner, house.admin, house.supervisor, house.person):
        client = logged_in(member)
        for pattern in pages():
            permission = needed(pattern)
            if permission is None:
                continue
            names = pattern.pattern.converters
            path = reverse(pattern.name or "", kwargs=dict.fromkeys(names, "xyz"))
            # Who may not is refused before the method is; who may gets 200, 302, 404 or 405.
            status = client.get(path).status_code
            if (status == 403) == allows(member.role, permission):
                wrong.append((member.role, pattern.name, permission, status))
    assert wrong == []


def test_nobody_sees_a_page_without_a_login(house: SimpleNamespace, client: Any) -> None:
    for pattern in pages():
        if needed(pattern) is not None:
            names = pattern.pattern.converters
            path = reverse(pattern.name or "", kwargs=dict.fromkeys(names, "xyz"))
            assert client.get(path)["Location"].startswith("/login/?next="), pattern.name
