"""Meta's error codes, what they mean for the courier, and how we say them (channels.md 2.10)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from conversations.channels import ErrorClass, HttpAnswer, Scope, SendError

EXCERPT = 2000


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means: its class, our sentence, and how long to wait when Meta names no time."""

    error_class: ErrorClass
    sentence: str
    retry_after: float | None = None
    scope: Scope = Scope.INBOX


TOKEN = Meaning(
    ErrorClass.REAUTH,
    gettext_noop("The access token is no longer valid. Enter a new one in the inbox's settings."),
)
PERMISSION = Meaning(
    ErrorClass.REAUTH,
    gettext_noop(
        "The access token lacks a permission. It needs whatsapp_business_messaging and "
        "whatsapp_business_management."
    ),
)
RATE = Meaning(
    ErrorClass.THROTTLED, gettext_noop("WhatsApp asks us to send more slowly."), retry_after=30
)
BUSY = Meaning(ErrorClass.TRANSIENT, gettext_noop("WhatsApp has a passing problem."))
PARAMETER = Meaning(ErrorClass.INVALID, gettext_noop("WhatsApp does not accept this message."))
RECIPIENT = Meaning(
    ErrorClass.INVALID, gettext_noop("WhatsApp does not accept this recipient for this message.")
)
HELD_BACK = Meaning(
    ErrorClass.PERMANENT,
    gettext_noop(
        "WhatsApp chose not to deliver this message. Try again after a day at the earliest."
    ),
)
BLOCKED = Meaning(
    ErrorClass.POLICY,
    gettext_noop("WhatsApp has locked or restricted this business account. See WhatsApp Manager."),
)
ACCOUNT = Meaning(
    ErrorClass.POLICY,
    gettext_noop(
        "The payment method, the registration or the display name of this number needs attention "
        "in WhatsApp Manager."
    ),
)
TEMPLATE = Meaning(
    ErrorClass.INVALID, gettext_noop("The template and its parameters do not fit together.")
)
TEMPLATE_OFF = Meaning(
    ErrorClass.INVALID, gettext_noop("WhatsApp has paused or disabled this template.")
)
FLOW = Meaning(ErrorClass.INVALID, gettext_noop("WhatsApp has blocked or slowed this flow."))

MEANINGS: Mapping[int, Meaning] = {
    0: TOKEN,
    190: TOKEN,
    3: PERMISSION,
    10: PERMISSION,
    **dict.fromkeys(range(200, 300), PERMISSION),
    131005: PERMISSION,
    4: RATE,
    80007: RATE,
    130429: RATE,
    # One business number may write to one user about once in six seconds.
    131056: Meaning(
        ErrorClass.THROTTLED,
        gettext_noop("Too many messages to this customer in a short time."),
        retry_after=6,
        scope=Scope.CONTACT,
    ),
    131048: Meaning(
        ErrorClass.THROTTLED,
        gettext_noop(
            "WhatsApp has restricted this number because its messages were reported as spam."
        ),
        retry_after=3600,
    ),
    133016: Meaning(
        ErrorClass.THROTTLED,
        gettext_noop("This number was registered too often. WhatsApp wants us to wait for hours."),
        retry_after=4 * 3600,
    ),
    131064: Meaning(
        ErrorClass.POLICY,
        gettext_noop("The number of customers this business may write to first is used up."),
    ),
    **dict.fromkeys((1, 2, 131000, 131016, 131057, 135000), BUSY),
    131047: Meaning(
        ErrorClass.WINDOW_CLOSED,
        gettext_noop(
            "More than 24 hours have passed since the customer last wrote. "
            "WhatsApp allows only templates now."
        ),
    ),
    131026: Meaning(
        ErrorClass.UNREACHABLE,
        gettext_noop("This customer cannot be reached on WhatsApp."),
    ),
    131050: Meaning(
        ErrorClass.UNREACHABLE,
        gettext_noop("This customer has stopped marketing messages from this business."),
    ),
    131021: Meaning(ErrorClass.INVALID, gettext_noop("Sender and recipient are the same number.")),
    131030: Meaning(
        ErrorClass.INVALID,
        gettext_noop(
            "This is a test number, and the recipient is not on its list. Add it in the Meta app."
        ),
    ),
    131049: HELD_BACK,
    130472: HELD_BACK,
    **dict.fromkeys((131062, 131063, 137000), RECIPIENT),
    **dict.fromkeys((131008, 131009, 100, 33), PARAMETER),
    131051: Meaning(
        ErrorClass.INVALID, gettext_noop("WhatsApp does not support this kind of message.")
    ),
    131052: Meaning(
        ErrorClass.PERMANENT,
        gettext_noop("WhatsApp could not fetch this file. Ask the customer to send it again."),
    ),
    131053: Meaning(
        ErrorClass.INVALID, gettext_noop("WhatsApp does not accept this file or its type.")
    ),
    **dict.fromkeys((131031, 368, 130497), BLOCKED),
    **dict.fromkeys((131042, 131044, 131045, 131037), ACCOUNT),
    **dict.fromkeys((132000, 132001, 132005, 132007, 132008, 132012), TEMPLATE),
    **dict.fromkeys((132015, 132016), TEMPLATE_OFF),
    **dict.fromkeys((132068, 132069), FLOW),
}
UNKNOWN = Meaning(ErrorClass.PERMANENT, gettext_noop("WhatsApp refused this message."))


def meaning_of(code: str) -> Meaning:
    """The meaning of a code; an unknown one is permanent."""
    readable = code.isascii() and code.isdigit() and len(code) < 10
    return MEANINGS.get(int(code), UNKNOWN) if readable else UNKNOWN


def explain(code: str, platform_text: str = "") -> str:
    """Our sentence for people, with Meta's own words behind it."""
    sentence = _(meaning_of(code).sentence)
    return f"{sentence} ({platform_text})" if platform_text else sentence


def text_of(error: Mapping[str, Any]) -> str:
    """Meta's words for an error, of a send's answer or of a status: what, then the details."""
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    words = [error.get("message") or error.get("title"), details]
    return ": ".join(dict.fromkeys(word for word in words if isinstance(word, str) and word))


def code_of(error: Mapping[str, Any]) -> str:
    code = error.get("code")
    return str(code) if isinstance(code, int | str) and not isinstance(code, bool) else ""


def error_from(answer: HttpAnswer) -> SendError:
    """The error behind any answer that is not a 2xx. Meta wants the code to decide, not the status."""
    error = _error_object(answer.body)
    code = code_of(error)
    meaning = _meaning(answer.status, code, transient=error.get("is_transient") is True)
    words = text_of(error) or f"HTTP {answer.status}"
    retry_after = _retry_after(answer.headers)
    return SendError(
        f"{_(meaning.sentence)} ({words})",
        error_class=meaning.error_class,
        code=code,
        retry_after=meaning.retry_after if retry_after is None else retry_after,
        status=answer.status,
        body=answer.body[:EXCERPT].decode(errors="replace"),
        scope=meaning.scope,
    )


def _meaning(status: int, code: str, *, transient: bool) -> Meaning:
    known = meaning_of(code)
    if transient:
        # A throttle is passing too, and knows better how long to wait.
        return known if known.error_class is ErrorClass.THROTTLED else BUSY
    if known is not UNKNOWN:
        return known
    if status >= 500 or status == 408:
        return BUSY
    if not code:
        return {401: TOKEN, 429: RATE}.get(status, UNKNOWN)
    return RATE if status == 429 else UNKNOWN


def _error_object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


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
