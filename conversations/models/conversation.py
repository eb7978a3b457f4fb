"""Conversations: the thread of one contact in one inbox, and who holds it."""

from __future__ import annotations

from typing import TypeVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.models import Member, Team
from accounts.permissions import Sight, sight_of
from accounts.tenancy import AccountManager, AccountModel, AccountQuerySet, account_key
from conversations.models.contact import Address, Contact
from conversations.models.inbox import Inbox
from conversations.models.label import Label

M = TypeVar("M", bound=models.Model)


class ConversationQuerySet(AccountQuerySet["Conversation"]):
    def open(self) -> ConversationQuerySet:
        return self.filter(status=Conversation.Status.OPEN)

    def held_by(self, member: Member) -> ConversationQuerySet:
        return self.filter(assignee=member)

    def unassigned(self) -> ConversationQuerySet:
        """Nobody in person has it: no assignee; a team may be named."""
        return self.filter(assignee__isnull=True)

    def followed_by(self, member: Member | int) -> ConversationQuerySet:
        return self.filter(pk__in=Participant.objects.filter(member=member).values("conversation"))

    def with_ai(self) -> ConversationQuerySet:
        return self.filter(assignee__kind=Member.Kind.AGENT)

    def visible_to(self, member: Member) -> ConversationQuerySet:
        """What `member` may read and act on; the one place that decides (security.md 2).

        An AI agent: what it holds at this moment (SX-23). People, where the account does not let
        them see all: what they or (`teams`) one of their teams hold, and what waits for everybody.
        Whatever is not in here does not exist for them: 404.
        """
        if member.is_agent:
            return self.held_by(member)
        sight = sight_of(member.role, member.account.people_see)
        if sight is Sight.ALL:
            return self
        teams = Team.objects.filter(memberships__member=member)
        if sight is Sight.OWN:
            return self.filter(Q(assignee=member) | waiting_after(Q(member=member)))
        held = Q(assignee=member) | Q(team__in=teams)
        return self.filter(held | waiting_after(Q(member=member) | Q(team__in=teams)))

    def with_labels(self) -> ConversationQuerySet:
        """With the names of their labels, in the one query; prefetching makes a queryset for each row."""
        names = Label.objects.filter(conversationlabel__conversation=OuterRef("pk")).values("name")
        return self.annotate(known_labels=ArraySubquery(names))  # type: ignore[no-redef]  # it is meant to be filled

    def recent_first(self) -> ConversationQuerySet:
        return self.order_by("-last_activity_at", "-id")

    def for_list(self) -> ConversationQuerySet:
        """With everything a row of a list shows, in a constant number of queries."""
        return self.select_related("contact", "inbox", "assignee", "team").with_labels()


class ConversationManager(AccountManager["Conversation"]):
    pass


def waiting_after(mine: Q) -> Q:
    """What waits for everybody: nobody's, and no team's.

    A resolved conversation is nobody's too. It stays with those who had it last (`mine`, of an
    assignment), or resolving it would open it to the whole account.
    """
    last = Assignment.objects.filter(
        conversation=OuterRef("pk"), epoch=OuterRef("assignment_epoch") - 1
    )
    had_by_others = last.exclude(member=None, team=None).exclude(mine)
    unheld = Q(assignee=None, team=None)
    return unheld & (~Q(status=Conversation.Status.RESOLVED) | Q(~Exists(had_by_others)))


def sees_all(member: Member) -> bool:
    """Whether nothing of the account is hidden from `member`; asks no database."""
    return sight_of(member.role, member.account.people_see) is Sight.ALL


def in_sight(
    rows: models.QuerySet[M], member: Member, *, of: str = "conversation", or_none: bool = False
) -> models.QuerySet[M]:
    """`rows` that hang on conversations, without those whose conversation `member` does not see.

    `or_none`: rows that hang on no conversation are everybody's.
    """
    if sees_all(member):
        return rows
    seen = Q(**{f"{of}__in": Conversation.objects.visible_to(member)})
    return rows.filter(seen | Q(**{of: None}) if or_none else seen)


