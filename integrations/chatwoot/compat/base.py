"""The base of every view of their API: tokens, the account of the path, permissions, limits, one
transaction inside the account's context, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, cast

from django.db.models import Q, QuerySet
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import limits
from accounts.audit import called_by
from accounts.auth import request_allows
from accounts.models import Account, ApiToken, Member
from accounts.permissions import Permission
from accounts.prepared import KEY, NUMBER, prepared
from accounts.rest import idempotency
from accounts.rest.views import OVERLOADED_SECONDS, PER_ACCOUNT, PER_TOKEN
from accounts.tenancy import account_context
from agents.models import Agent, AgentInbox
from conversations.models import Contact, Conversation, Inbox
from conversations.models.conversation import ConversationQuerySet
from conversations.services import media
from conversations.services.holding import finishing, gave_away
from integrations.chatwoot import contacts
from integrations.chatwoot.auth import ChatwootTokenAuthentication
from integrations.chatwoot.compat.view import TheirView
from integrations.chatwoot.errors import FOREIGN_BOT, FOREIGN_USER, NOT_FOR_BOTS, ChatwootError

P = Permission
# How their addresses may end: both forms of the slash (no redirect loses a body), and with the format named.
END = r"(?:\.json)?/?$"


class CompatView(TheirView):
    """A view of their API.

    `permissions_by_action` says what people's tokens need for each method, `bot_permissions` the same
    for AI agents' tokens; a method that is missing there is closed to them (default deny, SX-20).
    """

    permissions_by_action: ClassVar[Mapping[str, Permission]] = {}
    bot_permissions: ClassVar[Mapping[str, Permission]] = {}
    # Methods that put something on the account's pile; refused while it is too high (DL-93).
    piling: ClassVar[frozenset[str]] = frozenset()

    authentication_classes: Sequence[type[BaseAuthentication]] = (ChatwootTokenAuthentication,)

    # --- What subclasses use ----------------------------------------------------------------------

    @property
    def member(self) -> Member:
        """Who asks: a person, or an AI agent."""
        member: Member = self.request._request.member  # type: ignore[attr-defined]
        return member

    @property
    def account(self) -> Account:
        account: Account = self.request._request.account  # type: ignore[attr-defined]
        return account

    @cached_property
    def agent(self) -> Agent:
        """The AI agent that asks; raises `NotFound` for a person."""
        found = Agent.objects.select_related("member", "endpoint", "account", "fallback_team")
        agent = found.filter(member=self.member).first()
        if agent is None:
            raise NotFound
        return agent

    def may(self, permission: Permission) -> bool:
        """Whether the caller also has another permission than the method's own."""
        return request_allows(self.request, permission)

    @property
    def may_assign(self) -> bool:
        """Whether the caller may give conversations to somebody."""
        return self.may(P.CONVERSATIONS_ASSIGN)

    def require(self, permission: Permission) -> None:
        """Raises `PermissionDenied` where the caller does not also have this one."""
        if not self.may(permission):
            raise PermissionDenied

    # --- Conversations ----------------------------------------------------------------------------

    def conversations(self) -> ConversationQuerySet:
        """What this caller may see. A bot: what it holds, and everything in the inboxes it is
        attached to by name."""
        if not self.member.is_agent:
            return Conversation.objects.visible_to(self.member)
        return Conversation.objects.filter(of_bot(self.member.pk))

    def conversation(self, number: str) -> Conversation:
        """The conversation of the path. Raises `NotFound`; for a bot, `PermissionDenied` where there is
        one that is none of its business."""
        if not self.member.is_agent:
            person_sees: Conversation = self.find(self.conversations(), number=int(number))
            return person_sees
        if found := _numbered(self.member.pk, int(number)):
            return found[0]
        other: Conversation = self.find(Conversation.objects.all(), number=int(number))
        if gave_away(other, self.member):
            return other
        raise PermissionDenied

    def contacts(self) -> QuerySet[Contact]:
        """Whom this caller may see. A bot: those of the conversations it may see."""
        if not self.member.is_agent:
            return contacts.seen_by(self.member)
        return contacts.present().filter(pk__in=self.conversations().values("contact"))

    def is_attached(self, inbox: Inbox) -> bool:
        """Whether the bot that asks is attached to this inbox by name."""
        return AgentInbox.objects.filter(agent__member=self.member, inbox=inbox).exists()

    # --- The request ------------------------------------------------------------------------------

    def inside(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        def run(request: Request, *args: Any, **kwargs: Any) -> Response:
            kwargs.pop("account_id", None)
            self.before_transaction()
            with (
                media.kept_together(),
                account_context(self.account),
                called_by(request._request, cast("ApiToken", request.auth)),
                finishing(),
            ):
                if request.method == "POST":
                    answer = idempotency.once(request, lambda: handler(request, *args, **kwargs))
                else:
                    answer = handler(request, *args, **kwargs)
            if isinstance(answer, APIException):
                raise answer
            return answer

        return run

    def check_permissions(self, request: Request) -> None:
        method = self.check_method(request)
        bot = self.member.is_agent
        table = self.bot_permissions if bot else self.permissions_by_action
        needed = table.get(method)
        if needed is None and bot:
            raise ChatwootError(401, NOT_FOR_BOTS)
        self.check_account()
        if needed is None or not request_allows(request, needed):
            raise PermissionDenied

    def check_account(self) -> None:
        """The account of the path is the token's own. Theirs answers 404 for a number that no account
        has; the account's number is no secret (SX-08)."""
        number = self.kwargs.get("account_id")
        if number is None or int(number) == self.account.pk:
            return
        if not Account.objects.filter(pk=int(number)).exists():
            raise NotFound
        raise ChatwootError(401, FOREIGN_BOT if self.member.is_agent else FOREIGN_USER)

    def check_throttles(self, request: Request) -> None:
        """Outside any transaction, so that no bucket stays locked while the request runs."""
        owner = idempotency.owner_of(request)
        taken = limits.take_all(
            [(PER_ACCOUNT, str(self.account.pk)), (PER_TOKEN, f"{self.account.pk}:{owner}")]
        )
        if not taken.allowed:
            self.throttled(request, taken.wait)
        if str(request.method).lower() in self.piling and self.account.overloaded_since is not None:
            self.throttled(request, OVERLOADED_SECONDS)


def of_bot(member_id: int) -> Q:
    """What a bot holds, and everything in the inboxes it is attached to by name."""
    attached = AgentInbox.objects.filter(agent__member_id=member_id).values("inbox")
    return Q(assignee_id=member_id) | Q(inbox__in=attached)


@prepared(KEY, NUMBER)
def _numbered(member_id: int, number: int) -> QuerySet[Conversation]:
    return Conversation.objects.filter(of_bot(member_id), number=number)


class Nowhere(CompatView):
    """Whatever else is asked below their addresses: their 404, to everybody."""

    authentication_classes = ()

    def check_permissions(self, request: Request) -> None:
        raise NotFound

    def check_throttles(self, request: Request) -> None:
        """Nobody is counted who gets nothing."""


def nothing() -> Response:
    """200 with an empty body."""
    return Response(status=200)
