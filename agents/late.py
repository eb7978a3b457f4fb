"""May an AI agent still speak where it holds nothing any more? Its setting decides (`Agent.stale_gate`).

One speaker at a time is what we promise (design.md 1.3), so the gate is shut unless somebody opens it. Some
bots were written for a desk that lets them speak whoever has the conversation; without it they speak too,
in the inboxes they are attached to, and what they say is marked as late wherever it is shown.
"""

from __future__ import annotations

from typing import Any

from accounts.models import Member
from agents.models import Agent, AgentInbox
from agents.pushing import obstacle
from conversations.models import Assignment, Conversation


def may_speak(*, conversation: Conversation, member: Member, **_signal: Any) -> bool:
    """Receiver of `late_word`: the gate is open, and the inbox is one of the agent's.

    One that is attached to no inbox in particular serves them all, and so speaks late where it has had the
    conversation before.
    """
    agent = Agent.objects.select_related("account", "endpoint").filter(member=member).first()
    if agent is None or agent.stale_gate or obstacle(agent, agent.account) is not None:
        return False
    if conversation.contact.erased_at is not None:
        return False
    inboxes = set(AgentInbox.objects.filter(agent=agent).values_list("inbox_id", flat=True))
    if inboxes:
        return conversation.inbox_id in inboxes
    return Assignment.objects.filter(conversation=conversation, member=member).exists()
