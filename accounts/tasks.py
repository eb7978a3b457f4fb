"""Jobs of this room that nobody waits for."""

from __future__ import annotations

from celery import shared_task

from accounts import failures, identity, limits
from accounts.models import Account
from accounts.rest import idempotency
from accounts.tenancy import account_context


@shared_task
def send_password_reset(email: str) -> bool:
    """Queued for known and unknown e-mails alike, so that the answer does not tell them apart."""
    return identity.send_reset_letter(email)


@shared_task
def write_down_failed_logins() -> int:
    """The failed logins that were only counted, into the audit logs."""
    return failures.write_down()


@shared_task
def forget_old_limits() -> int:
    """Delete rate buckets that nobody touched for a day."""
    return limits.prune()


@shared_task
def send_sign_up_letter(email: str, nonce: str, language: str) -> None:
    """Queued for known and unknown e-mails alike."""
    from accounts import letters

    letters.sign_up(email, nonce, language)


@shared_task
def forget_old_answers() -> int:
    """Delete the stored answers of repeated calls after their day, account by account."""
    deleted = 0
    for account_id in Account.objects.values_list("pk", flat=True).iterator():
        with account_context(account_id):
            deleted += idempotency.prune()
    return deleted


@shared_task
def send_owners_letter(account_id: int, name: str, values: dict[str, str]) -> int:
    """Tell the owners of an account about an endpoint (accounts/letters.py)."""
    from accounts import letters

    return letters.to_owners(account_id, name, values)
