"""What their API says when it refuses: the bodies clients were written against, never a page.

One table, from the house's errors to their status and body (contract, section 1). What nobody
expected is logged and answered in the same shape.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404, HttpResponse
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    Throttled,
    ValidationError,
)
from rest_framework.response import Response

from accounts.errors import AccountsError, AlreadyThereError, NotAllowedError
from conversations.errors import BusyError, DeskError, FieldError, NotHolderError, TakenError

logger = logging.getLogger(__name__)

SIGN_IN = {"errors": ["You need to sign in or sign up before continuing."]}
INVALID_TOKEN = {"error": "Invalid Access Token"}
NOT_FOUND = {"error": "Resource could not be found"}
REFUSED = {"error": "You are not authorized to do this action"}
NOT_FOR_BOTS = {"error": "Access to this endpoint is not authorized for bots"}
FOREIGN_BOT = {"error": "Bot is not authorized to access this account"}
NO_PLATFORM_APP = {"error": "Invalid access_token"}
NOT_ITS_OWN = {"error": "Non permissible resource"}
FOREIGN_USER = {"error": "You are not authorized to access this account"}
BROKEN = {"error": "Something went wrong on our side"}

# Their names of what the house's errors call otherwise; a view has its own beside them (`field_names`).
FIELDS = {"url": "outgoing_url", "phone": "phone_number", "attributes": "custom_attributes"}

Body = Mapping[str, Any]
Answer = Response | HttpResponse


class ChatwootError(APIException):
    """An answer of theirs, as an exception: `status` and `body` are what goes out."""

    def __init__(self, status: int, body: Body) -> None:
        super().__init__(str(next(iter(body.values()), "")))
        self.status_code = status
        self.body = body


def unprocessable(sentence: str) -> ChatwootError:
    """422 with a sentence."""
    return ChatwootError(422, {"error": sentence})


def invalid(field: str, sentence: str) -> ChatwootError:
    """422 as their models answer it: the sentence and what it is about."""
    return ChatwootError(422, {"message": sentence, "attributes": [field]})


def missing(name: str) -> ChatwootError:
    """422 for a parameter that nothing goes without."""
    return unprocessable(f"param is missing or the value is empty: {name}")


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Answer:
    """DRF's hook: the answer to whatever was raised in a compat view."""
    if isinstance(error, BusyError):  # nothing is wrong with what was asked, and clients ask again
        error = Throttled(wait=1)
    if isinstance(error, Throttled):
        return _throttled(error)
    status, body = answer_to(error, {**FIELDS, **getattr(context["view"], "field_names", {})})
    if status == 500:
        logger.error("chatwoot call broke", exc_info=error)
    headers = {"Allow": ", ".join(context["view"].allowed_methods)} if status == 405 else None
    response = Response(body, status=status, headers=headers)
    response.exception = True
    return response


def answer_to(error: Exception, names: Mapping[str, str] = FIELDS) -> tuple[int, Body]:
    """Their status and body for an exception; `names` are their names of our fields."""
    match error:
        case ChatwootError():
            return error.status_code, error.body
        case NotAuthenticated():
            return 401, SIGN_IN
        case AuthenticationFailed():
            return 401, INVALID_TOKEN
        case NotFound() | Http404() | ObjectDoesNotExist():
            return 404, NOT_FOUND
        case PermissionDenied() | DjangoPermissionDenied() | NotHolderError() | NotAllowedError():
            return 401, REFUSED
        case MethodNotAllowed():
            return 405, {"error": "There is no such method at this address"}
        case ValidationError():
            return 422, _invalid(error, names)
        case FieldError():
            name = names.get(error.field, error.field)
            taken = f"{name.replace('_', ' ').capitalize()} has already been taken"
            message = taken if isinstance(error, TakenError) else error.message
            return 422, {"message": message, "attributes": [name]}
        case AlreadyThereError():
            return 422, {"message": error.message, "attributes": ["name"]}
        case DeskError() | AccountsError():
            return 422, {"error": error.message}
        case APIException():
            return error.status_code, {"error": str(error.detail)}
        case SuspiciousOperation():
            return 400, {"error": "The request cannot be read"}
    return 500, BROKEN


def _invalid(error: ValidationError, names: Mapping[str, str]) -> Body:
    """`message` joins all sentences, `attributes` names the fields."""
    detail: Any = error.detail
    if not isinstance(detail, dict):
        return {"error": ", ".join(str(one) for one in detail)}
    sentences = [sentence for value in detail.values() for sentence in _sentences(value)]
    return {
        "message": ", ".join(sentences),
        "attributes": [names.get(n, n) for n in map(str, detail)],
    }


def _sentences(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [sentence for one in value.values() for sentence in _sentences(one)]
    if isinstance(value, list):
        return [sentence for one in value for sentence in _sentences(one)]
    return [str(value)]


def _throttled(error: Throttled) -> HttpResponse:
    """Plain text, as their throttle answers."""
    response = HttpResponse("Retry later\n", status=429, content_type="text/plain; charset=utf-8")
    wait: float | None = getattr(error, "wait", None)
    response["Retry-After"] = str(int(wait or 1))
    return response
