"""What somebody held when they left."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from accounts.models import Member
from conversations.models import Conversation
from conversations.services.holding import assign


def release_all(*, member: Member, by: Member | None, **_signal: Any) -> int:
    """Receiver of `member_left`: their open and snoozed conversations go to the conversation's team,
    else the inbox's fallback team, else the queue that everybody sees. Returns how many."""
    held = (
        Conversation.objects.held_by(member)
        .exclude(status=Conversation.Status.RESOLVED)
        .select_related("team", "inbox__fallback_team")
        .order_by("id")
    )
    detail = _("%(name)s left the team") % {"name": member.name}
    for conversation in held:
        team = conversation.team or conversation.inbox.fallback_team
        assign(conversation, to=team, by=by, detail=detail)
    return len(held)
