"""Who is asking: sessions and tokens become `request.member`, and a declared permission lets in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, ParseError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import proof
from accounts.audit import called_by
from accounts.models import Account, ApiToken, Member, User
from accounts.permissions import NOT_FOR_INTEGRATIONS, Permission, allows
from accounts.tenancy import account_context
from accounts.tokens import find_token, touch

View = Callable[..., HttpResponseBase]


class MemberRequest(HttpRequest):
    """A request of somebody inside an account, for annotations."""

    user: User
    member: Member
    account: Account


def member_required(permission: Permission, *, fresh: bool = False) -> Callable[[View], View]:
    """A dashboard page for members who have `permission`; runs inside the account's context.

    `fresh`: what is posted to it is a sensitive act, and wants a fresh proof (SX-43).
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            member = getattr(request, "member", None)
            if member is None:
                return redirect("no-account")
            if not allows(member.role, permission):
                raise PermissionDenied
            if proof.lacks_required_factor(member):
                return proof.to_factor(request)
            # Before the account's transaction, so that wrong guesses count whatever comes of it.
            if fresh and request.method not in proof.READS and (asked := proof.question(request)):
                return asked
            with account_context(member.account_id), called_by(request):
                return view(request, *args, **kwargs)

        guarded.permission = permission  # type: ignore[attr-defined]  # read by the route test
        guarded.fresh = fresh  # type: ignore[attr-defined]  # read by tests/accounts/test_proof.py
        return guarded

    return decorate


def can(request: HttpRequest, permission: Permission) -> bool:
    """Whether to show a control; the view behind it checks again."""
    member = getattr(request, "member", None)
    return member is not None and allows(member.role, permission)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer sb_…`; tokens in the query string are refused (SX-33)."""

    keyword = "Bearer"

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        if any(str(value).startswith("sb_") for value in request.query_params.values()):
            raise ParseError("Put the token into the Authorization header.", code="token_in_query")
        header = request.headers.get("Authorization", "")
        scheme, _, clear = header.partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = find_token(clear.strip()) if len(clear) < 200 else None
        if token is None:
            raise AuthenticationFailed("This token is not valid.", code="invalid_token")
        return enter(request, token)

    def authenticate_header(self, request: Request) -> str:
        return self.keyword


def enter(request: Request, token: ApiToken) -> tuple[Any, ApiToken]:
    """From here on the member of a living token asks; returns what DRF wants to know of the caller."""
    touch(token)
    token.member.account = token.account  # read with it; the member's own would be a query
    http_request = request._request
    http_request.member = token.member  # type: ignore[attr-defined]
    http_request.account = token.account  # type: ignore[attr-defined]
    return token.member.user or token.member, token


class DashboardSessionAuthentication(SessionAuthentication):
    """The dashboard's session, with CSRF; only for people who are members of an account."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        found = super().authenticate(request)
        if found is not None and getattr(request._request, "member", None) is None:
            raise AuthenticationFailed("You are not a member of an account.", code="no_account")
        return found


class DeclaredPermission(BasePermission):
    """Default deny (SX-20): a view names what it needs in `permissions_by_action`, or nobody enters.

    `permissions_by_action` maps an action (or a method, for plain views) to a `Permission`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        table: dict[str, Permission] = getattr(view, "permissions_by_action", {})
        action = getattr(view, "action", None) or str(request.method).lower()
        needed = table.get(action)
        return needed is not None and request_allows(request, needed)


def request_allows(request: Request, needed: Permission) -> bool:
    """Whether this API caller has a permission: by role, and with a token by its scopes too."""
    member = cast("Member | None", getattr(request._request, "member", None))
    if member is None:
        return False
    if isinstance(request.auth, ApiToken) and not _token_allows(request.auth, needed):
        return False
    return allows(member.role, needed)


def _token_allows(token: ApiToken, needed: Permission) -> bool:
    """Scopes narrow a token, and its creator's present role does so again (SX-22)."""
    if token.scopes and needed.value not in token.scopes:
        return False
    if token.kind == ApiToken.Kind.INTEGRATION and needed in NOT_FOR_INTEGRATIONS:
        return False
    return token.created_by is None or (
        token.kind == ApiToken.Kind.AGENT or allows(token.created_by.role, needed)
    )
