"""The base of the client API: the inbox of the path, limits, and one transaction in its account.

There is no token: the inbox's identifier says where, a customer's `source_id` says who. Pages of every
origin may call it, since no cookie of ours counts here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import limits
from accounts.limits import Limit
from accounts.origin import client_ip
from accounts.rest.views import OVERLOADED_SECONDS
from accounts.tenancy import account_context
from conversations.models import Address, Conversation, Inbox, Message
from conversations.services import media
from integrations.chatwoot.api_inbox import people
from integrations.chatwoot.api_inbox.settings import PLATFORM
from integrations.chatwoot.api_inbox.shapes import FOR_CUSTOMERS
from integrations.chatwoot.compat.view import TheirView
from integrations.chatwoot.reading import whole_messages
from integrations.routes import inbox_at

# One address may be an app's server, which speaks for everybody (Chatwoot's own limit).
CALLS = Limit("api-inbox.ip", 3000, 3000 / 60)
NEWCOMERS = Limit("api-inbox.new", 300, 300 / 60)
# Of the inbox as a whole, from wherever they come: several apps' servers, or strangers with many addresses.
INBOX_CALLS = Limit("api-inbox.inbox", 12_000, 12_000 / 60)
INBOX_NEWCOMERS = Limit("api-inbox.inbox-new", 1200, 1200 / 60)
# Names that lead nowhere, for one caller in one inbox. Who has used them up is answered for no name, or those
# that are answered would be the right ones.
GUESSES = Limit("api-inbox.guess", 60, 6 / 60)
CUSTOMER = Limit("api-inbox.contact", 60, 60 / 60)
WRITING = frozenset({"post", "patch", "put"})


class ClientView(TheirView):
    """A view of the client API."""

    authentication_classes = ()
    http_method_names = ["get", "post", "patch", "put", "head", "options"]
    # The limit of what this view writes, taken for the customer of the path or else for the caller.
    limit: ClassVar[Limit] = CUSTOMER

    inbox: Inbox
    # Whether the name in the path led nowhere.
    guessed = False

    # --- What subclasses use ----------------------------------------------------------------------

    def address(self, source_id: str) -> Address:
        """Whoever comes in by this name. Raises `NotFound`; `ChatwootError` (401) for who has to prove
        who they are."""
        return people.admit(self.found(source_id), self.params)

    def found(self, source_id: str) -> Address:
        """Raises `NotFound`."""
        found = people.find(self.inbox, source_id)
        if found is None:
            self.guessed = True
            raise NotFound
        return found

    def conversation(self, address: Address, number: str) -> Conversation:
        """The thread of this customer. Raises `NotFound` for every other."""
        rows = Conversation.objects.select_related("contact", "inbox", "assignee")
        found: Conversation = self.find(rows, address=address, number=int(number))
        found.address = address
        return found

    def messages(self, conversation: Conversation) -> QuerySet[Message]:
        """What the customer may read of it."""
        return whole_messages(Message.objects.filter(FOR_CUSTOMERS, conversation=conversation))

    # --- The request ------------------------------------------------------------------------------

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """What a browser asks before it calls from another page."""
        response = Response(status=204)
        methods = [one for one in self.allowed_methods if one != "OPTIONS"]
        response["Access-Control-Allow-Methods"] = ", ".join(methods)
        response["Access-Control-Allow-Headers"] = "*"
        response["Access-Control-Max-Age"] = "86400"
        return response

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Access-Control-Allow-Origin"] = "*"
        answer["Cache-Control"] = "no-store"
        return answer

    def check_permissions(self, request: Request) -> None:
        """Who knows the inbox's identifier may come in."""
        self.check_method(request)

    def check_throttles(self, request: Request) -> None:
        """Outside any transaction; guesses are counted too."""
        caller, method = client_ip(request._request), str(request.method).lower()
        self._take(CALLS, caller)
        if method == "options":
            return
        self.inbox = self._inbox()
        self._take(INBOX_CALLS, str(self.inbox.pk))
        if self._customer():
            self._check_guesses()
        if method in WRITING:
            self._take(self.limit, self._customer() or caller)
            if self.limit == NEWCOMERS:
                self._take(INBOX_NEWCOMERS, str(self.inbox.pk))
            if self.inbox.account.overloaded_since is not None:
                self.throttled(self.request, OVERLOADED_SECONDS)

    def _take(self, limit: Limit, key: str) -> None:
        taken = limits.take(limit, key)
        if not taken.allowed:
            self.throttled(self.request, taken.wait)

    def _check_guesses(self) -> None:
        """Guessing by many requests at once gains no more than a few names."""
        wait = limits.wait_of(GUESSES, self._guesser)
        if wait:
            self.throttled(self.request, wait)

    @property
    def _guesser(self) -> str:
        return f"{self.inbox.pk}:{client_ip(self.request._request)}"

    def inside(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        if handler == self.options:
            return handler

        def run(request: Request, *args: Any, **kwargs: Any) -> Response:
            kwargs.pop("identifier")
            try:
                with media.kept_together(), account_context(self.inbox.account):
                    answer = handler(request, *args, **kwargs)
            finally:
                if self.guessed:  # outside of the transaction, which is taken back
                    limits.take(GUESSES, self._guesser)
            if isinstance(answer, APIException):
                raise answer
            return answer

        return run

    def _customer(self) -> str:
        source_id = self.kwargs.get("source_id")
        return f"{self.inbox.pk}:{source_id}" if source_id else ""

    def _inbox(self) -> Inbox:
        """The inbox of the path. Raises `NotFound`."""
        inbox = inbox_at(PLATFORM, self.kwargs["identifier"])
        if inbox is None:
            raise NotFound
        return inbox
