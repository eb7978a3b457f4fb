"""What must not stand in logs, attempts and reports, taken out (SX-90).

The one place that knows how a secret, a phone number or an e-mail address looks. Pure functions:
log filter, delivery log and error reports call the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "[hidden]"

_HIDDEN_NAMES = (
    r"authorization|proxy-authorization|cookie|set-cookie|x-api-key|api[_-]?key|"
    r"[\w.-]*signature[\w-]*|hub\.verify_token|hub\.challenge|[\w-]*token|[\w-]*secret|ticket|"
    r"[\w-]*password|passwd|sessionid|field_keys"
)
_TEXT_NAMES = "text|body|content|caption"
# One value: a quoted string, or everything up to a separator. Header values may hold a scheme word
# ("Bearer x", "Token x"), so a second word is taken along when the first one is such a scheme.
_VALUE = (
    r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:(?:bearer|token|basic)\s+)?[^\s,;&"'}\])]+)"""
)
_NAMED_SECRET = re.compile(
    rf"""(?P<name>["']?\b(?:{_HIDDEN_NAMES})["']?\s*[:=]\s*)(?P<value>{_VALUE})""", re.IGNORECASE
)
_NAMED_TEXT = re.compile(
    rf"""(?P<name>["']?\b(?:{_TEXT_NAMES})["']?\s*[:=]\s*)(?P<value>{_VALUE})""", re.IGNORECASE
)
_BEARER = re.compile(r"\b(bearer)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_TOKEN_SHAPES = re.compile(
    r"\b(?:sb_[a-z]{3,4}_[\w-]{8,}|whsec_[\w+/=-]{8,}|EAA[A-Za-z0-9]{20,}|xox[a-z]-[\w-]{8,})"
)
_SECRET_PATHS = re.compile(
    r"(\\?/api\\?/callback\\?/|/hooks/[\w-]+/|/public/api/v1/inboxes/|/sandbox/|/media/|/login/link/|/invitations?/|/password/[\w-]+/)[\w:.~-]{8,}"
)
# JSON may escape its slashes.
_CALLBACK = re.compile(r"(\\?/api\\?/callback\\?/[\w-]{6})[\w-]+")
_EMAIL = re.compile(r"\b([\w+-])[\w.+-]*@([\w-]+(?:\.[\w-]+)+)")
# Dates and IP addresses look alike; they stay.
_PHONE = re.compile(
    r"(?<![\w.:/-])(?!\d{4}-\d\d-\d\d|\d{1,3}(?:\.\d{1,3}){3}\b)\+?\d(?:[\s().-]?\d){8,13}\d(?![\w-])"
)
_HIDDEN_NAME = re.compile(rf"(?:{_HIDDEN_NAMES})\Z", re.IGNORECASE)


def redact(text: str) -> str:
    """`text` without secrets, message contents, phone numbers (the last three digits stay) and
    e-mail addresses (the first letter and the domain stay)."""
    text = _SECRET_PATHS.sub(rf"\1{HIDDEN}", text)
    text = _NAMED_SECRET.sub(lambda found: found["name"] + HIDDEN, text)
    text = _NAMED_TEXT.sub(
        lambda found: f"{found['name']}[{_length(found['value'])} characters]", text
    )
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return mask(_TOKEN_SHAPES.sub(HIDDEN, text))


def hide_callbacks(text: str) -> str:
    """`text` with reply addresses cut after their first six characters: whoever has one may answer."""
    return _CALLBACK.sub(r"\1…", text)


def mask(text: str) -> str:
    """`text` with phone numbers (the last three digits stay) and e-mail addresses masked."""
    return _PHONE.sub(lambda found: "…" + found[0][-3:], _EMAIL.sub(r"\1…@\2", text))


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """`headers` with the values of secret ones hidden and the others redacted."""
    return {
        name: HIDDEN if _HIDDEN_NAME.match(name) else redact(value)
        for name, value in headers.items()
    }


def _length(value: str) -> int:
    quoted = value[0] in "\"'" and len(value) > 1
    return len(value) - 2 if quoted else len(value)
