"""Secrets at rest: AES-256-GCM, bound to the place they belong to (SX-50).

A sealed value names its key, so keys rotate: the first of `FIELD_KEYS` seals, all of them open. The
`context` (model, field, account, row) is authenticated, so a value copied elsewhere does not open.
"""

from __future__ import annotations

import base64
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class SealError(Exception):
    """The value does not open here: wrong key, wrong row, or damaged."""


def seal(plain: bytes, *, context: str) -> bytes:
    key_id, cipher = _keys()[0]
    nonce = os.urandom(12)
    return key_id.encode() + b":" + nonce + cipher.encrypt(nonce, plain, context.encode())


def unseal(sealed: bytes | memoryview[int], *, context: str) -> bytes:
    """Raises `SealError`."""
    key_id, _, rest = bytes(sealed).partition(b":")
    for known_id, cipher in _keys():
        if known_id.encode() == key_id:
            try:
                return cipher.decrypt(rest[:12], rest[12:], context.encode())
            except InvalidTag as error:
                raise SealError("the sealed value was changed or moved") from error
    raise SealError(f"no key with id {key_id[:12]!r} in FIELD_KEYS")


@lru_cache(maxsize=8)
def _parse(entry: str) -> tuple[str, AESGCM]:
    key_id, _, encoded = entry.partition(":")
    try:
        key = base64.b64decode(encoded, validate=True)
        if not key_id or len(key) != 32:
            raise ValueError("wrong length")
    except ValueError as error:
        raise ImproperlyConfigured(
            "FIELD_KEYS must be a comma-separated list of <key id>:<base64 of 32 bytes>."
        ) from error
    return key_id, AESGCM(key)


def _keys() -> list[tuple[str, AESGCM]]:
    return [_parse(entry) for entry in settings.FIELD_KEYS]
