"""API tokens: `sb_<kind>_<8 char id>_<43 char secret><6 char checksum>` (security.md 3)."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import ApiToken, Member
from accounts.prepared import WORD, prepared

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_SHAPE = re.compile(r"sb_([a-z]{3})_([a-z2-9]{8})_([A-Za-z0-9_-]{43})([0-9a-f]{6})")
DEFAULT_LIFE = timedelta(days=365)


class Minted(NamedTuple):
    """A new token, and what is kept of it: the clear text is stored nowhere."""

    clear: str
    key_id: str
    sha256: bytes


def mint(kind: str) -> Minted:
    """A new token of a kind of three letters."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    head = f"sb_{kind}_{key_id}_{secrets.token_urlsafe(32)}"
    clear = head + _checksum(head)
    return Minted(clear, key_id, hashlib.sha256(clear.encode()).digest())


def key_of(clear: str, *kinds: str) -> str | None:
    """The key id of a well-formed token of one of these kinds (SX-32)."""
    shape = _SHAPE.fullmatch(clear)
    if shape is None or shape[1] not in kinds or shape[4] != _checksum(clear[:-6]):
        return None
    return shape[2]


def proves(clear: str, sha256: bytes | memoryview[int]) -> bool:
    """Whether this is the token of which the hash was kept."""
    return secrets.compare_digest(bytes(sha256), hashlib.sha256(clear.encode()).digest())


def create_token(
    member: Member,
    *,
    kind: str,
    name: str,
    created_by: Member | None = None,
    scopes: list[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """A new token and its clear text, which is shown once and stored nowhere."""
    minted = mint(kind)
    token = ApiToken.objects.create(
        account=member.account,
        member=member,
        kind=kind,
        name=name,
        key_id=minted.key_id,
        sha256=minted.sha256,
        scopes=scopes or [],
        created_by=created_by,
        expires_at=expires_at,
    )
    return token, minted.clear


def find_token(clear: str) -> ApiToken | None:
    """The living token behind `clear`; a malformed one is refused without a query (SX-32).

    Also None: revoked, expired, its member or their login switched off, or its creator gone (agent
    tokens excepted, SX-22).
    """
    key_id = key_of(clear, *ApiToken.Kind.values)
    if key_id is None:
        return None
    token = next(iter(_by_key(key_id)), None)
    if token is None or (token.expires_at is not None and token.expires_at <= timezone.now()):
        return None
    if not proves(clear, token.sha256) or not _alive(token):
        return None
    return token


@prepared(WORD)
def _by_key(key_id: str) -> QuerySet[ApiToken]:
    tokens = ApiToken.objects.select_related("account", "member__user", "created_by")
    return tokens.filter(key_id=key_id, revoked_at__isnull=True)


def touch(token: ApiToken) -> None:
    """Note the use, at most once a minute."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > timedelta(minutes=1):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)


def revoke(token: ApiToken) -> None:
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])


def _alive(token: ApiToken) -> bool:
    if token.kind == ApiToken.Kind.AGENT:
        return True  # belongs to the agent: pausing it silences deliveries, not its key
    user = token.member.user
    if not token.member.active or (user is not None and not user.is_active):
        return False
    return token.created_by is None or token.created_by.active


def _checksum(head: str) -> str:
    return f"{zlib.crc32(head.encode()):08x}"[:6]
