"""`…/contacts/{source_id}/conversations`: the one thread that a customer has in this inbox."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from conversations import services
from conversations.messages import DeliveryStatus, StatusUpdate
from conversations.models import Address, Conversation, Message
from conversations.services.courtesies import note_typing
from integrations.chatwoot import starting
from integrations.chatwoot.api_inbox.shapes import ARRIVED, conversation_json
from integrations.chatwoot.api_inbox.view import ClientView
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import nothing
from integrations.chatwoot.compat.conversations import read_attributes

# How many of its messages a conversation shows; the others are asked for.
SHOWN = 20
# How many may become read at once.
MOST_SEEN = 200


class ConversationView(ClientView):
    def show(self, conversation: Conversation, address: Address) -> dict[str, Any]:
        newest = list(self.messages(conversation).order_by("-pk")[:SHOWN])
        return conversation_json(conversation, address, newest[::-1])


class Conversations(ConversationView):
    def get(self, request: Request, source_id: str) -> Response:
        address = self.address(source_id)
        rows = Conversation.objects.filter(address=address).values_list("number", flat=True)
        threads = [self.conversation(address, str(number)) for number in rows]
        return Response([self.show(one, address) for one in threads])

    def post(self, request: Request, source_id: str) -> Response:
        """Their thread as it is, or a new one. What was resolved opens with their next message."""
        address = self.address(source_id)
        found = Conversation.objects.filter(address=address).first()
        conversation = found or starting.begin(address, by=None)
        if "custom_attributes" in self.params:
            values = read_attributes(self.params, "custom_attributes")
            services.set_attributes(conversation, values, by=None, on="conversation")
        again = self.conversation(address, str(conversation.number))
        return Response(self.show(again, address))


class OneConversation(ConversationView):
    def get(self, request: Request, source_id: str, number: str) -> Response:
        address = self.address(source_id)
        return Response(self.show(self.conversation(address, number), address))


class ToggleStatus(ConversationView):
    def post(self, request: Request, source_id: str, number: str) -> Response:
        """The customer has what they wanted: it is resolved. What is resolved stays so."""
        address = self.address(source_id)
        conversation = self.conversation(address, number)
        services.resolve(conversation, by=None, detail=str(self.inbox.channel.name))
        return Response(self.show(self.conversation(address, number), address))


class ToggleTyping(ConversationView):
    def post(self, request: Request, source_id: str, number: str) -> Response:
        """For webhooks: the desk itself says nothing of customers who are typing."""
        conversation = self.conversation(self.address(source_id), number)
        typing = params.choice(self.params, "typing_status", ("on", "off"), "off")
        note_typing(conversation, by=None, on=typing == "on")
        return nothing()


class UpdateLastSeen(ConversationView):
    def post(self, request: Request, source_id: str, number: str) -> Response:
        """What has arrived there so far, has been read."""
        conversation = self.conversation(self.address(source_id), number)
        outbound = Message.objects.filter(
            conversation=conversation,
            direction=Message.Direction.OUTBOUND,
            status__in=[status for status in ARRIVED if status != DeliveryStatus.READ],
        )
        names = outbound.order_by("-pk").values_list("external_id", flat=True)[:MOST_SEEN]
        read = [StatusUpdate(name, DeliveryStatus.READ) for name in names if name]
        services.receive_statuses(self.inbox, read)
        return nothing()
