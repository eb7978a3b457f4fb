"""REST: what a person has begun to write in a conversation."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.fields import StrictSerializer
from accounts.rest.views import AccountViewSet
from conversations import services
from conversations.api.conversations import conversations_of
from conversations.models import Conversation, UnsentText
from conversations.services.unsent import MAX_TEXT

P = Permission


class UnsentTextSerializer(serializers.Serializer[Any]):
    text = serializers.CharField()
    updated_at = serializers.DateTimeField(allow_null=True)


class KeepUnsentSerializer(StrictSerializer):
    text = serializers.CharField(max_length=MAX_TEXT, allow_blank=True, trim_whitespace=False)


class UnsentTextViewSet(AccountViewSet):
    """The caller's own; nobody reads what others have begun."""

    model = Conversation
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "unsent": P.CONVERSATIONS_READ,
        "keep_unsent": P.CONVERSATIONS_WRITE,
        "discard_unsent": P.CONVERSATIONS_WRITE,
    }

    @extend_schema(responses=UnsentTextSerializer)
    def unsent(self, request: Request, conversation_id: str) -> Response:
        """Empty where there is nothing."""
        conversation = self._conversation(conversation_id)
        return _shown(services.unsent_text(conversation, self.member))

    @extend_schema(request=KeepUnsentSerializer, responses=UnsentTextSerializer)
    def keep_unsent(self, request: Request, conversation_id: str) -> Response:
        """In the place of what there was. Sending a message leaves it alone."""
        conversation = self._conversation(conversation_id)
        text = self.shape(KeepUnsentSerializer)["text"]
        return _shown(services.keep_unsent(conversation, text=text, by=self.member))

    @extend_schema(responses={204: None})
    def discard_unsent(self, request: Request, conversation_id: str) -> Response:
        services.discard_unsent(self._conversation(conversation_id), by=self.member)
        return Response(status=204)

    def _conversation(self, public_id: str) -> Conversation:
        """Raises `PermissionDenied` for AI agents, `NotFound`."""
        if self.member.is_agent:
            raise PermissionDenied(_("Only people can do this."))
        found: Conversation = self.find(conversations_of(self.member), public_id)
        return found


def _shown(kept: UnsentText | None) -> Response:
    found = kept or {"text": "", "updated_at": None}
    return Response(UnsentTextSerializer(found).data)
