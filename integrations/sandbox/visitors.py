"""Who holds the phone: a random name in a signed cookie, bound to one inbox; no login."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from conversations.models import Inbox

COOKIE = "sb_visitor"
LIFE = 30 * 86_400


def visitor_of(request: HttpRequest, inbox: Inbox) -> str:
    """The visitor's name; empty for somebody new, or when the cookie is not one of ours."""
    return str(request.get_signed_cookie(COOKIE, default="", salt=_salt(inbox), max_age=LIFE))


def new_visitor() -> str:
    return secrets.token_hex(16)


def remember(response: HttpResponseBase, visitor: str, inbox: Inbox, *, path: str) -> None:
    response.set_signed_cookie(
        COOKIE,
        visitor,
        salt=_salt(inbox),
        max_age=LIFE,
        path=path,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )


def _salt(inbox: Inbox) -> str:
    return f"sandbox.visitor.{inbox.pk}"
