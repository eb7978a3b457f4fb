"""Status lanes: what channels say about our messages, many at a time (delivery.md 2, DL-24).

A status waits for nobody and nobody waits for it: one whose message is not here yet is tried again by
itself, and what stands behind it on the lane goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from django.db import connection

from accounts.prepared import fetched
from accounts.tenancy import account_context
from conversations import services
from conversations.channels import ChannelError
from conversations.messages import Ignored, StatusUpdate
from conversations.models import Inbox
from conversations.services.statuses import missing
from integrations.courier import reading
from integrations.courier.reading import Ended, InboxKey, State, keys_of
from integrations.courier.together import together_or_alone
from integrations.courier.work import Claim
from integrations.models import Receipt

# Read in one transaction, which holds as many conversations locked.
BATCH = 100

# The receipts of the lanes that are still ours whose time has come, oldest first; locked.
_DUE: LiteralString = """
SELECT due.*
FROM unnest(%s::bigint[], %s::uuid[]) AS claim (lane_id, token)
JOIN conversations_lane lane ON lane.id = claim.lane_id AND lane.lease_token = claim.token
CROSS JOIN LATERAL (
    SELECT id, account_id, lane_id, inbox_id, body_packed, tries, next_try_at
    FROM integrations_receipt
    WHERE lane_id = claim.lane_id AND state = 'new'
      AND (next_try_at IS NULL OR next_try_at <= now())
    ORDER BY id LIMIT %s FOR UPDATE) due
ORDER BY id LIMIT %s
"""
# The doors write to these lanes all the time, so one is waited for; they lock in the same order.
_LOCK: LiteralString = """
SELECT id FROM conversations_lane
WHERE (id, lease_token) IN (SELECT * FROM unnest(%s::bigint[], %s::uuid[]))
ORDER BY kind, destination_id, key FOR UPDATE
"""
# By a second statement, so that a receipt that was put on the lane meanwhile is not overlooked.
_REST: LiteralString = """
UPDATE conversations_lane lane
SET lease_token = NULL, lease_until = NULL, courier_id = NULL, due_at = next.due_at
FROM unnest(%s::bigint[]) AS claim (id)
LEFT JOIN LATERAL (
    SELECT min(COALESCE(next_try_at, received_at)) AS due_at FROM integrations_receipt
    WHERE lane_id = claim.id AND state = 'new') next ON true
WHERE lane.id = claim.id
RETURNING lane.id, GREATEST(extract(epoch FROM lane.due_at - now()), 0)::float
"""


def read_lanes(of: InboxKey, claims: Sequence[Claim]) -> list[float | Exception | None]:
    """Read what waits on status lanes of an inbox and give them back; for each the seconds until it is
    due again, None for never."""
    return together_or_alone(of, claims, many=_read_many, one=reading.read_lane)


def _read_many(of: InboxKey, claims: Sequence[Claim]) -> dict[int, float | None]:
    """Apply the statuses in one transaction, give the lanes back in another: who waits for a lane's
    row holds no conversation. Lanes on which something breaks us are left out."""
    with account_context(of.account_id):
        [inbox] = reading.inboxes([of.inbox_id])
        receipts = fetched(Receipt, _DUE, [*keys_of(claims), BATCH, BATCH])
        ended, odd = _read(inbox, receipts)
        reading.end_many(ended)
    places = {claim.lane_id: place for place, claim in enumerate(claims)}
    rested = _rest([claim for claim in claims if claim.lane_id not in odd])
    # One that is not ours any more is not due for us either.
    kept = places.keys() - odd
    return {places[lane_id]: rested.get(lane_id) for lane_id in kept}


def _read(inbox: Inbox, receipts: Sequence[Receipt]) -> tuple[list[Ended], set[int]]:
    """What became of the receipts, and the lanes of those that break us, which are left as they are."""
    config = inbox.as_config()
    ended: list[Ended] = []
    updates: list[tuple[Receipt, StatusUpdate]] = []
    odd: set[int] = set()
    for receipt in receipts:
        try:
            read = inbox.channel.read(receipt.body, config)
        except ChannelError as error:  # the same bytes will read the same for ever
            ended.append(Ended(receipt.pk, State.FAILED, reading.fitting(f"not readable: {error}")))
            continue
        except Exception:  # read once more by itself, where what is wrong gets its name
            read = None
        match read:
            case StatusUpdate():
                updates.append((receipt, read))
            case Ignored():
                ended.append(reading.ended(receipt.pk, f"ignored: {read.reason}"))
            case _:
                odd.add(receipt.lane_id)
    lines = services.receive_statuses(inbox, [update for _receipt, update in updates])
    for (receipt, update), line in zip(updates, lines, strict=True):
        if line is None:
            ended.append(reading.not_yet(receipt, missing(update)))
        else:
            ended.append(reading.ended(receipt.pk, line))
    return ended, odd


def _rest(claims: Sequence[Claim]) -> dict[int, float | None]:
    """Give lanes back; the seconds until each is due again."""
    if not claims:
        return {}
    with account_context(claims[0].account_id), connection.cursor() as cursor:
        cursor.execute(_LOCK, keys_of(claims))
        ours = [row[0] for row in cursor.fetchall()]
        cursor.execute(_REST, [ours])
        return dict(cursor.fetchall())
