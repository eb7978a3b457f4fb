"""The number that an invited person will go by: told before they come, and theirs when they do."""

from __future__ import annotations

from django.db import connection

from accounts.models import Account, Invitation, Member


def number_for(account: Account, email: str) -> int:
    """Whoever was a member has theirs already; who was invited before keeps the one they were told by."""
    former = Member.objects.filter(account=account, user__email=email).values_list("pk", flat=True)
    told = Invitation.objects.filter(
        account=account, email=email, accepted_at__isnull=True, member_number__isnull=False
    ).order_by("-pk")
    return former.first() or told.values_list("member_number", flat=True).first() or _next_number()


def kept(invitation: Invitation) -> int | None:
    """The number for a new membership; None where somebody has it, and the table's next one is taken."""
    number = invitation.member_number
    if number is None or Member.objects.filter(pk=number).exists():
        return None
    return number


def _next_number() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('accounts_member', 'id'))")
        number: int = cursor.fetchone()[0]
    return number
