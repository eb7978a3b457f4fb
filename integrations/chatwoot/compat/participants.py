"""Who follows a conversation."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from conversations import services
from integrations.chatwoot.compat.base import P, nothing
from integrations.chatwoot.compat.people import PeopleView


class Participants(PeopleView):
    """`/conversations/{id}/participants`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONVERSATIONS_READ,
        "post": P.CONVERSATIONS_WRITE,
        "patch": P.CONVERSATIONS_WRITE,
        "put": P.CONVERSATIONS_WRITE,
        "delete": P.CONVERSATIONS_WRITE,
    }
    field_names: ClassVar[dict[str, str]] = {"participants": "user_ids"}

    def get(self, request: Request, number: str) -> Response:
        return Response(self.shown(services.participants_of(self.conversation(number))))

    def post(self, request: Request, number: str) -> Response:
        """They too."""
        conversation, named = self.conversation(number), self.named()
        services.change_participants(conversation, add=named)
        return Response(self.shown(named))

    def patch(self, request: Request, number: str) -> Response:
        """They and nobody else."""
        conversation, named = self.conversation(number), self.named()
        services.set_participants(conversation, named)
        return Response(self.shown(services.participants_of(conversation)))

    put = patch

    def delete(self, request: Request, number: str) -> Response:
        """Without them, though they may have left the account."""
        conversation, named = self.conversation(number), self.named(self.with_former())
        services.change_participants(conversation, remove=named)
        return nothing()