class Conversation(AccountModel):
    """Who holds it is one state: status, assignee, team and the epoch that fences old holders.

    Only `conversations.services` changes these columns.
    """

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        SNOOZED = "snoozed", _("snoozed")
        RESOLVED = "resolved", _("resolved")

    class Priority(models.TextChoices):
        NONE = "none", _("none")
        LOW = "low", _("low")
        MEDIUM = "medium", _("medium")
        HIGH = "high", _("high")
        URGENT = "urgent", _("urgent")

    account = account_key(db_index=False)
    number = models.PositiveIntegerField()
    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="conversations")
    address = models.ForeignKey(Address, on_delete=models.CASCADE, related_name="conversations")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="conversations")

    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    assignee = models.ForeignKey(
        Member, on_delete=models.SET_NULL, null=True, blank=True, related_name="conversations"
    )
    team = models.ForeignKey(
        Team, on_delete=models.SET_NULL, null=True, blank=True, related_name="conversations"
    )
    assignment_epoch = models.PositiveIntegerField(default=0)
    # The agent that held it last: "give back" returns it there.
    last_agent = models.ForeignKey(
        Member, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    snoozed_until = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    priority = models.CharField(max_length=6, choices=Priority, default=Priority.NONE)
    language = models.CharField(max_length=10, blank=True)
    labels = models.ManyToManyField(
        Label, through="ConversationLabel", related_name="conversations"
    )
    attributes = models.JSONField(default=dict, blank=True)
    # Numbered-text fallback: "2" or a title becomes the option's id again (channels.md 10).
    options = models.JSONField(default=dict, blank=True)
    synthetic = models.BooleanField(default=False)

    # What lists show, kept here so that no list reads messages (performance.md).
    preview = models.CharField(max_length=200, blank=True)
    preview_kind = models.CharField(max_length=20, blank=True)
    preview_direction = models.CharField(max_length=10, blank=True)
    unread_count = models.PositiveIntegerField(default=0)
    waiting_since = models.DateTimeField(null=True, blank=True)
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    last_activity_at = models.DateTimeField()
    # Inbound messages since the conversation was (re)opened: 1 means "first message".
    inbound_count = models.PositiveIntegerField(default=0)
    last_sequence = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ConversationManager.from_queryset(ConversationQuerySet)()  # type: ignore[misc]  # narrower
    public_id = PublicId("cnv")
    # The names of its labels, where somebody has read them for many at once (`label_names`).
    known_labels: list[str] | None = None

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="conversation_number_once"),
            # One thread per address: a resolved one is reopened by the next message.
            models.UniqueConstraint(fields=["account", "address"], name="conversation_per_address"),
        ]
        indexes = [
            models.Index(fields=["account", "-last_activity_at", "-id"], name="conv_recent"),
            models.Index(
                fields=["account", "status", "-last_activity_at", "-id"], name="conv_by_status"
            ),
            models.Index(
                fields=["account", "assignee", "-last_activity_at", "-id"],
                condition=Q(status="open"),
                name="conv_open_by_assignee",
            ),
            # Who waits for anybody at all: looked at for every page (integrations/attention.py).
            models.Index(
                fields=["account", "waiting_since"],
                condition=Q(status="open", assignee__isnull=True, team__isnull=True),
                name="conv_waiting_alone",
            ),
            models.Index(fields=["account", "-updated_at", "-id"], name="conv_updated"),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.contact}"

    @property
    def audit_name(self) -> str:
        return f"#{self.number}"

    @property
    def label_names(self) -> list[str]:
        """In order of the alphabet."""
        if self.known_labels is not None:
            return sorted(self.known_labels)
        return sorted(label.name for label in self.labels.all())

    @property
    def held_by_agent(self) -> bool:
        return self.assignee is not None and self.assignee.is_agent


class ConversationLabel(AccountModel):
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE)
    label = models.ForeignKey(Label, on_delete=models.CASCADE)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "conversation", "label"], name="conversation_label_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.label} on {self.conversation_id}"


class Assignment(AccountModel):
    """Who had it, from when to when, and why; one row per epoch."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="assignments"
    )
    member = models.ForeignKey(
        Member, on_delete=models.SET_NULL, null=True, blank=True, related_name="assignments"
    )
    team = models.ForeignKey(
        Team, on_delete=models.SET_NULL, null=True, blank=True, related_name="assignments"
    )
    epoch = models.PositiveIntegerField()
    # A code of `conversations.services.holding.Reason`; `detail` is the sentence people read.
    reason = models.CharField(max_length=40)
    detail = models.CharField(max_length=500, blank=True)
    summary = models.TextField(blank=True)
    by = models.ForeignKey(
        Member, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "conversation", "epoch"], name="assignment_epoch_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.member or self.team or 'nobody'} (epoch {self.epoch})"


class Participant(AccountModel):
    """A person who follows a conversation, whoever has it. It opens nothing to them that they do not see
    without it."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="participants"
    )
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="participations")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "conversation", "member"], name="participant_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.member_id} follows {self.conversation_id}"
