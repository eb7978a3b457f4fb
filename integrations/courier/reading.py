"""Inbound lanes: receipts are read in order and applied, each in one transaction (delivery.md 2)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from accounts.tenancy import account_context
from conversations import services
from conversations.channels import ChannelError
from conversations.models import Lane
from conversations.services.inbound import NotYetError
from integrations.courier.recording import rest_lane
from integrations.courier.work import Claim
from integrations.models import Receipt

logger = logging.getLogger(__name__)

State = Receipt.State
# One lane yields after so many, for the sake of the others.
TURN = 50
# Waits before the next try of a receipt that breaks us (DL-18): five tries in all.
POISON_WAITS = (2, 10, 60, 300)
# A status may overtake the answer to the very send it speaks about, but not by much.
NOT_YET_WAITS = (0.2, 0.8, 2)


def read_lane(claim: Claim) -> float | None:
    """Read the lane's receipts and give it back; seconds until it is due again, None for never."""
    for _ in range(TURN):
        if not _read_next(claim):
            break
    return _rest(claim)


def _read_next(claim: Claim) -> bool:
    """Apply the lane's first waiting receipt; False when there is none that is due."""
    with account_context(claim.account_id):
        receipt = (
            Receipt.objects.select_for_update(of=("self",))
            .select_related("inbox")
            .filter(lane_id=claim.lane_id, state=State.NEW)
            .order_by("id")
            .first()
        )
        if receipt is None or (receipt.next_try_at and receipt.next_try_at > timezone.now()):
            return False
        _apply(receipt)
        return True


def _apply(receipt: Receipt) -> None:
    """What the receipt says happens, or what went wrong stands on it; both with its state."""
    try:
        inbox = receipt.inbox
        reading = inbox.channel.read(receipt.body, inbox.as_config())
        result = services.receive(inbox, reading)
    except NotYetError as error:
        _try_again(receipt, NOT_YET_WAITS, str(error), last=State.IGNORED)
    except ChannelError as error:  # the same bytes will read the same for ever
        _end(receipt, State.FAILED, f"not readable: {error}")
    except (OperationalError, InterfaceError):
        raise  # the database is away: nothing happened, nothing is written
    except Exception as error:
        logger.exception("receipt broke inbox=%d receipt=%d", receipt.inbox_id, receipt.pk)
        _try_again(receipt, POISON_WAITS, f"{type(error).__name__}: {error}", last=State.FAILED)
    else:
        _end(receipt, State.IGNORED if result.startswith("ignored") else State.DONE, result)


def _end(receipt: Receipt, state: str, result: str) -> None:
    receipt.state = state
    receipt.result = result.replace("\x00", "")[:500]
    receipt.tries += 1
    receipt.next_try_at = None
    receipt.save(update_fields=["state", "result", "tries", "next_try_at"])


def _try_again(receipt: Receipt, waits: tuple[float, ...], error: str, *, last: str) -> None:
    if receipt.tries >= len(waits):
        _end(receipt, last, error if last == State.FAILED else f"ignored: {error}")
        return
    receipt.next_try_at = timezone.now() + timedelta(seconds=waits[receipt.tries])
    receipt.tries += 1
    receipt.result = error.replace("\x00", "")[:500]
    receipt.save(update_fields=["next_try_at", "tries", "result"])


def _rest(claim: Claim) -> float | None:
    """Lock the lane, look for waiting receipts with fresh eyes, give it back."""
    with account_context(claim.account_id):
        lane = Lane.objects.select_for_update().filter(pk=claim.lane_id).first()
        if lane is None or lane.lease_token != claim.token:
            return None
        waiting = (
            Receipt.objects.filter(lane_id=claim.lane_id, state=State.NEW)
            .order_by("id")
            .values_list("next_try_at", "received_at")
            .first()
        )
        due: datetime | None = (waiting[0] or waiting[1]) if waiting else None
        rest_lane(claim, due)
    return max(0.0, (due - timezone.now()).total_seconds()) if due else None
