"""The reply address, `/api/callback/<token>`: an agent's later answer, with no other key (delivery.md 12).

2xx is said after the commit only. What the address is good for, and for how long, is in the row of its
hash; a repetition gets the first result again.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, NotFound, Throttled, UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import limits
from accounts.limits import Limit
from accounts.rest import idempotency
from accounts.rest.idempotency import Answer, StoredRefusal
from accounts.tenancy import account_context
from agents import callbacks as agents
from agents.callbacks import CallbackOverError
from agents.dialects import UnreadableAnswerError
from agents.models import Agent
from conversations.errors import DeskError, NotHolderError, WindowClosedError, WrongStateError
from conversations.models import CallbackToken, Conversation
from conversations.services import callbacks

logger = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
PER_TOKEN = Limit("callback", capacity=1, per_second=1)
# Without an Idempotency-Key: the same body again within this time is the same answer again (DL-102).
SAME_BODY = timedelta(seconds=10)
CONFLICTS = (NotHolderError, WindowClosedError, WrongStateError)


class TooLargeError(APIException):
    status_code = 413
    default_code = "too_large"

    def __init__(self) -> None:
        super().__init__(_("An answer has at most 64 KiB."))


class UsedUpError(APIException):
    status_code = 429
    default_code = "callback_used_up"

    def __init__(self) -> None:
        super().__init__(_("This reply address was used as often as it may be."))


class NotStoredError(APIException):
    status_code = 503
    default_code = "not_stored"
    wait = 5  # seconds, as `Retry-After`

    def __init__(self) -> None:
        super().__init__(_("Your answer could not be stored. Send it again."))


class JsonAnyway(BaseContentNegotiation):
    """What an agent says it accepts is no reason to refuse its answer."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class CallbackView(APIView):
    """POST only: a link preview must have no effect (bad input 52)."""

    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = JsonAnyway
    http_method_names = ["post"]
    schema = None  # no part of `/v1/`; docs/agents.md describes it

    def post(self, request: Request, token: str) -> Response:
        try:
            answer = self._answer(request, token)
        except (DatabaseError, InterfaceError) as error:
            logger.exception("callback not stored")
            raise NotStoredError from error
        if isinstance(answer, APIException):
            raise answer
        return answer

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Referrer-Policy"] = "no-referrer"
        response["Cache-Control"] = "no-store"
        return response

    def _answer(self, request: Request, token: str) -> Answer:
        body = read_body(request)
        found = callbacks.find(token)
        if found is None:
            raise NotFound
        with account_context(found.account_id):
            try:
                conversation, callback = callbacks.locked(found)
                agent = agents.agent_of(callback)
            except ObjectDoesNotExist as error:  # the conversation was erased just now
                raise NotFound from error
            except CallbackOverError as error:
                raise StoredRefusal(410, error.code, error.message) from error
            digest = hashlib.sha256(body).digest()
            key = request.headers.get(idempotency.HEADER)
            owner = f"callback:{callback.pk}"

            def act() -> Answer:
                return take(callback, conversation, agent, request, body)

            if key is not None:
                return idempotency.run_once(owner, key, digest, act)
            return idempotency.run_once(f"{owner}:body", digest.hex(), digest, act, life=SAME_BODY)


def read_body(request: Request) -> bytes:
    """Raises for what is too large or no JSON by its own word."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BYTES:
        raise TooLargeError
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaType(kind[:60])
    return bytes(request._request.body)


def take(
    callback: CallbackToken, conversation: Conversation, agent: Agent, request: Request, body: bytes
) -> Answer:
    """The answer, done; a refusal that is returned is stored, and what was kept of it stays. One that is
    raised is forgotten, so that the same may be tried again."""
    if callback.uses >= callback.max_uses:
        raise UsedUpError
    taken = limits.take(PER_TOKEN, str(callback.pk))
    if not taken.allowed:
        raise Throttled(taken.wait)
    try:
        said = agents.answer(callback, conversation, agent, headers=request.headers, body=body)
    except UnreadableAnswerError as error:
        return StoredRefusal(400, "unreadable_answer", str(error))
    except DeskError as error:
        status = 409 if isinstance(error, CONFLICTS) else 400
        return StoredRefusal(status, error.code, error.message)
    return Response({"status": "accepted", "messages": [message.public_id for message in said]})
