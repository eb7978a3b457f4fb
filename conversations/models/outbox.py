"""The outbox: everything that still has to travel, and what happened to it (delivery.md 6).

These tables have no row level security (SX-05: the courier claims over all accounts); they hold ids,
states and sealed bodies. A *lane* is one ordered queue; a *delivery* is one thing to bring.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.models import Account, Member
from accounts.sealing import seal, unseal
from accounts.tenancy import AccountManager, AccountModel, account_key
from conversations.models.contact import Contact
from conversations.models.conversation import Conversation
from conversations.models.message import Message


class PresentEndpoints(AccountManager["Endpoint"]):
    """Without those whose webhook was deleted, which nobody finds any more."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(deleted_at__isnull=True)


class DeletedEndpoints(AccountManager["Endpoint"]):
    """What is left of deleted webhooks until the log has forgotten them."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(deleted_at__isnull=False)


class Endpoint(AccountModel):
    """A URL that gets our events: an agent's, or a subscriber's."""

    class Kind(models.TextChoices):
        AGENT = "agent", _("AI agent")
        SUBSCRIBER = "subscriber", _("subscriber")

    class State(models.TextChoices):
        ENABLED = "enabled", _("enabled")
        PAUSED = "paused", _("paused")
        DISABLED = "disabled", _("disabled")

    class Breaker(models.TextChoices):
        CLOSED = "closed", _("closed")
        OPEN = "open", _("open")
        HALF_OPEN = "half_open", _("half open")

    kind = models.CharField(max_length=10, choices=Kind)
    # What people call a subscriber; an agent has its member's name.
    name = models.CharField(_("name"), max_length=120, blank=True, db_default="")
    dialect = models.CharField(max_length=30)
    url = models.CharField(max_length=2000)
    state = models.CharField(max_length=8, choices=State, default=State.ENABLED)
    disabled_reason = models.CharField(max_length=250, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    timeout_s = models.PositiveSmallIntegerField(default=15)
    max_in_flight = models.PositiveIntegerField(default=1000)
    event_types = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    # An agent's that hears of everything in the inboxes it is attached to, whoever holds the conversation.
    follows = models.BooleanField(default=False, db_default=False)
    # The installation's own (agents/system.py): where it leads is nothing for the account.
    hidden = models.BooleanField(default=False, db_default=False)
    # A subscriber that rather waits than sees a later event first (DL-23).
    strict_order = models.BooleanField(default=False, db_default=False)
    # The circuit breaker (delivery.md 7). `probe_at` is when the next probe may go; `breaker_wait_s` is the
    # wait that led there and doubles with each probe that fails.
    breaker = models.CharField(
        max_length=9, choices=Breaker, default=Breaker.CLOSED, db_default=Breaker.CLOSED.value
    )
    breaker_opened_at = models.DateTimeField(null=True, blank=True)
    breaker_wait_s = models.PositiveIntegerField(default=0, db_default=0)
    probe_at = models.DateTimeField(null=True, blank=True)
    probe_successes = models.PositiveSmallIntegerField(default=0, db_default=0)
    # How many requests may be under way at once just now; null: `max_in_flight` (DL-32).
    in_flight_limit = models.PositiveIntegerField(null=True, blank=True)
    # Attempts of the current minute: {"since": epoch seconds, "attempts": n, "failures": n}.
    window: models.JSONField[Any, Any] = models.JSONField(
        default=dict, blank=True, db_default=Value({}, models.JSONField())
    )
    # The first failure after the last success, and when its owners were warned (DL-67).
    failing_since = models.DateTimeField(null=True, blank=True)
    warned_at = models.DateTimeField(null=True, blank=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=250, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # A webhook that goes with the next rows of its log that forget it; it is switched off, too.
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    public_id = PublicId("end")
    objects: ClassVar[models.Manager[Endpoint]] = PresentEndpoints()
    deleted: ClassVar[models.Manager[Endpoint]] = DeletedEndpoints()

    def __str__(self) -> str:
        return self.name or self.place

    @property
    def place(self) -> str:
        """The address without its query and user part, which may hold a secret; empty for a hidden one."""
        if self.hidden:
            return ""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def shown_url(self) -> str:
        """The address for whom it belongs to; empty where the account may not know it."""
        return "" if self.hidden else self.url

    def forgive(self) -> None:
        """A clean sheet: nothing of its failures is held against it any more. Saves nothing."""
        self.breaker, self.breaker_opened_at, self.probe_at = self.Breaker.CLOSED, None, None
        self.breaker_wait_s = self.probe_successes = self.consecutive_failures = 0
        self.window, self.in_flight_limit = {}, None
        self.failing_since = self.warned_at = None


class EndpointSecret(AccountModel):
    """A signing secret; the newest signs first, older ones until `expires_at` (DL-73)."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="secrets")
    row_key = models.UUIDField(default=uuid.uuid4, editable=False)
    sealed = models.BinaryField(editable=False)
    hint = models.CharField(max_length=8, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta(AccountModel.Meta):
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"secret ending in {self.hint}"

    @property
    def value(self) -> str:
        """The clear secret, `whsec_…`."""
        return unseal(self.sealed, context=self._seal_context).decode()

    @value.setter
    def value(self, secret: str) -> None:
        self.sealed = seal(secret.encode(), context=self._seal_context)
        self.hint = secret[-4:]

    @property
    def _seal_context(self) -> str:
        return f"endpoint.secret:{self.account_id}:{self.row_key}"


class Lane(AccountModel):
    """One ordered queue: (kind, destination, key). At most one item of it is under way."""

    class Kind(models.TextChoices):
        INBOUND = "inbound", _("inbound")  # destination: inbox; key: contact; items: receipts
        # destination: inbox; key: one of a few buckets; items: receipts of statuses, in any order
        STATUS = "status", _("status")
        AGENT = "agent", _("agent")  # destination: endpoint; key: conversation
        # destination: inbox; key: conversation; items: parts of messages, and acts between them
        SEND = "send", _("send")
        # destination: endpoint; key: conversation, or a parked delivery of it
        SUBSCRIBER = "subscriber", _("subscriber")
        SIGNAL = "signal", _("signal")  # read receipts and typing: never retried, never blocking
        MEDIA = "media", _("media")  # downloads of inbound files
        REPLAY = "replay", _("replay")  # destination: a bulk replay; items: what it has left to put

    account = account_key(db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    destination_id = models.BigIntegerField()
    key = models.CharField(max_length=120)
    due_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    courier_id = models.BigIntegerField(null=True, blank=True)
    blocked_reason = models.CharField(max_length=40, blank=True)
    last_sequence = models.BigIntegerField(default=0)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["kind", "destination_id", "key"], name="lane_once")
        ]
        indexes = [
            models.Index(
                fields=["kind", "account", "due_at"],
                condition=Q(due_at__isnull=False),
                name="lane_due",
            ),
            models.Index(
                fields=["courier_id"], condition=Q(lease_token__isnull=False), name="lane_leased"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} lane {self.destination_id}/{self.key}"


class Delivery(AccountModel):
    """One thing to bring to one destination; terminal states never change again."""

    class State(models.TextChoices):
        PENDING = "pending", _("waiting")
        IN_FLIGHT = "in_flight", _("under way")
        RETRY_WAIT = "retry_wait", _("will be tried again")
        UNCERTAIN = "uncertain", _("perhaps delivered")
        HELD = "held", _("held for a person")
        DELIVERED = "delivered", _("delivered")
        DEAD = "dead", _("given up")
        CANCELED = "canceled", _("canceled")

    OPEN_STATES = ("pending", "in_flight", "retry_wait", "uncertain", "held")
    ENDED_STATES = ("delivered", "dead", "canceled")

    class Schedule(models.TextChoices):
        LIVE = "live", _("live")
        # For an agent to know: nobody waits for it, and nobody takes it amiss when it fails.
        NOTICE = "notice", _("notice")
        SEND = "send", _("send")
        DURABLE = "durable", _("durable")
        ONCE = "once", _("once")

    account = account_key(db_index=False)
    lane = models.ForeignKey(Lane, on_delete=models.CASCADE, related_name="deliveries")
    kind = models.CharField(max_length=10, choices=Lane.Kind)
    schedule = models.CharField(max_length=8, choices=Schedule)
    # Standard Webhooks' `webhook-id`; the same on every retry and replay.
    wire_id = models.CharField(max_length=60)
    event_id = models.CharField(max_length=30, blank=True)
    event_type = models.CharField(max_length=40, blank=True)
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="deliveries",
        db_index=False,  # `delivery_conversation` begins with it
    )
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    # Whom it tells of, when it is about no conversation.
    contact = models.ForeignKey(
        Contact,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,  # `delivery_contact` holds the few that have one
        db_constraint=False,  # checking it would read the whole log, closed to everybody
    )
    part = models.PositiveSmallIntegerField(default=0)
    sequence = models.BigIntegerField()
    epoch = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    deadline_at = models.DateTimeField(null=True, blank=True)
    body_sealed = models.BinaryField(default=b"", editable=False)
    content_type = models.CharField(max_length=60, default="application/json")
    replay_of = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,  # `delivery_replay` holds the few that have one
    )
    possible_duplicate = models.BooleanField(default=False)
    # It is tried alone, so that what came after it need not wait (DL-23).
    parked = models.BooleanField(default=False, db_default=False)
    request_started_at = models.DateTimeField(null=True, blank=True)
    provider_message_id = models.CharField(max_length=250, blank=True)
    dead_reason = models.CharField(max_length=250, blank=True)
    # When an agent's answer to it was applied; one wire id has one answer at most (DL-37). Of an act: when the
    # platform said that it had happened.
    answered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    public_id = PublicId("dlv")

    class Meta(AccountModel.Meta):
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["message", "part"],
                condition=Q(kind="send", replay_of__isnull=True),
                name="send_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["lane", "sequence"],
                condition=Q(state__in=("pending", "in_flight", "retry_wait", "uncertain", "held")),
                name="delivery_head",
            ),
            # What is open is little, however long a conversation's history is. That it has one is said
            # again, so that who asks for a lane's head can never be led here: told in a quiet hour that
            # next to nothing is open, the planner reads all of it for each lane of a backlog.
            models.Index(
                fields=["conversation"],
                condition=Q(
                    state__in=("pending", "in_flight", "retry_wait", "uncertain", "held"),
                    conversation__isnull=False,
                ),
                name="delivery_waiting",
            ),
            models.Index(
                fields=["replay_of"], condition=Q(replay_of__isnull=False), name="delivery_replay"
            ),
            models.Index(
                fields=["contact"], condition=Q(contact__isnull=False), name="delivery_contact"
            ),
            # By the channel's id, which stands on the message itself for its first part.
            models.Index(
                fields=["provider_message_id"], condition=Q(part__gt=0), name="delivery_later_part"
            ),
            models.Index(fields=["account", "-id"], name="delivery_log"),
            models.Index(fields=["wire_id"], name="delivery_wire"),
            models.Index(fields=["conversation", "-id"], name="delivery_conversation"),
            # What somebody has to look at: few, and asked for on every page of an admin.
            models.Index(
                fields=["account", "endpoint"],
                condition=Q(state__in=("dead", "held")),
                name="delivery_attention",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type or self.kind} {self.wire_id}"

    @property
    def is_act(self) -> bool:
        """Whether it tells the platform something, on a send lane between what is said to the customer."""
        return self.kind == Lane.Kind.SEND and self.message_id is None

    @property
    def body(self) -> bytes:
        """What is (or was) sent, byte for byte (DL-36)."""
        if not self.body_sealed:
            return b""
        return unseal(self.body_sealed, context=self._seal_context)

    @body.setter
    def body(self, plain: bytes) -> None:
        self.body_sealed = seal(plain, context=self._seal_context)

    @property
    def _seal_context(self) -> str:
        return f"delivery.body:{self.account_id}:{self.wire_id}"


