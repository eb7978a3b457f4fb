"""Rows with everything their shapes show, in a number of queries that does not grow with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery, prefetch_related_objects

from accounts.models import Member, TeamMembership
from accounts.paging import first_of, read_first
from accounts.prepared import KEY, KEYS, prepared
from conversations.messages import MEDIA_KINDS
from conversations.models import AddressIdentifier, Conversation, Message, sees_all
from conversations.models.conversation import ConversationQuerySet
from conversations.services.media import with_files
from integrations.chatwoot.shapes.conversations import LastWords, conversation_json
from integrations.chatwoot.shapes.messages import message_json
from integrations.chatwoot.shapes.parts import Json

Direction = Message.Direction
SAID = (Direction.INBOUND, Direction.OUTBOUND, Direction.NOTE)

SHOWN_TO_PEOPLE = ~Q(direction=Direction.DRAFT)


def shown_to(member: Member) -> Q:
    """Which messages a caller reads. Drafts are nothing that was said; notes and system lines are for
    people, and a bot reads what was said to and by the customer, and its own."""
    if member.is_agent:
        return Q(direction__in=(Direction.INBOUND, Direction.OUTBOUND)) | Q(
            author=member, direction=Direction.NOTE
        )
    return SHOWN_TO_PEOPLE


def whole_messages(rows: QuerySet[Message]) -> QuerySet[Message]:
    return _with_author(rows).prefetch_related("attachments")


def _with_author(rows: QuerySet[Message]) -> QuerySet[Message]:
    return rows.select_related("author__agent__bot_settings", "reply_to")


def page_of(rows: ConversationQuerySet, member: Member, n: int, *, skip: int = 0) -> list[Any]:
    """The first `n` of `rows` after `skip`, `whole`."""
    if sees_all(member):
        return read_first(rows, n, _whole_of, skip=skip)
    return list(first_of(whole(rows, member), n, skip=skip))


def whole(rows: ConversationQuerySet, member: Member) -> ConversationQuerySet:
    """With what `conversations_json` reads."""
    return _with_all(rows, shown_to(member))


@prepared(KEYS)
def _whole_of(pks: Sequence[int]) -> ConversationQuerySet:
    return _with_all(Conversation.objects.filter(pk__among=pks), SHOWN_TO_PEOPLE)


def _with_all(rows: ConversationQuerySet, read: Q) -> ConversationQuerySet:
    seen = Message.objects.filter(read, conversation=OuterRef("pk")).order_by("-id")
    return (
        rows.select_related(
            "contact",
            "inbox",
            "address",
            "assignee__user",
            "assignee__agent__endpoint",
            "assignee__agent__bot_settings",
            "team",
        )
        .defer("inbox__credentials_sealed")
        .with_labels()
        .annotate(
            newest_message=Subquery(seen.values("pk")[:1]),
            last_said=Subquery(seen.filter(direction__in=SAID).values("pk")[:1]),
        )
    )


def conversations_json(conversations: Sequence[Any], member: Member) -> list[Json]:
    """Conversations read by `whole`. A bot is not told where other bots are reached."""
    mine = teams_of(member)
    last = _last_words(conversations)
    _read_names(conversations)
    found = [conversation_json(one, last, mine) for one in conversations]
    for conversation, shown in zip(conversations, found, strict=True):
        if member.is_agent and conversation.assignee_id != member.pk:
            shown["meta"].get("assignee", {}).pop("outgoing_url", None)
    return found


def shown(conversation: Conversation, member: Member) -> Json:
    """One conversation as it is now, also when the caller has just given it away."""
    rows = whole(Conversation.objects.filter(pk=conversation.pk), member)
    return conversations_json(list(rows), member)[0]


def shown_message(message: Message, conversation: Conversation, *, echo_id: str | int = "") -> Json:
    """One message as it is now, with its files."""
    [found] = _message(message.pk)
    return message_json(with_files(found), conversation, echo_id=echo_id)


def said_message(message: Message, conversation: Conversation, *, echo_id: str | int = "") -> Json:
    """One that was said a moment ago: nothing of it is read again but who is behind its author."""
    if message.author is not None and message.author.is_agent:
        [message.author] = _bot(message.author.pk)
    return message_json(with_files(message), conversation, echo_id=echo_id)


@prepared(KEY)
def _bot(member_id: int) -> QuerySet[Member]:
    return Member.objects.select_related("agent__bot_settings").filter(pk=member_id)


@prepared(KEY)
def _message(pk: int) -> QuerySet[Message]:
    return _with_author(Message.objects.filter(pk=pk))


def teams_of(member: Member) -> frozenset[int]:
    return frozenset(pk for (pk,) in _teams_of(member.pk))


@prepared(KEY)
def _teams_of(member_id: int) -> QuerySet[TeamMembership, tuple[int]]:
    return TeamMembership.objects.filter(member_id=member_id).values_list("team_id")


def _last_words(conversations: Sequence[Any]) -> LastWords:
    wanted = {one.newest_message for one in conversations} | {
        one.last_said for one in conversations
    }
    wanted.discard(None)
    messages = {message.pk: message for message in _messages(wanted)} if wanted else {}
    with_files = [message for message in messages.values() if message.kind in MEDIA_KINDS]
    prefetch_related_objects(with_files, "attachments")
    return LastWords(
        any={one.pk: messages[one.newest_message] for one in conversations if one.newest_message},
        said={one.pk: messages[one.last_said] for one in conversations if one.last_said},
    )


@prepared(KEYS)
def _messages(pks: Collection[int]) -> QuerySet[Message]:
    return _with_author(Message.objects.filter(pk__among=pks))


def _read_names(conversations: Sequence[Any]) -> None:
    """What the addresses are called; prefetching makes a queryset for each of them."""
    names: dict[int, list[AddressIdentifier]] = {one.address_id: [] for one in conversations}
    for name in _names(names):
        names[name.address_id].append(name)
    for one in conversations:
        one.address.known_identifiers = names[one.address_id]


@prepared(KEYS)
def _names(addresses: Collection[int]) -> QuerySet[AddressIdentifier]:
    return AddressIdentifier.objects.filter(address__among=addresses)
