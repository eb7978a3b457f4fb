"""What a refusal of a Chatwoot server means for a send (contract, 1 and 4.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from conversations.channels import ErrorClass, HttpAnswer, Scope, SendError

EXCERPT = 500
# The server says so of a conversation in which more than 200 messages were written within a minute.
TOO_MANY = "too many messages"
MINUTE = 60.0

# Status → class, and our sentence for people.
STATUSES: Mapping[int, tuple[ErrorClass, str]] = {
    401: (ErrorClass.REAUTH, gettext_noop("Chatwoot does not accept this token.")),
    402: (ErrorClass.POLICY, gettext_noop("The plan of the Chatwoot account does not allow this.")),
    404: (
        ErrorClass.UNREACHABLE,
        gettext_noop("Chatwoot has nothing there: it was deleted, or the address is wrong."),
    ),
    408: (ErrorClass.TRANSIENT, gettext_noop("Chatwoot is busy.")),
    413: (ErrorClass.INVALID, gettext_noop("Chatwoot does not take a file of this size.")),
    422: (ErrorClass.INVALID, gettext_noop("Chatwoot refused this message.")),
    429: (ErrorClass.THROTTLED, gettext_noop("Chatwoot wants fewer requests.")),
    # A proxy lost the server after the request had reached it.
    502: (ErrorClass.AMBIGUOUS, gettext_noop("Chatwoot's answer was lost.")),
    504: (ErrorClass.AMBIGUOUS, gettext_noop("Chatwoot's answer was lost.")),
}
BUSY = (ErrorClass.TRANSIENT, gettext_noop("Chatwoot has an error of its own."))
REFUSED = (ErrorClass.PERMANENT, gettext_noop("Chatwoot refused this request."))
MOVED = (
    ErrorClass.PERMANENT,
    gettext_noop("Chatwoot is at another address now. Enter the address that it leads to."),
)


def error_from(answer: HttpAnswer) -> SendError:
    """The error behind any answer that is not a 2xx."""
    words = _words(answer.body)
    error_class, sentence = _meaning(answer.status)
    scope = Scope.INBOX
    retry_after = _retry_after(answer.headers)
    if answer.status == 422 and TOO_MANY in words.lower():
        error_class, scope = ErrorClass.THROTTLED, Scope.CONTACT
        sentence = STATUSES[429][1]
        retry_after = retry_after or MINUTE
    said = words or f"HTTP {answer.status}"
    return SendError(
        f"{_(sentence)} ({said})",
        error_class=error_class,
        code=str(answer.status),
        retry_after=retry_after,
        status=answer.status,
        body=answer.body[:EXCERPT].decode(errors="replace"),
        scope=scope,
    )


def _meaning(status: int) -> tuple[ErrorClass, str]:
    if status in STATUSES:
        return STATUSES[status]
    if 300 <= status < 400:
        return MOVED
    return BUSY if status >= 500 else REFUSED


def _words(body: bytes) -> str:
    """`error`, `message` or the first of `errors`, in their words."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(said, dict):
        return ""
    errors = said.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    found = said.get("error") or said.get("message") or first
    return found[:EXCERPT] if isinstance(found, str) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from either form of the header."""
    value = next((v for k, v in headers.items() if k.lower() == "retry-after"), "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
