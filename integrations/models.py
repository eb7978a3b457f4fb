"""The receipt ledger: every inbound item, kept before it is interpreted (delivery.md 2); and the measures."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.models import Member
from accounts.tenancy import AccountModel, account_key
from conversations.messages import DeliveryStatus
from conversations.models import Inbox


class Receipt(AccountModel):
    """One message or status a platform gave us, with what became of it."""

    class State(models.TextChoices):
        NEW = "new", _("waiting")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        IGNORED = "ignored", _("ignored")

    account = account_key(db_index=False)
    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="receipts")
    lane_id = models.BigIntegerField()
    dedupe_key = models.CharField(max_length=300)
    headers = models.JSONField(default=dict)
    body_packed = models.BinaryField(default=b"", editable=False)
    received_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=8, choices=State, default=State.NEW)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    result = models.CharField(max_length=500, blank=True)

    public_id = PublicId("rcp")

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["account", "inbox", "dedupe_key"], name="receipt_once")
        ]
        indexes = [
            models.Index(fields=["lane_id", "id"], condition=Q(state="new"), name="receipt_queue"),
            models.Index(fields=["account", "-id"], name="receipt_log"),
            models.Index(
                fields=["account", "inbox"], condition=Q(state="failed"), name="receipt_failed"
            ),
        ]

    def __str__(self) -> str:
        return self.dedupe_key

    @property
    def body(self) -> bytes:
        return zlib.decompress(self.body_packed) if self.body_packed else b""

    @staticmethod
    def pack(body: bytes) -> bytes:
        return zlib.compress(body, 1)

    @staticmethod
    def keys_of(external_ids: Iterable[str]) -> list[str]:
        """Under which keys what a platform said of these ids may stand: messages, their echoes, their
        statuses (DL-13)."""
        statuses = (*DeliveryStatus, "played")
        return [
            key
            for one in external_ids
            for key in (f"m:{one}", f"e:{one}", *(f"s:{one}:{status}" for status in statuses))
        ]


class Measure(models.Model):
    """One number of the whole installation: a counter's total, a histogram's bucket, a gauge (measures.py).

    Of no account, so without row level security; its labels name none but where the operator wants it.
    """

    name = models.CharField(max_length=80)
    labels: models.JSONField[Any, Any] = models.JSONField(default=dict)
    value = models.FloatField()
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "labels"], name="measure_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.value:g}"


class Dismissal(AccountModel):
    """Somebody has seen what "needs attention" says of one thing; it comes back with what is newer.

    `kind` and `subject_id` are those of `integrations.attention.Thing`.
    """

    kind = models.CharField(max_length=20)
    subject_id = models.BigIntegerField()
    by = models.ForeignKey(Member, on_delete=models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["account", "kind", "subject_id"], name="dismissal_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id} until {self.at:%Y-%m-%d %H:%M}"
