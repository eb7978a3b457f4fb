"""Inbound lanes: receipts are read in order and applied, each in one transaction (delivery.md 2)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple

from django.db import InterfaceError, OperationalError, connection
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts import metrics
from accounts.prepared import KEYS, fetched, prepared
from accounts.tenancy import account_context
from conversations import services
from conversations.channels import ChannelError
from conversations.messages import InboundMessage
from conversations.models import Inbox, Lane
from conversations.services.inbound import DUPLICATE, NotYetError
from integrations.courier.recording import rest_lane
from integrations.courier.together import together_or_alone
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


class InboxKey(NamedTuple):
    account_id: int
    inbox_id: int


# The first waiting receipt of each lane that is still ours, locked, unless it waits for another try.
_HEADS: LiteralString = """
SELECT head.*
FROM unnest(%s::bigint[], %s::uuid[]) AS claim (lane_id, token)
JOIN conversations_lane lane ON lane.id = claim.lane_id AND lane.lease_token = claim.token
CROSS JOIN LATERAL (
    SELECT id, account_id, lane_id, inbox_id, body_packed, received_at, next_try_at
    FROM integrations_receipt
    WHERE lane_id = claim.lane_id AND state = 'new' ORDER BY id LIMIT 1 FOR UPDATE) head
WHERE head.next_try_at IS NULL OR head.next_try_at <= now()
"""
_END: LiteralString = """
UPDATE integrations_receipt receipt
SET state = ended.state, result = ended.result, tries = tries + 1,
    next_try_at = now() + ended.wait * interval '1 second'
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::float[]) AS ended (id, state, result, wait)
WHERE receipt.id = ended.id
"""
# As in lanes.py: the row is locked first, without waiting, and what waits on it is looked up by a
# second statement, so that a receipt that was put on it meanwhile is not overlooked.
_LOCK: LiteralString = """
SELECT id FROM conversations_lane
WHERE (id, lease_token) IN (SELECT * FROM unnest(%s::bigint[], %s::uuid[]))
ORDER BY id FOR UPDATE SKIP LOCKED
"""
_REST: LiteralString = """
UPDATE conversations_lane lane
SET lease_token = NULL, lease_until = NULL, courier_id = NULL, due_at = head.due_at
FROM unnest(%s::bigint[]) AS claim (id)
LEFT JOIN LATERAL (
    SELECT COALESCE(next_try_at, received_at) AS due_at FROM integrations_receipt
    WHERE lane_id = claim.id AND state = 'new' ORDER BY id LIMIT 1) head ON true
WHERE lane.id = claim.id
RETURNING lane.id, GREATEST(extract(epoch FROM lane.due_at - now()), 0)::float
"""


class Ended(NamedTuple):
    """What a receipt's reading came to; `wait` seconds until it is tried again, where it is."""

    receipt_id: int
    state: str
    result: str
    wait: float | None = None


def inbox_of(claim: Claim) -> InboxKey:
    """One inbox a transaction: its conversations are locked by one statement, in one order."""
    return InboxKey(claim.account_id, claim.destination_id)


def read_lanes(of: InboxKey, claims: Sequence[Claim]) -> list[float | Exception | None]:
    """Read what waits on lanes of an inbox and give them back; for each the seconds until it is due
    again, None for never."""
    return together_or_alone(of, claims, many=_read_many, one=read_lane)


def _read_many(of: InboxKey, claims: Sequence[Claim]) -> dict[int, float | None]:
    """The first receipts of the lanes, where they are messages; in one transaction."""
    places = {claim.lane_id: place for place, claim in enumerate(claims)}
    with account_context(of.account_id):
        [inbox] = inboxes([of.inbox_id])
        heads = _heads(claims)
        said, odd = _read_heads(inbox, heads)
        lines = services.receive_messages(inbox, list(said.values()))
        end_many([ended(pk, line) for pk, line in zip(said, lines, strict=True)])
        dues = _rest_many([claim for claim in claims if claim.lane_id not in odd])
    _observe_lag([receipt for receipt in heads if receipt.pk in said])
    return {places[lane_id]: due for lane_id, due in dues.items()}


def _heads(claims: Sequence[Claim]) -> list[Receipt]:
    return fetched(Receipt, _HEADS, keys_of(claims))


@prepared(KEYS)
def inboxes(pks: Collection[int]) -> QuerySet[Inbox]:
    return Inbox.objects.filter(pk__among=pks)


def keys_of(claims: Sequence[Claim]) -> list[Any]:
    return [[claim.lane_id for claim in claims], [claim.token for claim in claims]]


