"""What every answer of the Django half carries: a request id and the security headers (SX-70, SX-71)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

from accounts.origin import client_ip, is_within
from config.logs import request_id
from config.problems import not_found

Handler = Callable[[HttpRequest], HttpResponse]

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)
# unfold's Alpine evaluates expressions and sets inline styles (ecosystem.md 4); it stays in here.
STAFF = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)
# Swagger UI is started by an inline script and styles its own nodes.
API_DOCS = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; font-src 'self' data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'; object-src 'none'"
)
STAFF_PATH = "/admin/"
POLICIES = ((STAFF_PATH, STAFF), ("/v1/docs/", API_DOCS))

PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen",
        "geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment",
        "picture-in-picture", "publickey-credentials-create", "screen-wake-lock", "serial", "usb",
        "xr-spatial-tracking",
    )
)  # fmt: skip
CREDENTIAL_HEADERS = ("Authorization", "Api-Access-Token", "X-Api-Key")
_SAFE_ID = re.compile(r"[\w.-]{8,64}\Z")


class RequestIdMiddleware:
    """Gives each request an id: the proxy's `X-Request-ID` when it is well-formed, else a new one."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if _SAFE_ID.match(given) else f"req_{secrets.token_hex(10)}"  # type: ignore[attr-defined]  # ours
        token = request_id.set(request.request_id)  # type: ignore[attr-defined]  # ours
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]  # ours
        finally:
            request_id.reset(token)
        return response


class SecurityHeadersMiddleware:
    """CSP by area, empty Permissions-Policy, and no caching of what a logged-in caller was shown.

    A view that needs another policy (the widget's frame) sets its own header, which stays.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        if carries_credentials(request) or response.cookies:
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class StaffNetworkMiddleware:
    """With `ADMIN_ALLOW` the staff admin does not exist for callers from elsewhere (SX-25).

    Last in the row, so that the answer is made like that of any address that is not there.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(STAFF_PATH) or is_let_in(request):
            return self.get_response(request)
        response = not_found(request, Http404())
        # The admin's own policy would tell that it is there.
        response.headers["Content-Security-Policy"] = STRICT
        return response


def is_let_in(request: HttpRequest) -> bool:
    """Whether the caller's network may know of the staff admin."""
    networks = settings.ADMIN_ALLOW
    return not networks or is_within(client_ip(request), networks)


def policy_for(path: str) -> str:
    """The content security policy of the area that `path` belongs to."""
    return next((policy for prefix, policy in POLICIES if path.startswith(prefix)), STRICT)


def carries_credentials(request: HttpRequest) -> bool:
    """Whether the answer may be personal; looks at the request only, never at the database."""
    return settings.SESSION_COOKIE_NAME in request.COOKIES or any(
        name in request.headers for name in CREDENTIAL_HEADERS
    )
