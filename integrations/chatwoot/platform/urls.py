"""The platform API's addresses, from the root."""

from __future__ import annotations

from django.urls import re_path

from integrations.chatwoot.compat.base import END, Nowhere
from integrations.chatwoot.platform import views

BOTS = r"^platform/api/v1/agent_bots"
BOT = rf"{BOTS}/(?P<number>\d{{1,18}})"

urlpatterns = [
    re_path(rf"{BOTS}{END}", views.PlatformBots.as_view()),
    re_path(rf"{BOT}{END}", views.OnePlatformBot.as_view()),
    re_path(rf"{BOT}/avatar{END}", views.PlatformBotAvatar.as_view()),
    # What is not above is not there, in their words.
    re_path(r"^platform/api/v1(?:/.*)?$", Nowhere.as_view()),
]
