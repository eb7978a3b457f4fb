"""Opaque ids: integers inside, `prefix_` + 13 letters outside.

A fixed bijection on 64-bit integers, so an id needs no column and no index, and says nothing about
how many rows there are to the naked eye. It hides, it does not protect: access is checked by the
account walls, never by the secrecy of an id.
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_MASK = (1 << 64) - 1
_MULTIPLIER = 0x9E37_79B9_7F4A_7C15
_INVERSE = pow(_MULTIPLIER, -1, 1 << 64)
_MIX = 0xD1B5_4A32_D192_ED03


def encode(prefix: str, number: int) -> str:
    """`encode("cnv", 17)` → `cnv_…`, always the same."""
    mixed = ((number * _MULTIPLIER) & _MASK) ^ _MIX
    mixed ^= mixed >> 32
    mixed = (mixed * _MULTIPLIER) & _MASK
    return f"{prefix}_{_base32(mixed, 13)}"


def decode(prefix: str, public_id: str) -> int:
    """The integer behind `public_id`; raises `ValueError` for anything `encode` cannot have made."""
    head, _, letters = public_id.partition("_")
    if head != prefix or len(letters) != 13 or any(letter not in _VALUES for letter in letters):
        raise ValueError(f"not a {prefix}_ id")
    mixed = 0
    for letter in letters:
        mixed = mixed * 32 + _VALUES[letter]
    if mixed > _MASK:
        raise ValueError(f"not a {prefix}_ id")
    mixed = (mixed * _INVERSE) & _MASK
    mixed ^= mixed >> 32
    number = ((mixed ^ _MIX) * _INVERSE) & _MASK
    if number >> 62:
        raise ValueError(f"not a {prefix}_ id")
    return number


def sortable(prefix: str) -> str:
    """A new time-ordered id with 26 letters (48 bits of milliseconds, 80 random), as in delivery.md 3."""
    value = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return f"{prefix}_{_base32(value, 26)}"


def sortable_since(prefix: str, moment: datetime) -> str:
    """The first id that `sortable` can give at `moment`: every later one sorts behind it."""
    return f"{prefix}_{_base32(int(moment.timestamp() * 1000) << 80, 26)}"


def _base32(value: int, length: int) -> str:
    letters = []
    for _ in range(length):
        value, rest = divmod(value, 32)
        letters.append(_ALPHABET[rest])
    return "".join(reversed(letters))


class PublicId:
    """Descriptor: `public_id = PublicId("cnv")` on a model gives `obj.public_id` and the prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def __get__(self, instance: object, owner: type | None = None) -> str:
        if instance is None:
            return self.prefix
        return encode(self.prefix, instance.pk)  # type: ignore[attr-defined]  # a saved model
