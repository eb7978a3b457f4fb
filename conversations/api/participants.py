"""REST: who follows a conversation."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member
from accounts.permissions import Permission
from accounts.rest.fields import RefField, StrictSerializer
from accounts.rest.views import AccountViewSet
from conversations import services
from conversations.api.conversations import conversations_of
from conversations.models import Conversation
from conversations.serializers import MemberBriefSerializer

P = Permission


class ParticipantsSerializer(serializers.Serializer[Any]):
    participants = MemberBriefSerializer(many=True)


class ChangeParticipantsSerializer(StrictSerializer):
    """Some to `add` and to `remove`, or with `set` all of them."""

    add = RefField(Member, many=True, default=list)
    remove = RefField(Member, many=True, default=list)
    set = RefField(Member, many=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "set" in attrs and (attrs["add"] or attrs["remove"]):
            raise serializers.ValidationError(_("Set them all, or add and remove some."))
        return attrs


class ParticipantViewSet(AccountViewSet):
    """People who follow a conversation, whoever has it."""

    model = Conversation
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "participants": P.CONVERSATIONS_READ,
        "change_participants": P.CONVERSATIONS_WRITE,
    }

    @extend_schema(responses=ParticipantsSerializer)
    def participants(self, request: Request, conversation_id: str) -> Response:
        return self._show(self._conversation(conversation_id))

    @extend_schema(request=ChangeParticipantsSerializer, responses=ParticipantsSerializer)
    def change_participants(self, request: Request, conversation_id: str) -> Response:
        """Add and remove people, or `set` who follows it; only who sees the conversation can."""
        conversation = self._conversation(conversation_id)
        given = self.shape(ChangeParticipantsSerializer)
        if "set" in given:
            services.set_participants(conversation, given["set"])
        else:
            services.change_participants(conversation, add=given["add"], remove=given["remove"])
        return self._show(conversation)

    def _conversation(self, public_id: str) -> Conversation:
        """Raises `PermissionDenied` for AI agents, `NotFound`."""
        if self.member.is_agent:
            raise PermissionDenied(_("Only people can do this."))
        found: Conversation = self.find(conversations_of(self.member), public_id)
        return found

    def _show(self, conversation: Conversation) -> Response:
        found = {"participants": services.participants_of(conversation)}
        return Response(ParticipantsSerializer(found).data)
