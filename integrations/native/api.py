"""REST: an agent's later answer, in the form of its answers to webhooks."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import (
    APIException,
    ParseError,
    PermissionDenied,
    ValidationError,
)
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.views import AccountViewSet
from agents import services
from agents.actions import Answer, Say
from agents.models import Agent
from conversations.api.conversations import lost_by, to_speak_in
from conversations.api.messages import NotAssignedError
from conversations.channels import UnexpectedPayloadError
from conversations.errors import NotHolderError
from conversations.models import Conversation, Message
from conversations.serializers import MessageSerializer
from conversations.services import keep_draft
from integrations.native.reading import answer_of

MAX_EPOCH = 2**31


class AnswerSerializer(serializers.Serializer[Any]):
    """`reply` or `messages`, and `actions`, as in docs/agents.md; `epoch` as in the event answered."""

    reply = serializers.CharField(required=False)
    messages = serializers.ListField(child=serializers.DictField(), required=False)
    actions = serializers.ListField(child=serializers.DictField(), required=False)
    epoch = serializers.IntegerField(required=False)


class AnsweredSerializer(serializers.Serializer[Any]):
    messages = MessageSerializer(many=True)


class AnswerViewSet(AccountViewSet):
    """Everything of one answer in one transaction, or nothing of it. For AI agents' tokens."""

    model = Conversation
    serializer_class = AnswerSerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "create": Permission.CONVERSATIONS_WRITE
    }

    @extend_schema(request=AnswerSerializer, responses={200: AnsweredSerializer})
    def create(self, request: Request, conversation_id: str) -> Response | APIException:
        agent = Agent.objects.select_related("member", "account").filter(member=self.member).first()
        if agent is None:
            raise PermissionDenied
        answer, epoch = read(request.data)
        try:
            conversation = to_speak_in(self, conversation_id)
            said = services.apply_answer(conversation, agent, answer, epoch=epoch)
        except NotHolderError as error:
            return self._keep(agent, answer, conversation_id, error)
        rows = Message.objects.filter(pk__in=[message.pk for message in said]).order_by("pk")
        whole = rows.select_related("author").prefetch_related("attachments")
        return Response({"messages": MessageSerializer(whole, many=True).data})

    def _keep(
        self, agent: Agent, answer: Answer, conversation_id: str, error: Exception
    ) -> APIException:
        """Too late: what was said is kept for whoever holds it now; returned, so that it stays."""
        conversation = lost_by(self, conversation_id)
        drafts = [
            keep_draft(conversation, content=say.content, author=agent.member, reason="stale_epoch")
            for say in answer.actions
            if isinstance(say, Say)
        ]
        if not drafts:
            raise NotHolderError from error
        return NotAssignedError(drafts[0])


def read(body: Any) -> tuple[Answer, int | None]:
    """The answer and the epoch it was given under; raises `ParseError` naming the place."""
    if not isinstance(body, dict):
        raise ParseError
    body = dict(body)
    epoch = body.pop("epoch", None)
    if epoch is not None and (type(epoch) is not int or not 0 <= epoch < MAX_EPOCH):
        raise ValidationError({"epoch": "epoch should be a whole number"})
    try:
        return answer_of(body), epoch
    except UnexpectedPayloadError as error:
        raise ValidationError({error.key or "body": [str(error)]}) from error
