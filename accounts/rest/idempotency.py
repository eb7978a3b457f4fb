"""`Idempotency-Key`: the same POST twice has one effect, and the first answer again (24 hours).

The key's row is written in the transaction of the effect: both are there or neither is. A second call
that comes while the first is under way waits for it at the unique index.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import ApiToken, IdempotencyKey
from accounts.rest.answers import Null
from accounts.sealing import seal, unseal

HEADER = "Idempotency-Key"
LIFE = timedelta(hours=24)
Answer = Response | APIException


class KeyReusedError(APIException):
    """409: the key was used for something else."""

    status_code = 409
    default_code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(_("This Idempotency-Key was used with another request."))


class StoredRefusal(APIException):
    """A refusal given before, again."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail, code)
        self.status_code = status


def once(request: Request, act: Callable[[], Answer]) -> Answer:
    """Run `act` unless this key was used already; in the account's context."""
    key = request.headers.get(HEADER)
    if key is None:
        return act()
    return run_once(owner_of(request), key, fingerprint(request), act)


def run_once(
    owner: str, key: str, digest: bytes, act: Callable[[], Answer], *, life: timedelta = LIFE
) -> Answer:
    """Run `act` unless `owner` used this key already within `life`; `digest` is of what was sent.

    What `act` raises is not remembered. In the account's context. Raises `ValidationError`,
    `KeyReusedError`.
    """
    if not 0 < len(key) <= 200 or not key.isprintable():
        raise ValidationError({HEADER: _("One to 200 printable characters.")})
    row, replay = _claim(owner, key, digest, life)
    if replay:
        return _again(row)
    answer = act()
    _store(row, answer)
    return answer


def prune() -> int:
    """Delete keys that are over, in the account in context; returns how many."""
    return IdempotencyKey.objects.filter(created_at__lt=timezone.now() - LIFE).delete()[0]


def _claim(owner: str, key: str, digest: bytes, life: timedelta) -> tuple[IdempotencyKey, bool]:
    row, created = IdempotencyKey.objects.get_or_create(
        token_key=owner, key=key, defaults={"body_sha256": digest}
    )
    if created:
        return row, False
    if row.created_at < timezone.now() - life:
        row.delete()
        return _claim(owner, key, digest, life)
    if bytes(row.body_sha256) != digest:
        raise KeyReusedError
    return row, True


def owner_of(request: Request) -> str:
    """Whose keys these are: the token's, or the member's with a session."""
    if isinstance(request.auth, ApiToken):
        return f"token:{request.auth.key_id}"
    return f"member:{request._request.member.pk}"  # type: ignore[attr-defined]


def fingerprint(request: Request) -> bytes:
    """SHA-256 over method, path and what was sent; files by their content."""
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode())
    digest.update(json.dumps(_comparable(request.data), sort_keys=True).encode())
    return digest.digest()


def _comparable(data: Any) -> Any:
    if not hasattr(data, "lists"):
        return data
    return {name: [_value(value) for value in values] for name, values in data.lists()}


def _value(value: Any) -> str:
    if not isinstance(value, UploadedFile):
        return str(value)
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return digest.hexdigest()


def _store(row: IdempotencyKey, answer: Answer) -> None:
    if isinstance(answer, Response):
        row.status, body = answer.status_code, answer.data
    else:
        detail: Any = answer.detail
        row.status, body = answer.status_code, {"code": detail.code, "detail": str(detail)}
    sealed = seal(JSONRenderer().render(body), context=_context(row))
    row.answer = {
        "refusal": isinstance(answer, APIException),
        "null": isinstance(answer, Null),
        "sealed": base64.b64encode(sealed).decode(),
    }
    row.save(update_fields=["status", "answer"])


def _again(row: IdempotencyKey) -> Answer:
    stored: dict[str, Any] = row.answer or {}
    plain = unseal(base64.b64decode(stored["sealed"]), context=_context(row))
    body: Any = json.loads(plain) if plain else None
    if stored["refusal"]:
        return StoredRefusal(row.status, body["code"], body["detail"])
    form = Null if stored.get("null") else Response
    return form(body, status=row.status, headers={"Idempotent-Replayed": "true"})


def _context(row: IdempotencyKey) -> str:
    """Answers may hold a secret that is shown once, so they are sealed like one (SX-50)."""
    return f"idempotency.answer:{row.account_id}:{row.token_key}:{row.key}"
