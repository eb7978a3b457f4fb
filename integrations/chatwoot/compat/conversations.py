"""One conversation: showing it, beginning it, and what is done with it."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.exceptions import NotFound, PermissionDenied, Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member, Team
from accounts.permissions import Permission
from accounts.rest.fields import AttributesField
from agents.actions import Answer, Typing
from agents.models import AgentInbox
from agents.services import apply_answer
from conversations import services, transcripts
from conversations.messages import Content
from conversations.models import Address, Contact, Conversation, Inbox, Label
from conversations.services.courtesies import acknowledge, note_typing
from conversations.services.locking import lock
from conversations.transcripts import TooManyLettersError
from integrations.chatwoot import contacts, reading, starting, templates
from integrations.chatwoot.compat import params, status
from integrations.chatwoot.compat.assignments import give
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.content import MAX_CONTENT
from integrations.chatwoot.errors import missing, unprocessable
from integrations.chatwoot.shapes.conversations import labels_of, status_of
from integrations.chatwoot.shapes.parts import iso

PRIORITIES = ("low", "medium", "high", "urgent")
NO_PRIORITY = Conversation.Priority.NONE.value
MAX_LABELS = 50


class ConversationView(CompatView):
    """A view below one conversation."""

    def show(self, conversation: Conversation) -> Response:
        return Response(reading.shown(conversation, self.member))


class OneConversation(ConversationView):
    """`…/conversations/{number}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONVERSATIONS_READ,
        "patch": P.CONVERSATIONS_WRITE,
        "put": P.CONVERSATIONS_WRITE,
    }
    bot_permissions = permissions_by_action

    def get(self, request: Request, number: str) -> Response:
        return self.show(self.conversation(number))

    def patch(self, request: Request, number: str) -> Response:
        """Only the priority can be changed here."""
        conversation = self.conversation(number)
        if "priority" in self.params:
            services.set_priority(conversation, self.priority(), by=self.member)
        return self.show(conversation)

    put = patch

    def priority(self) -> str:
        return read_priority(self.params)


class TogglePriority(ConversationView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}
    bot_permissions = permissions_by_action

    def post(self, request: Request, number: str) -> Response:
        """Null takes it off."""
        conversation = self.conversation(number)
        services.set_priority(conversation, read_priority(self.params), by=self.member)
        return nothing()


def read_priority(given: params.Params) -> str:
    return params.choice(given, "priority", PRIORITIES, NO_PRIORITY)


class ToggleStatus(ConversationView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}
    bot_permissions = permissions_by_action

    def post(self, request: Request, number: str) -> Response:
        """`open` by a bot is its hand-off; without a status the other one."""
        conversation = self.conversation(number)
        wanted = params.choice(self.params, "status", status.STATUSES)
        wanted = wanted or status.toggled(conversation)
        until = params.moment(self.params, "snoozed_until")
        after = status.change(
            conversation, wanted, by=self.member, may_assign=self.may_assign, until=until
        )
        return Response(
            {
                "meta": {},
                "payload": {
                    "success": True,
                    "conversation_id": after.number,
                    "current_status": status_of(after),
                    "snoozed_until": iso(after.snoozed_until),
                },
            }
        )


class ToggleTyping(ConversationView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}
    bot_permissions = permissions_by_action

    def post(self, request: Request, number: str) -> Response:
        """The customer sees it where the channel can say so; what is typed for colleagues shows nowhere."""
        conversation = self.conversation(number)
        on = params.choice(self.params, "typing_status", ("on", "off"), "off") == "on"
        private = params.flag(self.params, "is_private")
        if on and not private:
            self._tell(conversation)
        note_typing(conversation, by=self.member, on=on, private=private)
        return nothing()

    def _tell(self, conversation: Conversation) -> None:
        if not self.member.is_agent:
            acknowledge(conversation, typing=True)
        elif conversation.assignee_id == self.member.pk:
            apply_answer(conversation, self.agent, Answer((Typing(),)))


class CustomAttributes(ConversationView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}
    bot_permissions = permissions_by_action

    def post(self, request: Request, number: str) -> Response:
        """These and no others; null is none. What is no object wipes nothing."""
        conversation = self.conversation(number)
        if self.params.get("custom_attributes", "") is not None:
            params.required_mapping(self.params, "custom_attributes")
        given = read_attributes(self.params, "custom_attributes")
        after = services.replace_attributes(conversation, given, by=self.member)
        return Response({"custom_attributes": after.attributes})


def read_attributes(given: params.Params, name: str) -> dict[str, Any]:
    """Plain values under plain names. Raises 422."""
    values: dict[str, Any] = AttributesField().run_validation(params.mapping(given, name))
    return values


class Labels(ConversationView):
    """`…/conversations/{number}/labels`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONVERSATIONS_READ,
        "post": P.CONVERSATIONS_WRITE,
    }
    bot_permissions = permissions_by_action

    def get(self, request: Request, number: str) -> Response:
        return Response({"payload": labels_of(self.conversation(number))})

    def post(self, request: Request, number: str) -> Response:
        """These labels and no others."""
        conversation = self.conversation(number)
        if "labels" not in self.params:
            raise missing("labels")
        wanted = params.texts(self.params, "labels", count=MAX_LABELS)
        services.set_labels(conversation, wanted, by=self.member)
        names = Label.objects.filter(conversations=conversation).order_by("name")
        return Response({"payload": list(names.values_list("name", flat=True))})


# --- For people ----------------------------------------------------------------------------------


class UpdateLastSeen(ConversationView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}

    def post(self, request: Request, number: str) -> Response:
        """Somebody has looked."""
        conversation = self.conversation(number)
        services.mark_read(conversation, by=self.member)
        return self.show(conversation)


class Unread(ConversationView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}

    def post(self, request: Request, number: str) -> Response:
        """Somebody should look again."""
        conversation = self.conversation(number)
        services.mark_unread(conversation, by=self.member)
        return self.show(conversation)


class Transcript(ConversationView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}

    def post(self, request: Request, number: str) -> Response:
        """What was said goes to `email` as a letter."""
        conversation = self.conversation(number)
        to = params.text(self.params, "email").strip()
        if not to:
            raise unprocessable("email param missing")
        try:
            transcripts.send_later(conversation, to=to, by=self.member)
        except TooManyLettersError as error:
            raise Throttled(error.wait) from error
        return nothing()


class Muting(ConversationView):
    """`…/mute` and `…/unmute`: block the contact, and resolve; or let them in again."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONTACTS_WRITE}
    blocked = True

    def post(self, request: Request, number: str) -> Response:
        conversation = self.conversation(number)
        services.update_contact(conversation.contact, by=self.member, blocked=self.blocked)
        if self.blocked:
            services.resolve(conversation, by=self.member)
        return nothing()


# --- Beginning one -------------------------------------------------------------------------------


class Beginning(CompatView):
    """POST `/conversations`; the list is in `listing.py`."""

    def post(self, request: Request) -> Response:
        """With a contact in an inbox, or with whoever is known by `source_id` already."""
        wanted = params.choice(self.params, "status", status.STATUSES)
        address = self._address()
        conversation = starting.begin(address, by=self.member)
        if "custom_attributes" in self.params:
            values = read_attributes(self.params, "custom_attributes")
            services.set_attributes(conversation, values, by=self.member, on="conversation")
        self._say(conversation)
        conversation = self._give(lock(conversation))
        if wanted and not conversation.held_by_agent and wanted != status_of(conversation):
            until = params.moment(self.params, "snoozed_until")
            status.change(
                conversation, wanted, by=self.member, may_assign=self.may_assign, until=until
            )
        return Response(reading.shown(conversation, self.member))

    def _address(self) -> Address:
        """Raises `NotFound` for whom the caller does not see, and for a thread hidden from them."""
        self.require(P.CONTACTS_READ)
        source_id = params.text(self.params, "source_id")
        inbox_id, contact_id = (params.number(self.params, n) for n in ("inbox_id", "contact_id"))
        inbox = self._inbox(inbox_id) if inbox_id is not None else None
        if inbox is not None and contact_id is not None:
            contact = self._contact(contact_id)
            known = starting.known_address(inbox, contact, source_id)
            if known is None:
                self.require(P.CONTACTS_WRITE)
                return starting.address_for(inbox, contact, source_id)
        elif not source_id:
            raise missing("inbox_id" if inbox is None else "contact_id")
        else:
            known = starting.address_by_source(inbox, source_id)
            if known is None:
                raise NotFound
            self._inbox(known.inbox_id)
            self._contact(known.contact_id)
        self._check_sees_thread(known)
        return known

    def _contact(self, pk: int) -> Contact:
        """Who the conversation is with. A bot reaches whom its inboxes know already, beside those of its
        conversations. Raises `NotFound`; `PermissionDenied` for a bot that has no business with them."""
        pk = contacts.present_id(pk)
        seen: Contact | None = self.contacts().filter(pk=pk).first()
        if seen is not None:
            return seen
        other: Contact = self.find(contacts.present(), pk=pk)
        if not self.member.is_agent:
            raise NotFound
        attached = AgentInbox.objects.filter(agent__member=self.member).values("inbox")
        if not Address.objects.filter(contact=other, inbox__in=attached).exists():
            raise PermissionDenied
        return other

    def _check_sees_thread(self, address: Address) -> None:
        there = Conversation.objects.filter(address=address)
        if there.exists() and not self.conversations().filter(address=address).exists():
            raise NotFound

    def _inbox(self, pk: int) -> Inbox:
        """Raises `NotFound`; for a bot that is not attached to it `PermissionDenied`."""
        inbox: Inbox = self.find(Inbox.objects.present().select_related("account"), pk=pk)
        if self.member.is_agent and not self.is_attached(inbox):
            raise PermissionDenied
        return inbox

    def _give(self, conversation: Conversation) -> Conversation:
        """To whom the request says; a bot gives it to people as by any other call."""
        person_id, team_id = (params.number(self.params, n) for n in ("assignee_id", "team_id"))
        to: Member | Team
        if person_id is not None:
            people = Member.objects.people().active().filter(account=self.account)
            to = self.find(people, pk=person_id)
        elif team_id is not None:
            to = self.find(Team.objects.all(), pk=team_id)
        else:
            return conversation
        return give(conversation, to, by=self.member, may_assign=self.may_assign)

    def _say(self, conversation: Conversation) -> None:
        said = params.mapping(self.params, "message")
        text = params.text(said, "content", most=MAX_CONTENT)
        content = templates.content_of(said, text) or Content(text=text)
        if content.template or text.strip():
            services.post_message(conversation, content=content, author=self.member)
