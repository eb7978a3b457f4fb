"""Sending: a part that was started is handed to its channel."""

from __future__ import annotations

import logging

from django.utils.translation import override

from conversations import channels
from conversations.channels import (
    ErrorClass,
    HttpClient,
    SendError,
    SendResult,
    UnsupportedMessageError,
)
from conversations.messages import Act
from integrations.courier.parts import Part

logger = logging.getLogger(__name__)


async def send(part: Part, http: HttpClient) -> SendResult | SendError:
    """Hand the part to the channel. Whatever breaks after that may have sent it: AMBIGUOUS."""
    try:
        channel = channels.get(part.inbox.platform)
        with override(part.language):
            if isinstance(part.message, Act):
                return await channel.act(part.message, part.to, part.inbox, http)
            return await channel.send(part.message, part.to, part.inbox, http)
    except SendError as error:
        return error
    except UnsupportedMessageError as error:
        return SendError(str(error), error_class=ErrorClass.INVALID, code="unsupported")
    except Exception as error:
        logger.exception("channel broke platform=%s", part.inbox.platform)
        text = f"the channel's code broke ({type(error).__name__})"
        return SendError(text, error_class=ErrorClass.AMBIGUOUS)
