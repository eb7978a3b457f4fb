"""Messages of a conversation: reading them, saying something, taking one back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member
from accounts.paging import first_of
from accounts.permissions import Permission
from accounts.prepared import KEY, NUMBER, prepared
from conversations import services
from conversations.errors import NotHolderError
from conversations.messages import Content, DeliveryStatus, Kind, StatusUpdate
from conversations.models import Assignment, Attachment, Conversation, Message
from conversations.models.conversation import ConversationQuerySet
from conversations.services.locking import RELATED, lock, locked, whole
from integrations.chatwoot import bots, mirroring, reading
from integrations.chatwoot.api_inbox import listening
from integrations.chatwoot.api_inbox.saying import name_of
from integrations.chatwoot.api_inbox.settings import is_api
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, of_bot
from integrations.chatwoot.content import content_of
from integrations.chatwoot.errors import ChatwootError, missing, unprocessable
from integrations.chatwoot.shapes.contacts import contact_push
from integrations.chatwoot.shapes.conversations import labels_of
from integrations.chatwoot.shapes.messages import listed_file, message_json
from integrations.chatwoot.shapes.parts import iso
from integrations.chatwoot.shapes.people import member_push
from integrations.chatwoot.starting import SOURCE_TAKEN

Direction = Message.Direction
STATUSES = ("sent", "delivered", "read", "failed")
# By their numbers, which may be said instead.
MESSAGE_TYPES = ("incoming", "outgoing", "activity", "template")
PAGE, NEWER, BETWEEN = 20, 100, 1000
FILES = 100
PER_MINUTE = 200
# How long after losing a conversation a bot's words are still kept as a draft.
LATE_WORDS = timedelta(hours=24)
TOO_MANY = "Validation failed: Too many messages"
ONLY_API_STATUS = "Message status update is only allowed for API inboxes"
ONLY_API = "Incoming messages are only allowed in Api inboxes"


class Messages(CompatView):
    """`…/conversations/{number}/messages`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONVERSATIONS_READ,
        "post": P.CONVERSATIONS_WRITE,
    }
    bot_permissions = permissions_by_action
    piling = frozenset({"post"})

    def get(self, request: Request, number: str) -> Response:
        """20 before `before`, 100 after `after`, up to 1,000 between them, or the last 20."""
        conversation = self.conversation(number)
        rows = Message.objects.filter(reading.shown_to(self.member), conversation=conversation)
        if params.flag(self.params, "filter_internal_messages"):
            rows = rows.filter(direction__in=(Direction.INBOUND, Direction.OUTBOUND))
        page = self._page(reading.whole_messages(rows))
        return Response(
            {
                "meta": _meta(conversation),
                "payload": [message_json(message, conversation) for message in page],
            }
        )

    def _page(self, rows: QuerySet[Message]) -> list[Message]:
        """Oldest first."""
        before, after = (params.number(self.params, name) for name in ("before", "after"))
        if after is not None:
            newer = rows.filter(pk__gt=after).order_by("pk")
            if before is not None:
                return list(first_of(newer.filter(pk__lt=before), BETWEEN))
            return list(first_of(newer, NEWER))
        older = rows if before is None else rows.filter(pk__lt=before)
        return list(first_of(older.order_by("-pk"), PAGE))[::-1]

    def post(self, request: Request, number: str) -> Response | APIException:
        """Say something to the customer, or with `private` to colleagues."""
        kind = self._message_type()
        if kind == "incoming":
            return self._hear(self.conversation(number))
        if kind != "outgoing":
            raise unprocessable(_("Only outgoing messages can be made."))
        if name := params.text(self.params, "source_id"):
            return self._record(self.conversation(number), name)
        conversation, content = self._to_say(number)
        self._check_pace(conversation)
        try:
            message = self._say(conversation, content)
        except NotHolderError:
            return self._keep(conversation, content)
        shown = reading.said_message(message, message.conversation, echo_id=self._echo_id())
        return Response(shown)

    def _hear(self, conversation: Conversation) -> Response | APIException:
        """The customer says it, in an app that speaks for them; a `source_id` is said once. No bot's
        token does that."""
        if not is_api(conversation.inbox):
            raise unprocessable(ONLY_API)
        if self.member.is_agent:
            raise PermissionDenied
        inbox, address = conversation.inbox, conversation.address
        name = params.text(self.params, "source_id") or name_of(address)
        heard: Message | ChatwootError | None = listening.known(inbox, name)
        if heard is None:
            heard = listening.hear(inbox, listening.saying_of(self.params, address, name=name))
        if isinstance(heard, ChatwootError):
            return heard
        if heard.conversation_id != conversation.pk:
            raise unprocessable(SOURCE_TAKEN)
        return Response(reading.shown_message(heard, conversation, echo_id=self._echo_id()))

    def _record(self, conversation: Conversation, name: str) -> Response:
        """A person has said it by another way; a `source_id` is said once. Bots say things by this one."""
        if self.member.is_agent or params.flag(self.params, "private"):
            raise unprocessable(_("What was sent by another way cannot be recorded by this call."))
        said = mirroring.known(conversation, name)
        if said is None:
            content = content_of(self.params, account_id=self.account.pk)
            said = mirroring.record(conversation, content, name)
        if said.conversation_id != conversation.pk:
            raise unprocessable(SOURCE_TAKEN)
        return Response(reading.shown_message(said, conversation, echo_id=self._echo_id()))

    def _message_type(self) -> str:
        """By its name or its number."""
        n = params.as_number(self.params.get("message_type"))
        if n is not None and 0 <= n < len(MESSAGE_TYPES):
            return MESSAGE_TYPES[n]
        return params.choice(self.params, "message_type", MESSAGE_TYPES, "outgoing")

    def _echo_id(self) -> str | int:
        """By which the caller knows the answer again: a text or a number, as they sent it."""
        number = self.params.get("echo_id")
        return number if type(number) is int else params.text(self.params, "echo_id")

    def _to_say(self, number: str) -> tuple[Conversation, Content]:
        """Where something is said, locked, and what. Files are stored before anything is locked, and for nobody
        who may not speak here."""
        if not self.params.get("attachments"):
            conversation = self._locked(number)
            return conversation, content_of(self.params, account_id=self.account.pk)
        self._found(number)
        content = content_of(self.params, account_id=self.account.pk)
        return self._locked(number), content

    def _say(self, conversation: Conversation, content: Content) -> Message:
        author = self._author()
        if params.flag(self.params, "private"):
            if content.kind != Kind.TEXT:
                raise unprocessable(_("Notes carry text only."))
            return services.add_note(conversation, text=content.text, author=author)
        return services.say_in(
            conversation, content=content, author=author, reply_to=self._reply_to(conversation)
        )

    def _author(self) -> Member:
        """The caller; a person may speak for a bot of the account, while it has the conversation."""
        if self.params.get("sender_type") != "AgentBot" or self.member.is_agent:
            return self.member
        agent = bots.numbered(params.required_number(self.params, "sender_id"))
        if agent is None:
            raise NotFound
        return agent.member

    def _reply_to(self, conversation: Conversation) -> Message | None:
        """What it quotes; an id that is not here is passed over, as theirs does."""
        attributes = params.mapping(self.params, "content_attributes")
        pk = params.as_number(attributes.get("in_reply_to"))
        external = attributes.get("in_reply_to_external_id")
        if pk is None and not _is_name(external):
            return None
        thread = Message.objects.filter(conversation=conversation)
        quoted = thread.filter(external_id=external) if pk is None else thread.filter(pk=pk)
        return quoted.first()

    def _locked(self, number: str) -> Conversation:
        """The conversation of the path, locked; also one that the bot lost. A bot's is found and locked by
        one question, for this is what bots call most."""
        if self.member.is_agent and (found := whole(_lock_own(self.member.pk, int(number)))):
            return found[0]
        return lock(self._found(number))

    def _found(self, number: str) -> Conversation:
        """Also one that the bot lost."""
        try:
            return self.conversation(number)
        except PermissionDenied:
            return self._lost(number)

    def _lost(self, number: str) -> Conversation:
        """What the bot held a while ago: its words are kept. Raises `PermissionDenied`."""
        held = Assignment.objects.filter(
            conversation__number=int(number),
            member=self.member,
            ended_at__gt=timezone.now() - LATE_WORDS,
        ).select_related("conversation")
        last = held.first()
        if last is None:
            raise PermissionDenied
        return last.conversation

    def _keep(self, conversation: Conversation, content: Content) -> ChatwootError:
        """Too late: returned and not raised, so that the draft stays. A note is refused: as a draft it
        would be one click away from the customer."""
        refusal = unprocessable(NotHolderError().message)
        # Its customer may have been erased while we waited for it, or be another one by now.
        conversation = lock(conversation)
        if params.flag(self.params, "private") or conversation.contact.erased_at is not None:
            raise refusal
        author = self._author()
        services.keep_draft(conversation, content=content, author=author, reason="stale_epoch")
        return refusal

    def _check_pace(self, conversation: Conversation) -> None:
        """At most 200 in a minute, whoever says them: two bots that answer each other end here. Nobody
        asks about a conversation in which not half as much has ever happened."""
        if conversation.last_sequence < PER_MINUTE // 2:
            return
        minute_ago = timezone.now() - timedelta(minutes=1)
        if any(said_at > minute_ago for (said_at,) in _oldest_of_a_minute(conversation.pk)):
            raise unprocessable(TOO_MANY)


