"""AI agents under their name of them, and which inbox gives its new conversations to which bot."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import ClassVar

from django.db import transaction
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from agents import services, system
from agents.models import Agent
from conversations.models import Inbox
from integrations.chatwoot import avatars, bots
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.compat.bot_params import DIALECT, MAX_URL, BotParams
from integrations.chatwoot.errors import invalid, missing
from integrations.chatwoot.platform import bots as system_bots
from integrations.chatwoot.shapes.people import bot_json
from integrations.chatwoot.tasks import fetch_avatar

MAX_CONFIG = 20_000


class BotView(BotParams, CompatView):
    """A view that takes or shows bots."""

    def bot(self, pk: str) -> Agent:
        """One of the account's own: system bots are not changed here, as with theirs."""
        agent: Agent = self.find(bots.of_account(), pk=int(pk))
        return agent

    def bot_to_attach(self, number: int) -> Agent:
        """One of the account's own, or a system bot, which begins to work in the account."""
        agent = bots.taken_in(number, by=self.member)
        if agent is None:
            raise NotFound
        return agent

    def keep_config(self, agent: Agent) -> None:
        """`bot_config`, where the request says one."""
        if "bot_config" not in self.fields:
            return
        config = params.mapping(self.fields, "bot_config")
        if len(json.dumps(config)) > MAX_CONFIG:
            raise invalid("bot_config", "Bot config is too large")
        bots.keep_config(agent, config)

    def keep_avatar(self, agent: Agent) -> None:
        """`avatar`, a file; or `avatar_url`, which is fetched afterwards."""
        if picture := self.picture():
            avatars.keep(agent, picture)
        elif url := self.given("avatar_url", most=MAX_URL):
            job = (agent.account_id, agent.pk, url)
            transaction.on_commit(lambda: fetch_avatar.delay(*job), robust=True)


class Bots(BotView):
    """`/agent_bots`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.AGENTS_READ,
        "post": P.AGENTS_WRITE,
    }
    judges_address = True

    def get(self, request: Request) -> Response:
        own = [bot_json(agent) for agent in bots.of_account().order_by("pk")]
        return Response([*own, *system_bots.shown(system.living())])

    def post(self, request: Request) -> Response:
        """A new bot, with its token and its secret: they are shown this once."""
        self.check_type()
        made = services.create_agent(
            self.account,
            name=self.given("name"),
            url=self.given("outgoing_url", most=MAX_URL),
            description=self.given("description"),
            dialect=DIALECT,
            by=self.member,
        )
        self.keep_config(made.agent)
        self.keep_avatar(made.agent)
        shown = bot_json(made.agent, access_token=made.token, secret=made.secret)
        return Response(shown)


class Bot(BotView):
    """`/agent_bots/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.AGENTS_READ,
        "patch": P.AGENTS_WRITE,
        "put": P.AGENTS_WRITE,
        "delete": P.AGENTS_WRITE,
    }
    judges_address = True

    def get(self, request: Request, bot_id: str) -> Response:
        """A system bot too, whether it works here or not."""
        if (shown := system_bots.shown(system.living().filter(pk=int(bot_id)))) != []:
            return Response(shown[0])
        return Response(bot_json(self.bot(bot_id)))

    def patch(self, request: Request, bot_id: str) -> Response:
        self.check_type()
        agent = self.bot(bot_id)
        services.change_agent(agent, by=self.member, **self.changes())
        self.keep_config(agent)
        self.keep_avatar(agent)
        return Response(bot_json(self.bot(bot_id)))

    put = patch

    def delete(self, request: Request, bot_id: str) -> Response:
        """Its open conversations go to people, and its inboxes' new ones to no bot."""
        agent = self.bot(bot_id)
        if bots.rules_naming(agent):
            self.require(P.RULES_WRITE)
        bots.detach_everywhere(agent, by=self.member)
        services.delete_agent(agent, by=self.member)
        return nothing()


class BotAvatar(BotView):
    """`/agent_bots/{id}/avatar`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"delete": P.AGENTS_WRITE}

    def delete(self, request: Request, bot_id: str) -> Response:
        agent = self.bot(bot_id)
        avatars.remove(agent)
        return Response(bot_json(agent))


class ResetToken(BotView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.AGENTS_WRITE}

    def post(self, request: Request, bot_id: str) -> Response:
        """The old token is worth nothing from now on."""
        agent = self.bot(bot_id)
        clear = services.rotate_token(agent, by=self.member)
        return Response(bot_json(agent, access_token=clear))


class ResetSecret(BotView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.AGENTS_WRITE}

    def post(self, request: Request, bot_id: str) -> Response:
        """The old secret signs nothing from now on, as with theirs."""
        agent = self.bot(bot_id)
        secret = services.rotate_secret(agent, by=self.member, grace=timedelta(0))
        return Response(bot_json(agent, secret=secret))


class BotInboxes(BotView):
    """`/agent_bots/{id}/agent_bot_inboxes`: attach the bot to an inbox, as their page describes."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.AGENTS_WRITE}

    def post(self, request: Request, bot_id: str) -> Response:
        self.require(P.RULES_WRITE)
        number = int(bot_id)
        inbox: Inbox = self.find(
            Inbox.objects.present(), pk=params.required_number(self.params, "inbox_id")
        )
        rule = bots.attach(self.bot_to_attach(number), inbox, by=self.member)
        return Response(
            {
                "id": rule.pk,
                "agent_bot_id": number,
                "inbox_id": inbox.pk,
                "account_id": self.account.pk,
                "status": "active",
            }
        )


class InboxBot(BotView):
    """`/inboxes/{id}/agent_bot`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.AGENTS_READ}

    def get(self, request: Request, inbox_id: str) -> Response:
        """Without a bot, an object without one."""
        inbox: Inbox = self.find(Inbox.objects.present(), pk=int(inbox_id))
        agent = bots.bot_of(inbox)
        return Response({"agent_bot": bot_json(agent) if agent is not None else {}})


class SetInboxBot(BotView):
    """`/inboxes/{id}/set_agent_bot`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.AGENTS_WRITE}

    def post(self, request: Request, inbox_id: str) -> Response:
        """A bot's id, or null to take it away."""
        self.require(P.RULES_WRITE)
        inbox: Inbox = self.find(Inbox.objects.present(), pk=int(inbox_id))
        if "agent_bot" not in self.params:
            raise missing("agent_bot")
        wanted = self.params["agent_bot"]
        if wanted in (None, ""):
            bots.detach(inbox, by=self.member)
            return nothing()
        pk = params.as_number(wanted)
        if pk is None:
            raise NotFound
        bots.attach(self.bot_to_attach(pk), inbox, by=self.member)
        return nothing()
