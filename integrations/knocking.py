"""Whether an agent's address answers at all: a knock, ten times a minute (security.md, bad input 48).

What is closed, filtered, refused by us or without a valid certificate gets one and the same sentence, and
nothing of what came back is shown but its status: the button is no scanner of other people's ports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.auth import MemberRequest, can, member_required
from accounts.limits import Limit
from accounts.models import Member
from accounts.pages import done, refused
from accounts.permissions import Permission
from accounts.proof import lacks_required_factor
from accounts.tenancy import account_context
from agents.views.agents import find_agent
from integrations.addresses import unreachable
from integrations.http import Exchange, GuardedClient

PER_ACCOUNT = Limit("knock", capacity=10, per_second=10 / 60)
# A person waits for it, on one of Django's threads.
SECONDS = 5.0
MOST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told about a knock."""

    ok: bool
    sentence: str


def knock(url: str) -> Answer:
    """Call `url` once, without anything in it. Any answer of a web server proves that it is there."""
    status = asyncio.run(_ask(url)).status
    if status is None:
        return Answer(False, unreachable())
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        text = _("A server is there, but it knows nothing at this address (HTTP %(status)d).")
        return Answer(False, text % {"status": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        text = _("A server is there, but it is in trouble (HTTP %(status)d).")
        return Answer(False, text % {"status": status})
    text = _("The address can be reached (HTTP %(status)d).")
    return Answer(True, text % {"status": status})


async def _ask(url: str) -> Exchange:
    async with GuardedClient() as http:
        return await http.exchange("GET", url, timeout=SECONDS, max_bytes=MOST_BYTES)


def _knocks(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Knock before the page's transaction opens (DL-03); the view finds the `answer`.

    Outermost, above `member_required`: who may not is let through without a knock and refused there.
    """

    @wraps(view)
    def knocking(request: HttpRequest, *, public_id: str) -> HttpResponseBase:
        answer = None
        if request.method == "POST" and can(request, Permission.AGENTS_WRITE):
            member: Member = request.member  # type: ignore[attr-defined]  # `can` has seen it
            answer = None if lacks_required_factor(member) else _answer(member, public_id)
        return view(request, public_id=public_id, answer=answer)

    return knocking


def _answer(member: Member, public_id: str) -> Answer:
    with account_context(member.account_id):
        url = find_agent(public_id).endpoint.url
    if not limits.take(PER_ACCOUNT, str(member.account_id)).allowed:
        return Answer(False, _("Addresses can be tested ten times a minute. Wait a moment."))
    return knock(url)


@_knocks
@member_required(Permission.AGENTS_WRITE)
@require_POST
def address_test(request: MemberRequest, public_id: str, *, answer: Answer) -> HttpResponse:
    """Back to the agent's page, with what the knock brought."""
    say = done if answer.ok else refused
    return say(request, answer.sentence, "agent", public_id)
