"""`/platform/api/v1/agent_bots`: for platform apps, each of which touches the bots it made itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import limits
from accounts.audit import called_by_program
from accounts.models import Account
from accounts.origin import client_ip, ip_prefix
from accounts.rest.views import PER_TOKEN
from conversations.services import media
from integrations.chatwoot.auth import MAX_TOKEN, presented
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import nothing
from integrations.chatwoot.compat.bot_params import MAX_URL, BotParams
from integrations.chatwoot.errors import NO_PLATFORM_APP, NOT_ITS_OWN, ChatwootError
from integrations.chatwoot.models import PlatformApp, PlatformBot
from integrations.chatwoot.platform import apps, bots
from integrations.chatwoot.tasks import fetch_avatar, fetch_system_avatar


class PlatformAuthentication(BaseAuthentication):
    """A platform app's token and no other, where their clients put one."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, PlatformApp]:
        if any(str(value).startswith("sb_") for value in request.query_params.values()):
            raise ParseError("Put the token into the api_access_token header.", "token_in_query")
        clear = presented(request)
        app = apps.by_token(clear) if len(clear) < MAX_TOKEN else None
        if app is None:
            raise ChatwootError(401, NO_PLATFORM_APP)
        return AnonymousUser(), app


class PlatformView(BotParams):
    """A view of the platform API. It belongs to no account, and enters those of its bots."""

    authentication_classes = (PlatformAuthentication,)

    @property
    def app(self) -> PlatformApp:
        return cast("PlatformApp", self.request.auth)

    def bot(self, number: str) -> PlatformBot:
        """One that this app made. Raises `NotFound`, and `ChatwootError` (401) for another's, or of an
        account that it may not act for any more."""
        bot: PlatformBot = self.find(PlatformBot.objects.all(), number=int(number))
        if bot.app_id != self.app.pk:
            raise ChatwootError(401, NOT_ITS_OWN)
        if bot.account_id and not self.app.accounts.filter(pk=bot.account_id).exists():
            raise ChatwootError(401, NOT_ITS_OWN)
        return bot

    def keep_avatar(self, bot: PlatformBot) -> None:
        """`avatar`, a file; or `avatar_url`, which is fetched afterwards."""
        if picture := self.picture():
            bots.set_picture(bot, picture)
        elif url := self.given("avatar_url", most=MAX_URL):
            transaction.on_commit(lambda: _fetch_later(bot, url), robust=True)

    def inside(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        def run(request: Request, *args: Any, **kwargs: Any) -> Response:
            self.before_transaction()
            network = ip_prefix(client_ip(request._request))
            with (
                media.kept_together(),
                transaction.atomic(),
                called_by_program(self.app.name, network),
            ):
                return handler(request, *args, **kwargs)

        return run

    def check_permissions(self, request: Request) -> None:
        """Whose a bot is says `bot`."""
        self.check_method(request)

    def check_throttles(self, request: Request) -> None:
        """Outside any transaction, so that no bucket stays locked while the request runs."""
        taken = limits.take(PER_TOKEN, f"platform:{self.app.key_id}")
        if not taken.allowed:
            self.throttled(request, taken.wait)


class PlatformBots(PlatformView):
    """`/agent_bots`"""

    judges_address = True

    def get(self, request: Request) -> Response:
        return Response(bots.all_shown_to_app(self.app))

    def post(self, request: Request) -> Response:
        """A new bot, of an account or for all; its token and its secret are shown this once."""
        self.check_type()
        bot, once = bots.make(
            self.app,
            self._account(),
            name=self.given("name"),
            url=self.given("outgoing_url", most=MAX_URL),
            description=self.given("description"),
        )
        self.keep_avatar(bot)
        return Response(bots.shown_to_app(bot, **once))

    def _account(self) -> Account | None:
        """That of `account_id`, if the app may act for it. Raises `NotFound`."""
        number = params.number(self.fields, "account_id")
        if number is None:
            return None
        account = self.app.accounts.filter(pk=number).first()
        if account is None:
            raise NotFound
        return account


class OnePlatformBot(PlatformView):
    """`/agent_bots/{id}`"""

    judges_address = True

    def get(self, request: Request, number: str) -> Response:
        return Response(bots.shown_to_app(self.bot(number)))

    def patch(self, request: Request, number: str) -> Response:
        """A system bot's accounts follow at once, one after the other."""
        self.check_type()
        bot = self.bot(number)
        bots.change(bot, **self.changes())
        self.keep_avatar(bot)
        return Response(bots.shown_to_app(self.bot(number)))

    put = patch

    def delete(self, request: Request, number: str) -> Response:
        bots.remove(self.bot(number))
        return nothing()


class PlatformBotAvatar(PlatformView):
    """`/agent_bots/{id}/avatar`"""

    def delete(self, request: Request, number: str) -> Response:
        bot = self.bot(number)
        bots.set_picture(bot, None)
        return Response(bots.shown_to_app(bot))


def _fetch_later(bot: PlatformBot, url: str) -> None:
    if bot.account_id is None:
        fetch_system_avatar.delay(bot.number, url)
    else:
        fetch_avatar.delay(bot.account_id, bot.number, url)
