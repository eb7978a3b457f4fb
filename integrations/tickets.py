"""Tickets for the live stream: what a page may hear, signed, good for ten minutes.

The stream checks a ticket without the database (integrations/live.py); pages get one from the
`{% live_stream %}` tag and fetch a fresh one from `renew` before they reconnect.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from django.core.signing import BadSignature, TimestampSigner
from django.http import JsonResponse

from accounts.auth import MemberRequest, member_required
from accounts.permissions import Permission

LIFE = 600
_signer = TimestampSigner(salt="live")


class BadTicketError(Exception):
    """Not a ticket of ours, or too old."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who listens to what. `member_id` is None for a visitor (the sandbox's phone)."""

    account_id: int
    member_id: int | None
    topics: tuple[str, ...]
    issued_at: float


def ticket(account_id: int, topics: Sequence[str], *, member_id: int | None = None) -> str:
    """Sign a ticket. Topics: `account` (everything) or `conversation:<public id>`."""
    body = {"a": account_id, "m": member_id, "t": list(topics), "i": time.time()}
    return _signer.sign_object(body, compress=False)


def read(text: str) -> Ticket:
    """The ticket behind `text`; raises `BadTicketError`."""
    try:
        body = _signer.unsign_object(text, max_age=LIFE)
    except BadSignature as error:
        raise BadTicketError from error
    return Ticket(body["a"], body["m"], tuple(body["t"]), body["i"])


def address(account_id: int, topics: Sequence[str], *, member_id: int | None = None) -> str:
    """The stream's address for an `EventSource`."""
    return f"/live/?ticket={ticket(account_id, topics, member_id=member_id)}"


@member_required(Permission.CONVERSATIONS_READ)
def renew(request: MemberRequest) -> JsonResponse:
    """A fresh address for the page's stream."""
    member = request.member
    return JsonResponse({"address": address(member.account_id, ["account"], member_id=member.pk)})
