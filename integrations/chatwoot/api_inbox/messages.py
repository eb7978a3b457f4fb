"""`…/conversations/{number}/messages`: what was said, and saying something as the customer."""

from __future__ import annotations

from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.models import Conversation, Message
from integrations.chatwoot.api_inbox import listening
from integrations.chatwoot.api_inbox.answering import answer_to
from integrations.chatwoot.api_inbox.saying import name_of
from integrations.chatwoot.api_inbox.shapes import message_json
from integrations.chatwoot.api_inbox.view import ClientView
from integrations.chatwoot.compat import params
from integrations.chatwoot.errors import ChatwootError
from integrations.chatwoot.shapes.contacts import source_of

PAGE, NEWER = 20, 100


class Messages(ClientView):
    def get(self, request: Request, source_id: str, number: str) -> Response:
        """The last 20, those before `before`, or up to 100 after `after`; oldest first."""
        conversation = self.conversation(self.address(source_id), number)
        rows = self.messages(conversation)
        before, after = (params.number(self.params, name) for name in ("before", "after"))
        if after is not None:
            page = list(rows.filter(pk__gt=after).order_by("pk")[:NEWER])
        else:
            older = rows if before is None else rows.filter(pk__lt=before)
            page = list(older.order_by("-pk")[:PAGE])[::-1]
        return Response([message_json(one, conversation) for one in page])

    def post(self, request: Request, source_id: str, number: str) -> Response | APIException:
        """Said by the customer; what comes again with the same `echo_id` is said once."""
        address = self.address(source_id)
        conversation = self.conversation(address, number)
        echo_id = params.text(self.params, "echo_id")
        name = name_of(address, echo_id)
        heard: Message | ChatwootError | None = listening.known(self.inbox, name)
        if heard is None:
            said = listening.saying_of(self.params, address, name=name)
            heard = listening.hear(self.inbox, said)
        if isinstance(heard, ChatwootError):
            return heard
        return self.shown(heard, conversation, echo_id=echo_id)

    def shown(self, message: Message, conversation: Conversation, *, echo_id: str = "") -> Response:
        found = self.messages(conversation).get(pk=message.pk)
        return Response(message_json(found, conversation, echo_id=echo_id))


class OneMessage(Messages):
    http_method_names = ["patch", "put", "head", "options"]

    def patch(
        self, request: Request, source_id: str, number: str, message_id: str
    ) -> Response | APIException:
        """The customer's answer to a message that offers or asks."""
        address = self.address(source_id)
        conversation = self.conversation(address, number)
        message: Message = self.find(self.messages(conversation), pk=int(message_id))
        said = answer_to(message, self.params, contact=source_of(address))
        heard = listening.hear(self.inbox, said)
        if isinstance(heard, ChatwootError):
            return heard
        return self.shown(message, conversation)

    put = patch
