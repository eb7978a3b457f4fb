"""Why somebody has a conversation, in words of ours."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why somebody has it; stored on the assignment and sent to agents."""

    RULE = "rule"
    MANUAL = "manual"
    TAKEOVER = "takeover"
    ANSWERED = "answered"
    GIVEN_BACK = "given_back"
    HANDED_OFF = "handed_off"
    AGENT_TIMEOUT = "agent_timeout"
    AGENT_UNREACHABLE = "agent_unreachable"
    AGENT_REJECTED = "agent_rejected"
    AGENT_DISABLED = "agent_disabled"
    AGENT_PAUSED = "agent_paused"
    AGENT_DELETED = "agent_deleted"
    LATE_MESSAGE = "late_message"
    UNDONE = "undone"
    RESOLVED = "resolved"


# A person put themselves in the place of whoever held it, by the button or by answering.
TAKEN_OVER = (Reason.TAKEOVER, Reason.ANSWERED)