class Attempt(AccountModel):
    """One try of a delivery: what came back, and what happens next."""

    account = account_key(db_index=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempt_log")
    n = models.PositiveSmallIntegerField()
    courier_id = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    # ok, http_error, timeout_connect, timeout_read, dns, tls, refused, blocked_address, too_large,
    # worker_lost, stale, late, or an error class of the channel
    outcome = models.CharField(max_length=24, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    request_headers = models.JSONField(default=dict)
    response_headers = models.JSONField(default=dict)
    response_body = models.TextField(blank=True)
    error = models.CharField(max_length=500, blank=True)
    next_due_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"attempt {self.n} of delivery {self.delivery_id}"


class Replay(AccountModel):
    """A bulk replay (DL-81): a job that puts old deliveries of an endpoint on their lanes once more, slowly.

    `filters` is what was asked for: `since`, `until` (ISO 8601), `state`, `event_types`.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        CANCELED = "canceled", _("canceled")

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="replays")
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    filters: models.JSONField[Any, Any] = models.JSONField(default=dict)
    most = models.PositiveIntegerField(default=10_000)
    total = models.PositiveIntegerField(default=0)
    put = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    # The last delivery that was looked at.
    cursor = models.BigIntegerField(default=0)
    created_by = models.ForeignKey(Member, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    public_id = PublicId("rpl")

    def __str__(self) -> str:
        return f"replay of {self.endpoint_id}: {self.put} of {self.total}"


class CallbackToken(models.Model):
    """The secret address under which an agent may answer one message later (delivery.md 12).

    Without row level security: it tells the account, so it is read before the account is known
    (SX-05). It holds a hash and ids only.

    A row is written with every event that is pushed, and found by its hash, by its delivery when that is
    sent again, or by its age when it is over; no other index is kept up. Who deletes a delivery does not
    look for it; conversations and endpoints are deleted seldom enough to read them all.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+", db_index=False)
    token_sha256 = models.BinaryField(max_length=32, unique=True)
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    epoch = models.PositiveIntegerField()
    # It may be forgotten before.
    delivery = models.ForeignKey(
        Delivery,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
    )
    expires_at = models.DateTimeField()
    uses = models.PositiveSmallIntegerField(default=0)
    max_uses = models.PositiveSmallIntegerField(default=20)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["account", "expires_at"], name="callback_over")]

    def __str__(self) -> str:
        return f"callback of {self.conversation_id} until {self.expires_at:%H:%M:%S}"

    @staticmethod
    def digest(token: str) -> bytes:
        return hashlib.sha256(token.encode()).digest()


