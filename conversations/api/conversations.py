"""REST: conversations, and everything that can be done with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.ids import decode
from accounts.models import Member, Team
from accounts.paging import read_first
from accounts.permissions import Permission
from accounts.prepared import KEY, KEYS, prepared
from accounts.rest.filters import RefFilter, SinceFilter, search_words
from accounts.rest.views import AccountViewSet
from conversations import services
from conversations.desk import matches
from conversations.errors import NotHolderError
from conversations.models import Contact, Conversation, Inbox, sees_all
from conversations.models.conversation import ConversationQuerySet
from conversations.serializers import (
    AssignSerializer,
    AttributesSerializer,
    ConversationChangeSerializer,
    ConversationSerializer,
    HandOffSerializer,
    LabelsSerializer,
    NothingSerializer,
    PrioritySerializer,
    ReasonSerializer,
    SnoozeSerializer,
)
from conversations.services.locking import RELATED, lock, locked, whole

P = Permission
Act = Callable[..., Conversation]
# Nobody sleeps longer than this; the timer's column ends somewhere too.
LONGEST_SNOOZE = timedelta(days=366)


def conversations_of(member: Member) -> ConversationQuerySet:
    """What this member may see."""
    return Conversation.objects.visible_to(member)


def shown(rows: ConversationQuerySet) -> ConversationQuerySet:
    """With what a serialized conversation shows, in the one query."""
    return (
        rows.select_related("contact", "inbox", "address", "assignee")
        .defer("inbox__credentials_sealed")
        .with_labels()
    )


@prepared(KEYS)
def _shown_of(pks: Sequence[int]) -> ConversationQuerySet:
    return shown(Conversation.objects.filter(pk__among=pks))


class ContactRefFilter(RefFilter):
    """Also by the id of somebody who turned out to be another contact."""

    def filter(self, qs: Any, value: str) -> Any:
        """In one query: the contact named, or the one it was merged into."""
        if not value:
            return qs
        named = super().filter(Contact.objects.annotate(contact_id=F("pk")), value)
        return qs.filter(contact__in=named.values(now=Coalesce("merged_into", "pk")))


class ConversationFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    status = filters.ChoiceFilter(choices=Conversation.Status.choices)
    assignee = filters.CharFilter(method="held_by")
    team = RefFilter(Team, field_name="team_id")
    inbox = RefFilter(Inbox, field_name="inbox_id")
    contact = ContactRefFilter(Contact, field_name="contact_id")
    participant = filters.CharFilter(method="followed")
    label = filters.CharFilter(method="labelled")
    priority = filters.ChoiceFilter(choices=Conversation.Priority.choices)
    q = filters.CharFilter(method="search")
    updated_since = SinceFilter(field_name="updated_at")

    def held_by(self, rows: Any, name: str, value: str) -> Any:
        """A member's id, or `none`, `people`, `ai`."""
        if value == "none":
            return rows.filter(assignee__isnull=True)
        if value in ("ai", "people"):
            kind = Member.Kind.AGENT if value == "ai" else Member.Kind.PERSON
            return rows.filter(assignee__kind=kind)
        try:
            return rows.filter(assignee_id=decode("mem", value))
        except ValueError as error:
            raise ValidationError({name: _("A member's id, none, people or ai.")}) from error

    def followed(self, rows: Any, name: str, value: str) -> Any:
        """By a member, by id."""
        try:
            return rows.followed_by(decode("mem", value))
        except ValueError as error:
            raise ValidationError({name: _("A member's id.")}) from error

    def labelled(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(labels__name=value[:60])

    def search(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(matches(search_words(value)))


class ConversationViewSet(AccountViewSet):
    """The threads of the account. Acts are POSTs below one: assign, take_over, resolve, …"""

    model = Conversation
    serializer_class = ConversationSerializer
    filterset_class = ConversationFilter
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONVERSATIONS_READ,
        "retrieve": P.CONVERSATIONS_READ,
        "partial_update": P.CONVERSATIONS_WRITE,
        "assign": P.CONVERSATIONS_ASSIGN,
        "take_over": P.CONVERSATIONS_ASSIGN,
        "give_back": P.CONVERSATIONS_ASSIGN,
        "hand_off": P.CONVERSATIONS_ASSIGN,
        "resolve": P.CONVERSATIONS_WRITE,
        "reopen": P.CONVERSATIONS_WRITE,
        "snooze": P.CONVERSATIONS_WRITE,
        "labels": P.CONVERSATIONS_WRITE,
        "attributes": P.CONVERSATIONS_WRITE,
        "priority": P.CONVERSATIONS_WRITE,
        "read": P.CONVERSATIONS_WRITE,
    }

    @property
    def ordering(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the request
        """Latest activity first; latest change first for those who sync."""
        if "updated_since" in self.request.query_params:
            return ("-updated_at", "-id")
        return ("-last_activity_at", "-id")

    def rows(self) -> QuerySet[Conversation]:
        return shown(conversations_of(self.member))

    def page_of(self, rows: QuerySet[Any], n: int) -> list[Any]:
        if sees_all(self.member):
            return read_first(rows, n, _shown_of, by=[str(name) for name in rows.query.order_by])
        return super().page_of(rows, n)

    def list(self, request: Request) -> Response:
        return self.page()

    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        return self.answer(self.get_object())

    @extend_schema(request=ConversationChangeSerializer, responses=ConversationSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        """Priority and its own attributes; everything else is an act."""
        conversation = self._to_change(id)
        changes = self.shape(ConversationChangeSerializer, partial=True)
        if "priority" in changes:
            services.set_priority(conversation, changes["priority"], by=self.member)
        if "attributes" in changes:
            services.set_attributes(
                conversation, changes["attributes"], by=self.member, on="conversation"
            )
        return self._show(conversation)

    @extend_schema(request=AssignSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, id: str) -> Response:  # noqa: A002
        """Give it to a member or team. With `expected_epoch`, only if nobody was faster (409)."""
        given = self.shape(AssignSerializer)
        target = given.get("team") or given.get("assignee")
        self._check_target(target)
        conversation = self._to_change(id)
        services.assign(
            conversation,
            to=target,
            by=self.member,
            detail=given["reason"],
            expected_epoch=given.get("expected_epoch"),
        )
        return self._show(conversation)

    @extend_schema(request=NothingSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def take_over(self, request: Request, id: str) -> Response:  # noqa: A002
        """To the person who asks; the AI agent falls silent."""
        self._people_only()
        return self._act(id, services.take_over)

    @extend_schema(request=ReasonSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def give_back(self, request: Request, id: str) -> Response:  # noqa: A002
        """To the AI agent that held it last."""
        self._people_only()
        given = self.shape(ReasonSerializer)
        return self._act(id, services.give_back, detail=given["reason"])

    @extend_schema(request=HandOffSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def hand_off(self, request: Request, id: str) -> Response:  # noqa: A002
        """To people, with the reason and a summary."""
        given = self.shape(HandOffSerializer)
        return self._act(
            id,
            services.hand_off,
            to=given.get("team") or given.get("member"),
            detail=given["reason"],
            summary=given["summary"],
            expected_epoch=given.get("expected_epoch"),
        )

    @extend_schema(request=ReasonSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, id: str) -> Response:  # noqa: A002
        """Done; nobody holds it any more."""
        return self._act(id, services.resolve, detail=self.shape(ReasonSerializer)["reason"])

    @extend_schema(request=NothingSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, id: str) -> Response:  # noqa: A002
        return self._act(id, services.reopen)

    @extend_schema(request=SnoozeSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def snooze(self, request: Request, id: str) -> Response:  # noqa: A002
        """Hidden until a time, or until the customer writes."""
        until = self.shape(SnoozeSerializer)["until"]
        if until > timezone.now() + LONGEST_SNOOZE:
            raise ValidationError({"until": _("At most a year from now.")})
        return self._act(id, services.snooze, until=until)

    @extend_schema(request=LabelsSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def labels(self, request: Request, id: str) -> Response:  # noqa: A002
        """Add and remove labels by name, or `set` which there are."""
        given, conversation = self.shape(LabelsSerializer), self._to_change(id)
        if "set" in given:
            services.set_labels(conversation, given["set"], by=self.member)
        else:
            services.add_labels(conversation, given["add"], by=self.member)
            services.remove_labels(conversation, given["remove"], by=self.member)
        return self._show(conversation)

    @extend_schema(request=AttributesSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def attributes(self, request: Request, id: str) -> Response:  # noqa: A002
        """Merge into the contact's attributes or the conversation's own (null removes), or `replace` them.

        What does not fit the account's definitions is refused.
        """
        given = self.shape(AttributesSerializer)
        conversation = self._to_change(id)
        change = services.replace_attributes if given["replace"] else services.set_attributes
        change(conversation, given["values"], by=self.member, on=given["on"])
        return self._show(conversation)

    @extend_schema(request=PrioritySerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def priority(self, request: Request, id: str) -> Response:  # noqa: A002
        given, conversation = self.shape(PrioritySerializer), self._to_change(id)
        services.set_priority(conversation, given["priority"], by=self.member)
        return self._show(conversation)

    @extend_schema(request=NothingSerializer, responses=ConversationSerializer)
    @action(detail=True, methods=["post"])
    def read(self, request: Request, id: str) -> Response:  # noqa: A002
        """A person has looked; the customer sees it where the channel shows that."""
        self._people_only()
        return self._act(id, services.mark_read)

    def _act(self, public_id: str, act: Act, **arguments: Any) -> Response:
        if not arguments:
            self.shape(NothingSerializer)
        conversation = self._to_change(public_id)
        act(conversation, by=self.member, **arguments)
        return self._show(conversation)

    def _show(self, conversation: Conversation) -> Response:
        """As it is now, also when the caller has just given it away."""
        rows = shown(Conversation.objects.filter(pk=conversation.pk))
        return self.answer(rows.get())

    def _to_change(self, public_id: str) -> Conversation:
        return to_change(self, public_id)

    def _people_only(self) -> None:
        if self.member.is_agent:
            raise PermissionDenied(_("Only people can do this."))

    def _check_target(self, target: Member | Team | None) -> None:
        """An AI agent hands over to people, never to itself, nor to another one unless the account
        allows it (SX-23)."""
        if not self.member.is_agent or not isinstance(target, Member) or target.is_person:
            return
        if target != self.member and self.account.settings.get("agents_may_assign_agents"):
            return
        raise PermissionDenied(_("An AI agent hands conversations over to people."))


def to_change(view: AccountViewSet, public_id: str) -> Conversation:
    """The conversation a caller wants to change.

    404 for what an AI agent never held; `NotHolderError` for what it held once.
    """
    try:
        conversation: Conversation = view.find(conversations_of(view.member), public_id)
    except NotFound:
        if view.member.is_agent:
            lost_by(view, public_id)
            raise NotHolderError from None
        raise
    return conversation


def to_speak_in(view: AccountViewSet, public_id: str) -> Conversation:
    """The conversation a caller wants to say something in, locked: of an AI agent also one that it held once,
    for whether it may still speak there is the act's to decide. 404 for others."""
    if view.member.is_agent:
        return _held(view, public_id) or lock(lost_by(view, public_id))
    found: Conversation = view.find(conversations_of(view.member).only("pk"), public_id)
    return lock(found)


def lost_by(view: AccountViewSet, public_id: str) -> Conversation:
    """The conversation an AI agent held once; raises `NotFound` for one it never held."""
    held = Conversation.objects.filter(assignments__member=view.member).distinct()
    conversation: Conversation = view.find(held, public_id)
    return conversation


def _held(view: AccountViewSet, public_id: str) -> Conversation | None:
    try:
        pk = decode(Conversation.public_id, public_id)
    except ValueError:
        raise NotFound from None
    return next(iter(whole(_lock_held(view.member.pk, pk))), None)


@prepared(KEY, KEY)
def _lock_held(agent: int, pk: int) -> ConversationQuerySet:
    """What `conversations_of` says of an AI agent, for the one act that agents do all day."""
    return locked(*RELATED).filter(assignee_id=agent, pk=pk)
