"""Who calls their API: one of our tokens, in the header their clients use.

`api_access_token` and `Api-Access-Token` are one header here (the router lets the underscores pass,
WSGI folds them); `Authorization: Bearer` is taken too, and wins where both are sent.
"""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import (
    AuthenticationFailed,
    NotAuthenticated,
    NotFound,
    ParseError,
)
from rest_framework.request import Request

from accounts.auth import enter
from accounts.models import Account, ApiToken
from accounts.tokens import find_token
from agents import system
from integrations.chatwoot.errors import FOREIGN_BOT, NOT_FOR_BOTS, ChatwootError

HEADER = "Api-Access-Token"
MAX_TOKEN = 200


class ChatwootTokenAuthentication(BaseAuthentication):
    """Raises `NotAuthenticated` without a token: nothing here is for strangers."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken]:
        if any(str(value).startswith("sb_") for value in request.query_params.values()):
            raise ParseError("Put the token into the api_access_token header.", "token_in_query")
        clear = presented(request)
        if not clear:
            raise NotAuthenticated
        token = find_token(clear) if len(clear) < MAX_TOKEN else None
        token = token or of_system_bot(request, clear)
        if token is None:
            raise AuthenticationFailed
        return enter(request, token)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def of_system_bot(request: Request, clear: str) -> ApiToken | None:
    """What a system bot's token opens in the account of the path; None where it is no such token. Raises
    `ChatwootError` where the account has given the bot nothing to do."""
    found = system.by_token(clear)
    if found is None:
        return None
    number = (request.parser_context or {}).get("kwargs", {}).get("account_id")
    if number is None:
        raise ChatwootError(401, NOT_FOR_BOTS)
    if not Account.objects.filter(pk=int(number)).exists():
        raise NotFound
    token = system.token_in(found, int(number))
    if token is None:
        raise ChatwootError(401, FOREIGN_BOT)
    return token


def presented(request: Request) -> str:
    """The token as the caller wrote it; empty when there is none."""
    scheme, _space, clear = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and clear.strip():
        return clear.strip()
    return request.headers.get(HEADER, "").strip()
