"""Errors of our own REST API: one body for all, problem+json (RFC 9457, ecosystem.md 5)."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ExceptionHandlerContext
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response

from accounts.errors import (
    AccountsError,
    AlreadyThereError,
    InvitationOverError,
    LastOwnerError,
    NotAllowedError,
)
from conversations.errors import (
    DeskError,
    HolderChangedError,
    NotHolderError,
    WindowClosedError,
    WrongStateError,
)

CONTENT_TYPE = "application/problem+json"
API_PREFIX = "/v1/"
# Where the APIs of other products are; whoever calls there is a program, and reads `error`.
FOREIGN_PREFIXES = ("/api/", "/public/api/", "/platform/api/")


class ProblemFormatter(ExceptionFormatter):
    """`type, title, status, detail, request_id, errors: [{code, detail, attr}]`."""

    def format_error_response(self, error_response: Any) -> dict[str, Any]:
        return problem(
            self.exc.status_code,
            request=self.context["request"],
            errors=[asdict(error) for error in error_response.errors],
        )


class ActRefusedError(APIException):
    """An error of a room's own tree, as an answer."""

    def __init__(self, error: AccountsError | DeskError) -> None:
        super().__init__(error.message, error.code)
        self.status_code = status_of(error)


# What the rooms' errors are over HTTP; the first class that fits counts.
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotAllowedError, 403),
    (InvitationOverError, 410),
    (LastOwnerError, 409),
    (AlreadyThereError, 409),
    (NotHolderError, 409),
    (HolderChangedError, 409),
    (WindowClosedError, 409),
    (WrongStateError, 409),
    (AccountsError, 400),
    (DeskError, 400),
)


def status_of(error: Exception) -> int:
    """The error's own, where it has one, else its class's."""
    own: int | None = getattr(error, "status", None)
    return own or next(status for kind, status in STATUS if isinstance(error, kind))


class ProblemHandler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        field = getattr(exc, "field", "")
        if isinstance(exc, DeskError) and field:
            return ValidationError({field: [exc.message]}, code=exc.code)
        if isinstance(exc, AccountsError | DeskError):
            return ActRefusedError(exc)
        return super().convert_known_exceptions(exc)

    def format_exception(self, exc: APIException) -> dict[str, Any]:
        body: dict[str, Any] = ProblemFormatter(exc, self.context, self.exc).run()
        return body

    def get_response(self, exc: APIException, data: dict[str, Any]) -> Response:
        response: Response = super().get_response(exc, data)
        response.content_type = CONTENT_TYPE
        return response


def exception_handler(exc: Exception, context: ExceptionHandlerContext) -> Response | None:
    """DRF's hook: the answer to any exception raised in an API view."""
    response: Response | None = ProblemHandler(exc, context).run()
    return response


def problem(
    status: int, *, request: Any, errors: list[dict[str, Any]] | None = None, detail: str = ""
) -> dict[str, Any]:
    """The body of a problem answer; `detail` defaults to the first error's."""
    errors = errors or []
    title = HTTPStatus(status).phrase
    code = errors[0]["code"] if errors else title.lower().replace(" ", "_")
    return {
        "type": f"/v1/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail or (errors[0]["detail"] if errors else title),
        "request_id": getattr(request, "request_id", ""),
        "errors": errors,
    }


def problem_response(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    """A problem answer from outside DRF (the router's 404, the last-resort 500)."""
    errors = [{"code": code, "detail": detail, "attr": None}]
    body = problem(status, request=request, errors=errors)
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: a problem for API callers, the page for people."""
    sentence = _("There is nothing at this address.")
    if request.path.startswith(API_PREFIX):
        return problem_response(request, 404, "not_found", sentence)
    if f"{request.path}/".startswith(FOREIGN_PREFIXES):
        return JsonResponse({"error": sentence}, status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500: says nothing about the inside; the request id finds the traceback in the log (SX-92)."""
    detail = _("Something went wrong on our side. Give support the request id.")
    if request.path.startswith(API_PREFIX):
        return problem_response(request, 500, "error", detail)
    if request.path.startswith(FOREIGN_PREFIXES):
        return JsonResponse({"error": detail}, status=500)
    return defaults.server_error(request)