class OneMessage(CompatView):
    """`…/messages/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "patch": P.CONVERSATIONS_WRITE,
        "delete": P.CONVERSATIONS_WRITE,
    }

    def patch(self, request: Request, number: str, message_id: str) -> Response:
        """What the app of an API inbox knows of a message: that it came, was read, or did not."""
        conversation = self.conversation(number)
        message = self._message(conversation, message_id)
        if not is_api(conversation.inbox):
            raise ChatwootError(403, {"error": ONLY_API_STATUS})
        wanted = params.choice(self.params, "status", STATUSES)
        if not wanted:
            raise missing("status")
        if message.direction != Direction.OUTBOUND or not message.external_id:
            raise unprocessable(_("Only messages that were sent to the customer have a status."))
        reason = params.text(self.params, "external_error", most=500)
        update = StatusUpdate(message.external_id, DeliveryStatus(wanted), error_text=reason)
        services.receive_statuses(conversation.inbox, [update])
        return Response(reading.shown_message(message, conversation))

    def delete(self, request: Request, number: str, message_id: str) -> Response:
        """Out of the thread; the customer keeps what was sent."""
        conversation = self.conversation(number)
        message = services.take_back(self._message(conversation, message_id), by=self.member)
        return Response(reading.shown_message(message, conversation))

    def _message(self, conversation: Conversation, pk: str) -> Message:
        rows = Message.objects.filter(reading.shown_to(self.member), conversation=conversation)
        message: Message = self.find(rows, pk=int(pk))
        return message


class Attachments(CompatView):
    """`…/conversations/{number}/attachments`: the files of a conversation, newest first."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.CONVERSATIONS_READ}

    def get(self, request: Request, number: str) -> Response:
        """100 a page."""
        conversation = self.conversation(number)
        messages = Message.objects.filter(reading.shown_to(self.member), conversation=conversation)
        rows = Attachment.objects.filter(message__in=messages.filter(deleted_at=None))
        start = (params.page(self.params) - 1) * FILES
        found = rows.select_related("message__author__agent__bot_settings").order_by("-pk")
        return Response(
            {
                "meta": {"total_count": rows.count()},
                "payload": [listed_file(one, conversation) for one in found[start : start + FILES]],
            }
        )


def _meta(conversation: Conversation) -> dict[str, Any]:
    assignee = conversation.assignee
    shown: dict[str, Any] = {
        "labels": labels_of(conversation),
        "additional_attributes": {},
        "contact": contact_push(conversation.contact),
    }
    if assignee is not None:
        shown["assignee"] = member_push(assignee)
    return shown | {"agent_last_seen_at": iso(None), "assignee_last_seen_at": iso(None)}


@prepared(KEY, NUMBER)
def _lock_own(member_id: int, number: int) -> ConversationQuerySet:
    return locked(*RELATED).filter(of_bot(member_id), number=number)


@prepared(KEY)
def _oldest_of_a_minute(conversation_id: int) -> QuerySet[Message, tuple[datetime]]:
    """When the message was said that is as many back as there may be in a minute; or nothing."""
    thread = Message.objects.filter(conversation_id=conversation_id).order_by("-pk")
    return thread.values_list("created_at")[PER_MINUTE - 1 : PER_MINUTE]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 250
