"""Failed logins of known people, in the audit log of each of their accounts.

The first failure is written at once. Those of the minute after it are only counted, and
`write_down` writes their number later, so a flood fills no table. A failure of an unknown e-mail is
counted the same way, for the same work, and written nowhere (SX-46).
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.audit import audit
from accounts.models import Member, RateBucket, User
from accounts.tenancy import account_context

QUIET = timedelta(minutes=1)
_KNOWN, _UNKNOWN = "login-failed-user:", "login-failed-stranger:"


def note(user: User | None, *, step: str, network: str, email_digest: str = "") -> None:
    """One failure: `step` is what was wrong, `network` where it came from. Outside a transaction.

    `email_digest` names an e-mail that nobody has.
    """
    key = f"{_KNOWN}{user.pk}" if user is not None else f"{_UNKNOWN}{email_digest}"
    number = _count(key)
    if number and user is not None:
        _write(user, number, network=network, step=step)


def write_down() -> int:
    """Write the failures that were only counted; returns for how many people."""
    waiting = RateBucket.objects.filter(
        key__startswith=_KNOWN, tokens__gt=0, updated_at__lte=timezone.now() - QUIET
    )
    users = {user.pk: user for user in User.objects.filter(pk__in=map(_user_of, waiting))}
    for row in waiting:
        number = _take(row.key)
        if number and _user_of(row) in users:
            _write(users[_user_of(row)], number)
    return len(users)


@transaction.atomic
def _count(key: str) -> int:
    """Failures that an entry names now; 0 when the last entry is not a minute old."""
    now = timezone.now()
    row, created = RateBucket.objects.select_for_update().get_or_create(
        key=key, defaults={"tokens": 0, "updated_at": now}
    )
    if created:
        return 1
    if now - row.updated_at < QUIET:
        row.tokens += 1
        row.save(update_fields=["tokens"])
        return 0
    number = int(row.tokens) + 1
    row.tokens, row.updated_at = 0, now
    row.save(update_fields=["tokens", "updated_at"])
    return number


@transaction.atomic
def _take(key: str) -> int:
    """The number counted since the last entry; it starts again from nothing."""
    row = RateBucket.objects.select_for_update().filter(key=key, tokens__gt=0).first()
    if row is None:
        return 0
    number, row.tokens, row.updated_at = int(row.tokens), 0, timezone.now()
    row.save(update_fields=["tokens", "updated_at"])
    return number


def _user_of(row: RateBucket) -> int:
    return int(row.key.removeprefix(_KNOWN))


def _write(user: User, number: int, *, network: str = "", step: str = "") -> None:
    """Whoever it was, it was not shown to be the member: the entry is about them and not by them."""
    changes = {"attempts": number} | ({"step": step} if step else {})
    for member in Member.objects.active().filter(user=user):
        with account_context(member.account_id):
            audit(
                "login.failed",
                by=None,
                target=member,
                changes=changes,
                actor_kind="stranger",
                ip=network,
            )
