"""What a Chatwoot account is told of a conversation: who has it, why, and its labels (contract, 4 and 5).

Whether its people are told to answer is a choice of the inbox: they work there, or at this desk. Everything
sets a state, so that it may be said twice; a note alone would stand there twice, and is looked for first.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from conversations.channels import ErrorClass, HttpAnswer, SendError
from conversations.messages import Act, ActKind
from integrations.chatwoot.channel.client import ChatwootClient
from integrations.chatwoot.channel.naming import REFERENCE

logger = logging.getLogger(__name__)

# Where the people are who answer, by the inbox's config; the first where it does not say.
PEOPLE, IN_CHATWOOT, AT_THIS_DESK = "people", "chatwoot", "desk"
FOR_THEIR_PEOPLE = frozenset({ActKind.NOTE, ActKind.WITH_PEOPLE})
LONGEST_NOTE = 10_000
STATUSES: Mapping[ActKind, str] = {
    ActKind.WITH_PEOPLE: "open",
    ActKind.WITH_AGENT: "pending",
    ActKind.RESOLVED: "resolved",
}


def people_are_theirs(config: Mapping[str, Any]) -> bool:
    return str(config.get(PEOPLE) or IN_CHATWOOT) == IN_CHATWOOT


def wants(act: Act, config: Mapping[str, Any]) -> bool:
    """Who works at this desk gets what customers write only while it is pending there: it is not opened."""
    return act.kind not in FOR_THEIR_PEOPLE or people_are_theirs(config)


async def do(act: Act, conversation: str, client: ChatwootClient) -> HttpAnswer | None:
    """The answer to what was said last; None where there was nothing to say. Raises `SendError`."""
    path = f"conversations/{conversation}"
    match act.kind:
        case ActKind.NOTE:
            return await _note(act, path, client)
        case ActKind.LABELS:
            await _as_administrator(_label(act, path, client))
            return None
    if act.kind is ActKind.WITH_PEOPLE:
        await _assign(act, path, client)  # before they are called: opening it makes it somebody's
    return await client.as_bot(f"{path}/toggle_status", body={"status": STATUSES[act.kind]})


async def _note(act: Act, path: str, client: ChatwootClient) -> HttpAnswer | None:
    if act.again and await _as_administrator(_stands(act, path, client)):
        return None
    body = {
        "content": act.text[:LONGEST_NOTE],
        "message_type": "outgoing",
        "private": True,
        "content_type": "text",
        "content_attributes": {REFERENCE: act.reference},
        "echo_id": act.reference,
    }
    return await client.as_bot(f"{path}/messages", body=body)


async def _stands(act: Act, path: str, client: ChatwootClient) -> bool:
    """Whether it is among the newest messages; bots may not list them."""
    return any(
        _mapping(one.get("content_attributes")).get(REFERENCE) == act.reference
        for one in _rows(await client.as_user("GET", f"{path}/messages"))
    )


# --- Who has it -----------------------------------------------------------------------------------


async def _assign(act: Act, path: str, client: ChatwootClient) -> None:
    """To the same person or team, where there is one. That nobody can be found keeps nobody from being
    called."""
    try:
        if person := await _number(client, "agents", "email", act.person):
            await client.as_bot(f"{path}/assignments", body={"assignee_id": person})
        elif team := await _number(client, "teams", "name", act.team):
            await client.as_bot(f"{path}/assignments", body={"team_id": team})
    except SendError as error:
        if not error.permanent:
            raise
        logger.info("chatwoot.assignment failed=%s status=%s", error.error_class, error.status)


async def _number(client: ChatwootClient, what: str, key: str, wanted: str) -> int | None:
    """Their number of whoever is called so here, in small or large letters."""
    if not wanted:
        return None
    named = {
        one[key].strip().casefold(): one.get("id")
        for one in _rows(await client.as_user("GET", what))
        if isinstance(one.get(key), str)
    }
    number = named.get(wanted.strip().casefold())
    return number if isinstance(number, int) else None


# --- Labels ---------------------------------------------------------------------------------------


async def _label(act: Act, path: str, client: ChatwootClient) -> None:
    """Their list is replaced as a whole: what stands there stays, but for what was taken off here."""
    found = _list(await client.as_user("GET", f"{path}/labels"))
    there = [one for one in found if isinstance(one, str)]
    gone, known = set(map(label_there, act.removed)), set(map(label_there, there))
    wanted = [one for one in there if label_there(one) not in gone]
    wanted += [name for one in act.added if (name := label_there(one)) and name not in known]
    if wanted != there:
        await client.as_user("POST", f"{path}/labels", {"labels": wanted})


def label_there(name: str) -> str:
    """As Chatwoot writes labels: small letters, digits, `_` and `-`."""
    words = "".join(one if one.isalnum() or one in "_-" else " " for one in name.lower()).split()
    return "-".join(words)


# --- Reading --------------------------------------------------------------------------------------


async def _as_administrator(call: Awaitable[Any]) -> Any:
    """A token of theirs that is not good any more ends this, and not the bot's answers."""
    try:
        return await call
    except SendError as error:
        if error.error_class is not ErrorClass.REAUTH:
            raise
        raise SendError(
            _("The administrator's token of this inbox is not accepted any more. Enter a new one."),
            error_class=ErrorClass.PERMANENT,
            code=error.code,
            status=error.status,
            body=error.body,
        ) from error


def _rows(found: Any) -> Iterable[Mapping[str, Any]]:
    """The objects of a list, which some answers wrap."""
    return [one for one in _list(found) if isinstance(one, dict)]


def _list(found: Any) -> list[Any]:
    rows = found.get("payload") if isinstance(found, dict) else found
    return rows if isinstance(rows, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
