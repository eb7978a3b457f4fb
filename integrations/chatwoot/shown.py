"""What conversations show beyond their own rows, fetched for many at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import prefetch_related_objects

from accounts.models import Member
from agents.models import Agent
from conversations.models import Conversation, Message

_LAST = """
SELECT message.*
FROM unnest(%s::bigint[]) AS wanted (conversation_id)
CROSS JOIN LATERAL (
    SELECT * FROM conversations_message
    WHERE conversation_id = wanted.conversation_id AND direction IN ('inbound', 'outbound')
    ORDER BY id DESC LIMIT 1) message
"""
_FIRST_REPLIES = """
SELECT wanted.conversation_id, reply.created_at
FROM unnest(%s::bigint[]) AS wanted (conversation_id)
CROSS JOIN LATERAL (
    SELECT message.created_at FROM conversations_message message
    JOIN accounts_member author ON author.id = message.author_id AND author.kind = 'person'
    WHERE message.conversation_id = wanted.conversation_id AND message.direction = 'outbound'
    ORDER BY message.id LIMIT 1) reply
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What conversations show beyond their own rows."""

    # By the member's id.
    agents: Mapping[int, Agent]
    # By the conversation's id: the last thing said in it, and when a person answered first.
    last: Mapping[int, Message]
    first_replies: Mapping[int, datetime]

    def agent_of(self, member: Member | None) -> Agent | None:
        return self.agents.get(member.pk) if member is not None else None


def gather(
    conversations: Sequence[Conversation],
    messages: Sequence[Message] = (),
    *,
    member_ids: Iterable[int] = (),
) -> Shown:
    """Everything that is shown of these, in a number of queries that does not depend on how many they are.

    `member_ids`: members beside holders and authors whose agents are wanted.
    """
    pks = list({one.pk for one in conversations})
    prefetch_related_objects(
        conversations,
        "account", "inbox", "contact", "address__identifiers", "assignee", "team", "labels",
    )  # fmt: skip
    last = list(Message.objects.raw(_LAST, [pks]))
    prefetch_related_objects([*messages, *last], "author__user", "reply_to", "attachments")
    members = {one.assignee_id for one in conversations} | set(member_ids)
    members |= {message.author_id for message in (*messages, *last)}
    agents = Agent.objects.select_related("member", "bot_settings").filter(
        member__among=members - {None}
    )
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_REPLIES, [pks])
        first_replies = dict(cursor.fetchall())
    return Shown(
        agents={agent.member_id: agent for agent in agents},
        last={message.conversation_id: message for message in last},
        first_replies=first_replies,
    )
