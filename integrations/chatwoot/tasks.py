"""What clients of their API do not wait for."""

from __future__ import annotations

import asyncio
import logging

from celery import shared_task
from django.conf import settings

from accounts.tenancy import account_context
from conversations.channels import HttpAnswer, SendError
from conversations.files import RefusedFileError
from conversations.services import media
from integrations.chatwoot import avatars, bots
from integrations.http import GuardedClient

logger = logging.getLogger(__name__)


@shared_task
def fetch_avatar(account_id: int, agent_id: int, url: str) -> str:
    """Fetch a bot's picture from where a client says it is. What cannot be had is written to the log,
    and the bot keeps the picture it has."""
    result = _fetch(account_id, agent_id, url)
    logger.info("avatar agent=%d result=%s", agent_id, result)
    return result


def _fetch(account_id: int, agent_id: int, url: str) -> str:
    try:
        answer = asyncio.run(_get(url))
    except SendError as error:
        return str(error.error_class)
    if answer.status != 200:
        return f"http_{answer.status}"
    try:
        picture = avatars.picture_of(answer.body)
    except RefusedFileError:
        return "no_picture"
    with media.kept_together(), account_context(account_id):
        agent = bots.living().filter(pk=agent_id).first()
        if agent is None:
            return "no_agent"
        avatars.keep(agent, picture)
    return "kept"


async def _get(url: str) -> HttpAnswer:
    async with GuardedClient() as http:
        return await http.request("GET", url, max_bytes=settings.MAX_UPLOAD_BYTES)
