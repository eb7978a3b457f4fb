"""The headers of a Chatwoot webhook, beside our own (DL-71)."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Sequence

# What the deterministic ids that look like UUIDs are made from.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://www.chatwoot.com/switchboard")


def webhook_headers(
    body: bytes, *, wire_id: str, timestamp: int, secrets: Sequence[str]
) -> dict[str, str]:
    """`X-Chatwoot-*`: the delivery's id is the same on every attempt, the time is the attempt's.

    The newest secret signs, as the text that its owner was shown.
    """
    headers = {"Accept": "application/json", "X-Chatwoot-Delivery": uuid_of(wire_id)}
    if secrets:
        headers["X-Chatwoot-Timestamp"] = str(timestamp)
        headers["X-Chatwoot-Signature"] = sign(body, timestamp=timestamp, secret=secrets[0])
    return headers


def sign(body: bytes, *, timestamp: int, secret: str) -> str:
    """`sha256=` and the hex HMAC of `<timestamp>.<body>`."""
    signed = f"{timestamp}.".encode() + body
    return f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def uuid_of(name: str) -> str:
    """Always the same UUID for the same id of ours."""
    return str(uuid.uuid5(NAMESPACE, name))
