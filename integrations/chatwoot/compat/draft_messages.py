"""What a person has begun to write in a conversation."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from conversations import services
from conversations.services.unsent import MAX_TEXT
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing


class DraftMessages(CompatView):
    """`/conversations/{id}/draft_messages`: the caller's own."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONVERSATIONS_READ,
        "patch": P.CONVERSATIONS_WRITE,
        "put": P.CONVERSATIONS_WRITE,
        "delete": P.CONVERSATIONS_WRITE,
    }
    field_names: ClassVar[dict[str, str]] = {"text": "message"}

    def get(self, request: Request, number: str) -> Response:
        kept = services.unsent_text(self.conversation(number), self.member)
        return Response({"has_draft": True, "message": kept.text} if kept else {"has_draft": False})

    def patch(self, request: Request, number: str) -> Response:
        conversation = self.conversation(number)
        given = params.required_mapping(self.params, "draft_message")
        text = params.text(given, "message", most=2 * MAX_TEXT)
        services.keep_unsent(conversation, text=text, by=self.member)
        return nothing()

    put = patch

    def delete(self, request: Request, number: str) -> Response:
        services.discard_unsent(self.conversation(number), by=self.member)
        return nothing()
