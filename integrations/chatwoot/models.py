"""What clients of their API keep with us, and nothing here reads."""

from __future__ import annotations

from typing import Any

from django.db import models

from accounts.tenancy import AccountModel
from agents.models import Agent


class BotSettings(AccountModel):
    """A bot's `bot_config`."""

    agent = models.OneToOneField(Agent, on_delete=models.CASCADE, related_name="bot_settings")
    config: models.JSONField[Any, Any] = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"settings of {self.agent_id}"
