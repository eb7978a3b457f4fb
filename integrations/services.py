"""The acts around inboxes: connect a channel account, change it, test it, switch it off and on.

Each runs in the account's context and writes the audit log; credentials are sealed with the row and
are in no answer, form or log.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone, translation

from accounts.audit import audit
from accounts.models import Account, Member, Team
from conversations import channels
from conversations.models import Inbox
from integrations import routes

VERIFY_TOKEN = "verify_token"  # noqa: S105 - the name of a credential
_SET_AT = "set_at:"


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """What may be said of a secret: when it was set and how it ends."""

    name: str
    label: str
    set_at: datetime | None
    ending: str


@transaction.atomic
def connect_inbox(
    *,
    platform: str,
    name: str,
    values: Mapping[str, Any] | None = None,
    by: Member | None = None,
    fallback_team: Team | None = None,
) -> Inbox:
    """A new inbox with its secret address, ready to receive.

    `values` answers the channel's `fields`: secret ones are sealed, the others become `config`;
    further names go into `config` as they are. Raises `KeyError` for an unknown platform.
    """
    channel = channels.get(platform)
    inbox = Inbox(platform=platform, name=name, fallback_team=fallback_team)
    inbox.credentials = {VERIFY_TOKEN: secrets.token_urlsafe(24)}
    _take_values(inbox, channel, values or {})
    inbox.save()
    routes.create_route(inbox)
    audit("inbox.created", by=by, target=inbox, changes={"platform": platform})
    return inbox


@transaction.atomic
def change_inbox(
    inbox: Inbox,
    *,
    by: Member,
    name: str,
    fallback_team: Team | None,
    values: Mapping[str, Any] | None = None,
) -> Inbox:
    """Change its name, its fallback team and what `values` names; an empty secret stays as it is.

    New credentials take an inbox out of "needs new credentials".
    """
    _lock(inbox)
    before, known = _seen(inbox), dict(inbox.credentials)
    inbox.name, inbox.fallback_team = name, fallback_team
    _take_values(inbox, inbox.channel, values or {})
    renewed = inbox.credentials != known
    if renewed and inbox.state == Inbox.State.NEEDS_REAUTH:
        inbox.state = Inbox.State.ACTIVE
    inbox.save(update_fields=["name", "fallback_team", "config", "credentials_sealed", "state"])
    after = _seen(inbox)
    changes: dict[str, Any] = {
        key: [before.get(key, ""), value]
        for key, value in after.items()
        if before.get(key, "") != value
    }
    if renewed:
        changes["credentials"] = "changed"
    audit("inbox.changed", by=by, target=inbox, changes=changes)
    _bring_up_to_date(inbox, by=by)
    return inbox


def _bring_up_to_date(inbox: Inbox, *, by: Member) -> None:
    """What we put into a platform names our address and what was chosen; the test puts it there."""
    if inbox.channel.leaves and inbox.state != Inbox.State.DISABLED:
        start_check(inbox, by=by)


def _lock(inbox: Inbox) -> None:
    """As it is now: a page that was open for long must not bring old credentials back."""
    inbox.refresh_from_db(from_queryset=Inbox.objects.present().select_for_update(of=("self",)))


def _seen(inbox: Inbox) -> dict[str, Any]:
    """What may stand in the audit log of an inbox."""
    return {**inbox.config, "name": inbox.name, "fallback_team": str(inbox.fallback_team or "")}


def switch(inbox: Inbox, *, on: bool, by: Member) -> Inbox:
    """Off: nothing is received and nothing is sent; what waits, waits."""
    state = Inbox.State.ACTIVE if on else Inbox.State.DISABLED
    if inbox.state != state:
        inbox.state = state
        inbox.save(update_fields=["state"])
        audit("inbox.enabled" if on else "inbox.disabled", by=by, target=inbox)
        if inbox.channel.leaves and on:
            start_check(inbox, by=by)
        elif inbox.channel.leaves:
            _leave(inbox)
    return inbox


def _leave(inbox: Inbox) -> None:
    from integrations.tasks import leave_platform

    job = (inbox.account_id, inbox.pk)
    transaction.on_commit(lambda: leave_platform.delay(*job))


def keep_learnt(inbox: Inbox, learnt: channels.Learnt) -> None:
    """Keep what the platform gave us with a locked inbox; given credentials are as good as new ones."""
    credentials = {**inbox.credentials, **learnt.credentials}
    inbox.credentials = {name: value for name, value in credentials.items() if value}
    inbox.config = {**inbox.config, **learnt.config}
    if any(learnt.credentials.values()) and inbox.state == Inbox.State.NEEDS_REAUTH:
        inbox.state = Inbox.State.ACTIVE
    inbox.save(update_fields=["credentials_sealed", "config", "state"])


@transaction.atomic
def rotate_address(inbox: Inbox, *, by: Member) -> None:
    """A new secret address; the one before it works for another week."""
    _lock(inbox)
    routes.rotate(inbox)
    audit("inbox.route_rotated", by=by, target=inbox)
    _bring_up_to_date(inbox, by=by)


def stored_secrets(inbox: Inbox) -> list[StoredSecret]:
    """The channel's secret fields that are set, as forms may show them (SX-51)."""
    credentials = inbox.credentials
    return [
        StoredSecret(
            name=field.name,
            label=field.label,
            set_at=_moment(credentials.get(_SET_AT + field.name, "")),
            ending=credentials[field.name][-4:],
        )
        for field in inbox.channel.fields
        if field.secret and credentials.get(field.name)
    ]


def furnish(account: Account, owner: Member) -> Inbox:
    """A new account can be tried at once: it has a sandbox phone."""
    return connect_inbox(platform="sandbox", name=str(channels.get("sandbox").name), by=owner)


# --- The connection test -------------------------------------------------------------------------


def start_check(inbox: Inbox, *, by: Member) -> None:
    """Test the connection step by step, in a job; the page reads `inbox.health["check"]`."""
    from integrations.tasks import check_inbox

    run = secrets.token_hex(8)
    note_health(
        inbox,
        "check",
        {"run": run, "state": "running", "steps": [], "at": timezone.now().isoformat()},
    )
    audit("inbox.tested", by=by, target=inbox)
    job = (inbox.account_id, inbox.pk, run, translation.get_language())
    transaction.on_commit(lambda: check_inbox.delay(*job))


def note_health(inbox: Inbox, key: str, value: Any) -> None:
    """Set one key of `inbox.health` in one statement, beside what others write there."""
    inbox.health = {**inbox.health, key: value}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_inbox SET health = health || %s::jsonb WHERE id = %s",
            [json.dumps({key: value}), inbox.pk],
        )


def _take_values(inbox: Inbox, channel: channels.Channel, values: Mapping[str, Any]) -> None:
    secret = {field.name for field in channel.fields if field.secret}
    credentials, config = dict(inbox.credentials), dict(inbox.config)
    for name, value in values.items():
        if name not in secret:
            config[name] = value
        elif value and value != credentials.get(name):
            credentials[name] = value
            credentials[_SET_AT + name] = timezone.now().isoformat()
    inbox.credentials, inbox.config = credentials, config


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
