"""What customers bring to Django's own addresses, kept where the hook door keeps all the rest."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts import metrics
from accounts.tenancy import account_context
from conversations.channels import HookItem
from conversations.models import Inbox, Lane
from conversations.services import outbox
from integrations.courier import reading
from integrations.ledger import INGEST, lane_key
from integrations.models import Receipt
from integrations.services import note_health

# How exact an inbox's page is about the last call.
NOTED_EVERY = timedelta(minutes=5)


def take_in(inbox: Inbox, body: bytes) -> None:
    """Keep a message of a browser without script for the courier, in the account's context."""
    for item in inbox.channel.split(body, inbox.as_config()):
        _keep(inbox, item)


def take_in_now(inbox: Inbox, body: bytes) -> Receipt:
    """Keep one item and read it in the same transaction, for callers that are told what became of it.

    The lane stays locked meanwhile, so what one customer says is read in the order of its receipts; a
    copy of a known item changes nothing and gives the first one's receipt. What breaks our reading is
    kept, and the courier tries it again.
    """
    [item] = inbox.channel.split(body, inbox.as_config())
    place = _place(inbox, item)
    known = Receipt.objects.filter(inbox=inbox, dedupe_key=item.dedupe_key).first()
    _count(inbox, "duplicate" if known else "stored")
    if known is not None:
        return known
    receipt = _receipt(inbox, item, place)
    reading.apply(receipt)
    transaction.on_commit(partial(_note_received, inbox), robust=True)
    return receipt


def _keep(inbox: Inbox, item: HookItem) -> Receipt:
    return _receipt(inbox, item, _place(inbox, item))


def _place(inbox: Inbox, item: HookItem) -> outbox.Place:
    return outbox.take_place(
        account_id=inbox.account_id,
        kind=Lane.Kind.INBOUND,
        destination_id=inbox.pk,
        key=lane_key(item.lane_key),
    )


def _receipt(inbox: Inbox, item: HookItem, place: outbox.Place) -> Receipt:
    return Receipt.objects.create(
        inbox=inbox,
        lane_id=place.lane_id,
        dedupe_key=item.dedupe_key,
        body_packed=Receipt.pack(item.payload),
        received_at=place.at,
    )


def _count(inbox: Inbox, result: str) -> None:
    transaction.on_commit(
        partial(
            metrics.count, INGEST, account=inbox.account_id, source=inbox.platform, result=result
        ),
        robust=True,
    )


def _note_received(inbox: Inbox) -> None:
    """The time of the last call. Seldom: every customer's transaction would wait for the inbox's row."""
    hooks, now = inbox.health.get("hooks", {}), timezone.now()
    last = parse_datetime(hooks.get("received_at") or "")
    if last is None or last < now - NOTED_EVERY:
        with account_context(inbox.account_id):
            received = now.isoformat(timespec="seconds")
            note_health(inbox, "hooks", {**hooks, "received_at": received})
