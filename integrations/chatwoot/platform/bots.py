"""Bots that platform apps made: in an account, where they are agents like every other, or for all accounts.

A system bot is a definition (agents/system.py). An account's agent of it is that account's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from rest_framework.exceptions import NotFound

from accounts.models import Account
from accounts.tenancy import account_context
from agents import services, system
from agents.models import Agent, SystemAgent
from conversations.files import CheckedFile
from conversations.services import media
from integrations.chatwoot import avatars, bots
from integrations.chatwoot.models import PlatformApp, PlatformBot
from integrations.chatwoot.shapes.parts import Json
from integrations.chatwoot.shapes.people import bot_json, system_bot_json

DIALECT = "chatwoot"


def of_app(app: PlatformApp) -> list[PlatformBot]:
    """The bots that it made, but for those of accounts that it may not act for any more."""
    mine = PlatformBot.objects.filter(app=app).order_by("number")
    named = set(app.accounts.values_list("pk", flat=True))
    return [bot for bot in mine if bot.account_id is None or bot.account_id in named]


# --- Acts ----------------------------------------------------------------------------------------


@transaction.atomic
def make(app: PlatformApp, account: Account | None, **given: Any) -> tuple[PlatformBot, Json]:
    """A bot of the account, or without one a system bot; and what is shown of it once. Raises `AgentError`."""
    if account is None:
        defined = system.define(dialect=DIALECT, **given)
        bot = PlatformBot.objects.create(number=defined.system.pk, app=app)
        return bot, {"access_token": defined.token, "secret": defined.secret}
    with account_context(account):
        made = services.create_agent(account, dialect=DIALECT, **given)
    bot = PlatformBot.objects.create(number=made.agent.pk, app=app, account=account)
    return bot, {"access_token": made.token, "secret": made.secret}


@transaction.atomic
def change(bot: PlatformBot, **changes: Any) -> None:
    """Raises `AgentError`, `NotFound`."""
    if bot.account_id is None:
        if changes:
            system.redefine(_definition(bot), **changes)
        return
    with account_context(bot.account_id):
        services.change_agent(_agent(bot), by=None, **changes)


@transaction.atomic
def set_picture(bot: PlatformBot, picture: CheckedFile | None) -> None:
    """Its picture from now on, or that it has none. Raises `NotFound`."""
    if bot.account_id is None:
        # Locks the definition, as every other change of it does first; the row may have changed before.
        system.touch(_definition(bot))
        present = PlatformBot.objects.filter(pk=bot.pk).first()
        if present is None:
            raise NotFound
        avatars.keep_of_system(present, picture)
        bot.avatar_path, bot.avatar_mime = present.avatar_path, present.avatar_mime
        return
    with account_context(bot.account_id):
        agent = _agent(bot)
        if picture is not None:
            avatars.keep(agent, picture)
        else:
            avatars.remove(agent)


@transaction.atomic
def remove(bot: PlatformBot) -> None:
    """Its conversations go to people and its inboxes' new ones to no bot, in every account. Raises
    `NotFound`."""
    if bot.account_id is None:
        system.withdraw(_definition(bot))
        if bot.avatar_path:
            media.drop([bot.avatar_path])
    else:
        with account_context(bot.account_id):
            agent = _agent(bot)
            bots.detach_everywhere(agent, by=None)
            services.delete_agent(agent, by=None)
    bot.delete()


def on_followed(sender: Any, agent: Agent, **kwargs: Any) -> None:
    """Receiver: what the account keeps with its agent of a system bot follows, too."""
    definition = agent.system
    if definition is None or definition.dialect != DIALECT:
        return
    if definition.deleted_at is not None:
        bots.detach_everywhere(agent, by=None)
        return
    bot = PlatformBot.objects.filter(number=definition.pk).first()
    if bot is not None:
        avatars.share(bot, agent)


# --- Showing -------------------------------------------------------------------------------------


def shown(definitions: Iterable[SystemAgent]) -> list[Json]:
    """System bots as accounts see them."""
    found = {one.pk: one for one in definitions if one.dialect == DIALECT}
    pictures = {bot.number: bot for bot in PlatformBot.objects.filter(number__in=found)}
    return [
        system_bot_json(one, avatars.address_of_system(pictures[pk]) if pk in pictures else "")
        for pk, one in found.items()
    ]


def shown_to_app(bot: PlatformBot, **shown_once: str) -> Json:
    """A bot as the app that made it sees it. Raises `NotFound` where it was deleted in its account."""
    if bot.account_id is None:
        return _whole(bot, _definition(bot), **shown_once)
    with account_context(bot.account_id):
        return bot_json(_agent(bot), **shown_once)


def all_shown_to_app(app: PlatformApp) -> list[Json]:
    """Its bots by number, without those that were deleted in their accounts: each account is asked once."""
    of_all: dict[int, PlatformBot] = {}
    by_account: dict[int, list[int]] = {}
    for bot in of_app(app):
        if bot.account_id is None:
            of_all[bot.number] = bot
        else:
            by_account.setdefault(bot.account_id, []).append(bot.number)
    found = [_whole(of_all[one.pk], one) for one in system.living().filter(pk__in=of_all)]
    for account_id, numbers in by_account.items():
        with account_context(account_id):
            found += [bot_json(agent) for agent in bots.of_account().filter(pk__in=numbers)]
    return sorted(found, key=lambda one: int(one["id"]))


def _whole(bot: PlatformBot, definition: SystemAgent, **shown_once: str) -> Json:
    """A system bot with where it is reached, for the app that made it."""
    picture = avatars.address_of_system(bot)
    return system_bot_json(definition, picture, outgoing_url=definition.url, **shown_once)


def _definition(bot: PlatformBot) -> SystemAgent:
    definition = system.living().filter(pk=bot.number).first()
    if definition is None:
        raise NotFound
    return definition


def _agent(bot: PlatformBot) -> Agent:
    agent = bots.numbered(bot.number)
    if agent is None:
        raise NotFound
    return agent
