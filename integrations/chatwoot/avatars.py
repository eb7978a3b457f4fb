"""Pictures of bots: checked like every upload, kept with our files, and shown to whoever sees the bot."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.signing import BadSignature, Signer
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts import ids
from accounts.models import Account
from accounts.tenancy import account_context
from agents.models import Agent, SystemAgent
from conversations.file_serving import answer_with
from conversations.files import CheckedFile, RefusedFileError, check_size, check_upload
from conversations.messages import Kind
from conversations.models import Attachment
from conversations.services import media
from integrations.chatwoot.errors import ChatwootError, invalid
from integrations.chatwoot.models import BotSettings, PlatformBot

ROUTE = "api-bot-avatar"
NOT_A_PICTURE = "Avatar filetype not supported"
# The folder of what belongs to the installation.
NO_ACCOUNT = 0
_signer = Signer(salt="chatwoot.avatar", sep=".")


# --- Keeping -------------------------------------------------------------------------------------


def picture_of(content: bytes, *, filename: str = "", claimed: str = "") -> CheckedFile:
    """Raises `RefusedFileError` for what is no picture."""
    checked = check_upload(content, filename=filename, claimed=claimed)
    if checked.kind != Kind.IMAGE:
        raise RefusedFileError(NOT_A_PICTURE)
    return checked


def read_upload(upload: UploadedFile[Any]) -> CheckedFile:
    """Raises `ChatwootError` (422)."""
    try:
        check_size(upload.size or 0)
        name, claimed = upload.name or "", upload.content_type or ""
        return picture_of(upload.read(), filename=name, claimed=claimed)
    except RefusedFileError as error:
        raise refusal(error.message) from error


def refusal(sentence: str) -> ChatwootError:
    return invalid("avatar", sentence)


def keep(agent: Agent, picture: CheckedFile) -> None:
    """The bot's picture from now on; the one before it is deleted."""
    path = media.store(picture.content, account_id=agent.account_id)
    _set(agent, path=path, mime=picture.mime)


def remove(agent: Agent) -> None:
    """The bot has no picture; nothing happens where there was none."""
    if path_of(agent):
        _set(agent, path="", mime="")


def path_of(agent: Agent) -> str:
    kept: BotSettings | None = getattr(agent, "bot_settings", None)
    return kept.avatar_path if kept is not None else ""


@transaction.atomic
def _set(agent: Agent, *, path: str, mime: str) -> None:
    BotSettings.objects.get_or_create(agent=agent)
    kept = BotSettings.objects.select_for_update().get(agent=agent)
    old, kept.avatar_path, kept.avatar_mime = kept.avatar_path, path, mime
    kept.save(update_fields=["avatar_path", "avatar_mime"])
    agent._state.fields_cache["bot_settings"] = kept
    if old:
        media.drop([old])


def keep_of_system(bot: PlatformBot, picture: CheckedFile | None) -> None:
    """A system bot's picture, or that it has none; the one before it is deleted. Accounts' agents of it
    show the same file (`share`)."""
    old = bot.avatar_path
    bot.avatar_path = media.store(picture.content, account_id=NO_ACCOUNT) if picture else ""
    bot.avatar_mime = picture.mime if picture else ""
    bot.save(update_fields=["avatar_path", "avatar_mime"])
    if old:
        media.drop([old])


def share(bot: PlatformBot, agent: Agent) -> None:
    """An account's agent of a system bot shows that one's picture."""
    shown = {"avatar_path": bot.avatar_path, "avatar_mime": bot.avatar_mime}
    if not BotSettings.objects.filter(agent=agent).update(**shown) and bot.avatar_path:
        BotSettings.objects.create(agent=agent, **shown)


# --- Showing -------------------------------------------------------------------------------------


def address_of(agent: Agent) -> str:
    """Where its picture is, for ever or until it has another; empty without one."""
    path = path_of(agent)
    if not path:
        return ""
    account = ids.encode(Account.public_id, agent.account_id)
    signed = _signer.sign(f"{agent.public_id}.{account}.{_version(path)}")
    return settings.PUBLIC_URL + reverse(ROUTE, args=[signed])


def address_of_system(bot: PlatformBot) -> str:
    """The same for a system bot, outside of every account."""
    if not bot.avatar_path:
        return ""
    number = ids.encode(SystemAgent.public_id, bot.number)
    return settings.PUBLIC_URL + reverse(
        ROUTE, args=[_signer.sign(f"{number}.{_version(bot.avatar_path)}")]
    )


@require_safe
def serve(request: HttpRequest, signed: str) -> HttpResponseBase:
    """The picture at such an address, for pages of every origin."""
    response = answer_with(request, _found(signed))
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _found(signed: str) -> Attachment | None:
    """The picture as a file; None where the address is none of ours, or of an older picture."""
    try:
        parts = _signer.unsign(signed).split(".")
        if len(parts) == 2:
            return _of_system(*parts)
        bot, account, version = parts
        agent_id, account_id = ids.decode("agn", bot), ids.decode("acc", account)
    except (BadSignature, ValueError):
        return None
    with account_context(account_id):
        return _picture(BotSettings.objects.filter(agent=agent_id).first(), version)


def _of_system(bot: str, version: str) -> Attachment | None:
    """Raises `ValueError`."""
    number = ids.decode(SystemAgent.public_id, bot)
    return _picture(PlatformBot.objects.filter(number=number).first(), version)


def _picture(kept: BotSettings | PlatformBot | None, version: str) -> Attachment | None:
    if kept is None or not kept.avatar_path or _version(kept.avatar_path) != version:
        return None
    return Attachment(
        account_id=NO_ACCOUNT,  # it is saved nowhere
        kind=Kind.IMAGE,
        mime=kept.avatar_mime,
        path=kept.avatar_path,
        filename="avatar",
        state=Attachment.State.READY,
    )


def _version(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:12]
