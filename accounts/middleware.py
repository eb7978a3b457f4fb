"""Puts `request.member` and `request.account` beside `request.user`."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from accounts.models import Member, User
from accounts.sessions import SESSION_MEMBER, SESSION_VERSION, is_over


class MemberMiddleware:
    """The membership this session works in, looked up anew at each request (SX-24).

    A session that was made before the user's last change of password, role or second factor ends, and
    so does one that is too old.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.member = None  # type: ignore[attr-defined]
        request.account = None  # type: ignore[attr-defined]
        if request.COOKIES and request.user.is_authenticated:
            self._enter(request, request.user)
        try:
            return self.get_response(request)
        finally:
            timezone.deactivate()  # the thread's next request may be somebody else's

    def _enter(self, request: HttpRequest, user: User) -> None:
        version = request.session.setdefault(SESSION_VERSION, user.auth_version)
        if version != user.auth_version or is_over(request.session):
            logout(request)
            return
        member = self._member(request, user)
        if member is not None:
            request.member = member  # type: ignore[attr-defined]
            request.account = member.account  # type: ignore[attr-defined]
        translation.activate(user.language)
        request.LANGUAGE_CODE = translation.get_language() or user.language
        zone = user.time_zone or (member.account.time_zone if member else "")
        if zone:
            timezone.activate(zone)

    def _member(self, request: HttpRequest, user: User) -> Member | None:
        memberships = Member.objects.active().filter(user=user).select_related("account", "user")
        chosen = request.session.get(SESSION_MEMBER)
        if chosen:
            member = memberships.filter(pk=chosen).first()
            if member:
                return member
        return memberships.order_by("pk").first()
