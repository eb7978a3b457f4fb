"""Who answers by itself, and by which rules."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.models import Member, Team
from accounts.sealing import seal, unseal
from accounts.tenancy import AccountModel, account_key
from conversations.models import Conversation, Endpoint, Inbox


class SystemAgent(models.Model):
    """An AI agent of the installation, which every account may take into its service.

    Nothing but a definition: an account that wants it has an `Agent` of its own which is made, and kept,
    as this says (agents/system.py). So nothing that happens in an account leaves it. It belongs to no
    account and stands outside their walls; it holds hashes and a sealed secret.
    """

    # Of the same sequence as agents' ids: where both go by a number, none is ever the other's.
    id = models.BigIntegerField(primary_key=True)
    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(_("description"), max_length=250, blank=True)
    dialect = models.CharField(max_length=30)
    url = models.CharField(_("address"), max_length=2000)
    row_key = models.UUIDField(default=uuid.uuid4, editable=False)
    sealed = models.BinaryField(editable=False)
    # Its token opens the accounts that it works in.
    key_id = models.CharField(max_length=8, unique=True)
    sha256 = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    # Rises with every change; `followed` is up to which one every account's agent is known to be like it.
    version = models.PositiveIntegerField(default=1)
    followed = models.PositiveIntegerField(default=1)

    public_id = PublicId("sys")

    def __str__(self) -> str:
        return self.name

    @property
    def secret(self) -> str:
        """The clear signing secret."""
        return unseal(self.sealed, context=self._seal_context).decode()

    @secret.setter
    def secret(self, clear: str) -> None:
        self.sealed = seal(clear.encode(), context=self._seal_context)

    @property
    def _seal_context(self) -> str:
        return f"systemagent.secret:{self.row_key}"


class Agent(AccountModel):
    """An AI agent: a member that answers over its endpoint, in its dialect.

    `patience_s` is how long a customer waits for a visible reaction before people get the
    conversation; there is no "never" (delivery.md 7).
    """

    class State(models.TextChoices):
        ACTIVE = "active", _("active")
        PAUSED = "paused", _("paused")
        DELETED = "deleted", _("deleted")

    member = models.OneToOneField(Member, on_delete=models.CASCADE, related_name="agent")
    # What it is made and kept after; without, the account's own.
    system = models.ForeignKey(
        SystemAgent, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    endpoint = models.OneToOneField(Endpoint, on_delete=models.PROTECT, related_name="agent")
    dialect = models.CharField(max_length=30, default="native")
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    paused_at = models.DateTimeField(null=True, blank=True)
    description = models.CharField(_("description"), max_length=250, blank=True)
    patience_s = models.PositiveSmallIntegerField(
        _("patience in seconds"),
        default=90,
        validators=[MinValueValidator(10), MaxValueValidator(1800)],
    )
    fallback_team = models.ForeignKey(
        Team, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Said to the customer when people take over after silence; once per 24 h.
    fallback_text = models.CharField(max_length=1000, blank=True)
    # Withhold answers that come after the agent lost the conversation (design.md 1.3). Without it, they are
    # said, and marked as late (agents/late.py).
    stale_gate = models.BooleanField(default=True)
    inboxes = models.ManyToManyField(Inbox, through="AgentInbox", related_name="agents")
    created_at = models.DateTimeField(auto_now_add=True)

    public_id = PublicId("agn")

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["account", "system"], name="agent_of_system_once")
        ]

    def __str__(self) -> str:
        return self.member.name

    @property
    def name(self) -> str:
        return self.member.name


class AgentInbox(AccountModel):
    """The agent may be given conversations of this inbox. No row at all: of every inbox."""

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE)
    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["account", "agent", "inbox"], name="agent_inbox_once")
        ]

    def __str__(self) -> str:
        return f"{self.agent} in {self.inbox}"


class AssignmentRule(AccountModel):
    """When `event` happens and `condition` holds: do `actions`, in order of `position`.

    `condition` is a tree: `{"all": [...]}`, `{"any": [...]}`, `{"not": {...}}` or a leaf
    `{"field": …, "op": …, "value": …}`; `actions` is a list of `{"type": …, …}` (agents/rules.py).
    """

    name = models.CharField(_("name"), max_length=120)
    position = models.PositiveIntegerField(default=0)
    event = models.CharField(max_length=40, default="message.created")
    condition: models.JSONField[Any, Any] = models.JSONField(default=dict)
    actions: models.JSONField[Any, Any] = models.JSONField(default=list)
    # Later rules are not looked at once this one has matched.
    stop = models.BooleanField(default=True)
    enabled = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    public_id = PublicId("rul")

    class Meta(AccountModel.Meta):
        ordering = ["position", "id"]
        indexes = [models.Index(fields=["account", "event", "position"], name="rule_order")]

    def __str__(self) -> str:
        return self.name


class RuleVersion(AccountModel):
    """What a rule said at a time, so that an old decision can be read for ever."""

    rule = models.ForeignKey(
        AssignmentRule, on_delete=models.SET_NULL, null=True, related_name="versions"
    )
    version = models.PositiveIntegerField()
    snapshot = models.JSONField()
    changed_by = models.ForeignKey(Member, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["account", "rule", "version"], name="rule_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} v{self.version}"


class Decision(AccountModel):
    """Why: every rule that was looked at for one event, matched or not, and the deciding value.

    `trace` is a list of `{rule, name, version, matched, leaf: {field, op, value, actual}, actions}`.
    """

    account = account_key(db_index=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="decisions"
    )
    event_id = models.CharField(max_length=30)
    event_type = models.CharField(max_length=40)
    facts = models.JSONField(default=dict)
    trace: models.JSONField[Any, Any] = models.JSONField(default=list)
    outcome = models.CharField(max_length=250, blank=True)
    epoch_before = models.PositiveIntegerField(default=0)
    epoch_after = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    public_id = PublicId("dec")

    class Meta(AccountModel.Meta):
        indexes = [models.Index(fields=["account", "conversation", "-id"], name="decision_recent")]

    def __str__(self) -> str:
        return self.outcome or "no rule matched"
