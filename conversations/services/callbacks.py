"""Reply callbacks: secret addresses under which one event may be answered later (delivery.md 12).

The address is the key, so it is in the event's body and nowhere else with us: the table has its hash.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Now

from accounts.inserting import insert_many
from accounts.tenancy import current_account_id
from conversations.models import CallbackToken, Conversation, Delivery, Message
from conversations.services.locking import lock

# From the customer's message on (DL-100).
LIFE = timedelta(hours=24)
_FORM = re.compile(r"[\w-]{43}", re.ASCII)


class Issued(NamedTuple):
    """An address that stands in a delivery's body. The delivery has its id by now."""

    token: str
    delivery: Delivery
    expires_at: datetime


def new_token() -> str:
    """256 random bits, to stand in an address."""
    return secrets.token_urlsafe(32)


def url_of(token: str) -> str:
    return f"{settings.PUBLIC_URL}/api/callback/{token}"


def end_of(conversation: Conversation, message: Message | None, *, now: datetime) -> datetime:
    """Until when the customer's message may be answered through a callback; without one their last.
    A platform's clock that is ahead of ours prolongs nothing."""
    asked_at = (
        conversation.last_inbound_at if message is None else message.sent_at or message.created_at
    )
    return min(asked_at or now, now) + LIFE


def keep(issued: Sequence[Issued]) -> None:
    """Remember addresses, in the transaction that writes their deliveries, by one statement. Deliveries
    to an endpoint about a conversation have both."""
    insert_many(
        [
            CallbackToken(
                account_id=one.delivery.account_id,
                token_sha256=CallbackToken.digest(one.token),
                conversation_id=one.delivery.conversation_id or 0,
                endpoint_id=one.delivery.endpoint_id or 0,
                epoch=one.delivery.epoch,
                delivery=one.delivery,
                expires_at=one.expires_at,
                max_uses=settings.CALLBACK_MAX_USES,
            )
            for one in issued
        ]
    )


def bind_again(delivery_ids: Collection[int]) -> None:
    """What these deliveries told is told once more, with the same addresses in it, to the agent that has
    their conversations now (which are locked): they are good again, for a day and as many answers. What
    was revoked stays so. An answer's number is never given twice, so it is counted on."""
    if not delivery_ids:
        return
    holding = Conversation.objects.filter(pk=OuterRef("conversation_id"))
    CallbackToken.objects.filter(
        account=current_account_id(), delivery__in=delivery_ids, revoked_at__isnull=True
    ).update(
        epoch=Subquery(holding.values("assignment_epoch")),
        expires_at=Now() + LIFE,
        max_uses=F("uses") + settings.CALLBACK_MAX_USES,
    )


def find(token: str) -> CallbackToken | None:
    """The row of an address, before the account is known."""
    if not _FORM.fullmatch(token):
        return None
    return CallbackToken.objects.filter(token_sha256=CallbackToken.digest(token)).first()


def locked(callback: CallbackToken) -> tuple[Conversation, CallbackToken]:
    """Its conversation and itself, as they are now; the conversation is locked first, as everywhere."""
    conversation = lock(callback.conversation_id)
    return conversation, CallbackToken.objects.select_for_update().get(pk=callback.pk)
