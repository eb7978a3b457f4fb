"""Standard Webhooks signatures (delivery.md 8): the body as stored, the time of this attempt."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from django.conf import settings

from agents.dialects import Dialect

PREFIX = "whsec_"


def sign(body: bytes, *, wire_id: str, timestamp: int, secrets: Sequence[str]) -> str:
    """One `v1,…` per live secret, newest first."""
    signed = f"{wire_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_mac(secret, signed)}" for secret in secrets)


def push_headers(
    dialect: Dialect,
    body: bytes,
    *,
    wire_id: str,
    timestamp: int,
    secrets: Sequence[str],
    event_type: str,
    content_type: str,
    attempt: int,
    sequence: int,
    replay: bool,
    overtakes: bool = False,
) -> Mapping[str, str]:
    """Every header of a push: ours, and the dialect's own beside it (DL-70, DL-71)."""
    signature = sign(body, wire_id=wire_id, timestamp=timestamp, secrets=secrets)
    headers = {
        "Content-Type": content_type,
        "User-Agent": f"Switchboard/{settings.VERSION}",
        "webhook-id": wire_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
        "X-Switchboard-Delivery": wire_id,
        "X-Switchboard-Signature": signature,
        "X-Switchboard-Event": event_type,
        "X-Switchboard-Attempt": str(attempt),
        "X-Switchboard-Sequence": str(sequence),
    }
    if replay:
        headers["X-Switchboard-Replay"] = "1"
    if overtakes:
        headers["X-Switchboard-Out-Of-Order"] = "1"
    return {
        **headers,
        **dialect.headers(body, wire_id=wire_id, timestamp=timestamp, secrets=secrets),
    }


def _mac(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    """`whsec_<base64>`; any other text is a key as it stands."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()
