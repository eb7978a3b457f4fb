"""Replay lanes: a bulk replay puts its next deliveries, a little at a time (delivery.md 9, DL-81)."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.tenancy import account_context
from agents import replaying
from integrations.courier.recording import rest_lane
from integrations.courier.work import Claim

STEP_SECONDS = 1.0


def step(claim: Claim) -> float | None:
    """One step of the lane's job, and the lane given back with it; seconds until the next step, None
    when there is none. A step of a courier that has lost the lane changes nothing."""
    with account_context(claim.account_id):
        more = replaying.step(claim.destination_id)
        due = timezone.now() + timedelta(seconds=STEP_SECONDS) if more else None
        if not rest_lane(claim, due):
            transaction.set_rollback(True)
            return None
    return STEP_SECONDS if more else None
