"""What clients of their API keep with us, and nothing else here reads."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, Member
from accounts.tenancy import AccountModel
from agents.models import Agent, AssignmentRule


class BotSettings(AccountModel):
    """A bot's `bot_config`, and its picture in our storage."""

    agent = models.OneToOneField(Agent, on_delete=models.CASCADE, related_name="bot_settings")
    config: models.JSONField[Any, Any] = models.JSONField(default=dict)
    avatar_path = models.CharField(max_length=250, blank=True, default="", db_default="")
    avatar_mime = models.CharField(max_length=60, blank=True, default="", db_default="")

    def __str__(self) -> str:
        return f"settings of {self.agent_id}"


class RuleWords(AccountModel):
    """An automation rule as its client said it (automation/rules.py)."""

    rule = models.OneToOneField(
        AssignmentRule, on_delete=models.CASCADE, related_name="chatwoot_words"
    )
    description = models.TextField(null=True)  # noqa: DJ001 - answered back as it was said
    event_name = models.CharField(max_length=60)
    conditions: models.JSONField[Any, Any] = models.JSONField(default=list)
    actions: models.JSONField[Any, Any] = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"words of {self.rule_id}"


class CustomFilter(AccountModel):
    """A filter that a member keeps, as their clients show it; to apply one, they send its rows."""

    class Of(models.TextChoices):
        CONVERSATION = "conversation"
        CONTACT = "contact"

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=250)
    of = models.CharField(max_length=12, choices=Of)
    query: models.JSONField[Any, Any] = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(AccountModel.Meta):
        indexes = [models.Index(fields=["account", "member", "of"], name="custom_filter_of_member")]

    def __str__(self) -> str:
        return self.name


class PlatformApp(models.Model):
    """A program that makes bots over their platform API. It belongs to the installation and to no account,
    and touches nothing but the bots it made, in accounts that it was named for."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    key_id = models.CharField(max_length=8, unique=True)
    sha256 = models.BinaryField(max_length=32)
    accounts: models.ManyToManyField[Account, Any] = models.ManyToManyField(
        Account, blank=True, related_name="+", verbose_name=_("accounts")
    )
    active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("platform app")

    def __str__(self) -> str:
        return self.name


class PlatformBot(models.Model):
    """Which app made a bot: an account's, or (`account` null) a system bot, whose picture stands here.

    Outside the walls, because it says behind which one the bot is; it holds numbers, and no content.
    """

    # The agent's, or the system agent's: both are numbered by one sequence.
    number = models.BigIntegerField(primary_key=True)
    app = models.ForeignKey(PlatformApp, on_delete=models.CASCADE, related_name="bots")
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    avatar_path = models.CharField(max_length=250, blank=True)
    avatar_mime = models.CharField(max_length=60, blank=True)

    def __str__(self) -> str:
        return f"bot {self.number} of {self.app}"
