"""What clients of their API do not wait for."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from celery import shared_task
from django.conf import settings
from django.db import transaction
from rest_framework.exceptions import NotFound

from accounts.tenancy import account_context
from conversations.channels import HttpAnswer, SendError
from conversations.files import CheckedFile, RefusedFileError
from conversations.services import media
from integrations.chatwoot import avatars, bots
from integrations.chatwoot.models import PlatformBot
from integrations.chatwoot.platform import bots as system_bots
from integrations.http import GuardedClient

logger = logging.getLogger(__name__)


@shared_task
def fetch_avatar(account_id: int, agent_id: int, url: str) -> str:
    """Fetch a bot's picture from where a client says it is. What cannot be had is written to the log,
    and the bot keeps the picture it has."""
    result = _fetch(account_id, agent_id, url)
    logger.info("avatar agent=%d result=%s", agent_id, result)
    return result


@shared_task
def fetch_system_avatar(number: int, url: str) -> str:
    """The same for a system bot."""
    result = _fetch_for_system(number, url)
    logger.info("avatar system_bot=%d result=%s", number, result)
    return result


def _fetch_for_system(number: int, url: str) -> str:
    picture = _picture_at(url)
    if isinstance(picture, str):
        return picture
    with media.kept_together(), transaction.atomic():
        bot = PlatformBot.objects.filter(number=number).first()
        if bot is None:
            return "no_agent"
        with suppress(NotFound):  # deleted just now
            system_bots.set_picture(bot, picture)
    return "kept"


def _picture_at(url: str) -> CheckedFile | str:
    """The picture, or in a word why there is none."""
    try:
        answer = asyncio.run(_get(url))
    except SendError as error:
        return str(error.error_class)
    if answer.status != 200:
        return f"http_{answer.status}"
    try:
        return avatars.picture_of(answer.body)
    except RefusedFileError:
        return "no_picture"


def _fetch(account_id: int, agent_id: int, url: str) -> str:
    picture = _picture_at(url)
    if isinstance(picture, str):
        return picture
    with media.kept_together(), account_context(account_id):
        agent = bots.living().filter(pk=agent_id).first()
        if agent is None:
            return "no_agent"
        avatars.keep(agent, picture)
    return "kept"


async def _get(url: str) -> HttpAnswer:
    async with GuardedClient() as http:
        return await http.request("GET", url, max_bytes=settings.MAX_UPLOAD_BYTES)
