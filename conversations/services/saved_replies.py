"""Keeping the texts that people send again and again."""

from __future__ import annotations

import re
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member, Team
from conversations import placeholders
from conversations.errors import FieldError, TakenError
from conversations.models import SavedReply
from conversations.models.saved_reply import teams_for

MAX_TEXT = 10_000
_CODE = re.compile(r"[^\s/]{1,60}")
_FIELDS = frozenset({"code", "text", "team"})


@transaction.atomic
def create_saved_reply(*, code: str, text: str, by: Member, team: Team | None = None) -> SavedReply:
    """A text for everybody, or for a team of theirs (`teams_for`). Raises `FieldError`, `TakenError` for a
    code in use."""
    _check_team(team, by)
    reply = SavedReply(team=team)
    _write(reply, code=code, text=text)
    audit("saved_reply.created", by=by, target=reply)
    return reply


@transaction.atomic
def update_saved_reply(reply: SavedReply, *, by: Member, **changes: Any) -> SavedReply:
    """Change `code`, `text` or `team` (None: for everybody). Raises `FieldError`, `TakenError`, and
    `SavedReply.DoesNotExist` for one of a team that is not theirs."""
    if unknown := changes.keys() - _FIELDS:
        raise TypeError(f"not a column to change: {', '.join(sorted(unknown))}")
    reply = _theirs(reply, by)
    if "team" in changes:
        _check_team(changes["team"], by)
        reply.team = changes["team"]
    _write(reply, code=changes.get("code", reply.code), text=changes.get("text", reply.text))
    audit("saved_reply.changed", by=by, target=reply, changes={"changed": sorted(changes)})
    return reply


@transaction.atomic
def delete_saved_reply(reply: SavedReply, *, by: Member) -> None:
    """What was sent with it stays as it was said. Raises `SavedReply.DoesNotExist` for one of a team that
    is not theirs."""
    reply = _theirs(reply, by)
    audit("saved_reply.deleted", by=by, target=reply)
    reply.delete()


def _theirs(reply: SavedReply, by: Member) -> SavedReply:
    """As it is now, locked: it may have gone to another team meanwhile."""
    rows = SavedReply.objects.usable_by(by).select_for_update(of=("self",))
    found: SavedReply = rows.get(pk=reply.pk)
    return found


def _check_team(team: Team | None, by: Member) -> None:
    if team is not None and not teams_for(by).filter(pk=team.pk).exists():
        raise FieldError("team", _("This is no team of yours."))


def _write(reply: SavedReply, *, code: str, text: str) -> None:
    reply.code = code.strip().removeprefix("/")
    reply.text = text.strip()
    if not _CODE.fullmatch(reply.code):
        raise FieldError("code", _("A short code has up to 60 letters and no spaces or slashes."))
    if not 0 < len(reply.text) <= MAX_TEXT:
        raise FieldError("text", _("Write a text of up to 10,000 letters."))
    if unknown := placeholders.unknown_in(reply.text):
        raise FieldError(
            "text", _("There is no placeholder “%(name)s”.") % {"name": unknown[0][:60]}
        )
    try:
        with transaction.atomic():
            reply.save()
    except IntegrityError as error:
        if "saved_reply_code_once" not in str(error):
            raise
        raise TakenError("code", _("There is a saved reply with this code already.")) from error