def _read_heads(
    inbox: Inbox, heads: Sequence[Receipt]
) -> tuple[dict[int, InboundMessage], set[int]]:
    """The messages by their receipts, and the lanes whose first receipt is something else: a status,
    something unreadable, something that breaks us."""
    config = inbox.as_config()
    said: dict[int, InboundMessage] = {}
    odd = set()
    for receipt in heads:
        try:
            reading = inbox.channel.read(receipt.body, config)
        except Exception:  # read once more by itself, where what is wrong gets its name
            reading = None
        if isinstance(reading, InboundMessage):
            said[receipt.pk] = reading
        else:
            odd.add(receipt.lane_id)
    return said, odd


def ended(receipt_id: int, line: str) -> Ended:
    return Ended(receipt_id, _state_of(line), fitting(line))


def not_yet(receipt: Receipt, error: str) -> Ended:
    """Try it again shortly, or give it up when that was done often enough."""
    if receipt.tries >= len(NOT_YET_WAITS):
        return ended(receipt.pk, f"ignored: {error}")
    return Ended(receipt.pk, State.NEW, fitting(error), NOT_YET_WAITS[receipt.tries])


def end_many(all_ended: Sequence[Ended]) -> None:
    if not all_ended:
        return
    with connection.cursor() as cursor:
        cursor.execute(_END, [list(column) for column in zip(*all_ended, strict=True)])


def _rest_many(claims: Sequence[Claim]) -> dict[int, float | None]:
    """Give back the lanes that nobody else has locked; the seconds until each is due again."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, keys_of(claims))
        locked = [row[0] for row in cursor.fetchall()]
        cursor.execute(_REST, [locked])
        return dict(cursor.fetchall())


def read_lane(claim: Claim) -> float | None:
    """Read the lane's receipts and give it back; seconds until it is due again, None for never.

    They are read in order, and one that has to wait holds up the others; but statuses wait alone.
    """
    for _ in range(TURN):
        if not _read_next(claim):
            break
    return _rest(claim)


def _read_next(claim: Claim) -> bool:
    """Apply the lane's first waiting receipt; False when there is none that is due."""
    with account_context(claim.account_id):
        waiting = Receipt.objects.filter(lane_id=claim.lane_id, state=State.NEW)
        if claim.kind == Lane.Kind.STATUS:
            waiting = waiting.exclude(next_try_at__gt=timezone.now())
        receipt = (
            waiting.select_for_update(of=("self",)).select_related("inbox").order_by("id").first()
        )
        if receipt is None or (receipt.next_try_at and receipt.next_try_at > timezone.now()):
            return False
        apply(receipt)
    if receipt.state != State.NEW:
        _observe_lag([receipt])
    if receipt.result == DUPLICATE:
        metrics.count(
            "switchboard_duplicates_ignored_total",
            account=claim.account_id,
            source=receipt.inbox.platform,
        )
    return True


def _observe_lag(receipts: Sequence[Receipt]) -> None:
    now = timezone.now()
    lags = [max(0.0, (now - receipt.received_at).total_seconds()) for receipt in receipts]
    if lags:
        metrics.observe("switchboard_receipt_lag_seconds", *lags)


def apply(receipt: Receipt) -> None:
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
        _end(receipt, _state_of(result), result)


def _state_of(line: str) -> str:
    return State.IGNORED if line.startswith("ignored") else State.DONE


def fitting(line: str) -> str:
    return line.replace("\x00", "")[:500]


def _end(receipt: Receipt, state: str, result: str) -> None:
    receipt.state = state
    receipt.result = fitting(result)
    receipt.tries += 1
    receipt.next_try_at = None
    receipt.save(update_fields=["state", "result", "tries", "next_try_at"])


def _try_again(receipt: Receipt, waits: tuple[float, ...], error: str, *, last: str) -> None:
    if receipt.tries >= len(waits):
        _end(receipt, last, error if last == State.FAILED else f"ignored: {error}")
        return
    receipt.next_try_at = timezone.now() + timedelta(seconds=waits[receipt.tries])
    receipt.tries += 1
    receipt.result = fitting(error)
    receipt.save(update_fields=["next_try_at", "tries", "result"])


def _rest(claim: Claim) -> float | None:
    """Lock the lane, look for waiting receipts with fresh eyes, give it back."""
    with account_context(claim.account_id):
        lane = Lane.objects.select_for_update().filter(pk=claim.lane_id).first()
        if lane is None or lane.lease_token != claim.token:
            return None
        waiting = Receipt.objects.filter(lane_id=claim.lane_id, state=State.NEW)
        dues = waiting.annotate(due=Coalesce("next_try_at", "received_at"))
        first = dues.order_by("due" if claim.kind == Lane.Kind.STATUS else "id")
        due: datetime | None = first.values_list("due", flat=True).first()
        rest_lane(claim, due)
    return max(0.0, (due - timezone.now()).total_seconds()) if due else None
