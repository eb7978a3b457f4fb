"""What clients of their API keep with us, and nothing else here reads."""

from __future__ import annotations

from typing import Any

from django.db import models

from accounts.tenancy import AccountModel
from agents.models import Agent


class BotSettings(AccountModel):
    """A bot's `bot_config`, and its picture in our storage."""

    agent = models.OneToOneField(Agent, on_delete=models.CASCADE, related_name="bot_settings")
    config: models.JSONField[Any, Any] = models.JSONField(default=dict)
    avatar_path = models.CharField(max_length=250, blank=True, default="", db_default="")
    avatar_mime = models.CharField(max_length=60, blank=True, default="", db_default="")

    def __str__(self) -> str:
        return f"settings of {self.agent_id}"
