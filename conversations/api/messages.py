"""REST: the messages of a conversation, notes, and drafts that were kept."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, NotFound, PermissionDenied, ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.parsing import StrictJSONParser, check_text
from accounts.rest.views import AccountViewSet
from conversations import services
from conversations.api.conversations import conversations_of, lost_by, to_speak_in
from conversations.errors import NotHolderError, WrongStateError
from conversations.messages import Content
from conversations.models import Conversation, Message
from conversations.serializers import (
    MessageSerializer,
    NewMessageSerializer,
    NothingSerializer,
    content_of,
)
from conversations.services.locking import lock
from conversations.services.media import kept_together, with_files
from conversations.services.outbound import discard_draft
from conversations.uploads import keep

P = Permission
Direction = Message.Direction


class NotAssignedError(APIException):
    """409: too late; what was said is kept as a draft."""

    status_code = 409
    default_code = NotHolderError.code

    def __init__(self, draft: Message) -> None:
        super().__init__(
            _("This conversation is no longer assigned to you. The text is kept as draft %(id)s.")
            % {"id": draft.public_id}
        )


class MessageViewSet(AccountViewSet):
    """Newest first. Posting queues the message for the channel and answers at once."""

    model = Message
    serializer_class = MessageSerializer
    parser_classes = (StrictJSONParser, MultiPartParser)
    piling_actions = frozenset({"create", "use"})
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONVERSATIONS_READ,
        "retrieve": P.CONVERSATIONS_READ,
        "create": P.CONVERSATIONS_WRITE,
        "use": P.CONVERSATIONS_WRITE,
        "discard": P.CONVERSATIONS_WRITE,
    }

    def rows(self) -> QuerySet[Message]:
        conversation = self.find(
            conversations_of(self.member).only("pk"), self.kwargs["conversation_id"]
        )
        rows = Message.objects.filter(conversation=conversation)
        if self.member.is_agent:
            rows = rows.filter(_seen_by_agents(self.member.pk))
        return rows.select_related("author").prefetch_related("attachments")

    def list(self, request: Request, conversation_id: str) -> Response:
        return self.page()

    def retrieve(self, request: Request, conversation_id: str, id: str) -> Response:  # noqa: A002
        return self.answer(self.get_object())

    @extend_schema(request=NewMessageSerializer, responses={201: MessageSerializer})
    def create(self, request: Request, conversation_id: str) -> Response | APIException:
        """Say something to the customer, or with `note: true` to colleagues.

        An AI agent that lost the conversation gets 409 `not_assigned`, and its text stays as a draft; one
        whose `stale_gate` is off still speaks, and its `content` has `late`.
        """
        given = self.shape(NewMessageSerializer)
        with kept_together():
            content = self._content(given)  # files are stored before anything is locked
            try:
                message = self._say(given, content, conversation_id)
            except NotHolderError:
                return self._keep(content, conversation_id)
        return self.answer(with_files(message), status=201)

    @extend_schema(request=NothingSerializer, responses={201: MessageSerializer})
    @action(detail=True, methods=["post"])
    def use(self, request: Request, conversation_id: str, id: str) -> Response:  # noqa: A002
        """Send a kept draft as one's own words."""
        message = services.use_draft(self._draft(), by=self.member)
        return self.answer(with_files(message), status=201)

    @extend_schema(request=NothingSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, conversation_id: str, id: str) -> Response:  # noqa: A002
        """Put a kept draft away."""
        discard_draft(self._draft(), by=self.member)
        return Response(status=204)

    def _say(self, given: dict[str, Any], content: Content, conversation_id: str) -> Message:
        conversation = to_speak_in(self, conversation_id)
        if given["note"]:
            return services.add_note(conversation, text=content.text, author=self.member)
        return services.say_in(
            conversation,
            content=content,
            author=self.member,
            reply_to=self._reply_to(conversation, given.get("reply_to")),
            client_id=given["client_id"],
            epoch=given.get("epoch"),
        )

    def _keep(self, content: Content, conversation_id: str) -> APIException:
        """Too late: returned and not raised, so that the draft stays. Of somebody erased, nothing is kept."""
        conversation = lock(lost_by(self, conversation_id))
        if conversation.contact.erased_at is not None:
            raise NotHolderError
        draft = services.keep_draft(
            conversation, content=content, author=self.member, reason="stale_epoch"
        )
        return NotAssignedError(draft)

    def _content(self, given: dict[str, Any]) -> Content:
        if given["note"]:
            return Content(text=given["text"])
        check_text(given["text"])
        uploads = given.get("files", ())
        files = tuple(keep(upload, account_id=self.account.pk) for upload in uploads)
        return content_of(given, files)

    def _reply_to(self, conversation: Conversation, public_id: str | None) -> Message | None:
        if not public_id:
            return None
        try:
            found = self.find(Message.objects.filter(conversation=conversation), public_id)
        except NotFound as error:
            raise ValidationError(
                {"reply_to": _("There is no such message in this conversation.")},
                code="does_not_exist",
            ) from error
        message: Message = found
        return message

    def _draft(self) -> Message:
        if self.member.is_agent:
            raise PermissionDenied(_("Only people can do this."))
        self.shape(NothingSerializer)
        message: Message = self.find(self.get_queryset(), self.kwargs["id"], lock=True)
        if message.direction != Direction.DRAFT or message.deleted_at:
            raise WrongStateError(_("This draft has been used or discarded already."))
        return message


def _seen_by_agents(member_id: int) -> Q:
    """Notes are for people: an AI agent reads what was said to and by the customer, and its own."""
    return Q(direction__in=(Direction.INBOUND, Direction.OUTBOUND)) | Q(author_id=member_id)
