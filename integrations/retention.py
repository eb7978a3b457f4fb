"""What is forgotten, and when (delivery.md DL-16 and 6, security.md SX-103)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.models import Account
from accounts.tenancy import account_context, current_account_id
from conversations.models import CallbackToken, Delivery, Endpoint, Lane, UnsentText
from conversations.services.outbox import PARKED
from integrations.models import Receipt
from integrations.subscribers.forgetting import forget_rest

# Bodies go first; the key of a receipt stays, so that a late repetition is still known.
RECEIPT_BODY = timedelta(days=30)
DELIVERED_BODY = timedelta(days=7)
FINISHED_DELIVERY = timedelta(days=30)
# A reply address that is over is known for a while, so that it is told from one that never was (410).
EXPIRED_CALLBACK = timedelta(days=7)
# Nobody comes back to what they began so long ago.
UNSENT_TEXT = timedelta(days=30)
BATCH = 2000

State = Delivery.State


def prune() -> dict[str, int]:
    """Forget what is old in every account, in small transactions; how many rows of each kind."""
    counts = {
        "receipt_bodies": 0,
        "delivery_bodies": 0,
        "deliveries": 0,
        "lanes": 0,
        "callbacks": 0,
        "unsent_texts": 0,
        "webhooks": 0,
    }
    now = timezone.now()
    for account_id in Account.objects.order_by("pk").values_list("pk", flat=True):
        for name, step in (
            ("receipt_bodies", _empty_receipts),
            ("delivery_bodies", _empty_deliveries),
            ("deliveries", _delete_deliveries),
            ("lanes", _delete_lanes),
            ("callbacks", _delete_callbacks),
            ("unsent_texts", _delete_unsent_texts),
        ):
            while True:
                with account_context(account_id):
                    done = step(now)
                counts[name] += done
                if done < BATCH:
                    break
        counts["webhooks"] += forget_rest(account_id)
    return counts


def _empty_receipts(now: datetime) -> int:
    old = Receipt.objects.filter(received_at__lt=now - RECEIPT_BODY).exclude(body_packed=b"")
    return Receipt.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).update(
        body_packed=b"", headers={}
    )


def _empty_deliveries(now: datetime) -> int:
    old = Delivery.objects.filter(
        state=State.DELIVERED, finished_at__lt=now - DELIVERED_BODY
    ).exclude(body_sealed=b"")
    return Delivery.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).update(
        body_sealed=b""
    )


def _delete_deliveries(now: datetime) -> int:
    """A first one stays as long as a replay of it: each names it."""
    old = Delivery.objects.filter(
        state__in=Delivery.ENDED_STATES, finished_at__lt=now - FINISHED_DELIVERY
    ).exclude(Exists(Delivery.objects.filter(replay_of=OuterRef("pk"))))
    pks = list(old.values_list("pk", flat=True)[:BATCH])
    Delivery.objects.filter(pk__in=pks).delete()
    return len(pks)


def _delete_lanes(now: datetime) -> int:
    """Lanes of files, of bulk replays and of parked deliveries serve once, and those of a deleted webhook no more. The
    others number their events for ever and stay."""
    orphans = ~Exists(Endpoint.objects.filter(pk=OuterRef("destination_id")))
    once = Q(kind__in=(Lane.Kind.MEDIA, Lane.Kind.REPLAY)) | Q(
        Q(key__startswith=PARKED) | Q(orphans), kind=Lane.Kind.SUBSCRIBER
    )
    empty = Lane.objects.filter(once, due_at__isnull=True, lease_token__isnull=True).exclude(
        Exists(Delivery.objects.filter(lane=OuterRef("pk")))
    )
    pks = list(empty.values_list("pk", flat=True)[:BATCH])
    Lane.objects.filter(pk__in=pks).delete()
    return len(pks)


def _delete_callbacks(now: datetime) -> int:
    over = CallbackToken.objects.filter(
        account=current_account_id(), expires_at__lt=now - EXPIRED_CALLBACK
    )
    pks = list(over.values_list("pk", flat=True)[:BATCH])
    CallbackToken.objects.filter(pk__in=pks).delete()
    return len(pks)


def _delete_unsent_texts(now: datetime) -> int:
    old = UnsentText.objects.filter(updated_at__lt=now - UNSENT_TEXT)
    pks = list(old.values_list("pk", flat=True)[:BATCH])
    UnsentText.objects.filter(pk__in=pks).delete()
    return len(pks)