class Timer(AccountModel):
    """Something that must happen at a time, whoever is alive then."""

    class Kind(models.TextChoices):
        PATIENCE = "patience", _("patience")
        SNOOZE = "snooze", _("snooze")
        RECONCILE = "reconcile", _("reconcile")

    account = account_key(db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="timers")
    delivery = models.ForeignKey(
        Delivery, on_delete=models.CASCADE, null=True, blank=True, related_name="timers"
    )
    epoch = models.PositiveIntegerField()
    due_at = models.DateTimeField()
    extended = models.BooleanField(default=False)

    class Meta(AccountModel.Meta):
        # A timer that has fired or was cleared is deleted: a row is always due.
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "kind"],
                condition=Q(kind__in=("patience", "snooze")),
                name="timer_once",
            )
        ]
        indexes = [models.Index(fields=["due_at"], name="timer_due")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.conversation_id} at {self.due_at:%H:%M:%S}"


class Courier(models.Model):
    """A running courier; holds a session advisory lock on its id while it lives (DL-51)."""

    host = models.CharField(max_length=120)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)
    in_flight = models.PositiveIntegerField(default=0)

    ADVISORY_CLASS = 7
    SEEN_WITHIN = timedelta(seconds=60)

    def __str__(self) -> str:
        return f"courier {self.pk} on {self.host}"
