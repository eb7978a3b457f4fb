"""Support staff inside an account: with a reason, for an hour, where its owner can see it (SX-10).

A visit is a row, so it can be listed and ended; the staff member's session only names it. It is over
when its hour is, when the member leaves, and at the next request after the owner shut support out.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.errors import AccountsError
from accounts.models import Account, SupportSession, User
from accounts.origin import client_ip, ip_prefix
from accounts.sessions import BEGAN
from accounts.tenancy import account_context

LIFE = timedelta(minutes=60)
SHORTEST_REASON = 8
# A staff session ends after an hour without a page, and after a working day (security.md 3).
IDLE = 3600
DAY = 8 * 3600
_KEY = "support_session"
_SEEN = "staff_seen_at"


class SupportRefusedError(AccountsError):
    """The owner has shut support out, or the reason says nothing."""

    code = "support_refused"


@transaction.atomic
def enter(request: HttpRequest, account: Account, *, user: User, reason: str) -> SupportSession:
    """Begin a visit and end the one before. Raises `SupportRefusedError`."""
    reason = " ".join(reason.split())[:250]
    if len(reason) < SHORTEST_REASON:
        raise SupportRefusedError(_("Give a reason that the account's owner understands."))
    if not account.support_access:
        raise SupportRefusedError(_("The owner of this account keeps support out."))
    leave(request)
    visit = SupportSession.objects.create(
        account=account, user=user, reason=reason, expires_at=timezone.now() + LIFE
    )
    request.session[_KEY] = visit.pk
    _forget(request)
    _write(request, visit, "support.entered")
    return visit


@transaction.atomic
def leave(request: HttpRequest) -> None:
    """End the running visit, if there is one."""
    visit = current(request)
    request.session.pop(_KEY, None)
    _forget(request)
    if visit is not None:
        visit.ended_at = timezone.now()
        visit.save(update_fields=["ended_at"])
        _write(request, visit, "support.left")


def current(request: HttpRequest) -> SupportSession | None:
    """The visit this request belongs to; looked up once per request."""
    if not hasattr(request, "_support_visit"):
        request._support_visit = _find(request)  # type: ignore[attr-defined]  # ours
    return cast("SupportSession | None", getattr(request, "_support_visit", None))


def is_inside(request: HttpRequest) -> bool:
    """Whether pages with an account's content may be offered."""
    return current(request) is not None


def is_super(request: HttpRequest) -> bool:
    return bool(request.user.is_authenticated and request.user.is_superuser)


def saw(request: HttpRequest, target: object) -> None:
    """Note in the account's audit log that support has looked at `target`."""
    visit = current(request)
    if visit is not None:
        _write(request, visit, "support.viewed", target=target)


def actor(request: HttpRequest) -> dict[str, Any]:
    """Who acts, for `audit`: the staff member of the running visit, and from where."""
    visit = current(request)
    if visit is None:
        raise PermissionDenied
    return _actor(request, visit)


def _actor(request: HttpRequest, visit: SupportSession) -> dict[str, Any]:
    return {
        "actor_kind": "support",
        "actor_name": visit.user.email,
        "ip": ip_prefix(client_ip(request)),
    }


def is_stale(request: HttpRequest) -> bool:
    """Whether this staff session has been idle or open for too long; notes the use otherwise."""
    now = int(time.time())
    seen = int(request.session.get(_SEEN, now))
    began = int(request.session.get(BEGAN, now))
    if now - seen > IDLE or now - began > DAY:
        return True
    if _SEEN not in request.session or now - seen > 60:
        request.session[_SEEN] = now
    return False


def _find(request: HttpRequest) -> SupportSession | None:
    pk = request.session.get(_KEY)
    if pk is None or not request.user.is_authenticated:
        return None
    return (
        SupportSession.objects.select_related("account", "user")
        .filter(
            pk=pk,
            user_id=request.user.pk,
            ended_at__isnull=True,
            expires_at__gt=timezone.now(),
            account__support_access=True,
        )
        .first()
    )


def _forget(request: HttpRequest) -> None:
    if hasattr(request, "_support_visit"):
        del request._support_visit


def _write(
    request: HttpRequest, visit: SupportSession, action: str, *, target: object = None
) -> None:
    with account_context(visit.account):
        audit(action, by=None, target=target, reason=visit.reason, **_actor(request, visit))
