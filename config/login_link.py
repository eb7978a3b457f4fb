"""The one-time login link that `make run` prints: signed, ten minutes, one use.

It stands for the password, which the operator of the machine could set anyway; a second factor is
asked for as after every right password (SX-42).
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import identity
from accounts.identity import SecondFactorNeeded
from accounts.models import User
from accounts.views.entry import FACTOR_SLOT

LIFE = timedelta(minutes=10)
_SALT = "config.login_link"


class LinkError(Exception):
    """The link does not log anybody in; the text says why, for people."""


def make_link(user: User) -> str:
    """An absolute address that logs `user` in once; any login before it is used spends it."""
    payload = {"user": user.pk, "seen": _last_login(user)}
    token = signing.dumps(payload, salt=_SALT)
    return f"{settings.PUBLIC_URL}{reverse('login_link', args=[token])}"


def spend(token: str) -> User:
    """The user behind `token`, which is worth nothing afterwards; raises `LinkError`."""
    try:
        payload = signing.loads(token, salt=_SALT, max_age=LIFE)
    except signing.BadSignature as error:
        raise LinkError("invalid or expired") from error
    users = User.objects
    user = users.filter(pk=payload["user"], is_active=True).first()
    if user is None or _last_login(user) != payload["seen"]:
        raise LinkError("already used")
    # The conditional update makes it one use even when two browsers open the link at once.
    claimed = users.filter(pk=user.pk, last_login=user.last_login).update(last_login=timezone.now())
    if not claimed:
        raise LinkError("already used")
    return user


@require_safe
@never_cache
def view(request: HttpRequest, token: str) -> HttpResponse:
    try:
        user = spend(token)
    except LinkError:
        return render(request, "config/login_link_spent.html", status=410)
    outcome = identity.log_in_by_link(request, user)
    if isinstance(outcome, SecondFactorNeeded):
        request.session[FACTOR_SLOT] = {
            "token": outcome.token,
            "next": settings.LOGIN_REDIRECT_URL,
        }
        response = redirect("login_code")
    else:
        response = redirect(settings.LOGIN_REDIRECT_URL)
    response["Referrer-Policy"] = "no-referrer"
    return response


def _last_login(user: User) -> str:
    return user.last_login.isoformat() if user.last_login else ""
